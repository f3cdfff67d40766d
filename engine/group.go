package engine

import (
	"fmt"
	"math"

	"github.com/treeline-ml/treeline/forest"
)

// nextGroup compiles the first group of trees and returns how many trees it has.
func nextGroup[F float](m *forest.Model, trees []forest.Tree, l *leafTable[F], k *kernels[F], c kernelChoice) (int, group[F]) {
	small := c != walksOnly && smallTree(m, &trees[0])
	distinct := make(map[split]struct{})
	n := 0
	for n < len(trees) && (c != walksOnly && smallTree(m, &trees[n])) == small {
		if small {
			if n > 0 && len(distinct)+len(trees[n].Nodes) > maxMasks {
				break
			}
			for i := range trees[n].Nodes {
				distinct[newSplit(&trees[n].Nodes[i], m.Arithmetic.FlushZero)] = struct{}{}
			}
		}
		n++
	}
	walk := func(why string) (int, group[F]) {
		return n, group[F]{trees: n, why: why, walk: newWalkGroup(m, trees[:n], l.slice(0, n))}
	}
	switch {
	case c == walksOnly:
		return walk("as asked")
	case !small:
		return walk("too large for masks")
	}
	all := make([]split, 0, len(distinct))
	for s := range distinct {
		all = append(all, s)
	}
	plan, ids, ok := planMasks(m, all)
	if !ok && n > 1 {
		return nextGroup(m, trees[:n/2], l, k, c)
	}
	if !ok {
		return walk("more distinct values than masks can tell apart")
	}
	g := newBitGroup(m, trees[:n], plan, ids, k)
	if g == nil && n > 1 {
		return nextGroup(m, trees[:n/2], l, k, c)
	}
	if g == nil {
		return walk("too many splits for masks")
	}
	return n, group[F]{trees: n, why: fmt.Sprintf("%d masks, %d operations for %d rows", plan.size, len(g.ops), k.Rows()), bits: g}
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

// blockCost estimates what a block takes, however few its rows.
func blockCost[F float](g *bitGroup[F]) float64 {
	return costMask*float64(g.plan.size) + costBitOp*float64(len(g.ops)) + costBitTree*float64(len(g.trees)) +
		costRank*float64(len(g.plan.numeric)+len(g.plan.sets))
}

// walkCost estimates what walks take for a row.
func walkCost(m *forest.Model, trees []forest.Tree) float64 {
	cost := 0.0
	features := make(map[int32]struct{})
	for i := range trees {
		t := &trees[i]
		depth := make([]int, len(t.Nodes))
		sum, mixed := 0, false
		for j := range t.Nodes {
			n := &t.Nodes[j]
			features[n.Feature] = struct{}{}
			mixed = mixed || n.Op >= forest.InSet
			for _, c := range [2]int32{n.Left, n.Right} {
				if c >= 0 {
					depth[c] = depth[j] + 1
				} else {
					sum += depth[j] + 1
				}
			}
		}
		steps := costWalkStep * float64(sum) / float64(t.NumLeaves())
		if mixed {
			steps *= mixedFactor
		}
		cost += costWalkTree + steps
	}
	return cost + costKey*float64(len(features))
}

// size settles how many rows are scored in a pass, and which are few.
func (m *machine[F]) size(f *forest.Model, trees []forest.Tree, l *leafTable[F], c kernelChoice) {
	byMasks := 0.0
	for i := range m.groups {
		g := &m.groups[i]
		if g.walk != nil {
			m.chunk = min(m.chunk, g.walk.chunk())
		} else {
			m.words = max(m.words, g.bits.words)
			byMasks += blockCost(g.bits)
		}
	}
	for i := range m.groups {
		if g := m.groups[i].walk; g != nil {
			m.keys = max(m.keys, m.chunk*g.stride)
		}
	}
	if byMasks == 0 || c == bitsOnly {
		return
	}
	if len(m.groups) == 1 {
		m.few = int(math.Min(byMasks/walkCost(f, trees), word-1))
	}
	m.few = max(m.few, 1)
	m.every = newWalkGroup(f, trees, l)
	m.few = min(m.few, max(1, m.every.chunk()))
	m.keys = max(m.keys, m.few*m.every.stride)
}
