package engine

import (
	"math"
	"unsafe"
)

// at returns row i as a value of the input type, NaN if it is missing.
func (c *Column) at(i int, rd *reading) float64 {
	if c.kind == kindFloat64 && c.valid == nil && !rd.hasMissing {
		x := *(*float64)(unsafe.Add(c.data, 8*i))
		if rd.single {
			x = float64(float32(x))
		}
		return x
	}
	return c.atAny(i, rd)
}

// atAny is at for any column.
func (c *Column) atAny(i int, rd *reading) float64 {
	if c.valid != nil && !c.present(i) {
		return math.NaN()
	}
	var buf [1]float64
	c.convert(buf[:], i, rd.single)
	x := buf[0]
	if rd.hasMissing && x == rd.missing {
		return math.NaN()
	}
	return x
}
