package engine

import "math"

// at returns row i as a value of the input type, NaN if it is missing.
func (c *Column) at(i int, rd *reading) float64 {
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
