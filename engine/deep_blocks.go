package engine

import (
	"unsafe"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// deepBlocks are trees as blocks of several levels: see kernel.Codes.
type deepBlocks struct {
	words   []uint32 // all blocks
	trees   []blockTree
	batch   int // rows that walk a tree at a time
	shifted bool
}

// blockTree says where a tree's blocks begin. A pair is complete: one block, and one below each of its exits; it has no
// exits of its own.
type blockTree struct {
	root, steps int
	pair        bool
}

const (
	narrowRow  = 32 // codes of a row
	wideRow    = 64
	pairLeaves = kernel.RootSlots * kernel.RootSlots
	fewLeaves  = pairLeaves / 4 // of a tree that is not worth a pair's memory
)

// fitsBlocks reports whether trees can have the form of blocks, and shares columns where that is of use.
func (c *codeBuilder) fitsBlocks(trees []forest.Tree) bool {
	for i := range trees {
		if trees[i].NumLeaves() >= kernel.MaxExit {
			return false
		}
	}
	apart, shared := c.columns(false), c.columns(true)
	switch {
	case len(c.p.slots) > 0 || shared > wideRow:
		return false
	case apart > wideRow || apart > narrowRow && shared <= narrowRow:
		return c.share() || apart <= wideRow
	}
	return true
}

// cutBlocks gives trees the form of blocks. order is, by tree, the forest's leaf for each leaf number.
func (p *deepPart[F]) cutBlocks(trees []forest.Tree, splits [][]codeNode) (order [][]int32) {
	d := &deepBlocks{batch: deepBatch, shifted: p.plan.shared}
	for i := range trees {
		t := &trees[i]
		c := blockCutter{d: d, t: t, splits: splits[i]}
		tree := blockTree{root: len(d.words)}
		if tree.pair = t.NumLeaves() > fewLeaves && shallow(t, 2*kernel.RootLevels); tree.pair {
			c.cutPair()
		} else {
			c.cut()
			tree.steps = tree.root + 2*kernel.RootSlots
		}
		order = append(order, c.order)
		d.trees = append(d.trees, tree)
	}
	p.width = narrowRow
	if len(p.plan.columns) > narrowRow {
		p.width, d.batch = wideRow, deepBatch/2
	}
	words := kernel.Aligned[uint32](len(d.words))
	copy(words, d.words)
	d.words = words
	p.blocks = d
	return order
}

// shallow reports whether no leaf is below more than so many splits.
func shallow(t *forest.Tree, splits int) bool {
	depth := make([]int8, len(t.Nodes))
	for i := range t.Nodes {
		if int(depth[i]) >= splits {
			return false
		}
		for _, c := range [2]int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			if c >= 0 {
				depth[c] = depth[i] + 1
			}
		}
	}
	return true
}

// blockCutter cuts one tree.
type blockCutter struct {
	d      *deepBlocks
	t      *forest.Tree
	splits []codeNode
	order  []int32 // by leaf number: the forest's leaf
}

// root is the root's child index.
func (c *blockCutter) root() int32 {
	if len(c.t.Nodes) == 0 {
		return ^0
	}
	return 0
}

// block appends the nodes of a block of so many levels from child down, and returns what its exits lead to.
func (c *blockCutter) block(child int32, levels int) []int32 {
	slots := 1 << levels
	at := len(c.d.words)
	c.d.words = append(c.d.words, make([]uint32, slots)...)
	columns, codes := c.d.words[at:at+slots/2], c.d.words[at+slots/2:]
	for i := range codes {
		codes[i] = kernel.LeafCode<<16 | kernel.LeafCode
	}
	heap := make([]int32, 2*slots)
	for i := range heap {
		heap[i] = pathless
	}
	heap[1] = child
	for i := 1; i < slots; i++ {
		switch {
		case heap[i] == pathless:
		case heap[i] < 0: // rows keep to the left of nodes that are not used
			heap[2*i] = heap[i]
		default:
			s, n := &c.splits[heap[i]], &c.t.Nodes[heap[i]]
			column := s.column
			if s.shift {
				column |= kernel.ShiftColumn
			}
			half := 16 * (i % 2)
			columns[i/2] |= column << half
			codes[i/2] = codes[i/2]&^(kernel.LeafCode<<half) | uint32(s.code)<<half
			heap[2*i], heap[2*i+1] = n.Left, n.Right
		}
	}
	return heap[slots:]
}

const pathless = -1 << 31 // no child of a tree: it would be leaf 1<<31 - 1

// leaf numbers a leaf.
func (c *blockCutter) leaf(child int32) uint32 {
	c.order = append(c.order, ^child)
	return uint32(len(c.order)-1) << kernel.ItemShift
}

// cutPair cuts a tree into a pair.
func (c *blockCutter) cutPair() {
	c.order = make([]int32, pairLeaves)
	for p, below := range c.block(c.root(), kernel.RootLevels) {
		for q, leaf := range c.block(below, kernel.RootLevels) {
			if leaf != pathless {
				c.order[p*kernel.RootSlots+q] = ^leaf
			}
		}
	}
}

// cut cuts a tree into blocks with exits: the root's, then smaller ones, level by level.
func (c *blockCutter) cut() {
	var queue []int32
	exits := func(to []int32) {
		for _, child := range to {
			exit := uint32(0)
			switch {
			case child == pathless:
			case child < 0:
				exit = c.leaf(child)
			default:
				exit = kernel.ItemBlock | uint32(len(queue))<<kernel.ItemShift
				queue = append(queue, child)
			}
			c.d.words = append(c.d.words, exit)
		}
	}
	exits(c.block(c.root(), kernel.RootLevels))
	for i := 0; i < len(queue); i++ {
		exits(c.block(queue[i], kernel.StepLevels))
	}
}

// addBlocks is add for trees of blocks.
func (p *deepPart[F]) addBlocks(s *deepScratch, b *Block, from, n int, acc []F, stride int) {
	d := p.blocks
	columns := (n+31)&^31 + columnGap
	p.plan.fill(s.columns, columns, &s.ranker, b, from, n, p.flush)
	p.k.RowMajor(s.codes, s.columns, columns, p.width, len(p.plan.columns), n)
	c := &s.rows
	c.Width, c.Shifted = p.width, d.shifted
	for i := range d.trees {
		t := &d.trees[i]
		for base := 0; base < n; base += d.batch {
			rows := min(d.batch, n-base)
			p.prefetch(i+1, base, rows, n)
			c.Rows = s.codes[base*p.width:]
			if t.pair {
				p.k.WalkPair(&s.walk, rows, d.words[t.root:], c)
				p.outputs(i, acc[base:], stride, func(acc, leaves []F) { p.addLeaves(acc, s.walk.Numbers[:rows], leaves) })
			} else {
				p.k.WalkBlocks(&s.walk, rows, d.words[t.root:], d.words[t.steps:], c)
				p.outputs(i, acc[base:], stride, func(acc, leaves []F) { p.addItems(acc, s.walk.Items[:rows], leaves) })
			}
		}
	}
}

// prefetch asks for a share of tree i: that of rows from base on among n rows.
func (p *deepPart[F]) prefetch(i, base, rows, n int) {
	if i == len(p.trees) {
		return
	}
	words, leaves := p.blocks.words[p.blocks.trees[i].root:], p.leaves[p.trees[i].first:]
	if i+1 < len(p.trees) {
		words = words[:p.blocks.trees[i+1].root-p.blocks.trees[i].root]
		leaves = leaves[:p.trees[i+1].first-p.trees[i].first]
	}
	words = words[len(words)*base/n : len(words)*(base+rows)/n]
	leaves = leaves[len(leaves)*base/n : len(leaves)*(base+rows)/n]
	var f F
	p.k.Prefetch(unsafe.Pointer(unsafe.SliceData(words)), 4*len(words))
	p.k.Prefetch(unsafe.Pointer(unsafe.SliceData(leaves)), int(unsafe.Sizeof(f))*len(leaves))
}
