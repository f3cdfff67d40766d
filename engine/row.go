package engine

import (
	"unsafe"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// rowGroup evaluates trees for one row at a time: what blocks of a few rows are scored with, since the kernels for
// blocks take as long for one row as for all.
//
// Trees are taken in parts of one shape, up to rowTrees at a time. Where the tier can, the row's values become codes of
// one byte (rowPlan), which decide all splits of many trees at once; the leaves follow from the outcomes. Other trees
// are walked, many a step (rowWalks).
type rowGroup[F float] struct {
	k       *kernel.RowTable
	reading reading
	plan    rowPlan
	walks   rowWalker // nil for none
	parts   []rowPart
	leaves  []F
	flatSum func(acc F, outcomes []uint64, left, offsets []uint32, leaves []F) F
}

// rowScratch is the working memory of scoring one row.
type rowScratch struct {
	codes    kernel.RowCodes
	inputs   []float64
	odd      []int32 // inputs that are not simply there
	walk     walkCodes
	outcomes [rowTrees]uint64  // of splits, or the trees that go on
	items    [rowTrees]rowItem // of walks
	places   [rowTrees]uint16  // where trees leave a block
	numbers  [rowTrees]uint8   // of leaves, by tree
	found    [rowTrees]uint32  // the same of walks
}

// rowTrees is the largest number of trees of a part: it bounds a call of a kernel and the scratch memory.
const rowTrees = 512

// newRowGroup compiles trees, whose leaf values l places. It returns nil for models that it cannot serve: those with
// tens of thousands of features in use or with millions of leaves in a tree.
func newRowGroup[F float](m *forest.Model, trees []forest.Tree, l *leafTable[F], k *kernel.RowTable, rd reading) *rowGroup[F] {
	g := &rowGroup[F]{k: k, reading: rd, leaves: l.values}
	switch f := any(&g.flatSum).(type) {
	case *func(float64, []uint64, []uint32, []uint32, []float64) float64:
		*f = k.FlatSum64
	case *func(float32, []uint64, []uint32, []uint32, []float32) float32:
		*f = k.FlatSum32
	}
	var coded []int
	if k.AtOnce {
		for i := range trees {
			if codable(&trees[i]) {
				coded = append(coded, i)
			}
		}
		if !g.plan.collect(m, trees, coded) {
			g.plan, coded = rowPlan{}, nil
		}
	}
	runs := rowRuns(trees, rowOrder(trees), coded)
	var walked []int
	for _, r := range runs {
		if r.kind == rowWalk {
			walked = append(walked, r.trees...)
		}
	}
	if !g.addWalks(m, trees, walked, l) {
		return nil
	}
	x := g.plan.index()
	first := 0
	for _, r := range runs {
		p := rowPart{kind: r.kind, output: trees[r.trees[0]].Output, vector: trees[r.trees[0]].Vector}
		for _, t := range r.trees {
			p.offsets = append(p.offsets, uint32(l.offsets[t]))
		}
		if r.kind == rowWalk {
			p.first = first
			first += len(r.trees)
		}
		p.build(x, m.Arithmetic.FlushZero, trees, r.trees, l.numbers)
		g.parts = append(g.parts, p)
	}
	return g
}

// addWalks compiles the trees that are walked; false if they cannot be.
func (g *rowGroup[F]) addWalks(m *forest.Model, trees []forest.Tree, walked []int, l *leafTable[F]) bool {
	for _, i := range walked {
		if trees[i].NumLeaves() > maxWalkLeaves {
			return false
		}
	}
	switch {
	case len(walked) == 0:
	case m.Arithmetic.Input == forest.Float32:
		w := newRowWalks[float32](m, trees, walked, l.numbers)
		g.walks = w
		return w != nil
	default:
		w := newRowWalks[float64](m, trees, walked, l.numbers)
		g.walks = w
		return w != nil
	}
	return true
}

// score adds the trees' leaves for a row of b to acc, an accumulator an output.
func (g *rowGroup[F]) score(s *rowScratch, b *Block, row int, acc []F) {
	if columns := 2 * len(g.plan.inputs); columns > 0 {
		s.room(kernel.RowSources)
		g.plan.fill(s.inputs, s.odd, b, row, &g.reading)
		g.k.Codes(&s.codes, s.inputs, g.plan.sources, g.plan.one, g.plan.two)
	}
	if g.walks != nil {
		g.walks.fill(s, b, row, &g.reading)
	}
	for i := range g.parts {
		p := &g.parts[i]
		n := len(p.offsets)
		switch p.kind {
		case rowWalk:
			g.walks.find(s, p.first, s.found[:n])
			addLeaves(p, s.found[:n], g.leaves, acc)
			continue
		case rowBlocks:
			g.k.Blocks(s.numbers[:n], p.blocks, p.levels, p.starts, s.outcomes[:], s.places[:], &s.codes, 2*len(g.plan.sources))
		default:
			outcomes := s.outcomes[:p.words]
			g.k.Outcomes(outcomes, p.nodes, &s.codes, 2*len(g.plan.sources))
			switch {
			case p.kind == rowHeap:
				g.k.Heap(s.numbers[:p.words], outcomes, p.places)
			case p.vector:
				g.k.Flat(s.numbers[:n], outcomes, p.left)
			default:
				acc[p.output] = g.flatSum(acc[p.output], outcomes, p.left, p.offsets, g.leaves)
				continue
			}
		}
		addLeaves(p, s.numbers[:n], g.leaves, acc)
	}
}

// room makes room for n inputs.
func (s *rowScratch) room(n int) {
	if len(s.inputs) < n {
		s.inputs, s.odd = make([]float64, n), make([]int32, n)
	}
}

// addLeaves adds the leaves of those numbers.
func addLeaves[F float, N uint8 | uint32](p *rowPart, numbers []N, leaves, acc []F) {
	offsets := p.offsets[:len(numbers)]
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
	if g.walks != nil {
		n += g.walks.bytes()
	}
	for i := range g.parts {
		p := &g.parts[i]
		n += int(unsafe.Sizeof(*p)) + len(p.nodes) + len(p.places) + len(p.blocks)
		n += 4*(len(p.offsets)+len(p.left)) + 8*len(p.starts)
	}
	return n
}

// cost estimates the nanoseconds that a row takes on the reference machine.
func (g *rowGroup[F]) cost() float64 {
	cost := 30 + 4*float64(len(g.plan.inputs))
	if g.walks != nil {
		cost += 30
	}
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
		return 1.9
	case rowHeap:
		return 2.5
	case rowBlocks:
		return 2 + 1.5/float64(p.levels)*p.depth
	default:
		return 3 + 2.7*p.depth
	}
}
