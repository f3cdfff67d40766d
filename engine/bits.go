package engine

import (
	"math/bits"

	"github.com/treeline-ml/treeline/forest"
)

// bitTree evaluates one tree for 64 rows at once. Every node has a slot: the word of rows that reach it. Starting with
// all rows at the root, each step splits a slot by its split's mask into the slots of the two children, with no branch
// and no look at a single row. The leaves' slots are then turned into the rows' leaf numbers, one bit plane of the
// number at a time (gathers), which spread transposes into 64 bytes.
type bitTree struct {
	steps   []step
	gathers []gather
	planes  int
	leaves  int // offset of the leaf values
	output  int
	vector  bool
}

// step i writes slots 2i+1 (left) and 2i+2 (right).
type step struct {
	mask uint32
	from uint16
}

// gather adds four slots to a plane of the leaf numbers.
type gather struct {
	slots [4]uint16
	plane uint8
}

const (
	maxBitLeaves = 256              // leaf numbers are bytes
	slotCount    = 2 * maxBitLeaves // of a tree, and
	emptySlot    = slotCount - 1    // one that no row reaches
)

// newBitTree compiles a tree; ids are the numbers of its splits by node, number those of its leaves (leafNumbers).
func newBitTree(t *forest.Tree, ids []uint32, number []int) bitTree {
	n := len(t.Nodes)
	bt := bitTree{output: t.Output, vector: t.Vector, planes: bits.Len(uint(n)), steps: make([]step, 0, n)}
	slot := make([]uint16, n) // of nodes
	leafSlot := make([]uint16, n+1)
	queue := make([]int32, 0, n)
	if n > 0 {
		queue = append(queue, 0)
	}
	for i := 0; i < len(queue); i++ {
		node := &t.Nodes[queue[i]]
		bt.steps = append(bt.steps, step{mask: ids[queue[i]], from: slot[queue[i]]})
		for side, c := range [2]int32{node.Left, node.Right} {
			at := uint16(2*i + 1 + side)
			if c < 0 {
				leafSlot[^c] = at
			} else {
				slot[c] = at
				queue = append(queue, c)
			}
		}
	}
	if n == 0 {
		return bt
	}
	// Leaf numbers grow from left to right, so a subtree whose numbers share a bit gives its rows to that bit's plane at
	// once.
	first, last := make([]int, n), make([]int, n) // leaf numbers below each node
	span := func(c int32) (int, int) {
		if c < 0 {
			return number[^c], number[^c]
		}
		return first[c], last[c]
	}
	for i := n - 1; i >= 0; i-- { // children come after their parents
		first[i], _ = span(t.Nodes[i].Left)
		_, last[i] = span(t.Nodes[i].Right)
	}
	var stack []int32
	for plane := range bt.planes {
		var slots []uint16
		stack = append(stack[:0], 0)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			lo, hi := span(at)
			switch {
			case lo>>plane == hi>>plane && lo>>plane&1 == 1:
				if at < 0 {
					slots = append(slots, leafSlot[^at])
				} else {
					slots = append(slots, slot[at])
				}
			case lo>>plane != hi>>plane:
				stack = append(stack, t.Nodes[at].Right, t.Nodes[at].Left)
			}
		}
		for len(slots) > 0 {
			g := gather{plane: uint8(plane), slots: [4]uint16{emptySlot, emptySlot, emptySlot, emptySlot}}
			slots = slots[copy(g.slots[:], slots):]
			bt.gathers = append(bt.gathers, g)
		}
	}
	return bt
}

// leafNumbers numbers a tree's leaves from left to right.
func leafNumbers(t *forest.Tree) []int {
	number := make([]int, t.NumLeaves())
	if len(t.Nodes) == 0 {
		return number
	}
	next := 0
	for stack := []int32{0}; len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at < 0 {
			number[^at] = next
			next++
			continue
		}
		stack = append(stack, t.Nodes[at].Right, t.Nodes[at].Left)
	}
	return number
}

// number writes each row's leaf number: byte r%8 of out[r/8].
func (t *bitTree) number(m []uint64, s *[slotCount]uint64, spread *[256]uint64, out *[8]uint64) {
	const last = slotCount - 1
	s[0] = ^uint64(0)
	for i, st := range t.steps {
		rows := s[st.from&last]
		right := rows & m[st.mask]
		s[(2*i+1)&last] = rows ^ right
		s[(2*i+2)&last] = right
	}
	s[emptySlot] = 0
	var p [8]uint64
	for i := range t.gathers {
		g := &t.gathers[i]
		p[g.plane&7] |= s[g.slots[0]&last] | s[g.slots[1]&last] | s[g.slots[2]&last] | s[g.slots[3]&last]
	}
	switch {
	case t.planes <= 4:
		spread4(&p, spread, out)
	case t.planes == 5:
		spread4(&p, spread, out)
		p4 := p[4]
		for g := range out {
			out[g] |= spread[uint8(p4>>(8*g&63))] << 4
		}
	case t.planes == 6:
		spread4(&p, spread, out)
		p4, p5 := p[4], p[5]
		for g := range out {
			out[g] |= spread[uint8(p4>>(8*g&63))]<<4 | spread[uint8(p5>>(8*g&63))]<<5
		}
	default:
		spread4(&p, spread, out)
		p4, p5, p6, p7 := p[4], p[5], p[6], p[7]
		for g := range out {
			out[g] |= spread[uint8(p4>>(8*g&63))]<<4 | spread[uint8(p5>>(8*g&63))]<<5 |
				spread[uint8(p6>>(8*g&63))]<<6 | spread[uint8(p7>>(8*g&63))]<<7
		}
	}
}

func spread4(p *[8]uint64, spread *[256]uint64, out *[8]uint64) {
	p0, p1, p2, p3 := p[0], p[1], p[2], p[3]
	for g := range out {
		out[g] = spread[uint8(p0>>(8*g&63))] | spread[uint8(p1>>(8*g&63))]<<1 |
			spread[uint8(p2>>(8*g&63))]<<2 | spread[uint8(p3>>(8*g&63))]<<3
	}
}

// newSpread returns the table that puts bit i of a byte into byte i of a word.
func newSpread() *[256]uint64 {
	var t [256]uint64
	for b := range t {
		for i := range 8 {
			t[b] |= uint64(b>>i&1) << (8 * i)
		}
	}
	return &t
}
