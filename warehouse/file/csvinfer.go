package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
)

// inference is what reading all CSV files once has shown.
type inference struct {
	guesses map[string]guess
	rows    map[string]int64 // by path
}

// guess narrows a column's type down: each value takes away the types that cannot hold it.
type guess struct {
	notInt, notFloat, notBool, any bool
	quotedEmpty                    string // where the first "" is: its line, after its file where there are several; none if empty
}

// whyText is the key of a field's metadata that says why a column whose other values are narrower is read as text.
// Package frame shows it to those who wanted numbers.
const whyText = "treeline.why_text"

// see takes in a field that is not null.
func (g *guess) see(v []byte) {
	if len(v) == 0 {
		return
	}
	g.any = true
	s := view(v)
	if !g.notInt {
		_, err := strconv.ParseInt(s, 10, 64)
		g.notInt = err != nil || padded(s)
	}
	if !g.notFloat {
		_, err := strconv.ParseFloat(s, 64)
		g.notFloat = err != nil && !errors.Is(err, strconv.ErrRange) || padded(s)
	}
	if !g.notBool {
		_, ok := parseBool(s)
		g.notBool = !ok || s == "1" || s == "0"
	}
}

// padded tells codes like 00501 from numbers.
func padded(s string) bool {
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	return len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9'
}

// typ is that of the narrowest type that holds all values: int64, float64, bool or utf8; float64 for a column without any.
func (g guess) typ() arrow.DataType {
	if g.quotedEmpty != "" {
		return arrow.BinaryTypes.String
	}
	return g.narrow()
}

// why says what alone made a column text.
func (g guess) why() arrow.Metadata {
	if g.quotedEmpty == "" || g.narrow().ID() == arrow.STRING {
		return arrow.Metadata{}
	}
	return arrow.NewMetadata([]string{whyText}, []string{
		g.quotedEmpty + ` has a quoted empty text "", which is no missing value: leave missing values empty, without quotes`,
	})
}

// narrow leaves empty texts out.
func (g guess) narrow() arrow.DataType {
	switch {
	case !g.any:
		return arrow.PrimitiveTypes.Float64
	case !g.notInt:
		return arrow.PrimitiveTypes.Int64
	case !g.notFloat:
		return arrow.PrimitiveTypes.Float64
	case !g.notBool:
		return arrow.FixedWidthTypes.Boolean
	}
	return arrow.BinaryTypes.String
}

// field returns the column of a CSV file, ok false when neither the hint nor the inference knows it.
func (n *inference) field(name string, hint *arrow.Schema) (f arrow.Field, ok bool) {
	f = arrow.Field{Name: name, Nullable: true}
	if h := hinted(name, hint); h != nil {
		f.Type = h.Type
		if i := h.Metadata.FindKey(whyText); i >= 0 { // the hint is what an earlier look inferred
			f.Metadata = arrow.NewMetadata([]string{whyText}, []string{h.Metadata.Values()[i]})
		}
		return f, true
	}
	if n != nil {
		if g, ok := n.guesses[name]; ok {
			f.Type, f.Metadata = g.typ(), g.why()
			return f, true
		}
	}
	return f, false
}

func (n *inference) rowsOf(path string) int64 {
	if n != nil {
		if rows, ok := n.rows[path]; ok {
			return rows
		}
	}
	return -1
}

func hinted(name string, hint *arrow.Schema) *arrow.Field {
	if hint == nil {
		return nil
	}
	if at := hint.FieldIndices(name); len(at) == 1 {
		f := hint.Field(at[0])
		return &f
	}
	return nil
}

// inferAll reads the CSV files among paths once, all of them for one set of types, unless the hint names every column and
// the number of rows is not asked for.
func inferAll(ctx context.Context, paths []string, o Options, rows bool) (Options, error) {
	var scan []string
	for _, p := range paths {
		f, err := formatOf(p)
		if err != nil {
			return o, err
		}
		if f != formatCSV {
			continue
		}
		names, err := csvHeader(p)
		if err != nil {
			return o, fmt.Errorf("%s: %w", p, err)
		}
		need := rows
		for _, n := range names {
			need = need || hinted(n, o.Hint) == nil
		}
		if need {
			scan = append(scan, p)
		}
	}
	if len(scan) == 0 {
		return o, nil
	}
	o.inferred = &inference{guesses: map[string]guess{}, rows: map[string]int64{}}
	for _, p := range scan {
		name := ""
		if len(scan) > 1 {
			name = filepath.Base(p) + ": "
		}
		if err := o.inferred.read(ctx, p, name); err != nil {
			return o, fmt.Errorf("%s: %w", p, err)
		}
	}
	return o, nil
}

// read takes in one file. name leads what is said about its lines.
func (n *inference) read(ctx context.Context, path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := newCSVReader(cancellable(ctx, f))
	names, err := readHeader(r)
	if err != nil {
		return err
	}
	guesses := make([]guess, len(names))
	for i, column := range names {
		guesses[i] = n.guesses[column]
	}
	rows := int64(0)
	for {
		k, err := r.record()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if k != len(names) {
			return fmt.Errorf("line %d: %d fields, the header has %d: %w", r.line, k, len(names), ErrInvalid)
		}
		for i := range guesses {
			if r.null(i) {
				continue
			}
			v := r.field(i)
			guesses[i].see(v)
			if len(v) == 0 && guesses[i].quotedEmpty == "" {
				guesses[i].quotedEmpty = fmt.Sprintf("%sline %d", name, r.line)
			}
		}
		rows++
	}
	n.rows[path] = rows
	for i, column := range names {
		n.guesses[column] = guesses[i]
	}
	return nil
}
