package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/treeline-ml/treeline/forest"
)

// nextGroup compiles the first group of trees and returns how many trees it has.
func nextGroup[F float](m *forest.Model, trees []forest.Tree, l *leafTable[F], c kernelChoice) (int, group[F]) {
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
	l = l.slice(0, n)
	walk := func(why string) group[F] {
		return group[F]{trees: n, why: why, walk: newWalkGroup(m, trees[:n], l)}
	}
	switch {
	case c == walksOnly:
		return n, walk("as asked")
	case !small:
		return n, walk("too large for masks")
	}
	all := make([]split, 0, len(distinct))
	for s := range distinct {
		all = append(all, s)
	}
	plan, ids, ok := planMasks(m, all)
	if !ok {
		return n, walk("more distinct values than masks can tell apart")
	}
	byMasks, byWalk := maskCost(plan, trees[:n]), walkCost(m, trees[:n])
	why := fmt.Sprintf("%d masks, %.0f against %.0f ns a row by walk", plan.size, byMasks/word, byWalk)
	if c == anyKernel && byMasks > word*byWalk {
		return n, walk(fmt.Sprintf("%d masks would take %.0f against %.0f ns a row", plan.size, byMasks/word, byWalk))
	}
	return n, group[F]{trees: n, why: why, bits: newBitGroup(m, trees[:n], plan, ids, l)}
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

// newBitGroup compiles trees whose masks are planned.
func newBitGroup[F float](m *forest.Model, trees []forest.Tree, plan *maskPlan, ids map[split]uint32, l *leafTable[F]) *bitGroup[F] {
	g := &bitGroup[F]{plan: plan, leaves: l.values, spread: newSpread()}
	var masks []uint32
	for i := range trees {
		t := &trees[i]
		masks = masks[:0]
		for j := range t.Nodes {
			masks = append(masks, ids[newSplit(&t.Nodes[j], m.Arithmetic.FlushZero)])
		}
		bt := newBitTree(t, masks, l.numbers[i])
		bt.leaves = l.offsets[i]
		g.trees = append(g.trees, bt)
	}
	// Only trees of one output are summed in one go. Outputs are independent, so their trees may be regrouped, but not
	// across a tree with vector leaves, which adds to all.
	for from := 0; from < len(g.trees); {
		to := from + 1
		for to < len(g.trees) && g.trees[to].vector == g.trees[from].vector {
			to++
		}
		if !g.trees[from].vector {
			slices.SortStableFunc(g.trees[from:to], func(a, b bitTree) int { return a.output - b.output })
		}
		from = to
	}
	return g
}

// maskCost estimates what masks take for 64 rows.
func maskCost(p *maskPlan, trees []forest.Tree) float64 {
	cost := costMask * float64(p.size)
	cost += costRank * word * float64(len(p.numeric)+len(p.sets))
	for i := range trees {
		cost += costBitTree + costBitNode*float64(len(trees[i].Nodes))
	}
	return cost
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

// treeCounts returns the number of trees that add to each output.
func treeCounts[F float](trees []forest.Tree, outputs int) []F {
	counts := make([]F, outputs)
	for i := range trees {
		if !trees[i].Vector {
			counts[trees[i].Output]++
			continue
		}
		for k := range counts {
			counts[k]++
		}
	}
	return counts
}

// size settles how many rows are scored in a pass, and which are few.
func (m *machine[F]) size(f *forest.Model, trees []forest.Tree, l *leafTable[F], c kernelChoice) {
	byMasks := 0.0
	at := 0
	for i := range m.groups {
		g := &m.groups[i]
		if g.walk != nil {
			m.chunk = min(m.chunk, g.walk.chunk())
		} else {
			m.masks = max(m.masks, g.bits.plan.size)
			byMasks += maskCost(g.bits.plan, trees[at:at+g.trees])
		}
		at += g.trees
	}
	for i := range m.groups {
		if g := m.groups[i].walk; g != nil {
			m.keys = max(m.keys, m.chunk*g.stride)
		}
	}
	if byMasks == 0 || c == masksOnly {
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

// rows is the number of rows that are worth a goroutine's turn.
func (m *machine[F]) rows() int { return max(m.chunk, word) }
