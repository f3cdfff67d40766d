package render

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// Rows writes records of one schema as a table. Columns that do not fit into width (0: no limit) go into further blocks below,
// so that every column is there by its name. Digests are shortened.
func Rows(w io.Writer, width int, schema *arrow.Schema, records []arrow.Record) error {
	var columns []rowColumn
	for i, f := range schema.Fields() {
		col := rowColumn{name: f.Name, right: isNumber(f.Type), width: utf8.RuneCountInString(f.Name)}
		for _, rec := range records {
			for r := range int(rec.NumRows()) {
				cell := printable(cellText(rec.Column(i), r))
				col.cells = append(col.cells, cell)
				col.width = max(col.width, utf8.RuneCountInString(cell))
			}
		}
		columns = append(columns, col)
	}
	for first := 0; first < len(columns); {
		last, used := first, columns[first].width
		for last+1 < len(columns) && (width == 0 || used+gap+columns[last+1].width <= width) {
			last++
			used += gap + columns[last].width
		}
		if first > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := writeBlock(w, width, columns[first:last+1]); err != nil {
			return err
		}
		first = last + 1
	}
	return nil
}

type rowColumn struct {
	name  string
	right bool
	width int
	cells []string
}

func writeBlock(w io.Writer, width int, columns []rowColumn) error {
	header := make([]string, len(columns))
	for i, c := range columns {
		header[i] = c.name
		if c.right {
			header[i] = ">" + c.name
		}
	}
	g := NewGrid(width, header...)
	for r := range columns[0].cells {
		row := make([]any, len(columns))
		for i, c := range columns {
			row[i] = c.cells[r]
		}
		g.Row(row...)
	}
	return g.Write(w)
}

func isNumber(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128, arrow.DECIMAL256,
		arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return true
	}
	return false
}

func cellText(col arrow.Array, r int) string {
	if col.IsNull(r) {
		return "null"
	}
	switch col := col.(type) {
	case *array.Dictionary:
		return cellText(col.Dictionary(), col.GetValueIndex(r))
	case *array.Timestamp:
		return timestamp(col, r)
	case *array.String:
		return shortDigest(col.Value(r))
	}
	return col.ValueStr(r)
}

func timestamp(col *array.Timestamp, r int) string {
	t := col.DataType().(*arrow.TimestampType)
	return col.Value(r).ToTime(t.Unit).UTC().Format("2006-01-02T15:04:05.999999Z")
}

func shortDigest(s string) string {
	if strings.HasPrefix(s, "sha256:") {
		return Digest(s)
	}
	return s
}

// RowDocuments makes records values for Document: one object a row, keys in the order of the columns, digests whole.
func RowDocuments(schema *arrow.Schema, records []arrow.Record) []json.Marshaler {
	out := []json.Marshaler{}
	for _, rec := range records {
		for r := range int(rec.NumRows()) {
			out = append(out, rowDocument{schema: schema, rec: rec, row: r})
		}
	}
	return out
}

type rowDocument struct {
	schema *arrow.Schema
	rec    arrow.Record
	row    int
}

func (d rowDocument) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, f := range d.schema.Fields() {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := plain(f.Name)
		if err != nil {
			return nil, err
		}
		value, err := plain(cellValue(d.rec.Column(i), d.row))
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// cellValue is a value for encoding/json. NaN and infinities, which JSON lacks, become strings.
func cellValue(col arrow.Array, r int) any {
	if col.IsNull(r) {
		return nil
	}
	switch col := col.(type) {
	case *array.Dictionary:
		return cellValue(col.Dictionary(), col.GetValueIndex(r))
	case *array.Timestamp:
		return timestamp(col, r)
	case *array.Float64:
		return finite(col.Value(r), 64)
	case *array.Float32:
		return finite(float64(col.Value(r)), 32)
	}
	return col.GetOneForMarshal(r)
}

func finite(v float64, bits int) any {
	text := strconv.FormatFloat(v, 'g', -1, bits)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return text
	}
	return json.Number(text)
}
