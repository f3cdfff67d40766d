package engine

import "github.com/treeline-ml/treeline/forest"

// slowTree is a tree that has too many columns, sets or nodes for the compact forms (tens of thousands of features in
// one tree): it is walked row by row, on the values themselves.
type slowTree struct {
	nodes []slowNode
	sets  []forest.CategorySet
	cast  forest.CategoryCast
}

type slowNode struct {
	split
	left, right int32 // as forest.Node's
}

func newSlowTree(m *forest.Model, t *forest.Tree) *slowTree {
	w := &slowTree{sets: m.Sets, cast: m.Arithmetic.CategoryCast, nodes: make([]slowNode, len(t.Nodes))}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		w.nodes[i] = slowNode{newSplit(n, m.Arithmetic.FlushZero), n.Left, n.Right}
	}
	return w
}

// right reports whether x goes right.
func (w *slowTree) right(s *split, x float64, flush bool) bool {
	switch {
	case x != x:
		return s.nanRight
	case s.kind == setSplit:
		code := categoryCode(x, w.cast)
		if code < 0 {
			return !s.otherLeft
		}
		return w.sets[s.set].Has(code) != s.inSet
	case s.zero != forest.ZeroCompares && isZero(x, flush):
		return s.zero == forest.ZeroRight
	}
	return s.kind == everSplit || s.kind == cutSplit && x > s.cut
}

// leaf walks the tree for one row of b.
func (w *slowTree) leaf(s *deepScratch, b *Block, row int, flush bool) int32 {
	at := int32(0)
	for at >= 0 {
		n := &w.nodes[at]
		v := b.cols[n.feature].values(s.value[:], row, 1, &s.ranker.reading)
		if w.right(&n.split, v[0], flush) {
			at = n.right
		} else {
			at = n.left
		}
	}
	return ^at
}

// addSlow is add for a slow tree.
func (p *deepPart[F]) addSlow(s *deepScratch, b *Block, from, n int, acc []F, stride int) {
	for r := range n {
		leaf := p.slow.leaf(s, b, from+r, p.flush)
		p.outputs(0, acc[r:], stride, func(acc, leaves []F) { acc[0] += leaves[leaf] })
	}
}
