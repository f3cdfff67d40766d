package numbering

// builder makes a plan.
type builder struct {
	plan     *Plan
	subtrees []subtree
	limit    uint16
	costs    []uint16 // steps for marking c leaves below a subtree, c from 0 to leaves; above limit if they are not known
	below    []uint16 // how many of those are below its left child
	reached  []uint16 // the c with at most limit steps, of one subtree after the other
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
func (b *builder) add(children [][2]int32, child int32) int32 {
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
func (b *builder) halve(t int32, levels, i int) {
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
	for b.limit = 1; ; b.limit = 2*b.limit + 1 {
		b.costs, b.below, b.reached = b.costs[:0], b.below[:0], b.reached[:0]
		b.count(t)
		costs := b.costs[b.subtrees[t].table:][:n+1]
		for c := n - half; c <= half; c++ {
			if costs[c] < costs[best] || costs[c] == costs[best] && abs(2*c-n) < abs(2*best-n) {
				best = c
			}
		}
		if costs[best] <= b.limit {
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

// count fills the tables of t and of all below.
func (b *builder) count(t int32) {
	s := &b.subtrees[t]
	if s.left >= 0 {
		b.count(s.left)
		b.count(s.right)
	}
	s.table = int32(len(b.costs))
	n := int(s.leaves)
	for range n + 1 {
		b.costs = append(b.costs, unknown)
		b.below = append(b.below, 0)
	}
	costs, below := b.costs[s.table:], b.below[s.table:]
	s.first = int32(len(b.reached))
	reach := func(c int, steps, left uint16) {
		if steps < costs[c] {
			if costs[c] == unknown {
				b.reached = append(b.reached, uint16(c))
			}
			costs[c], below[c] = steps, left
		}
	}
	reach(0, 0, 0)
	reach(n, 0, 0)
	if s.left >= 0 {
		l, r := &b.subtrees[s.left], &b.subtrees[s.right]
		reach(int(r.leaves), 0, 0) // the right side alone: the split's word as it is
		for _, cl := range b.reached[l.first:l.last] {
			x := b.costs[int(l.table)+int(cl)] + 1
			for _, cr := range b.reached[r.first:r.last] {
				if steps := x + b.costs[int(r.table)+int(cr)]; steps <= b.limit {
					reach(int(cl+cr), steps, cl)
				}
			}
		}
	}
	s.last = int32(len(b.reached))
}

// word returns the word that marks c leaves below t.
func (b *builder) word(t int32, c int) Word {
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
func (b *builder) split(t int32, c int) (others, marked int32) {
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
func (b *builder) join(origin, left, right int32) int32 {
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
