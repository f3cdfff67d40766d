package numbering

import "slices"

// Builder makes plans. It keeps its working memory from one tree to the next, and serves one goroutine at a time.
type Builder struct {
	plan     *Plan
	subtrees []subtree
	costs    []uint16 // steps for marking c leaves below a subtree, c from 0 to leaves; unknown if they are above the limit
	below    []uint16 // how many of those are below its left child
	reached  []uint16 // the c whose steps are known, of one subtree after the other
}

// subtree is a tree without some of its leaves, and without the nodes that have one side left.
type subtree struct {
	left, right int32 // subtrees; -1 for a leaf
	leaves      int32
	origin      int32 // number of the tree's node or leaf
	table       int32 // its place in costs and below
	first, last int32 // its part of reached
}

const none = -1

// add makes the subtree at a child, which may be a leaf.
func (b *Builder) add(children [][2]int32, child int32) int32 {
	t := subtree{left: none, right: none, leaves: 1, origin: ^child}
	if child >= 0 {
		t.left = b.add(children, children[child][0])
		t.right = b.add(children, children[child][1])
		t.origin = child
		t.leaves = b.subtrees[t.left].leaves + b.subtrees[t.right].leaves
	}
	b.subtrees = append(b.subtrees, t)
	return int32(len(b.subtrees) - 1)
}

// halve numbers the leaves of t, at most 1<<levels, at element i of the separators.
func (b *Builder) halve(t int32, levels, i int) {
	n := int(b.subtrees[t].leaves)
	if n == 1 {
		b.plan.Numbers[b.subtrees[t].origin] = uint16(i<<levels - 1<<b.plan.Bits)
		return
	}
	half := 1 << (levels - 1)
	if n <= half {
		b.halve(t, levels-1, 2*i)
		return
	}
	// Few steps are enough mostly, and few numbers of leaves can be marked with few steps.
	best := n / 2
	for limit := uint16(1); ; limit = 2*limit + 1 {
		b.costs, b.below, b.reached = b.costs[:0], b.below[:0], b.reached[:0]
		b.count(t, limit)
		costs := b.costs[b.subtrees[t].table:][:n+1]
		for c := n - half; c <= half; c++ {
			if costs[c] < costs[best] || costs[c] == costs[best] && abs(2*c-n) < abs(2*best-n) {
				best = c
			}
		}
		if costs[best] <= limit {
			break
		}
	}
	b.plan.Separators[i] = b.word(t, best)
	others, marked := b.split(t, best)
	b.halve(others, levels-1, 2*i)
	b.halve(marked, levels-1, 2*i+1)
}

func abs(x int) int { return max(x, -x) }

// unknown is more steps than any tree takes.
const unknown = 1 << 15

// count fills the tables of t, and of those below that matter, with what takes at most limit steps. Where both sides are
// mixed, that is a step more than they take, so each level has a lower limit.
func (b *Builder) count(t int32, limit uint16) {
	s := &b.subtrees[t]
	if s.left >= 0 && limit > 0 {
		b.count(s.left, limit-1)
		b.count(s.right, limit-1)
	}
	s.table = int32(len(b.costs))
	s.first = int32(len(b.reached))
	n := int(s.leaves)
	b.costs = slices.Grow(b.costs, n+1)[:len(b.costs)+n+1]
	b.below = slices.Grow(b.below, n+1)[:len(b.below)+n+1]
	costs, below := b.costs[s.table:][:n+1], b.below[s.table:][:n+1]
	for c := range costs {
		costs[c] = unknown
	}
	costs[0], below[0] = 0, 0
	costs[n], below[n] = 0, 0
	b.reached = append(b.reached, 0, uint16(n))
	if s.left >= 0 {
		l, r := &b.subtrees[s.left], &b.subtrees[s.right]
		costs[r.leaves], below[r.leaves] = 0, 0 // the right side alone: the split's word as it is
		b.reached = append(b.reached, uint16(r.leaves))
		if limit > 0 {
			reached := b.reached
			rights, steps := b.reached[r.first:r.last], b.costs[r.table:][:r.leaves+1]
			for _, cl := range b.reached[l.first:l.last] {
				x := b.costs[int(l.table)+int(cl)] + 1
				for _, cr := range rights {
					c, x := cl+cr, x+steps[cr]
					if x <= limit && x < costs[c] {
						if costs[c] == unknown {
							reached = append(reached, c)
						}
						costs[c], below[c] = x, cl
					}
				}
			}
			b.reached = reached
		}
	}
	s.last = int32(len(b.reached))
}

// word returns the word that marks c leaves below t.
func (b *Builder) word(t int32, c int) Word {
	s := &b.subtrees[t]
	switch {
	case c == 0:
		return False
	case c == int(s.leaves):
		return True
	}
	cl := int(b.below[int(s.table)+c])
	left, right := b.word(s.left, cl), b.word(s.right, c-cl)
	if left == False && right == True {
		return Word(s.origin)
	}
	b.plan.Steps = append(b.plan.Steps, Step{Split: Word(s.origin), Left: left, Right: right})
	return Steps - Word(len(b.plan.Steps)-1)
}

// split returns t without the c marked leaves, and t with nothing else.
func (b *Builder) split(t int32, c int) (others, marked int32) {
	s := b.subtrees[t]
	switch {
	case c == 0:
		return t, none
	case c == int(s.leaves):
		return none, t
	}
	cl := int(b.below[int(s.table)+c])
	l0, l1 := b.split(s.left, cl)
	r0, r1 := b.split(s.right, c-cl)
	return b.join(s.origin, l0, r0), b.join(s.origin, l1, r1)
}

// join makes a subtree of two sides, one of which may be none.
func (b *Builder) join(origin, left, right int32) int32 {
	switch {
	case left == none:
		return right
	case right == none:
		return left
	}
	b.subtrees = append(b.subtrees, subtree{
		left: left, right: right, leaves: b.subtrees[left].leaves + b.subtrees[right].leaves, origin: origin,
	})
	return int32(len(b.subtrees) - 1)
}
