package enginetest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// Table is a table of hostile values for one model, in random column types.
type Table struct {
	Rows    int
	Columns []Column
}

// Column is one column of a Table.
type Column struct {
	Kind  string
	view  func(from, n int) engine.Column
	value func(row int) Value
	valid []byte // nil: no nulls
	voff  int
}

// Kinds are the column types that NewTable draws from.
var kinds = [...]string{
	"float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bits", "missing",
	"lookup int8", "lookup int64", "lookup uint8", "lookup uint16", "lookup int16", "lookup int32", "lookup uint32",
	"lookup uint64",
}

// Engine returns rows from..from+n as an engine column over the table's memory.
func (c *Column) Engine(from, n int) engine.Column {
	col := c.view(from, n)
	if c.valid != nil {
		col = col.WithValidity(c.valid, c.voff+from)
	}
	return col
}

// Value returns a cell.
func (c *Column) Value(row int) Value {
	if c.valid != nil && c.valid[(c.voff+row)/8]>>((c.voff+row)%8)&1 == 0 {
		return Value{}
	}
	return c.value(row)
}

// Row returns a row's cells.
func (t *Table) Row(r int) []Value {
	row := make([]Value, len(t.Columns))
	for f := range t.Columns {
		row[f] = t.Columns[f].Value(r)
	}
	return row
}

// NewTable returns random rows for m: half of the values are tricky ones, thresholds of the model, or their
// neighbours. Most columns are floats.
func NewTable(rng *rand.Rand, m *forest.Model, rows int) *Table {
	near, tricky := thresholds(m), Tricky()
	t := &Table{Rows: rows}
	for f := range m.Features {
		kind := kinds[rng.IntN(2)]
		if rng.IntN(2) == 0 {
			kind = kinds[rng.IntN(len(kinds))]
		}
		c := newColumn(rng, kind, near[f], tricky, rows)
		if rng.IntN(3) == 0 {
			c.voff = rng.IntN(20)
			c.valid = make([]byte, (c.voff+rows+7)/8)
			rare := rng.IntN(2) == 0
			for i := range c.valid {
				c.valid[i] = byte(rng.Uint32())
				if rare {
					c.valid[i] |= byte(rng.Uint32() | rng.Uint32()>>8)
				}
			}
		}
		t.Columns = append(t.Columns, c)
	}
	return t
}

// thresholds collects each feature's thresholds and category codes.
func thresholds(m *forest.Model) [][]float64 {
	near := make([][]float64, len(m.Features))
	for i := range m.Trees {
		for _, n := range m.Trees[i].Nodes {
			if n.Op < forest.InSet {
				near[n.Feature] = append(near[n.Feature], n.Threshold)
				continue
			}
			s := m.Sets[n.Set]
			for range 4 {
				near[n.Feature] = append(near[n.Feature], float64(len(near[n.Feature])%(32*len(s)+5)))
			}
		}
	}
	return near
}

// draw returns a random cell value for a feature.
func draw(rng *rand.Rand, near, tricky []float64) float64 {
	switch rng.IntN(8) {
	case 0:
		return math.NaN()
	case 1:
		return tricky[rng.IntN(len(tricky))]
	case 2, 3, 4:
		if len(near) == 0 {
			break
		}
		x := near[rng.IntN(len(near))]
		switch rng.IntN(5) {
		case 0:
			x = math.Nextafter(x, math.Inf(1))
		case 1:
			x = math.Nextafter(x, math.Inf(-1))
		case 2:
			x = float64(math.Nextafter32(float32(x), float32(math.Inf(1))))
		}
		return x
	case 5:
		return float64(rng.IntN(170) - 3)
	}
	return rng.NormFloat64() * math.Exp(2*rng.NormFloat64())
}

// newColumn returns a column whose memory begins before its first row.
func newColumn(rng *rand.Rand, kind string, near, tricky []float64, rows int) Column {
	pad := rng.IntN(9)
	n := pad + rows
	switch kind {
	case "float64":
		v := make([]float64, n)
		for i := range v {
			v[i] = draw(rng, near, tricky)
		}
		return Column{
			Kind: kind, view: func(from, n int) engine.Column { return engine.Float64s(v[pad+from : pad+from+n]) },
			value: func(r int) Value { return Value{Kind: Float, F: v[pad+r]} },
		}
	case "float32":
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(draw(rng, near, tricky))
		}
		return Column{
			Kind: kind, view: func(from, n int) engine.Column { return engine.Float32s(v[pad+from : pad+from+n]) },
			value: func(r int) Value { return Value{Kind: Float, F: float64(v[pad+r])} },
		}
	case "bits":
		v := make([]byte, (n+7)/8)
		for i := range v {
			v[i] = byte(rng.Uint32())
		}
		return Column{
			Kind: kind, view: func(from, n int) engine.Column { return engine.Bits(v, pad+from, n) },
			value: func(r int) Value { return Value{Kind: Uint, U: uint64(v[(pad+r)/8] >> ((pad + r) % 8) & 1)} },
		}
	case "missing":
		return Column{
			Kind: kind, view: func(_, n int) engine.Column { return engine.MissingColumn(n) },
			value: func(int) Value { return Value{} },
		}
	case "int64":
		return integers(rng, kind, near, tricky, pad, n, engine.Int64s)
	case "int32":
		return integers(rng, kind, near, tricky, pad, n, engine.Int32s)
	case "int16":
		return integers(rng, kind, near, tricky, pad, n, engine.Int16s)
	case "int8":
		return integers(rng, kind, near, tricky, pad, n, engine.Int8s)
	case "uint64":
		return integers(rng, kind, near, tricky, pad, n, engine.Uint64s)
	case "uint32":
		return integers(rng, kind, near, tricky, pad, n, engine.Uint32s)
	case "uint16":
		return integers(rng, kind, near, tricky, pad, n, engine.Uint16s)
	case "uint8":
		return integers(rng, kind, near, tricky, pad, n, engine.Uint8s)
	case "lookup int8":
		return lookup[int8](rng, kind, near, tricky, pad, n)
	case "lookup int16":
		return lookup[int16](rng, kind, near, tricky, pad, n)
	case "lookup int32":
		return lookup[int32](rng, kind, near, tricky, pad, n)
	case "lookup int64":
		return lookup[int64](rng, kind, near, tricky, pad, n)
	case "lookup uint8":
		return lookup[uint8](rng, kind, near, tricky, pad, n)
	case "lookup uint16":
		return lookup[uint16](rng, kind, near, tricky, pad, n)
	case "lookup uint32":
		return lookup[uint32](rng, kind, near, tricky, pad, n)
	case "lookup uint64":
		return lookup[uint64](rng, kind, near, tricky, pad, n)
	}
	panic(fmt.Sprintf("enginetest: no column kind %q", kind))
}

func integers[I engine.Index](rng *rand.Rand, kind string, near, tricky []float64, pad, n int, view func([]I) engine.Column) Column {
	v := make([]I, n)
	for i := range v {
		switch rng.IntN(4) {
		case 0:
			v[i] = I(rng.Uint64())
		case 1:
			v[i] = I(rng.IntN(100))
		default:
			// Out of range and NaN give an arbitrary integer: any will do.
			v[i] = I(int64(draw(rng, near, tricky)))
		}
	}
	var zero I
	signed := zero-1 < 0
	return Column{
		Kind: kind, view: func(from, n int) engine.Column { return view(v[pad+from : pad+from+n]) },
		value: func(r int) Value {
			if signed {
				return Value{Kind: Int, I: int64(v[pad+r])}
			}
			return Value{Kind: Uint, U: uint64(v[pad+r])}
		},
	}
}

func lookup[I engine.Index](rng *rand.Rand, kind string, near, tricky []float64, pad, n int) Column {
	table := make([]float64, 1+rng.IntN(120))
	for i := range table {
		table[i] = draw(rng, near, tricky)
	}
	v := make([]I, n)
	for i := range v {
		v[i] = I(rng.IntN(len(table)))
	}
	return Column{
		Kind: kind, view: func(from, n int) engine.Column { return engine.Lookup(v[pad+from:pad+from+n], table) },
		value: func(r int) Value { return Value{Kind: Float, F: table[v[pad+r]]} },
	}
}
