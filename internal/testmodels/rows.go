package testmodels

import (
	"context"
	"fmt"
	"math"
	"os"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

// Rows are the rows of a case in plain slices, one entry a row.
type Rows struct {
	Len      int
	Features []Column    // in model order
	Raw      [][]float64 // by output; float32 values of a float32 library are widened
	Pred     [][]float64 // by prediction column
}

// Column is one feature column. Exactly one of Numbers and Texts is set.
type Column struct {
	Name    string
	Numbers []float64 // numbers and booleans (0, 1); NaN where missing
	Ints    []int64   // an int64 column without nulls, as it is stored; Numbers has it, too
	Texts   []string
	Null    []bool // missing, in either kind; NaN counts as missing
	Bool    bool   // Numbers are booleans
	Float32 bool   // Numbers are float32 values
}

// Rows reads the rows of the case.
func (c *Case) Rows() (*Rows, error) {
	r, err := c.readRows()
	if err != nil {
		return nil, fmt.Errorf("testmodels: %s: %w", c.RowsPath(), err)
	}
	return r, nil
}

func (c *Case) readRows() (*Rows, error) {
	f, err := os.Open(c.RowsPath())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	table, err := pqarrow.ReadTable(context.Background(), f, parquet.NewReaderProperties(memory.DefaultAllocator),
		pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	defer table.Release()
	byName := map[string]Column{}
	for i := range int(table.NumCols()) {
		col, err := readColumn(table.Column(i))
		if err != nil {
			return nil, err
		}
		byName[col.Name] = col
	}
	r := &Rows{Len: int(table.NumRows())}
	for _, f := range c.Features {
		col, ok := byName[f.Name]
		if !ok {
			return nil, fmt.Errorf("no column %q", f.Name)
		}
		r.Features = append(r.Features, col)
	}
	for _, group := range []struct {
		names []string
		dst   *[][]float64
	}{{c.Raw, &r.Raw}, {c.Pred, &r.Pred}} {
		for _, name := range group.names {
			col, ok := byName[name]
			if !ok || col.Float32 != c.Float32() {
				return nil, fmt.Errorf("no score column %q of the library's type", name)
			}
			*group.dst = append(*group.dst, col.Numbers)
		}
	}
	return r, nil
}

func readColumn(in *arrow.Column) (Column, error) {
	out := Column{Name: in.Name()}
	for _, chunk := range in.Data().Chunks() {
		for i := range chunk.Len() {
			if err := out.append(chunk, i); err != nil {
				return out, fmt.Errorf("column %q: %w", in.Name(), err)
			}
		}
	}
	if len(out.Ints) < len(out.Null) {
		out.Ints = nil
	}
	return out, nil
}

// append adds value i of a.
func (c *Column) append(a arrow.Array, i int) error {
	null := a.IsNull(i)
	if d, ok := a.(*array.Dictionary); ok {
		if !null {
			return c.append(d.Dictionary(), d.GetValueIndex(i))
		}
		a = d.Dictionary() // of its type, at a place that is not read
	}
	v := math.NaN()
	switch a := a.(type) {
	case *array.String:
		text := ""
		if !null {
			text = a.Value(i)
		}
		c.Null, c.Texts = append(c.Null, null), append(c.Texts, text)
		return nil
	case *array.Float64:
		v = value(a, i, null)
	case *array.Float32:
		c.Float32 = true
		v = value(a, i, null)
	case *array.Int64:
		v = value(a, i, null)
		if !null {
			c.Ints = append(c.Ints, a.Value(i))
		}
	case *array.Boolean:
		c.Bool = true
		if !null {
			v = 0
		}
		if !null && a.Value(i) {
			v = 1
		}
	default:
		return fmt.Errorf("type %s", a.DataType())
	}
	c.Null, c.Numbers = append(c.Null, math.IsNaN(v)), append(c.Numbers, v)
	return nil
}

func value[T float64 | float32 | int64](a interface{ Value(i int) T }, i int, null bool) float64 {
	if null {
		return math.NaN()
	}
	return float64(a.Value(i))
}
