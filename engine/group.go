package engine

import (
	"fmt"
	"slices"

	"github.com/treeline-ml/treeline/forest"
)

// nextGroup compiles the first group of trees and returns how many trees it has.
func nextGroup[F float](m *forest.Model, trees []forest.Tree, k *kernels[F], c kernelChoice) (int, group[F]) {
	small := c != deepOnly && smallTree(m, &trees[0])
	distinct := make(map[split]uint32)
	var all []split      // the distinct ones
	var nodes [][]uint32 // by tree and node: its place among them
	n := 0
	for n < len(trees) && (c != deepOnly && smallTree(m, &trees[n])) == small {
		if small {
			if n > 0 && len(distinct)+len(trees[n].Nodes) > maxMasks {
				break
			}
			own := make([]uint32, len(trees[n].Nodes))
			for i := range own {
				s := newSplit(&trees[n].Nodes[i], m.Arithmetic.FlushZero)
				at, ok := distinct[s]
				if !ok {
					at = uint32(len(all))
					distinct[s] = at
					all = append(all, s)
				}
				own[i] = at
			}
			nodes = append(nodes, own)
		}
		n++
	}
	deep := func(why string) (int, group[F]) {
		return n, group[F]{trees: n, why: why, deep: newDeepGroup[F](m, trees[:n], k.Table)}
	}
	switch {
	case c == deepOnly:
		return deep("as asked")
	case !small:
		return deep(fmt.Sprintf("more than %d leaves, or very many categories", maxBitLeaves))
	}
	var g *bitGroup[F]
	plan, ids, ok := planMasks(m, slices.Clone(all), k.Table)
	if ok {
		words := make([]uint16, len(all))
		for i, s := range all {
			words[i] = uint16(ids[s])
		}
		masks := make([][]uint16, n)
		for i, own := range nodes {
			masks[i] = make([]uint16, len(own))
			for j, at := range own {
				masks[i][j] = words[at]
			}
		}
		g = newBitGroup(trees[:n], plan, masks, m.Outputs, k)
	}
	switch {
	case g == nil && n > 1:
		return nextGroup(m, trees[:n/2], k, c)
	case g == nil:
		return deep("more distinct splits than bits are kept for")
	}
	return n, group[F]{
		trees: n, bits: g,
		why: fmt.Sprintf("%d splits, %d operations for %d rows", plan.size, g.operations(), k.Rows()),
	}
}

// smallTree reports whether a tree can be evaluated by masks.
func smallTree(m *forest.Model, t *forest.Tree) bool {
	if t.NumLeaves() > maxBitLeaves {
		return false
	}
	for i := range t.Nodes {
		if !maskable(m, newSplit(&t.Nodes[i], m.Arithmetic.FlushZero)) {
			return false
		}
	}
	return true
}

// operations is the number of operations that find the leaf numbers of a block.
func (g *bitGroup[F]) operations() int {
	return len(g.steps) + len(g.complete) + len(g.joins) // a complete tree takes as many as it has splits, nearly
}

// blockCost estimates what a block takes, however few its rows.
func blockCost[F float](g *bitGroup[F]) float64 {
	return costMask*float64(g.plan.size) + costBitOp*float64(g.operations()) + costBitTree*float64(len(g.trees)) +
		costRank*float64(len(g.plan.numeric)+len(g.plan.sets))
}

// passCost estimates what a pass takes, however few its rows.
func (g *deepGroup[F]) passCost(trees []forest.Tree) float64 {
	cost := costDeepTree * float64(len(trees))
	if g.rows > deepBatch {
		for i := range trees {
			cost += costDeepNode * float64(len(trees[i].Nodes))
		}
	}
	return cost
}

// size settles how many rows are scored in a pass, and which are few.
func (m *machine[F]) size(trees []forest.Tree) {
	rows := m.k.Rows()
	cost, onlyDeep := 0.0, true
	m.chunk = rows
	first := 0
	for i := range m.groups {
		group := &m.groups[i]
		if g := group.deep; g != nil {
			m.chunk = max(m.chunk, (g.rows+rows-1)/rows*rows)
			cost += g.passCost(trees[first : first+group.trees])
		} else {
			onlyDeep = false
			m.words = max(m.words, group.bits.words)
			cost += blockCost(group.bits)
		}
		first += group.trees
	}
	m.blocks, m.plain = layout{rows, m.k.order}, layout{m.chunk, &inOrder}
	if onlyDeep {
		m.blocks = m.plain
	}
	if m.single != nil {
		m.few = min(max(1, int(cost/m.single.cost())), rows-1)
	}
}
