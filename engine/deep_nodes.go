package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// deepNodes are trees as nodes, level by level. A node's right child follows its left child.
type deepNodes struct {
	nodes  []kernel.Node
	number []uint32 // of each node that is a leaf: its number
	trees  []nodeTree
}

type nodeTree struct {
	root, depth int
	sets        *kernel.Sets // nil without set splits
}

const (
	maxTreeSets = kernel.LeafCode // a set's number is no leaf's code
	maxEntries  = 1 << 30         // nodes and leaves of a part
)

// layNodes gives trees the form of nodes; false if there are too many nodes or sets.
func (p *deepPart[F]) layNodes(trees []forest.Tree, splits [][]codeNode) (order [][]int32, ok bool) {
	total := 0
	for i := range trees {
		total += 2*len(trees[i].Nodes) + 1
	}
	if total > maxEntries {
		return nil, false
	}
	d := &deepNodes{nodes: make([]kernel.Node, 0, total), number: make([]uint32, 0, total)}
	for i := range trees {
		leaves, ok := d.add(&trees[i], splits[i], p.plan)
		if !ok {
			return nil, false
		}
		order = append(order, leaves)
	}
	p.nodes, p.width = d, max(1, len(p.plan.columns)) // leaves read column 0
	return order, true
}

// add appends a tree and returns the forest's leaf for each leaf number.
func (d *deepNodes) add(t *forest.Tree, splits []codeNode, plan *codePlan) (order []int32, ok bool) {
	type place struct{ child, at, depth int32 }
	tree := nodeTree{root: len(d.nodes)}
	sets := make(map[uint32]uint16)
	queue := make([]place, 1, 2*len(t.Nodes)+1)
	if len(t.Nodes) == 0 {
		queue[0].child = ^0
	}
	for i := 0; i < len(queue); i++ { // the place in the queue is the place in the tree
		q := queue[i]
		tree.depth = max(tree.depth, int(q.depth))
		if q.child < 0 {
			d.nodes = append(d.nodes, kernel.Node{Code: kernel.LeafCode, Next: uint32(tree.root + i)})
			d.number = append(d.number, uint32(len(order)))
			order = append(order, ^q.child)
			continue
		}
		n, s := &t.Nodes[q.child], &splits[q.child]
		out := kernel.Node{Code: s.code, Column: uint16(s.column), Next: uint32(tree.root + len(queue))}
		if s.isSet {
			id, ok := sets[s.set]
			if !ok {
				if len(sets) == maxTreeSets {
					return nil, false
				}
				if tree.sets == nil {
					tree.sets = &kernel.Sets{Members: plan.members}
				}
				id = uint16(len(sets))
				sets[s.set] = id
				tree.sets.First = append(tree.sets.First, plan.sets[s.set])
			}
			out.Code, out.Next = id, out.Next|kernel.SetNode
		}
		d.nodes, d.number = append(d.nodes, out), append(d.number, 0)
		queue = append(queue, place{n.Left, 0, q.depth + 1}, place{n.Right, 0, q.depth + 1})
	}
	d.trees = append(d.trees, tree)
	return order, true
}

// addNodes is add for trees of nodes.
func (p *deepPart[F]) addNodes(s *deepScratch, b *Block, from, n int, acc []F, stride int) {
	rows := n + columnGap
	p.plan.fill(s.codes, rows, &s.ranker, b, from, n, p.flush)
	for i := range p.nodes.trees {
		t := &p.nodes.trees[i]
		for base := 0; base < n; base += nodeBatch {
			found := s.walk.Numbers[:min(nodeBatch, n-base)]
			if t.sets != nil {
				p.k.WalkSets(found, p.nodes.nodes, t.sets, s.codes[base:], rows, t.root, t.depth)
			} else {
				p.k.Walk(found, p.nodes.nodes, s.codes[base:], rows, t.root, t.depth)
			}
			for r, at := range found {
				found[r] = p.nodes.number[at]
			}
			p.outputs(i, acc[base:], stride, func(acc, leaves []F) { p.addLeaves(acc, found, leaves) })
		}
	}
}

// nodeBatch is the number of rows that walk in step: a multiple of the kernels' eight and five.
const nodeBatch = 120
