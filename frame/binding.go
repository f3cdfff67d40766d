package frame

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// BindOptions say which columns besides the features a schema may have.
type BindOptions struct {
	Allowed     []string // columns that are no features but may be present (keys, label, date)
	IgnoreExtra bool     // accept any other column
	// BaseMargin is the column with each row's own starting margin, <name>_0 ... <name>_k for a model with several
	// outputs. Empty uses the model's.
	BaseMargin string
}

// Binding reads the features of one model from records of one schema.
type Binding struct {
	p        *engine.Program
	schema   *arrow.Schema
	readers  []reader // by feature
	margin   []reader // by output; nil without a base margin column
	margins  []float64
	refusals []Refusal
	infinite []engine.Refusal
	hash     string
}

// reader turns one column into an engine column.
type reader struct {
	name  string // of the column
	col   int
	typ   arrow.DataType
	vocab *vocabulary // of a categorical feature with named categories, otherwise nil
	buf   []float64   // reused by conversions
	table []float64   // reused by dictionaries
}

// Refusal is a row that the training library would refuse, because of the value in Column.
type Refusal struct {
	Row            int // in the record
	Column, Reason string
}

// NewBinding finds a column for every feature of m, exactly by name or, where that is unique, by its name with spaces
// read as underscores (as LightGBM writes names into model files). The error is a *SchemaError.
func NewBinding(m *forest.Model, p *engine.Program, s *arrow.Schema, o BindOptions) (*Binding, error) {
	if len(m.Features) != p.Features() {
		return nil, fmt.Errorf("model has %d features, its program %d: %w", len(m.Features), p.Features(), engine.ErrShape)
	}
	b := &Binding{p: p, schema: s, readers: make([]reader, len(m.Features))}
	n := newNames(s)
	fault := &SchemaError{Duplicate: n.duplicate}
	used := make([]bool, s.NumFields())
	for i := range m.Features {
		f := &m.Features[i]
		col, ambiguous := n.find(f.Name, used)
		if ambiguous {
			fault.Ambiguous = append(fault.Ambiguous, f.Name)
			continue
		}
		if col < 0 {
			fault.Missing = append(fault.Missing, MissingColumn{Name: f.Name, Want: want(f)})
			continue
		}
		used[col] = true
		b.readers[i] = reader{name: s.Field(col).Name, col: col, typ: s.Field(col).Type}
		if len(f.Vocabulary) > 0 && f.Kind == forest.Categorical {
			b.readers[i].vocab = newVocabulary(f)
		}
		if hint := b.readers[i].unreadable(f); hint != "" {
			hint = whyText(s.Field(col), hint)
			fault.Wrong = append(fault.Wrong, WrongColumn{Name: s.Field(col).Name, Type: s.Field(col).Type.String(), Want: want(f), Hint: hint})
		}
	}
	b.bindMargin(n, used, o.BaseMargin, fault)
	b.checkExtra(used, o, fault)
	if !fault.empty() {
		return nil, fault
	}
	b.hash = b.schemaHash(m)
	return b, nil
}

func (b *Binding) bindMargin(n *names, used []bool, name string, fault *SchemaError) {
	if name == "" {
		return
	}
	outputs := b.p.Outputs()
	for k := range outputs {
		column := name
		if outputs > 1 {
			column = fmt.Sprintf("%s_%d", name, k)
		}
		col, ok := n.exact[column]
		if !ok {
			fault.Missing = append(fault.Missing, MissingColumn{Name: column, Want: "a number, the base margin"})
			continue
		}
		used[col] = true
		r := reader{name: column, col: col, typ: b.schema.Field(col).Type}
		if hint := r.unreadable(&forest.Feature{}); hint != "" {
			fault.Wrong = append(fault.Wrong, WrongColumn{Name: column, Type: r.typ.String(), Want: "a number, the base margin", Hint: hint})
		}
		b.margin = append(b.margin, r)
	}
}

func (b *Binding) checkExtra(used []bool, o BindOptions, fault *SchemaError) {
	var free []string // candidates for suggestions
	for i, f := range b.schema.Fields() {
		if used[i] {
			continue
		}
		allowed := slices.Contains(o.Allowed, f.Name)
		if !allowed {
			free = append(free, f.Name)
		}
		if !allowed && !o.IgnoreExtra {
			fault.Unexpected = append(fault.Unexpected, f.Name)
		}
	}
	fault.suggest(free)
}

// names finds columns.
type names struct {
	exact     map[string]int
	spaced    map[string][]int // by name with spaces as underscores, only names that have spaces
	duplicate []string
}

func newNames(s *arrow.Schema) *names {
	n := &names{exact: make(map[string]int, s.NumFields()), spaced: map[string][]int{}}
	for i, f := range s.Fields() {
		if _, dup := n.exact[f.Name]; dup {
			if !slices.Contains(n.duplicate, f.Name) {
				n.duplicate = append(n.duplicate, f.Name)
			}
			continue
		}
		n.exact[f.Name] = i
		if strings.Contains(f.Name, " ") {
			key := strings.ReplaceAll(f.Name, " ", "_")
			n.spaced[key] = append(n.spaced[key], i)
		}
	}
	return n
}

// find returns -1 when there is no column.
func (n *names) find(name string, used []bool) (col int, ambiguous bool) {
	if i, ok := n.exact[name]; ok {
		return i, false
	}
	col = -1
	for _, i := range n.spaced[name] {
		if used[i] {
			continue
		}
		if col >= 0 {
			return -1, true
		}
		col = i
	}
	return col, false
}

// Columns returns the names of the columns that Bind reads: one a feature in the model's order, then base margins.
func (b *Binding) Columns() []string {
	var cols []string
	for _, r := range b.readers {
		cols = append(cols, r.name)
	}
	for _, r := range b.margin {
		cols = append(cols, r.name)
	}
	return cols
}

// SchemaHash identifies what the features were read from: "sha256:" and the hash of the features' names, order, kinds
// and column types. The width of dictionary indices, which may change from record to record, is no part of it.
func (b *Binding) SchemaHash() string { return b.hash }

func (b *Binding) schemaHash(m *forest.Model) string {
	h := sha256.New()
	for i, r := range b.readers {
		typ := r.typ.String()
		if d, ok := r.typ.(*arrow.DictionaryType); ok {
			typ = "dictionary<" + d.ValueType.String() + ">"
		}
		fmt.Fprintf(h, "%q %d %q %q\n", m.Features[i].Name, m.Features[i].Kind, r.name, typ)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Bind resets blk and sets all features from rec, which must have the binding's schema. It returns the rows that the
// training library would refuse, ordered by row; their scores mean nothing. The block refers to rec.
func (b *Binding) Bind(blk *engine.Block, rec arrow.Record) ([]Refusal, error) {
	rows := int(rec.NumRows())
	blk.Reset(rows)
	b.refusals = b.refusals[:0]
	for i := range b.readers {
		r := &b.readers[i]
		arr, err := r.array(rec)
		if err != nil {
			return nil, err
		}
		c, err := r.column(arr, &b.refusals)
		if err == nil {
			err = blk.Set(i, c)
		}
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", r.name, err)
		}
	}
	if err := b.setMargin(blk, rec); err != nil {
		return nil, err
	}
	b.infinite = blk.Refusals(b.infinite[:0], 0)
	for _, r := range b.infinite {
		reason := "the value is infinite for the model, which its library refuses"
		if r.Missing {
			reason = "the value is missing, which the model's library refuses"
		}
		b.refusals = append(b.refusals, Refusal{Row: r.Row, Column: b.readers[r.Feature].name, Reason: reason})
	}
	slices.SortStableFunc(b.refusals, func(x, y Refusal) int { return x.Row - y.Row })
	return b.refusals, nil
}

func (b *Binding) setMargin(blk *engine.Block, rec arrow.Record) error {
	outputs := len(b.margin)
	if outputs == 0 {
		return nil
	}
	rows := int(rec.NumRows())
	b.margins = sized(b.margins, rows*outputs)
	for k := range b.margin {
		r := &b.margin[k]
		arr, err := r.array(rec)
		if err != nil {
			return err
		}
		if err := r.values(arr); err != nil {
			return fmt.Errorf("column %q: %w", r.name, err)
		}
		for i, v := range r.buf {
			if v != v {
				b.refusals = append(b.refusals, Refusal{Row: i, Column: r.name, Reason: "the base margin is missing"})
				v = 0
			}
			b.margins[i*outputs+k] = v
		}
	}
	return blk.SetBaseMargin(b.margins)
}

// array returns the reader's column, which must still have the type that it was bound with. Dictionaries may change the
// width of their indices.
func (r *reader) array(rec arrow.Record) (arrow.Array, error) {
	if r.col >= int(rec.NumCols()) || rec.ColumnName(r.col) != r.name {
		return nil, fmt.Errorf("record has no column %q at position %d: %w", r.name, r.col, engine.ErrShape)
	}
	arr := rec.Column(r.col)
	if got := arr.DataType(); got != r.typ && !sameType(got, r.typ) {
		return nil, fmt.Errorf("column %q is %s, was bound as %s: %w", r.name, got, r.typ, engine.ErrShape)
	}
	return arr, nil
}

func sameType(a, b arrow.DataType) bool {
	x, ok := a.(*arrow.DictionaryType)
	y, ok2 := b.(*arrow.DictionaryType)
	if ok && ok2 {
		return arrow.TypeEqual(x.ValueType, y.ValueType)
	}
	return arrow.TypeEqual(a, b)
}

// valid adds the column's nulls.
func valid(c engine.Column, arr arrow.Array) engine.Column {
	if arr.NullN() == 0 {
		return c
	}
	return c.WithValidity(arr.NullBitmapBytes(), arr.Data().Offset())
}

// sized returns a slice of length n, s's own memory where that is large enough.
func sized(s []float64, n int) []float64 {
	if cap(s) < n {
		return make([]float64, n)
	}
	return s[:n]
}
