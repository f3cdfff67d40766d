package engine

import (
	"math/bits"
	"slices"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// bitGroup is a run of trees that are evaluated by bits: one word of rows for every distinct split (maskPlan), from
// those the words of each leaf number's bits, bottom-up, and from those the leaves.
//
// At a node whose children's leaf numbers have bits A and B, the number's bit is B where the split sends right and A
// elsewhere: one operation for all rows of a word, or none where a subtree's numbers share the bit.
type bitGroup[F float] struct {
	plan    *maskPlan
	batches []bitBatch
	ops     []kernel.Op
	trees   []kernel.Leaves // sorted by output; in training order within one
	table   []uint64        // leaf values as the kernel wants them
	vectors []F             // leaf values of vector trees, from Leaves.Table on, row-major
	words   int             // of the arena: masks and slots
}

// bitBatch is a run of trees of one output whose leaf numbers are found, then added.
type bitBatch struct {
	ops, trees int // ends of its operations and trees
	output     int
	vector     bool
}

const (
	maxBitLeaves = 256     // leaf numbers are bytes
	maxWords     = 1 << 16 // of an arena
	// maxMasks bounds the distinct splits of a group: more words leave the second-level cache.
	maxMasks = 18 << 10
)

// newBitGroup compiles trees whose masks are planned; ids numbers the splits' masks. It returns nil if the arena would
// have too many words.
func newBitGroup[F float](m *forest.Model, trees []forest.Tree, plan *maskPlan, ids map[split]uint32, k *kernels[F]) *bitGroup[F] {
	g := &bitGroup[F]{plan: plan}
	order := treeOrder(trees)
	b := bitPlanner{m: m, ids: ids}
	first, slots := 0, plan.size
	for first < len(order) {
		n, planes := batchOf(trees, order[first:])
		b.first, b.end = plan.size+n*planes, plan.size+n*planes
		for i, at := range order[first : first+n] {
			number := b.coder.number(&trees[at])
			l := b.tree(&trees[at], number, plan.size+i*planes)
			if b.end > maxWords {
				return nil
			}
			l.Bits = uint32(planes)
			g.addLeaves(&trees[at], number, &l, m.Outputs, k)
			g.trees = append(g.trees, l)
		}
		slots = max(slots, b.end)
		first += n
		t := &trees[order[first-1]]
		g.batches = append(g.batches, bitBatch{ops: len(b.ops), trees: first, output: t.Output, vector: t.Vector})
	}
	g.words, g.ops = slots, b.ops
	aligned := kernel.Aligned[uint64](len(g.table)) // the kernels' look-ups load whole cache lines
	copy(aligned, g.table)
	// What grew by appending is copied to its size: programs stay for long.
	g.table, g.ops, g.trees, g.vectors = aligned, exact(g.ops), exact(g.trees), exact(g.vectors)
	return g
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
func (g *bitGroup[F]) addLeaves(t *forest.Tree, number []int, l *kernel.Leaves, outputs int, k *kernels[F]) {
	if t.Vector {
		l.Table = uint32(len(g.vectors))
		own := make([]F, outputs<<l.Bits)
		for leaf, place := range number {
			for i := range outputs {
				own[place*outputs+i] = F(t.Leaves[leaf*outputs+i])
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

// bitPlanner writes the operations of trees.
type bitPlanner struct {
	m     *forest.Model
	ids   map[split]uint32
	coder leafCoder
	ops   []kernel.Op
	first int   // slots from here on are free for intermediate results
	end   int   // first slot that was never used
	free  []int // used slots that are free again
	// Memory of tree.
	size  []int32 // nodes of each subtree
	words []planeWords
	stack []int32
}

// planeWords are the words of a subtree's leaf number; those of constant bits are noRows and allRows.
type planeWords [kernel.MaxPlanes]uint16

// tree plans a tree whose leaves have the given numbers, and whose number's planes may be written to the words from out
// on.
func (b *bitPlanner) tree(t *forest.Tree, number []int, out int) kernel.Leaves {
	n := len(t.Nodes)
	planes := bits.Len(uint(n))
	if n == 0 {
		return kernel.Leaves{}
	}
	b.free = b.free[:0]
	for s := b.end - 1; s >= b.first; s-- {
		b.free = append(b.free, s)
	}
	b.size, b.words = slices.Grow(b.size[:0], n)[:n], slices.Grow(b.words[:0], n)[:n]
	size, words := b.size, b.words
	for i := n - 1; i >= 0; i-- {
		size[i] = 1
		for _, c := range [2]int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			if c >= 0 {
				size[i] += size[c]
			}
		}
	}
	value := func(c int32) planeWords {
		if c >= 0 {
			return words[c]
		}
		var w planeWords
		for p := range planes {
			w[p] = uint16(number[^c] >> p & 1) // noRows or allRows
		}
		return w
	}
	// Children before parents, the larger subtree first: fewest words wait.
	stack := append(b.stack[:0], 0)
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at >= 0 {
			small, large := t.Nodes[at].Left, t.Nodes[at].Right
			if small >= 0 && (large < 0 || size[small] > size[large]) {
				small, large = large, small
			}
			stack = append(stack, ^at)
			if small >= 0 {
				stack = append(stack, small)
			}
			if large >= 0 {
				stack = append(stack, large)
			}
			continue
		}
		at = ^at
		node := &t.Nodes[at]
		mask := uint16(b.ids[newSplit(node, b.m.Arithmetic.FlushZero)])
		left, right := value(node.Left), value(node.Right)
		words[at] = planeWords{}
		for p := range planes {
			place := -1
			if at == 0 {
				place = out + p
			}
			words[at][p] = b.combine(left[p], right[p], mask, place)
		}
		for p := range planes {
			b.release(left[p])
			b.release(right[p])
		}
	}
	b.stack = stack
	return kernel.Leaves{Planes: words[0], Bits: uint32(planes)}
}

// combine returns the word that has right's rows where mask is set and left's elsewhere; place is where to write it, or -1.
func (b *bitPlanner) combine(left, right, mask uint16, place int) uint16 {
	switch {
	case left == right || mask == noRows:
		return b.hold(left, place)
	case mask == allRows:
		return b.hold(right, place)
	case left == noRows && right == allRows:
		return mask
	}
	if place < 0 {
		place = b.take()
	}
	b.ops = append(b.ops, kernel.Op{A: left, B: right, Mask: mask, Dst: uint16(place)})
	return uint16(place)
}

// hold returns a word with the rows of w that is not released with a node's children.
func (b *bitPlanner) hold(w uint16, place int) uint16 {
	if int(w) < b.first {
		return w
	}
	if place < 0 {
		place = b.take()
	}
	b.ops = append(b.ops, kernel.Op{A: w, B: w, Mask: noRows, Dst: uint16(place)})
	return uint16(place)
}

func (b *bitPlanner) take() int {
	if n := len(b.free); n > 0 {
		s := b.free[n-1]
		b.free = b.free[:n-1]
		return s
	}
	b.end++
	return b.end - 1
}

func (b *bitPlanner) release(w uint16) {
	if int(w) >= b.first {
		b.free = append(b.free, int(w))
	}
}
