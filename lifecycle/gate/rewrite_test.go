package gate_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// rewrite copies a Parquet file, changing its columns; nil drops one. It keeps the first rows only when rows > 0.
func rewrite(t *testing.T, golden []byte, rows int64, change func(name string, a arrow.Array) arrow.Array) []byte {
	t.Helper()
	mem := memory.NewGoAllocator()
	pf, err := file.NewParquetReader(bytes.NewReader(golden))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{}, mem)
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	if rows == 0 {
		rows = table.NumRows()
	}
	var fields []arrow.Field
	var columns []arrow.Array
	for i := range int(table.NumCols()) {
		c := table.Column(i)
		a, err := array.Concatenate(c.Data().Chunks(), mem)
		if err != nil {
			t.Fatal(err)
		}
		if a = change(c.Name(), array.NewSlice(a, 0, rows)); a != nil {
			fields = append(fields, arrow.Field{Name: c.Name(), Type: a.DataType(), Nullable: true})
			columns = append(columns, a)
		}
	}
	schema := arrow.NewSchema(fields, nil)
	var out bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &out, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(array.NewRecord(schema, columns, rows)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func keep(a arrow.Array) arrow.Array { return a }

// edit copies a column of numbers, replacing one row; null when the function says so.
func edit(a arrow.Array, row int, f func(v float64) (_ float64, null bool)) arrow.Array {
	if c, ok := a.(*array.Float32); ok {
		b := array.NewFloat32Builder(memory.NewGoAllocator())
		for i := range c.Len() {
			v, null := float64(c.Value(i)), c.IsNull(i)
			if i == row {
				v, null = f(v)
			}
			if null {
				b.AppendNull()
			} else {
				b.Append(float32(v))
			}
		}
		return b.NewArray()
	}
	c := a.(*array.Float64)
	b := array.NewFloat64Builder(memory.NewGoAllocator())
	for i := range c.Len() {
		v, null := c.Value(i), c.IsNull(i)
		if i == row {
			v, null = f(v)
		}
		if null {
			b.AppendNull()
		} else {
			b.Append(v)
		}
	}
	return b.NewArray()
}

// flip changes the last bit of one value.
func flip(a arrow.Array, row int) arrow.Array {
	return edit(a, row, func(v float64) (float64, bool) {
		if a.DataType().ID() == arrow.FLOAT32 {
			return float64(math.Float32frombits(math.Float32bits(float32(v)) ^ 1)), false
		}
		return math.Float64frombits(math.Float64bits(v) ^ 1), false
	})
}

func setNull(a arrow.Array, row int) arrow.Array {
	return edit(a, row, func(float64) (float64, bool) { return 0, true })
}

func setInfinite(a arrow.Array, row int) arrow.Array {
	return edit(a, row, func(float64) (float64, bool) { return math.Inf(-1), false })
}
