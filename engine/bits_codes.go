package engine

import (
	"math/bits"
	"slices"

	"github.com/treeline-ml/treeline/forest"
)

// leafCoder numbers trees' leaves, with numbers below the next power of two, so that few operations find them: a subtree
// whose leaves share a bit costs nothing for that bit. Small subtrees get aligned blocks of numbers; what is left over of
// a block goes to leaves and subtrees that hang off large ones, which mix all bits anyway.
type leafCoder struct {
	leaves []int32 // below each node
	codes  []int   // of leaves
	pool   []block // memory of the lists below
	stack  []allotment
}

// block is the numbers start to start+2^log-1; start is a multiple of 2^log.
type block struct {
	start uint16
	log   uint8
}

// allotment is the numbers of a subtree.
type allotment struct {
	child int32
	own   []block
}

// number returns the leaves' numbers, valid until the next call.
func (c *leafCoder) number(t *forest.Tree) []int {
	n := len(t.Nodes)
	c.codes = slices.Grow(c.codes[:0], n+1)[:n+1]
	if n == 0 {
		c.codes[0] = 0
		return c.codes
	}
	c.leaves = slices.Grow(c.leaves[:0], n)[:n]
	for i := n - 1; i >= 0; i-- {
		c.leaves[i] = c.count(t.Nodes[i].Left) + c.count(t.Nodes[i].Right)
	}
	c.pool = append(c.pool[:0], block{log: uint8(bits.Len(uint(n)))})
	c.stack = append(c.stack[:0], allotment{0, c.pool[:1:1]})
	for len(c.stack) > 0 {
		at := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		if at.child < 0 {
			c.codes[^at.child] = int(smallest(at.own).start)
			continue
		}
		node := &t.Nodes[at.child]
		left, right := c.count(node.Left), c.count(node.Right)
		// The larger child chooses first if it can have one block, else the smaller.
		if whole := holds(at.own, max(left, right)); whole && left > right || !whole && left <= right {
			taken, rest := c.allot(at.own, int(left), false)
			c.stack = append(c.stack, allotment{node.Left, taken}, allotment{node.Right, rest})
		} else {
			taken, rest := c.allot(at.own, int(right), true)
			c.stack = append(c.stack, allotment{node.Left, rest}, allotment{node.Right, taken})
		}
	}
	return c.codes
}

func (c *leafCoder) count(child int32) int32 {
	if child < 0 {
		return 1
	}
	return c.leaves[child]
}

func smallest(own []block) block {
	return slices.MinFunc(own, func(a, b block) int { return int(a.log) - int(b.log) })
}

// holds reports whether one of several blocks has n numbers.
func holds(own []block, n int32) bool {
	return len(own) > 1 && slices.ContainsFunc(own, func(b block) bool { return int32(1)<<b.log >= n })
}

// allot takes n numbers out of own, from the upper end of a block if upper is set.
func (c *leafCoder) allot(own []block, n int, upper bool) (taken, rest []block) {
	most := len(own) + bits.Len16(^uint16(0)) // each block that is cut leaves one of each size at most
	if cap(c.pool)-len(c.pool) < 2*most {
		c.pool = make([]block, 0, max(4096, 4*most)) // lists in the old memory stay where they are
	}
	at := len(c.pool)
	c.pool = c.pool[:at+2*most]
	taken, rest = c.pool[at:at:at+most], append(c.pool[at+most:at+most:at+2*most], own...)
	for n > 0 {
		i := fittest(rest, n)
		b := rest[i]
		rest[i] = rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		for n > 0 && 1<<b.log > n {
			// One half is enough, or one half and a part of the other.
			b.log--
			first, second := b, block{start: b.start + 1<<b.log, log: b.log}
			if upper {
				first, second = second, first
			}
			if n < 1<<b.log {
				rest, b = append(rest, second), first
			} else {
				taken, b = append(taken, first), second
				n -= 1 << b.log
			}
		}
		if n == 0 {
			rest = append(rest, b)
			break
		}
		taken = append(taken, b)
		n -= 1 << b.log
	}
	return taken, rest
}

// fittest returns the smallest block with n numbers, or else the largest one.
func fittest(own []block, n int) int {
	best := 0
	for i, b := range own {
		fits, bestFits := 1<<b.log >= n, 1<<own[best].log >= n
		if fits && (!bestFits || b.log < own[best].log) || !fits && !bestFits && b.log > own[best].log {
			best = i
		}
	}
	return best
}
