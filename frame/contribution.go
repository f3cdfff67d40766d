package frame

import (
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// ContributionFields returns the fields of ContributionColumns, float64: for each output contrib_<feature> in model order
// and expected. With several outputs the names are contrib_<output>_<feature> and expected_<output>.
func ContributionFields(p *engine.Program, features []forest.Feature) []arrow.Field {
	expected := numbered("expected", p.Outputs())
	var fields []arrow.Field
	for k := range p.Outputs() {
		prefix := "contrib_"
		if p.Outputs() > 1 {
			prefix += strconv.Itoa(k) + "_"
		}
		for _, f := range features {
			fields = append(fields, arrow.Field{Name: prefix + f.Name, Type: arrow.PrimitiveTypes.Float64, Nullable: true})
		}
		fields = append(fields, arrow.Field{Name: expected[k], Type: arrow.PrimitiveTypes.Float64, Nullable: true})
	}
	return fields
}

// ContributionColumns turns what Program.Contributions wrote for a number of rows into columns in the order of
// ContributionFields. Rows marked in null, which is empty or has one entry a row, are null. The caller releases the arrays.
func ContributionColumns(mem memory.Allocator, p *engine.Program, values []float64, rows int, null []bool) []arrow.Array {
	bitmap, nulls := nullRows(mem, null, rows)
	if bitmap != nil {
		defer bitmap.Release()
	}
	cols := make([]arrow.Array, p.Outputs()*(p.Features()+1))
	for k := range cols {
		cols[k] = strided64(mem, values, rows, len(cols), k, bitmap, nulls)
	}
	return cols
}

// LeafFields returns the fields of LeafColumns, int32: leaf_<tree> in training order.
func LeafFields(p *engine.Program) []arrow.Field {
	fields := make([]arrow.Field, p.Trees())
	for i := range fields {
		fields[i] = arrow.Field{Name: "leaf_" + strconv.Itoa(i), Type: arrow.PrimitiveTypes.Int32, Nullable: true}
	}
	return fields
}

// LeafColumns is ContributionColumns for what Program.Leaves wrote, in the order of LeafFields.
func LeafColumns(mem memory.Allocator, p *engine.Program, values []int32, rows int, null []bool) []arrow.Array {
	bitmap, nulls := nullRows(mem, null, rows)
	if bitmap != nil {
		defer bitmap.Release()
	}
	cols := make([]arrow.Array, p.Trees())
	for k := range cols {
		buf := memory.NewResizableBuffer(mem)
		buf.Resize(rows * arrow.Int32SizeBytes)
		dst := arrow.Int32Traits.CastFromBytes(buf.Bytes())
		for r := range dst {
			dst[r] = values[r*len(cols)+k]
		}
		d := array.NewData(arrow.PrimitiveTypes.Int32, rows, []*memory.Buffer{bitmap, buf}, nil, nulls, 0)
		cols[k] = array.MakeFromData(d)
		d.Release()
		buf.Release()
	}
	return cols
}

// nullRows returns the validity bitmap of columns with null rows, or nil when there are none marked.
func nullRows(mem memory.Allocator, null []bool, rows int) (*memory.Buffer, int) {
	if len(null) == 0 {
		return nil, 0
	}
	return validity(mem, null[:rows])
}
