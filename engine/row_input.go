package engine

import (
	"math"
	"unsafe"

	"github.com/treeline-ml/treeline/forest"
)

// rowInputs are the values of a row that trees look at.
type rowInputs struct {
	inputs []rowInput
	plain  []int32 // by input: the feature whose value it is, or -1
	flush  bool
}

// rowInput is a feature's value, with one rule for zero. Splits that are no comparison with a cut have inputs of their
// own, whose value is 1 for rows that go right and 0 for others.
type rowInput struct {
	feature int32
	zero    forest.ZeroRule // replaces zeros by the lowest or highest value, if not decided
	decided bool            // the value is the split's outcome
	split   split
}

// rowFeature is what comparisons look at.
type rowFeature struct {
	feature int32
	zero    forest.ZeroRule
}

// add appends an input.
func (p *rowInputs) add(in rowInput) {
	p.inputs = append(p.inputs, in)
	f := in.feature
	if in.decided || in.zero != forest.ZeroCompares {
		f = -1
	}
	p.plain = append(p.plain, f)
}

// fill writes the values of a row of b. odd has room for an element an input.
func (p *rowInputs) fill(values []float64, odd []int32, b *Block, row int, rd *reading) {
	for _, i := range odd[:p.fillPlain(values, odd, b.cols, row, rd)] {
		in := &p.inputs[i]
		x := b.cols[in.feature].at(row, rd)
		if p.plain[i] < 0 {
			x = in.value(x, p.flush)
		}
		values[i] = x
	}
}

// fillPlain writes the values that are stored as floating-point numbers and need no more than rounding, and the numbers
// of the other inputs to odd. It calls nothing: with calls in the loop it takes twice as long.
func (p *rowInputs) fillPlain(values []float64, odd []int32, cols []Column, row int, rd *reading) int {
	n := 0
	single, never := rd.single, rd.hasMissing
	values, odd = values[:len(p.plain)], odd[:len(p.plain)]
	for i, f := range p.plain {
		if f >= 0 && !never {
			if c := &cols[f]; c.valid == nil {
				switch c.kind {
				case kindFloat64:
					x := *(*float64)(unsafe.Add(c.data, 8*row))
					if single {
						x = float64(float32(x))
					}
					values[i] = x
					continue
				case kindFloat32:
					values[i] = float64(*(*float32)(unsafe.Add(c.data, 4*row)))
					continue
				}
			}
		}
		odd[n] = int32(i)
		n++
	}
	return n
}

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

// value is an input's value for a feature's.
func (in *rowInput) value(x float64, flush bool) float64 {
	switch {
	case in.decided:
		return float64(one(in.split.right(x, flush)))
	case !isZero(x, flush):
		return x
	case in.zero == forest.ZeroLeft:
		return math.Inf(-1)
	default:
		return math.Inf(1)
	}
}

// right decides a split that is no comparison with a cut.
func (s *split) right(x float64, flush bool) bool {
	switch {
	case x != x:
		return s.nanRight
	case s.zero != forest.ZeroCompares && isZero(x, flush):
		return s.zero == forest.ZeroRight
	default:
		return s.kind == everSplit
	}
}
