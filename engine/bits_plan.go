package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/engine/internal/numbering"
)

// bitPlanner writes what finds the leaf numbers of trees: operations that make the trees complete ones of separators
// (package numbering), complete trees, and the operations that join those of a tree with more than MaxTreeDepth levels.
type bitPlanner struct {
	steps    []kernel.Op
	complete []uint16
	joins    []kernel.Op
	rounds   []bitRound
	next     int // first free slot of the round
	end      int // first slot that was never used
}

// bitRound is a few trees of as many bits, whose slots stay in the first-level cache.
type bitRound struct {
	steps, complete, joins int // ends of what is carried out, in this order
	depth                  int // of the complete trees
}

// roundTrees is the number of trees of a round.
func roundTrees(bits int) int {
	switch {
	case bits <= 5:
		return 8
	case bits == 6:
		return 4
	default:
		return 2
	}
}

// round plans trees of equal bits: leaves gets their planes. Slots from first on are free.
func (b *bitPlanner) round(trees []numbered, leaves []kernel.Leaves, first int) {
	b.next = first
	for i, t := range trees {
		if t.plan.Bits > 0 {
			x := bitTree{b: b, numbered: t}
			x.carryOut()
			copy(leaves[i].Planes[:], x.node(1, t.plan.Bits, t.out))
		}
	}
	b.end = max(b.end, b.next)
	b.rounds = append(b.rounds, bitRound{
		steps: len(b.steps), complete: len(b.complete), joins: len(b.joins), depth: min(trees[0].plan.Bits, kernel.MaxTreeDepth),
	})
}

// take returns the first of n free slots.
func (b *bitPlanner) take(n int) int {
	b.next += n
	return b.next - n
}

// bitTree is a tree that is being planned.
type bitTree struct {
	numbered
	b     *bitPlanner
	slots []int // of its steps
}

// carryOut writes the tree's steps.
func (t *bitTree) carryOut() {
	for i, s := range t.plan.Steps {
		var slot int
		if t.plan.Separators[1] == numbering.Steps-numbering.Word(i) {
			slot = t.out + t.plan.Bits - 1 // it is the highest plane too, and must outlive the round
		} else {
			slot = t.b.take(1)
		}
		t.slots = append(t.slots, slot)
		t.b.steps = append(t.b.steps, kernel.Op{A: t.word(s.Left), B: t.word(s.Right), Mask: t.word(s.Split), Dst: uint16(slot)})
	}
}

// word returns the word of the arena.
func (t *bitTree) word(w numbering.Word) uint16 {
	switch {
	case w >= 0:
		return t.masks[w]
	case w == numbering.False:
		return noRows
	case w == numbering.True:
		return allRows
	}
	return uint16(t.slots[numbering.Steps-w])
}

// node returns the planes of the complete tree of that many levels below separator i, whose words from out on may be
// written: all but the highest.
func (t *bitTree) node(i, levels, out int) []uint16 {
	planes := make([]uint16, levels)
	for p := range planes {
		planes[p] = uint16(out + p)
	}
	planes[levels-1] = t.word(t.plan.Separators[i])
	switch {
	case levels == 1 || t.oblivious(i, planes):
	case levels <= kernel.MaxTreeDepth:
		for _, w := range t.plan.PostOrder(nil, i, levels) {
			t.b.complete = append(t.b.complete, t.word(w))
		}
		t.b.complete = append(t.b.complete, uint16(out))
	default:
		left := t.node(2*i, levels-1, t.b.take(levels-2))
		right := t.node(2*i+1, levels-1, t.b.take(levels-2))
		for p := range levels - 1 {
			t.b.joins = append(t.b.joins, kernel.Op{A: left[p], B: right[p], Mask: planes[levels-1], Dst: planes[p]})
		}
	}
	return planes
}

// oblivious reports whether all separators of a level below i are one split, as CatBoost's trees have them. Then planes
// become those splits' words: nothing has to be done for them.
func (t *bitTree) oblivious(i int, planes []uint16) bool {
	levels := len(planes)
	words := make([]uint16, levels)
	for l := range levels {
		first := i << l
		words[levels-1-l] = t.word(t.plan.Separators[first])
		for _, w := range t.plan.Separators[first : first+1<<l] {
			// Words of steps do not outlive the round.
			if w <= numbering.Steps || t.word(w) != words[levels-1-l] {
				return false
			}
		}
	}
	copy(planes, words)
	return true
}
