package engine

import (
	"math"
	"slices"
	"unsafe"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// rowPlan says how a row's values become codes. A source is a feature's value, with one rule for zero, ranked among up
// to kernel.MaxRowCuts of the feature's cuts. Splits that are no comparison with a cut have sources of their own, whose
// value is 1 for rows that go right and 0 for others.
type rowPlan struct {
	inputs   []rowInput // by source
	plain    []int32    // by source: the feature whose value it is, or -1
	sources  []kernel.RowSource
	one, two int // see kernel.RowLevels
	flush    bool
}

// rowInput says how a source's value is made.
type rowInput struct {
	feature int32
	plain   bool            // the feature's value as it is
	zero    forest.ZeroRule // replaces zeros by the lowest or highest value, if not decided
	decided bool            // the value is the split's outcome
	split   split
}

type rowFeature struct {
	feature int32
	zero    forest.ZeroRule
}

// collect makes the sources of trees; false if there are too many, or splits that are no comparisons at all.
func (p *rowPlan) collect(m *forest.Model, trees []forest.Tree) bool {
	p.flush = m.Arithmetic.FlushZero
	cuts := make(map[rowFeature][]float64)
	decided := make(map[split]struct{})
	for i := range trees {
		for j := range trees[i].Nodes {
			s := newSplit(&trees[i].Nodes[j], p.flush)
			f := rowFeature{s.feature, s.zero}
			switch s.kind {
			case setSplit:
				return false
			case cutSplit:
				if cuts[f] == nil && len(cuts) == kernel.RowSources {
					return false
				}
				cuts[f] = append(cuts[f], s.cut)
			default:
				decided[s] = struct{}{}
				if len(decided) > kernel.RowSources {
					return false
				}
			}
		}
	}
	type source struct {
		input rowInput
		cuts  []float64
	}
	var all []source
	for f, c := range cuts {
		slices.Sort(c)
		c = slices.Compact(c)
		for from := 0; from < len(c); from += kernel.MaxRowCuts {
			in := rowInput{feature: f.feature, zero: f.zero, plain: f.zero == forest.ZeroCompares}
			all = append(all, source{in, c[from:min(from+kernel.MaxRowCuts, len(c))]})
		}
	}
	for s := range decided {
		all = append(all, source{rowInput{feature: s.feature, decided: true, split: s}, []float64{0.5}})
	}
	if len(all) > kernel.RowSources {
		return false
	}
	slices.SortFunc(all, func(a, b source) int {
		if c := len(a.cuts) - len(b.cuts); c != 0 {
			return c
		}
		return int(a.input.feature - b.input.feature)
	})
	for i := range all {
		padded := kernel.Aligned[float64](len(all[i].cuts) + 8)[:len(all[i].cuts)]
		copy(padded, all[i].cuts)
		p.sources = append(p.sources, kernel.NewRowSource(padded))
		p.inputs = append(p.inputs, all[i].input)
		f := int32(-1)
		if all[i].input.plain {
			f = all[i].input.feature
		}
		p.plain = append(p.plain, f)
	}
	p.one, p.two = kernel.RowLevels(p.sources)
	return true
}

// index makes the maps that column needs. They are dropped after compiling.
func (p *rowPlan) index() *rowIndex {
	x := &rowIndex{plan: p, cuts: make(map[rowFeature][]int), decided: make(map[split]int)}
	for i := range p.inputs {
		in := &p.inputs[i]
		if in.decided {
			x.decided[in.split] = i
			continue
		}
		f := rowFeature{in.feature, in.zero}
		x.cuts[f] = append(x.cuts[f], i)
	}
	return x
}

// rowIndex finds columns.
type rowIndex struct {
	plan    *rowPlan
	cuts    map[rowFeature][]int // sources
	decided map[split]int
}

// column returns the column and cut of a split: rows go right iff their code in the column is above the cut.
func (x *rowIndex) column(s split) (column, cut uint8) {
	if s.kind != cutSplit {
		return uint8(2 * x.decided[s]), 0
	}
	for _, i := range x.cuts[rowFeature{s.feature, s.zero}] {
		if k, ok := slices.BinarySearch(x.plan.sources[i].Cuts(), s.cut); ok {
			return uint8(2*i + one(s.nanRight)), uint8(k)
		}
	}
	return 0, 0 // cannot be: collect has seen the split
}

// fill writes the sources' values of a row of b.
func (p *rowPlan) fill(values *[kernel.RowSources]float64, b *Block, row int, rd *reading) {
	var odd [kernel.RowSources]uint8
	for _, i := range odd[:p.fillPlain(values, &odd, b.cols, row, rd)] {
		in := &p.inputs[i]
		x := b.cols[in.feature].at(row, rd)
		if !in.plain {
			x = in.value(x, p.flush)
		}
		values[i&(kernel.RowSources-1)] = x
	}
}

// fillPlain writes the values that are stored as floating-point numbers and need no more than rounding, and the number
// of the other sources to odd. It calls nothing: with calls in the loop it takes twice as long.
func (p *rowPlan) fillPlain(values *[kernel.RowSources]float64, odd *[kernel.RowSources]uint8, cols []Column, row int, rd *reading) int {
	n := 0
	single, never := rd.single, rd.hasMissing
	for i, f := range p.plain {
		if f >= 0 && !never {
			if c := &cols[f]; c.valid == nil {
				switch c.kind {
				case kindFloat64:
					x := *(*float64)(unsafe.Add(c.data, 8*row))
					if single {
						x = float64(float32(x))
					}
					values[i&(kernel.RowSources-1)] = x
					continue
				case kindFloat32:
					values[i&(kernel.RowSources-1)] = float64(*(*float32)(unsafe.Add(c.data, 4*row)))
					continue
				}
			}
		}
		odd[n&(kernel.RowSources-1)] = uint8(i)
		n++
	}
	return n
}

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
