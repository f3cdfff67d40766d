package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// deepBlocks are trees as blocks of five levels: see kernel.Blocks.
type deepBlocks struct {
	nodes []uint16
	exits []uint32
	trees []blockTree
	batch int // rows that walk a tree at a time
}

// blockTree says where a tree's blocks begin. A pair is complete: one block, and one below each of its exits; it has no
// exits of its own.
type blockTree struct {
	block, exits int
	pair         bool
}

const (
	narrowRow  = 32 // codes of a row
	wideRow    = 64
	blockNodes = 2 * kernel.BlockSlots
	pairLeaves = kernel.BlockSlots * kernel.BlockSlots
	pairBlocks = 1 + kernel.BlockSlots
	fewLeaves  = pairLeaves / 4 // of a tree that is not worth a pair's memory
)

// cutBlocks gives trees the form of blocks; false if the tier or the trees do not allow it. order is, by tree, the
// forest's leaf for each leaf number.
func (p *deepPart[F]) cutBlocks(trees []forest.Tree, splits [][]codeNode) (order [][]int32, ok bool) {
	if p.k.Tier != kernel.AVX512 || len(p.plan.columns) > wideRow || len(p.plan.slots) > 0 {
		return nil, false
	}
	d := &deepBlocks{batch: deepBatch}
	for i := range trees {
		t := &trees[i]
		if t.NumLeaves() >= kernel.MaxExit {
			return nil, false
		}
		c := blockCutter{d: d, t: t, splits: splits[i], first: len(d.nodes) / blockNodes}
		tree := blockTree{block: len(d.nodes), exits: len(d.exits)}
		if tree.pair = t.NumLeaves() > fewLeaves && shallow(t, 2*kernel.BlockLevels); tree.pair {
			c.cutPair()
		} else {
			c.cut()
		}
		order = append(order, c.order)
		d.trees = append(d.trees, tree)
	}
	p.width = narrowRow
	if len(p.plan.columns) > narrowRow {
		p.width, d.batch = wideRow, deepBatch/2
	}
	nodes, exits := kernel.Aligned[uint16](len(d.nodes)), kernel.Aligned[uint32](len(d.exits))
	copy(nodes, d.nodes)
	copy(exits, d.exits)
	d.nodes, d.exits = nodes, exits
	p.blocks = d
	return order, true
}

// bytes is the memory of all blocks.
func (d *deepBlocks) bytes() int { return 2*len(d.nodes) + 4*len(d.exits) }

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
	first  int     // the tree's first block
	order  []int32 // by leaf number: the forest's leaf
}

// root is the root's child index.
func (c *blockCutter) root() int32 {
	if len(c.t.Nodes) == 0 {
		return ^0
	}
	return 0
}

// block appends a block with the nodes from child down and returns what its exits lead to; those beyond reach are
// pathless.
func (c *blockCutter) block(child int32) (exits [kernel.BlockSlots]int32) {
	at := len(c.d.nodes)
	c.d.nodes = append(c.d.nodes, make([]uint16, blockNodes)...)
	columns, codes := c.d.nodes[at:at+kernel.BlockSlots], c.d.nodes[at+kernel.BlockSlots:at+blockNodes]
	for i := range codes {
		codes[i] = kernel.LeafCode
	}
	for i := range exits {
		exits[i] = pathless
	}
	var heap [2 * kernel.BlockSlots]int32
	for i := range heap {
		heap[i] = pathless
	}
	heap[1] = child
	for i := 1; i < kernel.BlockSlots; i++ {
		switch {
		case heap[i] == pathless:
		case heap[i] < 0: // rows keep to the left of nodes that are not used
			heap[2*i] = heap[i]
		default:
			s, n := &c.splits[heap[i]], &c.t.Nodes[heap[i]]
			columns[i], codes[i] = uint16(s.column), s.code
			heap[2*i], heap[2*i+1] = n.Left, n.Right
		}
	}
	copy(exits[:], heap[kernel.BlockSlots:])
	return exits
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
	for p, below := range c.block(c.root()) {
		for q, leaf := range c.block(below) {
			if leaf != pathless {
				c.order[p*kernel.BlockSlots+q] = ^leaf
			}
		}
	}
}

// cut cuts a tree into blocks with exits, level by level.
func (c *blockCutter) cut() {
	queue := []int32{c.root()}
	for i := 0; i < len(queue); i++ {
		for _, child := range c.block(queue[i]) {
			exit := uint32(0)
			switch {
			case child == pathless:
			case child < 0:
				exit = c.leaf(child)
			default:
				exit = kernel.ItemBlock | uint32(len(queue))<<kernel.ItemShift
				queue = append(queue, child)
			}
			c.d.exits = append(c.d.exits, exit)
		}
	}
}

// addBlocks is add for trees of blocks.
func (p *deepPart[F]) addBlocks(s *deepScratch, b *Block, from, n int, acc []F, stride int) {
	d := p.blocks
	columns := len(p.plan.columns)
	for base := 0; base < n; base += deepBatch {
		rows := min(deepBatch, n-base)
		p.plan.fill(s.columns, deepBatch, &s.ranker, b, from+base, rows, p.flush)
		p.k.RowMajor(s.codes[base*p.width:], s.columns, deepBatch, p.width, columns, rows)
	}
	for i := range d.trees {
		t := &d.trees[i]
		blocks := kernel.Blocks{Nodes: d.nodes[t.block:], Exits: d.exits[t.exits:]}
		for base := 0; base < n; base += d.batch {
			rows := min(d.batch, n-base)
			codes := s.codes[base*p.width:]
			if t.pair {
				p.k.WalkPair(&s.walk, rows, blocks.Nodes, codes, p.width)
				p.outputs(i, acc[base:], stride, func(acc, leaves []F) { p.addLeaves(acc, s.walk.Numbers[:rows], leaves) })
			} else {
				p.k.WalkBlocks(&s.walk, rows, &blocks, codes, p.width)
				p.outputs(i, acc[base:], stride, func(acc, leaves []F) { p.addItems(acc, s.walk.Items[:rows], leaves) })
			}
		}
	}
}
