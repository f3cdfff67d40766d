package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// csvEncoder writes a header line and one line a row. Null is an empty field, an empty text is "". Floats are written with
// the fewest digits that read back as the same value.
type csvEncoder struct {
	w    io.Writer
	line []byte
	only bool // a single column: its null would be an empty line, which readers skip
}

var errLoneNull = errors.New("CSV cannot hold a missing value in the only column: write .parquet or .arrow, or add a column")

func newCSVEncoder(w io.Writer, s *arrow.Schema) (*csvEncoder, error) {
	e := &csvEncoder{w: w, only: s.NumFields() == 1}
	for i, f := range s.Fields() {
		if i > 0 {
			e.line = append(e.line, ',')
		}
		e.line = appendText(e.line, f.Name)
	}
	return e, e.flush()
}

func (e *csvEncoder) flush() error {
	_, err := e.w.Write(append(e.line, '\n'))
	e.line = e.line[:0]
	return err
}

func (e *csvEncoder) write(rec arrow.Record) error {
	cols := make([]func(dst []byte, i int) []byte, rec.NumCols())
	for i, c := range rec.Columns() {
		cols[i] = formatter(c)
	}
	for row := range int(rec.NumRows()) {
		for i, c := range rec.Columns() {
			if i > 0 {
				e.line = append(e.line, ',')
			}
			if c.IsValid(row) && c.DataType().ID() != arrow.NULL { // Arrow calls the rows of a null column valid
				e.line = cols[i](e.line, row)
			}
		}
		if e.only && len(e.line) == 0 {
			if !isFloat(rec.Column(0).DataType()) {
				return fmt.Errorf("row %d: %w", row, errLoneNull)
			}
			e.line = append(e.line, "NaN"...) // as missing as null is to every reader of numbers
		}
		if err := e.flush(); err != nil {
			return err
		}
	}
	return nil
}

func isFloat(t arrow.DataType) bool { return t.ID() == arrow.FLOAT64 || t.ID() == arrow.FLOAT32 }

func (e *csvEncoder) close() error { return nil }
func (e *csvEncoder) abort()       {}

// formatter returns how a valid row of c is appended.
func formatter(c arrow.Array) func(dst []byte, i int) []byte {
	switch a := c.(type) {
	case *array.Float64:
		return func(dst []byte, i int) []byte { return strconv.AppendFloat(dst, a.Value(i), 'g', -1, 64) }
	case *array.Float32:
		return func(dst []byte, i int) []byte { return strconv.AppendFloat(dst, float64(a.Value(i)), 'g', -1, 32) }
	case *array.Int64:
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, a.Value(i), 10) }
	case *array.Int32:
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(a.Value(i)), 10) }
	case *array.Boolean:
		return func(dst []byte, i int) []byte { return strconv.AppendBool(dst, a.Value(i)) }
	case *array.String:
		return func(dst []byte, i int) []byte { return appendText(dst, a.Value(i)) }
	case *array.LargeString:
		return func(dst []byte, i int) []byte { return appendText(dst, a.Value(i)) }
	case *array.Timestamp:
		unit := a.DataType().(*arrow.TimestampType)
		return func(dst []byte, i int) []byte {
			layout := "2006-01-02T15:04:05.999999999"
			if unit.TimeZone != "" {
				layout += "Z07:00" // the instant, in UTC
			}
			return a.Value(i).ToTime(unit.Unit).AppendFormat(dst, layout)
		}
	case *array.Dictionary:
		value := formatter(a.Dictionary())
		return func(dst []byte, i int) []byte {
			if k := a.GetValueIndex(i); a.Dictionary().IsValid(k) {
				return value(dst, k)
			}
			return dst
		}
	}
	return func(dst []byte, i int) []byte { return appendText(dst, c.ValueStr(i)) }
}

// appendText quotes where CSV needs it, and the empty text, which would be a null without quotes.
func appendText(dst []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	dst = append(dst, bytes.ReplaceAll([]byte(s), []byte(`"`), []byte(`""`))...)
	return append(dst, '"')
}
