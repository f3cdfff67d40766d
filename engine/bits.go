package engine

import (
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/engine/internal/numbering"
	"github.com/treeline-ml/treeline/forest"
)

// bitGroup is a run of trees that are evaluated by bits: one word of rows for every distinct split (maskPlan), from
// those the words of each leaf number's bits, and from those the leaves.
type bitGroup[F float] struct {
	plan     *maskPlan
	batches  []bitBatch
	rounds   []bitRound
	steps    []kernel.Op
	complete []uint16
	joins    []kernel.Op
	trees    []kernel.Leaves // sorted by output; in training order within one
	table    []uint64        // leaf values as the kernel wants them
	vectors  []F             // leaf values of vector trees, from Leaves.Table on, row-major
	words    int             // of the arena: masks and slots
}

// bitBatch is a run of trees of one output whose leaf numbers are found, then added.
type bitBatch struct {
	rounds, trees int // ends
	output        int
	vector        bool
}

const (
	maxBitLeaves = 256     // leaf numbers are bytes
	maxWords     = 1 << 16 // of an arena
	// maxMasks bounds the distinct splits of a group: more words leave the second-level cache.
	maxMasks = 18 << 10
)

// newBitGroup compiles trees whose masks are planned; masks are their words, by tree and node. It returns nil if the arena
// would have too many words.
func newBitGroup[F float](trees []forest.Tree, plan *maskPlan, masks [][]uint16, outputs int, k *kernels[F]) *bitGroup[F] {
	if plan.size > maxWords {
		return nil
	}
	g := &bitGroup[F]{plan: plan}
	b := bitPlanner{end: plan.size}
	plans := numberTrees(trees)
	for order := treeOrder(trees); len(order) > 0; {
		n, planes := batchOf(trees, order)
		batch := make([]numbered, n)
		for i, at := range order[:n] {
			batch[i] = numbered{&trees[at], plans[at], masks[at], plan.size + i*planes}
		}
		g.addBatch(batch, planes, &b, outputs, k)
		if b.end > maxWords {
			return nil
		}
		order = order[n:]
	}
	g.words = b.end
	aligned := kernel.Aligned[uint64](len(g.table)) // the kernels' look-ups load whole cache lines
	copy(aligned, g.table)
	// What grew by appending is copied to its size: programs stay for long.
	g.table, g.trees, g.vectors, g.batches = aligned, exact(g.trees), exact(g.vectors), exact(g.batches)
	g.rounds, g.steps, g.complete, g.joins = exact(b.rounds), exact(b.steps), exact(b.complete), exact(b.joins)
	return g
}

// numbered is a tree with its leaf numbers, the words of its splits, and the first of the words that the planes of its leaf
// numbers are written to.
type numbered struct {
	*forest.Tree
	plan  *numbering.Plan
	masks []uint16 // by node
	out   int
}

// numberTrees plans the leaf numbers of trees. This is most of the work of compiling, so all processors do it.
func numberTrees(trees []forest.Tree) []*numbering.Plan {
	plans := make([]*numbering.Plan, len(trees))
	var next atomic.Int64
	work := func() {
		var children [][2]int32
		var builder numbering.Builder
		for i := int(next.Add(1)) - 1; i < len(trees); i = int(next.Add(1)) - 1 {
			if len(trees[i].Nodes) == 0 {
				plans[i] = &numbering.Plan{Numbers: []uint16{0}}
				continue
			}
			children = children[:0]
			for j := range trees[i].Nodes {
				children = append(children, [2]int32{trees[i].Nodes[j].Left, trees[i].Nodes[j].Right})
			}
			plans[i] = builder.New(children)
		}
	}
	var group sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(trees)/8) {
		group.Go(work)
	}
	work()
	group.Wait()
	return plans
}

// addBatch compiles trees whose leaves are added together.
func (g *bitGroup[F]) addBatch(trees []numbered, planes int, b *bitPlanner, outputs int, k *kernels[F]) {
	leaves := make([]kernel.Leaves, len(trees))
	for from := 0; from < len(trees); {
		to := from + 1
		for to < len(trees) && trees[to].plan.Bits == trees[from].plan.Bits && to-from < roundTrees(trees[from].plan.Bits) {
			to++
		}
		b.round(trees[from:to], leaves[from:to], g.plan.size+len(trees)*planes)
		from = to
	}
	for i, t := range trees {
		leaves[i].Bits = uint32(planes)
		g.addLeaves(t.Tree, t.plan.Numbers, &leaves[i], outputs, k)
	}
	g.trees = append(g.trees, leaves...)
	g.batches = append(g.batches, bitBatch{
		rounds: len(b.rounds), trees: len(g.trees), output: trees[0].Output, vector: trees[0].Vector,
	})
}

// exact returns a copy of v without spare capacity.
func exact[T any](v []T) []T {
	if len(v) == 0 {
		return nil
	}
	c := make([]T, len(v))
	copy(c, v)
	return c
}

// treeOrder sorts trees by output: only trees of one output are added in one go. Outputs are independent, so their trees
// may be regrouped, but not across a tree with vector leaves, which adds to all.
func treeOrder(trees []forest.Tree) []int {
	order := make([]int, len(trees))
	for i := range order {
		order[i] = i
	}
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && trees[to].Vector == trees[from].Vector {
			to++
		}
		if !trees[from].Vector {
			slices.SortStableFunc(order[from:to], func(a, b int) int { return trees[a].Output - trees[b].Output })
		}
		from = to
	}
	return order
}

// batchOf returns how many of the first trees are evaluated together, and the number of planes that all of them get.
func batchOf(trees []forest.Tree, order []int) (n, planes int) {
	t := &trees[order[0]]
	for _, i := range order {
		next := bits.Len(uint(trees[i].NumLeaves() - 1))
		// Up to 5 planes cost nearly the same, a sixth does not.
		if n > 0 && (trees[i].Output != t.Output || trees[i].Vector != t.Vector || max(next, 5) != max(planes, 5) ||
			n >= batchTrees(planes)) {
			break
		}
		n, planes = n+1, max(next, planes)
	}
	return n, planes
}

// batchTrees is the number of trees whose planes and leaf values fit the first-level cache.
func batchTrees(planes int) int {
	switch {
	case planes <= 5:
		return 32
	case planes <= 7:
		return 16
	default:
		return 8
	}
}

// addLeaves writes a tree's leaf values, whose numbers are given.
func (g *bitGroup[F]) addLeaves(t *forest.Tree, number []uint16, l *kernel.Leaves, outputs int, k *kernels[F]) {
	if t.Vector {
		l.Table = uint32(len(g.vectors))
		own := make([]F, outputs<<l.Bits)
		for leaf, place := range number {
			for i := range outputs {
				own[int(place)*outputs+i] = F(t.Leaves[leaf*outputs+i])
			}
		}
		g.vectors = append(g.vectors, own...)
		return
	}
	own := make([]F, 1<<l.Bits)
	for leaf, place := range number {
		own[place] = F(t.Leaves[leaf])
	}
	l.Table = uint32(len(g.table))
	g.table = append(g.table, make([]uint64, k.size(int(l.Bits)))...)
	k.lay(g.table[l.Table:], own, int(l.Bits))
}
