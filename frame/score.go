package frame

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
)

// RawColumns names the margin columns: raw, or raw_0 ... raw_k.
func RawColumns(outputs int) []string { return numbered("raw", outputs) }

// PredColumns names the prediction columns: pred, or pred_0 ... pred_k.
func PredColumns(width int) []string { return numbered("pred", width) }

func numbered(name string, n int) []string {
	if n == 1 {
		return []string{name}
	}
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s_%d", name, i)
	}
	return out
}

// ScoreFields returns the fields of ScoreColumns: margins if asked for, then predictions, float32 where the library's
// own results are float32 and float64 otherwise.
func ScoreFields(p *engine.Program, margin bool) []arrow.Field {
	typ := arrow.PrimitiveTypes.Float64
	if p.Float32() {
		typ = arrow.PrimitiveTypes.Float32
	}
	var fields []arrow.Field
	add := func(names []string) {
		for _, n := range names {
			fields = append(fields, arrow.Field{Name: n, Type: typ, Nullable: true})
		}
	}
	if margin {
		add(RawColumns(p.Outputs()))
	}
	add(PredColumns(p.Width()))
	return fields
}

// ScoreColumns turns row-major margins (rows*Outputs values, read only with margin) and predictions (rows*Width values)
// into columns in the order of ScoreFields. Rows marked in null, which is empty or has one entry a row, are null. The
// caller releases the arrays.
func ScoreColumns(mem memory.Allocator, p *engine.Program, margins, preds []float64, margin bool, null []bool) []arrow.Array {
	rows := len(preds) / p.Width()
	var bitmap *memory.Buffer
	nulls := 0
	if len(null) > 0 {
		bitmap, nulls = validity(mem, null[:rows])
		defer bitmap.Release()
	}
	var cols []arrow.Array
	add := func(values []float64, width int) {
		for k := range width {
			if p.Float32() {
				cols = append(cols, strided32(mem, values, rows, width, k, bitmap, nulls))
			} else {
				cols = append(cols, strided64(mem, values, rows, width, k, bitmap, nulls))
			}
		}
	}
	if margin {
		add(margins, p.Outputs())
	}
	add(preds, p.Width())
	return cols
}

func validity(mem memory.Allocator, null []bool) (*memory.Buffer, int) {
	b := memory.NewResizableBuffer(mem)
	b.Resize(int(bitutil.BytesForBits(int64(len(null)))))
	clear(b.Bytes())
	nulls := 0
	for i, n := range null {
		if n {
			nulls++
		} else {
			bitutil.SetBit(b.Bytes(), i)
		}
	}
	return b, nulls
}

// strided64 copies column k of row-major values.
func strided64(mem memory.Allocator, values []float64, rows, width, k int, bitmap *memory.Buffer, nulls int) arrow.Array {
	buf := memory.NewResizableBuffer(mem)
	defer buf.Release()
	buf.Resize(rows * arrow.Float64SizeBytes)
	dst := arrow.Float64Traits.CastFromBytes(buf.Bytes())
	for i := range dst {
		dst[i] = values[i*width+k]
	}
	return newArray(arrow.PrimitiveTypes.Float64, rows, bitmap, buf, nulls)
}

func strided32(mem memory.Allocator, values []float64, rows, width, k int, bitmap *memory.Buffer, nulls int) arrow.Array {
	buf := memory.NewResizableBuffer(mem)
	defer buf.Release()
	buf.Resize(rows * arrow.Float32SizeBytes)
	dst := arrow.Float32Traits.CastFromBytes(buf.Bytes())
	for i := range dst {
		dst[i] = float32(values[i*width+k])
	}
	return newArray(arrow.PrimitiveTypes.Float32, rows, bitmap, buf, nulls)
}

func newArray(t arrow.DataType, rows int, bitmap, values *memory.Buffer, nulls int) arrow.Array {
	d := array.NewData(t, rows, []*memory.Buffer{bitmap, values}, nil, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}
