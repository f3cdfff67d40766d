package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// csvFile is an opened CSV file with a header line. A field without any character is null, "" is an empty text, as
// pyarrow writes them and reads them with quoted_strings_can_be_null=False. It is one task.
type csvFile struct {
	path  string
	arrow *arrow.Schema
	count int64
	o     Options
}

func openCSV(path string, o Options) (source, error) {
	names, err := csvHeader(path)
	if err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(names))
	for i, n := range names {
		f, ok := o.inferred.field(n, o.Hint)
		if !ok {
			return nil, fmt.Errorf("column %q is in this file only: %w", n, ErrInvalid)
		}
		fields[i] = f
	}
	return &csvFile{path: path, arrow: arrow.NewSchema(fields, nil), count: o.inferred.rowsOf(path), o: o}, nil
}

func csvHeader(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readHeader(newCSVReader(f))
}

func readHeader(r *csvReader) ([]string, error) {
	n, err := r.record()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file is empty, want a line of column names: %w", ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	names := make([]string, n)
	for i := range names {
		names[i] = string(r.field(i))
		if names[i] == "" || !utf8.ValidString(names[i]) {
			return nil, fmt.Errorf("line %d: column %d has no valid name: %w", r.line, i+1, ErrInvalid)
		}
	}
	return names, nil
}

func (c *csvFile) schema() *arrow.Schema { return c.arrow }
func (c *csvFile) rows() int64           { return c.count }
func (c *csvFile) close() error          { return nil }

func (c *csvFile) tasks(cols []int) []task {
	return []task{&csvTask{file: c, cols: cols, schema: subset(c.arrow, cols)}}
}

type csvTask struct {
	file   *csvFile
	cols   []int
	schema *arrow.Schema
}

func (t *csvTask) estimate() int64 { return int64(t.file.o.BatchRows) * int64(len(t.cols)) * 16 }

func (t *csvTask) run(emit func(arrow.Record) error) error {
	f, err := os.Open(t.file.path)
	if err != nil {
		return fmt.Errorf("%s: %w", t.file.path, err)
	}
	defer f.Close()
	r := newCSVReader(f)
	if err := t.parse(r, emit); err != nil {
		if errors.Is(err, errClosed) {
			return err
		}
		return fmt.Errorf("%s: %w", t.file.path, err)
	}
	return nil
}

func (t *csvTask) parse(r *csvReader, emit func(arrow.Record) error) error {
	if _, err := readHeader(r); err != nil {
		return err
	}
	b := array.NewRecordBuilder(t.file.o.Alloc, t.schema)
	defer b.Release()
	appenders := make([]func([]byte) error, len(t.cols))
	for i, f := range b.Fields() {
		appenders[i] = appender(f)
	}
	width := t.file.arrow.NumFields()
	total, rows := int64(0), 0
	flush := func() error {
		total, rows = total+int64(rows), 0
		return emit(b.NewRecord())
	}
	for {
		n, err := r.record()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n != width {
			return fmt.Errorf("line %d: %d fields, the header has %d: %w", r.line, n, width, ErrInvalid)
		}
		for i, c := range t.cols {
			if r.null(c) {
				b.Field(i).AppendNull()
				continue
			}
			if err := appenders[i](r.field(c)); err != nil {
				return fmt.Errorf("line %d, column %q: %w: %w", r.line, t.schema.Field(i).Name, err, ErrInvalid)
			}
		}
		if rows++; rows == t.file.o.BatchRows {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if rows > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	if t.file.count >= 0 && total != t.file.count {
		return fmt.Errorf("%d rows, at first there were %d: the file changed: %w", total, t.file.count, ErrInvalid)
	}
	return nil
}

// appender returns how the bytes of a field that is not null are added to a builder. Errors say what was wanted, not what was there.
func appender(b array.Builder) func([]byte) error {
	set := func(v []byte) error { return b.AppendValueFromString(string(v)) }
	switch b := b.(type) {
	case *array.Float64Builder:
		set = func(v []byte) error {
			x, err := strconv.ParseFloat(view(v), 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return errNumber
			}
			b.Append(x)
			return nil
		}
	case *array.Float32Builder:
		set = func(v []byte) error {
			x, err := strconv.ParseFloat(view(v), 32)
			if err != nil && !errors.Is(err, strconv.ErrRange) {
				return errNumber
			}
			b.Append(float32(x))
			return nil
		}
	case *array.Int64Builder:
		set = func(v []byte) error {
			x, err := strconv.ParseInt(view(v), 10, 64)
			if err != nil {
				return errInteger
			}
			b.Append(x)
			return nil
		}
	case *array.BooleanBuilder:
		set = func(v []byte) error {
			x, ok := parseBool(view(v))
			if !ok {
				return errBool
			}
			b.Append(x)
			return nil
		}
	case *array.StringBuilder:
		set = func(v []byte) error {
			if !utf8.Valid(v) {
				return errUTF8
			}
			b.Append(view(v)) // the builder copies
			return nil
		}
	case *array.BinaryDictionaryBuilder:
		set = func(v []byte) error {
			if !utf8.Valid(v) {
				return errUTF8
			}
			return b.Append(v)
		}
	}
	return func(v []byte) error {
		if err := set(v); err != nil {
			if len(v) == 0 {
				return fmt.Errorf("%w (%s)", errQuotedEmpty, b.Type())
			}
			if errors.Is(err, errNumber) || errors.Is(err, errInteger) || errors.Is(err, errBool) || errors.Is(err, errUTF8) {
				return err
			}
			return fmt.Errorf("no value of type %s", b.Type())
		}
		return nil
	}
}

var (
	errQuotedEmpty = errors.New(`quoted empty text "" is no value of the column's type: leave a missing value empty, without quotes`)

	errNumber  = errors.New("not a number")
	errInteger = errors.New("not an integer")
	errBool    = errors.New("neither true nor false")
)

func parseBool(s string) (v, ok bool) {
	switch s {
	case "true", "True", "TRUE", "1":
		return true, true
	case "false", "False", "FALSE", "0":
		return false, true
	}
	return false, false
}

// view reads bytes as a string without a copy, for calls that do not keep it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
