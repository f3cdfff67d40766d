// Package booster turns what XGBoost's files say, whatever their encoding, into a forest.Model: the tree arrays into
// trees, the base score into margins, the objective into a link.
//
//	JSON, UBJSON --xgboost--+
//	                        +--> Tree, Header --Builder--> forest.Model
//	old binary ----legacy---+
//
// XGBoost's rules in the terms of package forest: inputs and sums are float32, the sum starts at the base margin; a
// numeric split sends x < condition to the left; the categories that a categorical split lists go to the RIGHT, all
// others, and values that are no category, to the left (before 1.7.3 those took the default side).
package booster

import (
	"fmt"
	"math"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// Tree is one tree as files list it: parallel arrays over its nodes. A node with Left -1 is a leaf. Nodes that pruning
// deleted stay in the arrays, unreachable. Decoders reuse one Tree for all.
type Tree struct {
	Left, Right []int32
	Feature     []int32
	Value       []float32 // split condition, or leaf value
	DefaultLeft []int32   // 0 or 1
	SplitType   []int32   // 0 numeric, 1 categorical; empty when there is no categorical split
	Gain, Cover []float32 // statistics; empty when the file has none

	// CategoryNodes names the categorical splits; split i has the CategorySizes[i] Categories from CategorySegments[i].
	CategoryNodes, CategorySegments, CategorySizes, Categories []int32

	Deleted    int64 // nodes that pruning deleted
	LeafVector int64 // values per leaf; 0 and 1 mean one
}

// Reset empties t and keeps its memory.
func (t *Tree) Reset() {
	*t = Tree{
		Left: t.Left[:0], Right: t.Right[:0], Feature: t.Feature[:0], Value: t.Value[:0],
		DefaultLeft: t.DefaultLeft[:0], SplitType: t.SplitType[:0], Gain: t.Gain[:0], Cover: t.Cover[:0],
		CategoryNodes: t.CategoryNodes[:0], CategorySegments: t.CategorySegments[:0],
		CategorySizes: t.CategorySizes[:0], Categories: t.Categories[:0],
	}
}

// Builder collects trees. The zero value is not ready: use NewBuilder.
type Builder struct {
	limits   limit.Limits
	trees    []forest.Tree
	sets     []forest.CategorySet
	setBytes int64
	nodes    int64

	nonFinite   bool
	categorical []bool // by feature: some split reads it as a category
	maxFeature  int32
	maxPlace    string

	stack []step
	place []int32 // by file node: its index in the forest.Tree (inner >= 0, leaf < 0), or unplaced
	split []int32 // by file node: its entry in CategoryNodes, or -1
}

// step is a node to visit and its depth.
type step struct{ node, depth int32 }

// unplaced marks a file node that the walk has not reached. No leaf has this index: there are fewer than 2^31-1.
const unplaced = math.MinInt32

// NewBuilder returns a Builder that keeps to l.
func NewBuilder(l limit.Limits) *Builder { return &Builder{limits: l, maxFeature: -1} }

// Len returns the number of trees added.
func (b *Builder) Len() int { return len(b.trees) }

// Add converts t, whose nodes it numbers in depth-first order, so that children follow parents. The error's place is
// the node as the file numbers it.
func (b *Builder) Add(t *Tree) error {
	if err := limit.Check("Trees", b.limits.Trees, int64(len(b.trees))+1); err != nil {
		return err
	}
	if t.LeafVector > 1 {
		return fault.NotSupported("vector leaves (multi_strategy=multi_output_tree)")
	}
	if err := b.checkShape(t); err != nil {
		return err
	}
	if err := b.indexSplits(t); err != nil {
		return err
	}
	out, err := b.walk(t)
	if err != nil {
		return err
	}
	reached := len(out.Nodes) + len(out.Leaves)
	if gone := int64(len(t.Left) - reached); gone != t.Deleted {
		return fault.Malformed("%d of %d nodes cannot be reached from the root, %d are said to be deleted",
			gone, len(t.Left), t.Deleted)
	}
	b.trees = append(b.trees, out)
	return nil
}

// checkShape verifies that the arrays have one length within the limits.
func (b *Builder) checkShape(t *Tree) error {
	n := len(t.Left)
	if n == 0 {
		return fault.Malformed("the tree has no nodes")
	}
	if err := limit.Check("TreeNodes", b.limits.TreeNodes, int64(n)); err != nil {
		return err
	}
	b.nodes += int64(n)
	if err := limit.Check("TotalNodes", b.limits.TotalNodes, b.nodes); err != nil {
		return err
	}
	for _, a := range []struct {
		name string
		len  int
		must bool
	}{
		{"right_children", len(t.Right), true},
		{"split_indices", len(t.Feature), true},
		{"split_conditions", len(t.Value), true},
		{"default_left", len(t.DefaultLeft), true},
		{"split_type", len(t.SplitType), false},
		{"loss_changes", len(t.Gain), false},
		{"sum_hessian", len(t.Cover), false},
	} {
		if a.len != n && (a.must || a.len > 0) {
			return fault.Malformed("%s has %d values, left_children %d", a.name, a.len, n)
		}
	}
	if len(t.CategorySegments) != len(t.CategoryNodes) || len(t.CategorySizes) != len(t.CategoryNodes) {
		return fault.Malformed("categories_nodes, categories_segments and categories_sizes have %d, %d and %d values",
			len(t.CategoryNodes), len(t.CategorySegments), len(t.CategorySizes))
	}
	return nil
}

// indexSplits fills b.split, and b.place with unplaced.
func (b *Builder) indexSplits(t *Tree) error {
	n := len(t.Left)
	b.place = fill(b.place, n, unplaced)
	b.split = b.split[:0]
	if len(t.CategoryNodes) == 0 {
		return nil
	}
	b.split = fill(b.split, n, -1)
	for i, node := range t.CategoryNodes {
		if node < 0 || int(node) >= n || b.split[node] >= 0 {
			return fault.Malformed("categories_nodes[%d] is %d, a node once in 0..%d is wanted", i, node, n-1)
		}
		b.split[node] = int32(i)
	}
	return nil
}

func fill(s []int32, n int, v int32) []int32 {
	if cap(s) < n {
		s = make([]int32, n)
	}
	s = s[:n]
	for i := range s {
		s[i] = v
	}
	return s
}

// walk visits the tree from the root and builds the forest.Tree.
func (b *Builder) walk(t *Tree) (forest.Tree, error) {
	inner := max(0, len(t.Left)-int(max(0, t.Deleted))) / 2
	out := forest.Tree{
		Nodes: make([]forest.Node, 0, inner), Leaves: make([]float64, 0, inner+1), LeafNames: make([]int32, 0, inner+1),
	}
	stats := len(t.Cover) > 0 && len(t.Gain) > 0
	if stats {
		out.NodeCover = make([]float64, 0, inner)
		out.Gain = make([]float64, 0, inner)
		out.LeafCover = make([]float64, 0, inner+1)
	}
	b.stack = append(b.stack[:0], step{})
	for len(b.stack) > 0 {
		at := b.stack[len(b.stack)-1]
		b.stack = b.stack[:len(b.stack)-1]
		i := at.node
		if b.place[i] != unplaced {
			return forest.Tree{}, nodeError(i, fault.Malformed("it has two parents or is its own ancestor"))
		}
		if t.Left[i] == -1 {
			b.place[i] = int32(^len(out.Leaves))
			leaf := float64(t.Value[i])
			b.nonFinite = b.nonFinite || math.IsNaN(leaf) || math.IsInf(leaf, 0)
			out.Leaves, out.LeafNames = append(out.Leaves, leaf), append(out.LeafNames, i)
			if stats {
				out.LeafCover = append(out.LeafCover, float64(t.Cover[i]))
			}
			continue
		}
		if err := limit.Check("Depth", b.limits.Depth, int64(at.depth)+1); err != nil {
			return forest.Tree{}, nodeError(i, err)
		}
		node, err := b.convert(t, i)
		if err != nil {
			return forest.Tree{}, nodeError(i, err)
		}
		b.place[i] = int32(len(out.Nodes))
		out.Nodes = append(out.Nodes, node)
		if stats {
			out.NodeCover = append(out.NodeCover, float64(t.Cover[i]))
			out.Gain = append(out.Gain, float64(t.Gain[i]))
		}
		b.stack = append(b.stack, step{node.Right, at.depth + 1}, step{node.Left, at.depth + 1})
	}
	for i := range out.Nodes {
		node := &out.Nodes[i]
		node.Left, node.Right = b.place[node.Left], b.place[node.Right]
	}
	return out, nil
}

// convert returns split i with its children still numbered as the file does.
func (b *Builder) convert(t *Tree, i int32) (forest.Node, error) {
	n := int32(len(t.Left))
	node := forest.Node{
		Threshold: float64(t.Value[i]),
		Feature:   t.Feature[i],
		Left:      t.Left[i],
		Right:     t.Right[i],
		Op:        forest.Less,
		NaNLeft:   t.DefaultLeft[i] == 1,
	}
	if node.Left < 0 || node.Left >= n || node.Right < 0 || node.Right >= n {
		return node, fault.Malformed("its children are %d and %d, nodes are 0..%d", node.Left, node.Right, n-1)
	}
	if t.DefaultLeft[i]&^1 != 0 {
		return node, fault.Malformed("default_left is %d", t.DefaultLeft[i])
	}
	if node.Feature < 0 {
		return node, fault.Malformed("split_indices is %d", node.Feature)
	}
	if node.Feature > b.maxFeature {
		b.maxFeature, b.maxPlace = node.Feature, fmt.Sprintf("tree %d, node %d", len(b.trees), i)
	}
	kind := int32(0)
	if len(t.SplitType) > 0 {
		kind = t.SplitType[i]
	}
	switch kind {
	case 0:
		if math.IsNaN(node.Threshold) {
			return node, fault.Malformed("its split condition is NaN")
		}
	case 1:
		if err := limit.Check("Features", b.limits.Features, int64(node.Feature)+1); err != nil {
			return node, err
		}
		for int(node.Feature) >= len(b.categorical) {
			b.categorical = append(b.categorical, false)
		}
		b.categorical[node.Feature] = true
		set, err := b.set(t, i)
		if err != nil {
			return node, err
		}
		node.Threshold, node.Op, node.Set, node.OtherLeft = 0, forest.NotInSet, set, true
	default:
		return node, fault.Malformed("split_type is %d", kind)
	}
	return node, nil
}

// set adds the categories of split i and returns the index of the set.
func (b *Builder) set(t *Tree, i int32) (int32, error) {
	if len(b.split) == 0 || b.split[i] < 0 {
		return 0, fault.Malformed("it is categorical but not in categories_nodes")
	}
	from, size := int64(t.CategorySegments[b.split[i]]), int64(t.CategorySizes[b.split[i]])
	if from < 0 || size <= 0 || from+size > int64(len(t.Categories)) {
		return 0, fault.Malformed("its categories are [%d:%d] of %d", from, from+size, len(t.Categories))
	}
	listed := t.Categories[from : from+size]
	top := int32(-1)
	for _, c := range listed {
		if c < 0 {
			return 0, fault.Malformed("its category %d is negative", c)
		}
		top = max(top, c)
	}
	if err := limit.Check("Categories", b.limits.Categories, int64(top)+1); err != nil {
		return 0, err
	}
	words := top>>5 + 1
	b.setBytes += int64(words) * 4
	if err := limit.Check("SetBytes", b.limits.SetBytes, b.setBytes); err != nil {
		return 0, err
	}
	set := make(forest.CategorySet, words)
	for _, c := range listed {
		set[c>>5] |= 1 << (c & 31)
	}
	b.sets = append(b.sets, set)
	return int32(len(b.sets) - 1), nil
}

func nodeError(node int32, err error) error { return fault.At(fmt.Sprintf("node %d", node), err) }
