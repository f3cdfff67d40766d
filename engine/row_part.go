package engine

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// rowPart is a run of trees of one shape, all with vector leaves or all of one output.
type rowPart struct {
	kind    rowKind
	vector  bool
	output  int
	offsets []uint32 // of the leaf values, by tree
	depth   float64  // mean depth of leaves, for the cost

	nodes  []uint8  // rowFlat, rowHeap: columns and cuts, see kernel.RowTable.Outcomes
	words  int      // rowFlat, rowHeap: outcome words
	left   []uint32 // rowFlat: see kernel.RowTable.Flat
	places []uint8  // rowHeap: see kernel.RowTable.Heap

	blocks []uint8  // rowBlocks: see kernel.RowTable.Blocks
	starts []uint64 //
	levels int      //

	first int // rowWalk: the first tree in rowWalks
}

// rowKind is the shape of a part's trees.
type rowKind uint8

const (
	rowFlat   rowKind = iota // up to kernel.FlatLeaves leaves
	rowHeap                  // up to kernel.HeapDepth levels
	rowBlocks                // up to maxCodedLeaves leaves
	rowWalk                  // any other, and all where the tier has no kernels for the others
	rowKinds
)

const maxCodedLeaves = 256

// codable reports whether a tree's kind may be another one than rowWalk.
func codable(t *forest.Tree) bool {
	return t.NumLeaves() <= maxCodedLeaves &&
		!slices.ContainsFunc(t.Nodes, func(n forest.Node) bool { return n.Op >= forest.InSet })
}

// rowRun is a part before it is built.
type rowRun struct {
	kind  rowKind
	trees []int
}

// rowOrder sorts trees by output, as far as that changes no sum: outputs are independent, but a tree with vector leaves
// adds to all.
func rowOrder(trees []forest.Tree) []int {
	order := make([]int, len(trees))
	for i := range order {
		order[i] = i
	}
	for from := 0; from < len(trees); {
		to := from + 1
		for to < len(trees) && trees[to].Vector == trees[from].Vector {
			to++
		}
		if !trees[from].Vector {
			slices.SortStableFunc(order[from:to], func(a, b int) int { return cmp.Compare(trees[a].Output, trees[b].Output) })
		}
		from = to
	}
	return order
}

// rowRuns divides trees into parts. Each tree's kind is the fastest that suits it; a few trees between others join a
// neighbour whose kind suits them too.
func rowRuns(trees []forest.Tree, order, coded []int) []rowRun {
	suits := make([][rowKinds]bool, len(trees))
	for _, i := range coded {
		t := &trees[i]
		suits[i] = [rowKinds]bool{
			rowFlat:   t.NumLeaves() <= kernel.FlatLeaves,
			rowHeap:   t.NumLeaves() <= kernel.HeapLeaves && treeDepth(t) <= kernel.HeapDepth,
			rowBlocks: true,
		}
	}
	var runs []rowRun
	for _, i := range order {
		suits[i][rowWalk] = true
		kind := rowFlat
		for !suits[i][kind] {
			kind++
		}
		if n := len(runs); n > 0 && runs[n-1].kind == kind && joined(trees, runs[n-1].trees[0], i) {
			runs[n-1].trees = append(runs[n-1].trees, i)
			continue
		}
		runs = append(runs, rowRun{kind, []int{i}})
	}
	all := func(kind rowKind, r rowRun) bool {
		return !slices.ContainsFunc(r.trees, func(i int) bool { return !suits[i][kind] })
	}
	const few = 16
	merged := runs[:0]
	for _, r := range runs {
		if n := len(merged); n > 0 && joined(trees, merged[n-1].trees[0], r.trees[0]) {
			last := &merged[n-1]
			switch {
			case last.kind == r.kind, len(r.trees) < few && all(last.kind, r):
				last.trees = append(last.trees, r.trees...)
				continue
			case len(last.trees) < few && all(r.kind, *last):
				last.kind = r.kind
				last.trees = append(last.trees, r.trees...)
				continue
			}
		}
		merged = append(merged, r)
	}
	var parts []rowRun
	for _, r := range merged {
		for chunk := range slices.Chunk(r.trees, rowTrees) {
			parts = append(parts, rowRun{r.kind, chunk})
		}
	}
	return parts
}

// joined reports whether two trees may be in one part.
func joined(trees []forest.Tree, i, j int) bool {
	a, b := &trees[i], &trees[j]
	return a.Vector == b.Vector && (a.Vector || a.Output == b.Output)
}

// treeDepth is the number of splits on the way to the deepest leaf.
func treeDepth(t *forest.Tree) int {
	depth := make([]int, len(t.Nodes))
	deepest := 0
	for i := range t.Nodes { // children come after their parents
		deepest = max(deepest, depth[i]+1)
		for _, c := range [2]int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			if c >= 0 {
				depth[c] = depth[i] + 1
			}
		}
	}
	return deepest
}

// build lays out the trees of a part.
func (p *rowPart) build(x *rowIndex, flush bool, trees []forest.Tree, part []int, numbers [][]int) {
	n := len(part)
	switch p.kind {
	case rowFlat:
		p.words = (n + 1) / 2
		p.left = kernel.Aligned[uint32](kernel.FlatLeaves * n)
	case rowHeap:
		p.words = (n + 7) &^ 7
		p.places = kernel.Aligned[uint8](kernel.HeapLeaves * p.words)
	}
	p.nodes = kernel.Aligned[uint8](128 * p.words)
	for w := range p.words {
		for i := range 64 {
			p.nodes[128*w+64+i] = 255 // no code is above
		}
	}
	steps, leaves := 0, 0
	for i, at := range part {
		t := &trees[at]
		steps += leafDepths(t)
		leaves += t.NumLeaves()
		put := func(word, bit, node int) {
			column, cut := x.column(newSplit(&t.Nodes[node], flush))
			p.nodes[128*word+bit], p.nodes[128*word+64+bit] = column, cut
		}
		switch p.kind {
		case rowFlat:
			for node := range t.Nodes {
				put(i/2, i%2*kernel.FlatLeaves+node, node)
			}
			flatLeft(t, numbers[at], p.left[kernel.FlatLeaves*i:])
		case rowHeap:
			heapPlaces(t, numbers[at], p.places[kernel.HeapLeaves*i:], func(node, place int) { put(i, place, node) })
		}
	}
	if p.kind == rowBlocks {
		p.buildBlocks(x, flush, trees, part, numbers)
	}
	p.depth = float64(steps) / float64(max(leaves, 1))
}

// leafDepths is the sum of the depths of the leaves.
func leafDepths(t *forest.Tree) int {
	depth := make([]int, len(t.Nodes))
	sum := 0
	for i := range t.Nodes {
		for _, c := range [2]int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			if c >= 0 {
				depth[c] = depth[i] + 1
			} else {
				sum += depth[i] + 1
			}
		}
	}
	return sum
}

// flatLeft writes to left, by leaf number, the nodes whose left child is above the leaf.
func flatLeft(t *forest.Tree, number []int, left []uint32) {
	above := make([]uint32, len(t.Nodes))
	for i := range t.Nodes {
		for side, c := range [2]int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			mask := above[i]
			if side == 0 {
				mask |= 1 << i
			}
			if c >= 0 {
				above[c] = mask
			} else {
				left[number[^c]] = mask
			}
		}
	}
}

// heapPlaces gives every node its place in a heap and every place below the last level the number of its leaf.
func heapPlaces(t *forest.Tree, number []int, places []uint8, put func(node, place int)) {
	if len(t.Nodes) == 0 {
		return
	}
	place := make([]int, len(t.Nodes))
	place[0] = 1
	for i := range t.Nodes {
		put(i, place[i])
		for side, c := range [2]int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			from := 2*place[i] + side
			if c >= 0 {
				place[c] = from
				continue
			}
			to := from + 1
			for from < kernel.HeapLeaves {
				from, to = 2*from, 2*to
			}
			for l := from; l < to; l++ {
				places[l-kernel.HeapLeaves] = uint8(number[^c])
			}
		}
	}
}

// buildBlocks lays the trees out in blocks of as many levels as takes the least memory: blocks of many levels are left
// sooner, but those of lopsided trees are half empty.
func (p *rowPart) buildBlocks(x *rowIndex, flush bool, trees []forest.Tree, part []int, numbers [][]int) {
	best := *p
	columns := make([][][2]uint8, len(part)) // and cuts, by tree and node
	for i, at := range part {
		columns[i] = make([][2]uint8, len(trees[at].Nodes))
		for j := range columns[i] {
			column, cut := x.column(newSplit(&trees[at].Nodes[j], flush))
			columns[i][j] = [2]uint8{column, cut}
		}
	}
	for levels := kernel.MaxBlockLevels; levels >= kernel.MinBlockLevels; levels-- {
		try := *p
		try.levels = levels
		for i, at := range part {
			try.addBlocks(&trees[at], columns[i], numbers[at])
		}
		if best.blocks == nil || len(try.blocks) < len(best.blocks) {
			best = try
		}
	}
	*p = best
	p.blocks = kernel.Aligned[uint8](len(best.blocks))
	copy(p.blocks, best.blocks)
}

// addBlocks appends a tree's blocks, level by level.
func (p *rowPart) addBlocks(t *forest.Tree, columns [][2]uint8, number []int) {
	p.starts = append(p.starts, uint64(len(p.starts))<<32|uint64(len(p.blocks)))
	queue := []int32{0}
	if len(t.Nodes) == 0 {
		queue[0] = ^0
	}
	n := 1 << p.levels
	for i := 0; i < len(queue); i++ {
		p.blocks = append(p.blocks, make([]uint8, 4*n)...)
		block := p.blocks[len(p.blocks)-4*n:]
		var heap [2 << kernel.MaxBlockLevels]int32 // children by place; those below a leaf are the leaf
		heap[1] = queue[i]
		for place := 1; place < n; place++ {
			at := heap[place]
			heap[2*place], heap[2*place+1] = at, at
			block[n+place] = 255 // no code is above
			if at >= 0 {
				node := &t.Nodes[at]
				block[place], block[n+place] = columns[at][0], columns[at][1]
				heap[2*place], heap[2*place+1] = node.Left, node.Right
			}
		}
		for e, at := range heap[n : 2*n] {
			var exit int
			if at < 0 {
				exit = number[^at]
			} else {
				exit = kernel.RowBlockOn + 4*n*(len(queue)-i)
				queue = append(queue, at)
			}
			binary.LittleEndian.PutUint16(block[2*n+2*e:], uint16(exit))
		}
	}
}
