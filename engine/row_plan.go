package engine

import (
	"slices"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// rowPlan says how a row's values become codes: each input is a source, ranked among up to kernel.MaxRowCuts of the
// feature's cuts.
type rowPlan struct {
	rowInputs
	sources  []kernel.RowSource
	one, two int // see kernel.RowLevels
}

// collect makes the sources of trees; false if there are too many, or splits that are no comparisons at all.
func (p *rowPlan) collect(m *forest.Model, trees []forest.Tree, part []int) bool {
	p.flush = m.Arithmetic.FlushZero
	cuts := make(map[rowFeature][]float64)
	decided := make(map[split]struct{})
	for _, i := range part {
		for j := range trees[i].Nodes {
			s := newSplit(&trees[i].Nodes[j], p.flush)
			if s.kind != cutSplit {
				decided[s] = struct{}{}
				continue
			}
			f := rowFeature{s.feature, s.zero}
			cuts[f] = append(cuts[f], s.cut)
		}
		if len(cuts)+len(decided) > kernel.RowSources {
			return false
		}
	}
	type source struct {
		input rowInput
		cuts  []float64
	}
	var all []source
	for f, c := range cuts {
		slices.Sort(c)
		for run := range slices.Chunk(slices.Compact(c), kernel.MaxRowCuts) {
			all = append(all, source{rowInput{feature: f.feature, zero: f.zero}, run})
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
		p.add(all[i].input)
	}
	p.one, p.two = kernel.RowLevels(p.sources)
	return true
}

// share makes the sources use the memory of the groups' cuts, which most often are the same.
func (p *rowPlan) share(masks *maskPlan) {
	ranks := make(map[int]*kernel.Cuts, len(masks.numeric))
	for i := range masks.numeric {
		ranks[masks.numeric[i].feature] = masks.numeric[i].ranks
	}
	for i := range p.inputs {
		if q := ranks[int(p.inputs[i].feature)]; q != nil && !p.inputs[i].decided {
			p.sources[i].Share(q)
		}
	}
}

// index makes the maps that column needs.
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

// rowIndex finds columns, while compiling.
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
