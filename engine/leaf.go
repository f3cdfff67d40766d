package engine

import (
	"fmt"
	"math/bits"

	"github.com/treeline-ml/treeline/forest"
)

// leafFinder is the compiled form of a model for Program.Leaves and Program.TreeMargins.
type leafFinder struct {
	decider *decider
	trees   []leafTree
	width   int // values of a leaf: 1, or the model's outputs where some tree has vector leaves
	free    chan *leafScratch
}

type leafTree struct {
	decisions []decision
	batch     batch      // of trees whose nodes are all decided
	children  [][2]int32 // by node, as forest.Node has them
	names     []int32    // by leaf; nil for the leaf's index
	values    []float64
	vector    bool
	output    int
}

type leafScratch struct {
	moment moment
	leaves [word]int32
	stack  []reachedNode
	turns  [allDecided]uint64 // by node: the rows that it sends right
	reach  [allDecided]uint64 // by node: the rows that reach it
}

// allDecided is the number of nodes of a tree up to which every node is decided for all rows, whether they reach it or not.
const allDecided = 256

// reachedNode is a node with the rows that reach it.
type reachedNode struct {
	node int32
	rows uint64
}

func newLeafFinder(m *forest.Model, trees []forest.Tree, d *decider, all [][]decision) *leafFinder {
	l := &leafFinder{decider: d, width: 1, free: make(chan *leafScratch, idleScratch)}
	for i := range trees {
		t := &trees[i]
		e := leafTree{
			decisions: all[i], children: make([][2]int32, len(t.Nodes)), vector: t.Vector, output: t.Output,
			names: append([]int32(nil), t.LeafNames...), values: append([]float64(nil), t.Leaves...),
		}
		if len(t.Nodes) <= allDecided {
			e.batch = d.batch(all[i])
		}
		for j := range t.Nodes {
			e.children[j] = [2]int32{t.Nodes[j].Left, t.Nodes[j].Right}
		}
		if t.Vector {
			l.width = m.Outputs
		}
		l.trees = append(l.trees, e)
	}
	return l
}

// Trees returns the number of trees that are scored: the columns of Leaves.
func (p *Program) Trees() int { return p.trees }

// Leaves writes the leaf that each row reaches in each tree: Rows() x Trees() numbers, row-major, trees in training
// order. Leaves are named as the training library names them in its own output: by LightGBM's leaf index (pred_leaf=True),
// by the number of the node in the tree in XGBoost (pred_leaf=True) and scikit-learn (apply).
//
// It returns ErrShape as Score does, and ErrNotCompiled unless the program was compiled with Options.Leaves. It does not
// allocate once the program has served as many calls at a time before.
func (p *Program) Leaves(dst []int32, b *Block) error { return p.LeavesParallel(dst, b, 1) }

// LeavesParallel is Leaves on up to threads goroutines, the calling one included.
func (p *Program) LeavesParallel(dst []int32, b *Block, threads int) error {
	l, err := p.leavesOf(b)
	if err != nil {
		return err
	}
	if n := b.rows * p.trees; len(dst) < n {
		return fmt.Errorf("dst has %d values, want %d: %w", len(dst), n, ErrShape)
	}
	if threads <= 1 || b.rows <= l.decider.stride {
		l.name(dst, b, 0, b.rows)
		return nil
	}
	parallel(b.rows, l.decider.stride, threads, func(from, to int) { l.name(dst, b, from, to) })
	return nil
}

// name writes the names of the leaves of rows from..to of b to dst, which starts at row 0.
func (l *leafFinder) name(dst []int32, b *Block, from, to int) {
	l.find(b, from, to, func(at, tree int, leaves []int32) {
		names := l.trees[tree].names
		for r, leaf := range leaves {
			if names != nil {
				leaf = names[leaf]
			}
			dst[(at+r)*len(l.trees)+tree] = leaf
		}
	})
}

// TreeMarginWidth returns the number of values that TreeMargins writes for a tree: 1, or Outputs() where some tree has
// vector leaves.
func (p *Program) TreeMarginWidth() int {
	if p.leaves == nil {
		return 1
	}
	return p.leaves.width
}

// TreeMargins writes the value of the leaf that each row reaches in each tree: Rows() x Trees() x TreeMarginWidth()
// numbers, row-major, before averages, scales and base margins. With width 1 a value belongs to output TreeOutput(tree);
// with more, a tree of one output has zeros for the others. Errors are those of Leaves.
func (p *Program) TreeMargins(dst []float64, b *Block) error {
	l, err := p.leavesOf(b)
	if err != nil {
		return err
	}
	if n := b.rows * p.trees * l.width; len(dst) < n {
		return fmt.Errorf("dst has %d values, want %d: %w", len(dst), n, ErrShape)
	}
	l.find(b, 0, b.rows, func(at, tree int, leaves []int32) {
		t := &l.trees[tree]
		for r, leaf := range leaves {
			to := dst[((at+r)*len(l.trees)+tree)*l.width:][:l.width]
			switch {
			case t.vector:
				copy(to, t.values[int(leaf)*l.width:])
			case l.width > 1:
				clear(to)
				to[t.output] = t.values[leaf]
			default:
				to[0] = t.values[leaf]
			}
		}
	})
	return nil
}

func (p *Program) leavesOf(b *Block) (*leafFinder, error) {
	if p.leaves == nil {
		return nil, fmt.Errorf("leaves: %w: set Options.Leaves", ErrNotCompiled)
	}
	return p.leaves, p.checkBlock(b)
}

// find calls found with the leaves of up to 64 rows, from row at on, for each tree.
func (l *leafFinder) find(b *Block, from, to int, found func(at, tree int, leaves []int32)) {
	var s *leafScratch
	select {
	case s = <-l.free:
	default:
		s = &leafScratch{moment: l.decider.newMoment()}
	}
	for ; from < to; from += l.decider.stride {
		n := min(l.decider.stride, to-from)
		l.decider.read(&s.moment, b, from, n)
		for i := range l.trees {
			l.walk(&l.trees[i], s, n)
			found(from, i, s.leaves[:n])
		}
	}
	select {
	case l.free <- s:
	default:
	}
}

// descend finds the leaves of rows after deciding all nodes.
func (l *leafFinder) descend(t *leafTree, s *leafScratch, rows uint64) {
	l.decider.decide(s.turns[:], &t.batch, t.decisions, &s.moment)
	s.reach[0] = rows
	turns, reach := s.turns[:len(t.children)], s.reach[:len(t.children)]
	for i, children := range t.children {
		right := reach[i] & turns[i]
		for side, here := range [2]uint64{reach[i] ^ right, right} {
			child := children[side]
			if child >= 0 {
				reach[child] = here
				continue
			}
			for ; here != 0; here &= here - 1 {
				s.leaves[bits.TrailingZeros64(here)&(word-1)] = ^child
			}
		}
	}
}

// aFew is the number of rows that walk a tree faster one by one than together.
const aFew = 6

// walk finds the leaves of n rows. Rows that share a node are sent on together.
func (l *leafFinder) walk(t *leafTree, s *leafScratch, n int) {
	all := ^uint64(0) >> (word - n)
	switch {
	case len(t.children) == 0:
		clear(s.leaves[:n])
		return
	case len(t.children) <= allDecided && n > aFew:
		l.descend(t, s, all)
		return
	}
	s.stack = append(s.stack[:0], reachedNode{0, all})
	for len(s.stack) > 0 {
		at := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		if at.node >= 0 && bits.OnesCount64(at.rows) > aFew {
			right := at.rows & l.decider.right(&t.decisions[at.node], &s.moment)
			children := &t.children[at.node]
			if right != 0 {
				s.stack = append(s.stack, reachedNode{children[1], right})
			}
			if left := at.rows &^ right; left != 0 {
				s.stack = append(s.stack, reachedNode{children[0], left})
			}
			continue
		}
		for rows := at.rows; rows != 0; rows &= rows - 1 {
			r, node := bits.TrailingZeros64(rows), at.node
			for node >= 0 {
				node = t.children[node][one(l.decider.goesRight(&t.decisions[node], &s.moment, r))]
			}
			s.leaves[r] = ^node
		}
	}
}
