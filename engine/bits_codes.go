package engine

import (
	"math/bits"
	"slices"

	"github.com/treeline-ml/treeline/forest"
)

// leafCodes numbers a tree's leaves, with numbers below the next power of two, so that few operations find them: a
// subtree whose leaves share a bit costs nothing for that bit. Small subtrees get aligned blocks of numbers; what is left
// over of a block goes to leaves and subtrees that hang off large ones, which mix all bits anyway.
func leafCodes(t *forest.Tree) []int {
	n := len(t.Nodes)
	codes := make([]int, n+1)
	if n == 0 {
		return codes
	}
	leaves := make([]int32, n) // below each node
	count := func(c int32) int {
		if c < 0 {
			return 1
		}
		return int(leaves[c])
	}
	for i := n - 1; i >= 0; i-- {
		leaves[i] = int32(count(t.Nodes[i].Left) + count(t.Nodes[i].Right))
	}
	type task struct {
		child int32
		own   []block
	}
	all := []block{{log: uint8(bits.Len(uint(n)))}}
	for stack := []task{{0, all}}; len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at.child < 0 {
			codes[^at.child] = int(smallest(at.own).start)
			continue
		}
		node := &t.Nodes[at.child]
		left, right := count(node.Left), count(node.Right)
		// The larger child chooses first if it can have one block, else the smaller.
		if whole := holds(at.own, max(left, right)); whole && left > right || !whole && left <= right {
			taken, rest := allot(at.own, left, false)
			stack = append(stack, task{node.Left, taken}, task{node.Right, rest})
		} else {
			taken, rest := allot(at.own, right, true)
			stack = append(stack, task{node.Left, rest}, task{node.Right, taken})
		}
	}
	return codes
}

// block is the numbers start to start+2^log-1; start is a multiple of 2^log.
type block struct {
	start uint16
	log   uint8
}

func smallest(own []block) block {
	best := own[0]
	for _, b := range own[1:] {
		if b.log < best.log {
			best = b
		}
	}
	return best
}

// holds reports whether one of several blocks has n numbers.
func holds(own []block, n int) bool {
	return len(own) > 1 && slices.ContainsFunc(own, func(b block) bool { return 1<<b.log >= n })
}

// allot takes n numbers out of own, from the upper end of a block if upper is set.
func allot(own []block, n int, upper bool) (taken, rest []block) {
	taken = make([]block, 0, 4)
	rest = make([]block, len(own), len(own)+8)
	copy(rest, own)
	for n > 0 {
		// The smallest block that holds n, else the largest.
		best := -1
		for i, b := range rest {
			switch {
			case best < 0, 1<<b.log >= n && (1<<rest[best].log < n || b.log < rest[best].log),
				1<<rest[best].log < n && b.log > rest[best].log:
				best = i
			}
		}
		b := rest[best]
		rest[best] = rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		for b.log > 0 && 1<<b.log > n {
			// Half of the block is enough, or one half and a part of the other.
			b.log--
			low, high := b, block{start: b.start + 1<<b.log, log: b.log}
			if upper {
				low, high = high, low
			}
			if n >= 1<<b.log {
				taken = append(taken, low)
				n -= 1 << b.log
				b = high
			} else {
				rest = append(rest, high)
				b = low
			}
			if n == 0 {
				rest = append(rest, b)
				break
			}
		}
		if n > 0 {
			taken = append(taken, b)
			n -= 1 << b.log
		}
	}
	return taken, rest
}
