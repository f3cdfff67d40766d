package engine

import (
	"unsafe"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// deepGroup evaluates trees of any size: values become codes once (codePlan), then each tree is walked for a few hundred
// rows at a time, so that its nodes stay in the first-level caches. A tree has one of two forms: nodes, which rows walk
// in step, or blocks of several levels, all of whose nodes are compared with one row's codes at once.
type deepGroup[F float] struct {
	parts []deepPart[F]
	rows  int // rows that add takes at a time
	codes int // in scratch memory
}

// deepPart is a run of trees that share a codePlan.
type deepPart[F float] struct {
	k      *kernel.Table
	plan   *codePlan
	flush  bool
	all    int // outputs of the model
	width  int // codes of a row in scratch memory
	trees  []deepTree
	leaves []F
	nodes  *deepNodes  // form of the trees: exactly one is not nil
	blocks *deepBlocks //
	slow   *slowTree   // one tree beyond all limits, instead of trees

	addItems  func(acc []F, items []uint32, leaves []F)
	addLeaves func(acc []F, numbers []uint32, leaves []F)
}

// deepTree is one tree. Its leaves are numbered as its form wants it. Leaf i adds leaves[first+i] to output; with vector
// leaves, leaves[first+k*count+i] to output k.
type deepTree struct {
	output int
	vector bool
	first  int
	count  int
}

const (
	deepBatch  = kernel.MaxItems // rows that walk a tree at a time: their codes stay in the first-level cache
	deepRows   = 8192            // rows that pass a tree before the next tree, if trees are large
	deepCodes  = 1 << 19         // codes in scratch memory, if 64 rows have no more than that
	deepNear   = 1 << 20         // bytes of trees that stay in the second-level cache with a batch
	columnGap  = 32              // between columns of codes, so that they do not share cache sets
	maxColumns = 1 << 16
)

// deepScratch is the working memory of one goroutine.
type deepScratch struct {
	codes   []uint16
	columns []uint16 // blocks: the codes, column by column
	walk    kernel.Walk
	rows    kernel.Codes // blocks: the codes of a batch
	ranker  ranker
	value   [1]float64
}

// newDeepGroup compiles trees, of any number and size.
func newDeepGroup[F float](m *forest.Model, trees []forest.Tree, k *kernel.Table) *deepGroup[F] {
	g := &deepGroup[F]{rows: deepBatch}
	g.compile(m, trees, k)
	for i := range g.parts {
		p := &g.parts[i]
		if p.bytes() > deepNear {
			g.rows = deepRows
		}
	}
	for i := range g.parts {
		if p := &g.parts[i]; p.width > 0 {
			g.rows = min(g.rows, max(word, deepCodes/p.width&^(word-1)))
		}
	}
	for i := range g.parts {
		g.codes = max(g.codes, (g.rows+columnGap)*g.parts[i].width)
	}
	return g
}

// newScratch returns working memory; rd and cast are the model's.
func (g *deepGroup[F]) newScratch(k *kernel.Table, rd reading, cast forest.CategoryCast) *deepScratch {
	s := &deepScratch{codes: kernel.Aligned[uint16](g.codes)}
	for i := range g.parts {
		if n := g.parts[i].width * (g.rows + columnGap); g.parts[i].blocks != nil && n > len(s.columns) {
			s.columns = kernel.Aligned[uint16](n)
		}
	}
	s.ranker.kernel, s.ranker.reading, s.ranker.cast = k, rd, cast
	return s
}

// bytes is the memory of the trees' nodes.
func (p *deepPart[F]) bytes() int {
	switch {
	case p.blocks != nil:
		return 4 * len(p.blocks.words)
	case p.nodes != nil:
		return int(unsafe.Sizeof(kernel.Node{})) * len(p.nodes.nodes)
	}
	return 0
}

// compile makes parts of trees: one, if they do not have too many columns.
func (g *deepGroup[F]) compile(m *forest.Model, trees []forest.Tree, k *kernel.Table) {
	p := deepPart[F]{k: k, flush: m.Arithmetic.FlushZero, all: m.Outputs}
	switch p := any(&p).(type) {
	case *deepPart[float64]:
		p.addItems, p.addLeaves = k.AddItems64, k.AddLeaves64
	case *deepPart[float32]:
		p.addItems, p.addLeaves = k.AddItems32, k.AddLeaves32
	}
	c := newCodeBuilder(m, trees)
	cut := k.Tier == kernel.AVX512 && c.fitsBlocks(trees)
	p.plan = c.p
	splits := make([][]codeNode, len(trees))
	for i := range trees {
		splits[i] = make([]codeNode, len(trees[i].Nodes))
		for j := range trees[i].Nodes {
			s := newSplit(&trees[i].Nodes[j], m.Arithmetic.FlushZero)
			splits[i][j] = c.node(&s)
		}
	}
	var order [][]int32
	ok := false
	if len(p.plan.columns) <= maxColumns {
		if cut {
			order, ok = p.cutBlocks(trees, splits), true
		} else {
			order, ok = p.layNodes(trees, splits)
		}
	}
	if !ok && len(trees) > 1 {
		g.compile(m, trees[:len(trees)/2], k)
		g.compile(m, trees[len(trees)/2:], k)
		return
	}
	if !ok {
		p.plan, p.slow, order = nil, newSlowTree(m, &trees[0]), [][]int32{nil}
	}
	p.layLeaves(trees, order)
	g.parts = append(g.parts, p)
}

// layLeaves places the leaf values; order is, by tree, the forest's leaf for each leaf number, nil for the forest's own
// order.
func (p *deepPart[F]) layLeaves(trees []forest.Tree, order [][]int32) {
	for i := range trees {
		t := &trees[i]
		d := deepTree{output: t.Output, vector: t.Vector, first: len(p.leaves), count: len(order[i])}
		if order[i] == nil {
			d.count = t.NumLeaves()
		}
		per := len(t.Leaves) / t.NumLeaves()
		p.leaves = append(p.leaves, make([]F, d.count*per)...)
		for number := range d.count {
			leaf := number
			if order[i] != nil {
				leaf = int(order[i][number])
			}
			for k := range per {
				p.leaves[d.first+k*d.count+number] = F(t.Leaves[leaf*per+k])
			}
		}
		p.trees = append(p.trees, d)
	}
}

// add adds the leaves of all trees for rows from..from+n of b, n <= g.rows: output k of row r is acc[k*stride+r].
func (g *deepGroup[F]) add(s *deepScratch, b *Block, from, n int, acc []F, stride int) {
	for i := range g.parts {
		p := &g.parts[i]
		switch {
		case p.slow != nil:
			p.addSlow(s, b, from, n, acc, stride)
		case p.blocks != nil:
			p.addBlocks(s, b, from, n, acc, stride)
		default:
			p.addNodes(s, b, from, n, acc, stride)
		}
	}
}

// outputs calls f with the accumulators and the leaf values of each output that tree i adds to.
func (p *deepPart[F]) outputs(i int, acc []F, stride int, f func(acc, leaves []F)) {
	t := &p.trees[i]
	if !t.vector {
		f(acc[t.output*stride:], p.leaves[t.first:])
		return
	}
	for k := range p.all {
		f(acc[k*stride:], p.leaves[t.first+k*t.count:])
	}
}
