package engine

import (
	"math"
	"unsafe"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// rowGroup evaluates a run of trees for one row at a time: what blocks of a few rows are scored with, since the kernels
// for blocks take as long for one row as for all.
//
// The row's values become codes of one byte, in columns of a feature with one way of placing NaN and zero. Then trees
// are taken in parts of one shape, up to rowTrees at a time: where the tier can, all their splits are decided at once
// and the leaves found from the outcomes; else they are walked, several at a time.
type rowGroup[F float] struct {
	k       *kernel.RowTable
	reading reading
	plan    rowPlan
	parts   []rowPart
	leaves  []F
	flatSum func(acc F, outcomes []uint64, left, offsets []uint32, leaves []F) F
}

// rowScratch is the working memory of scoring one row.
type rowScratch struct {
	codes    kernel.RowCodes
	values   [kernel.RowSources]float64
	outcomes [rowTrees]uint64 // of splits, or the trees that go on
	places   [rowTrees]uint16 // where trees leave a block
	numbers  [rowTrees]uint8  // of leaves, by tree
}

// rowTrees is the largest number of trees of a part: it bounds a call of a kernel and the scratch memory.
const rowTrees = 512

// newRowGroup compiles trees, whose leaf values l places; nil if it cannot serve them: then they have category sets,
// more than 256 leaves, or more distinct thresholds than bytes can tell apart.
func newRowGroup[F float](m *forest.Model, trees []forest.Tree, l *leafTable[F], k *kernel.RowTable, rd reading) *rowGroup[F] {
	for i := range trees {
		if trees[i].NumLeaves() > maxRowLeaves || len(trees[i].Leaves) > math.MaxInt32 {
			return nil
		}
	}
	g := &rowGroup[F]{k: k, reading: rd, leaves: l.values}
	if !g.plan.collect(m, trees) {
		return nil
	}
	switch f := any(&g.flatSum).(type) {
	case *func(float64, []uint64, []uint32, []uint32, []float64) float64:
		*f = k.FlatSum64
	case *func(float32, []uint64, []uint32, []uint32, []float32) float32:
		*f = k.FlatSum32
	}
	x := g.plan.index()
	for _, run := range rowRuns(trees, rowOrder(trees), k.AtOnce) {
		p := rowPart{kind: run.kind, output: trees[run.trees[0]].Output, vector: trees[run.trees[0]].Vector}
		for _, t := range run.trees {
			p.offsets = append(p.offsets, uint32(l.offsets[t]))
		}
		p.build(x, m.Arithmetic.FlushZero, trees, run.trees, l.numbers)
		g.parts = append(g.parts, p)
	}
	return g
}

// score adds the trees' leaves for a row of b to acc, an accumulator an output.
func (g *rowGroup[F]) score(s *rowScratch, b *Block, row int, acc []F) {
	g.plan.fill(&s.values, b, row, &g.reading)
	g.k.Codes(&s.codes, s.values[:], g.plan.sources, g.plan.one, g.plan.two)
	for i := range g.parts {
		p := &g.parts[i]
		if p.kind == rowFlat && !p.vector {
			outcomes := s.outcomes[:p.words]
			g.k.Outcomes(outcomes, p.nodes, &s.codes, 2*len(g.plan.sources))
			acc[p.output] = g.flatSum(acc[p.output], outcomes, p.left, p.offsets, g.leaves)
			continue
		}
		g.add(p, p.find(g.k, s, 2*len(g.plan.sources)), acc)
	}
}

// add adds the leaves of those numbers.
func (g *rowGroup[F]) add(p *rowPart, numbers []uint8, acc []F) {
	leaves, offsets := g.leaves, p.offsets[:len(numbers)]
	if !p.vector {
		sum := acc[p.output]
		for i, n := range numbers {
			sum += leaves[offsets[i]+uint32(n)]
		}
		acc[p.output] = sum
		return
	}
	for i, n := range numbers {
		leaf := leaves[int(offsets[i])+int(n)*len(acc):][:len(acc)]
		for k, v := range leaf {
			acc[k] += v
		}
	}
}

// bytes is the memory of the group, without the leaf values that it shares.
func (g *rowGroup[F]) bytes() int {
	n := len(g.plan.inputs) * int(unsafe.Sizeof(rowInput{}))
	for i := range g.plan.sources {
		n += g.plan.sources[i].Bytes()
	}
	for i := range g.parts {
		p := &g.parts[i]
		n += int(unsafe.Sizeof(*p)) + len(p.nodes) + len(p.places) + len(p.blocks)
		n += 4*(len(p.offsets)+len(p.left)+len(p.entries)+len(p.roots)) + 8*len(p.starts)
	}
	return n
}

// cost estimates the nanoseconds that a row takes on the reference machine.
func (g *rowGroup[F]) cost() float64 {
	perSource := 12.0
	if g.k.AtOnce {
		perSource = 4
	}
	cost := 30 + perSource*float64(len(g.plan.sources))
	for i := range g.parts {
		p := &g.parts[i]
		cost += 10 + p.cost()*float64(len(p.offsets))
	}
	return cost
}

// cost estimates the nanoseconds that a tree takes.
func (p *rowPart) cost() float64 {
	switch p.kind {
	case rowFlat:
		return 1.7
	case rowHeap:
		return 2.5
	case rowBlocks:
		return 2 + 0.5*p.depth
	default:
		return 3 + 1.6*p.depth
	}
}
