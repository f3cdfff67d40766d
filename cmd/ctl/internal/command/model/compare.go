package model

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
)

// comparison pairs the columns of a file with what the scorer computes.
type comparison struct{ columns []comparedColumn }

type comparedColumn struct {
	name   string
	field  int  // in the file's schema
	margin bool // raw, not pred
	k, of  int  // k-th of so many columns
	single bool // the model's values are float32
}

// newComparison returns an error for a column whose type cannot hold the model's values exactly.
func newComparison(p *engine.Program, s *arrow.Schema, names []string) (*comparison, error) {
	cmp := &comparison{}
	for _, group := range []struct {
		names  []string
		margin bool
	}{{frame.RawColumns(p.Outputs()), true}, {frame.PredColumns(p.Width()), false}} {
		for k, name := range group.names {
			at := s.FieldIndices(name)
			if len(at) != 1 || !slices.Contains(names, name) {
				continue
			}
			if err := checkType(s.Field(at[0]), p.Float32()); err != nil {
				return nil, err
			}
			cmp.columns = append(cmp.columns, comparedColumn{
				name: name, field: at[0], margin: group.margin, k: k, of: len(group.names), single: p.Float32(),
			})
		}
	}
	return cmp, nil
}

func checkType(f arrow.Field, single bool) error {
	switch f.Type.ID() {
	case arrow.FLOAT64, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return nil
	case arrow.FLOAT32:
		if single {
			return nil
		}
		return fmt.Errorf("column %q is float32, the model's values are float64: bits cannot be compared; write it as float64", f.Name)
	}
	return fmt.Errorf("column %q is %s, want a float or integer column", f.Name, f.Type)
}

// number is one value of a comparison. Null stands for a refused row.
type number struct {
	value  float64
	null   bool
	single bool
}

func (c *comparedColumn) computed(s *scores, row int) number {
	if len(s.refused) > 0 && s.refused[row] {
		return number{null: true, single: c.single}
	}
	values := s.preds
	if c.margin {
		values = s.margins
	}
	return number{value: values[row*c.of+c.k], single: c.single}
}

func (c *comparedColumn) expected(rec arrow.Record, row int) number {
	col := rec.Column(c.field)
	if col.IsNull(row) {
		return number{null: true, single: c.single}
	}
	n := number{single: c.single}
	switch col := col.(type) {
	case *array.Float64:
		n.value = col.Value(row)
		// A double that is no float32 value must not look equal to its neighbour when it is shown.
		n.single = n.single && (math.IsNaN(n.value) || float64(float32(n.value)) == n.value)
	case *array.Float32:
		n.value = float64(col.Value(row))
	case *array.Int8:
		n.value = float64(col.Value(row))
	case *array.Int16:
		n.value = float64(col.Value(row))
	case *array.Int32:
		n.value = float64(col.Value(row))
	case *array.Int64:
		n.value = float64(col.Value(row))
	case *array.Uint8:
		n.value = float64(col.Value(row))
	case *array.Uint16:
		n.value = float64(col.Value(row))
	case *array.Uint32:
		n.value = float64(col.Value(row))
	case *array.Uint64:
		n.value = float64(col.Value(row))
	}
	return n
}

// equal compares bits. Both values are float64 here; a float32 value widens without loss, so its bits decide as well.
func (n number) equal(o number) bool {
	if n.null || o.null {
		return n.null == o.null
	}
	if math.IsNaN(n.value) && math.IsNaN(o.value) {
		return true
	}
	return math.Float64bits(n.value) == math.Float64bits(o.value)
}

func (n number) String() string {
	switch {
	case n.null:
		return "null"
	case n.single:
		return strconv.FormatFloat(n.value, 'g', -1, 32)
	}
	return strconv.FormatFloat(n.value, 'g', -1, 64)
}

func (n number) pattern() string {
	switch {
	case n.null:
		return "null"
	case n.single:
		return fmt.Sprintf("0x%08x", math.Float32bits(float32(n.value)))
	}
	return fmt.Sprintf("0x%016x", math.Float64bits(n.value))
}
