// Package numbering gives the leaves of a decision tree numbers that words of rows compute with few operations.
//
// A leaf's number has as few bits as the tree has leaves for, and each row's bits are found from the tree's splits, a word
// of rows each (see package kernel). The numbers are chosen top-down: the leaves are halved by one separator, a word that
// is clear for the leaves of one half and set for those of the other; each half is halved again by a separator that only
// needs to be right for its own leaves; and so on. So any tree becomes a complete tree of separators, of as many levels as
// a number has bits, and kernel.Table.Trees evaluates those in registers.
//
// Mostly a separator is a split of the tree as it is. Where halves need several subtrees, it takes a few operations along
// the path to them; a dynamic program over the tree with all other leaves taken out finds the fewest. On a LightGBM
// model of 31 leaves a tree takes 16 operations and a complete tree of 5 levels, 95 cycles for 512 rows; numbers in aligned
// blocks take 62 operations, 243 cycles; leaves counted from left to right 80 operations.
package numbering

import (
	"math/bits"
	"slices"
)

// Word is what decides a row: a split's word by the number of its node, False, True, or step i as Steps-i.
type Word int32

// Words that are no split's: those from Steps down are the results of steps.
const (
	False Word = -1 - iota
	True
	Steps
)

// Step makes a word: Right's rows where Split is set, Left's elsewhere. Left and Right are neither equal nor False and True.
type Step struct{ Split, Left, Right Word }

// Plan is a tree's numbering.
type Plan struct {
	// Bits is the number of bits of a leaf's number.
	Bits int
	// Numbers are the numbers of the leaves, all different and below 1<<Bits.
	Numbers []uint16
	// Steps are to be carried out in order; they may use the results of earlier ones.
	Steps []Step
	// Separators are a complete tree of Bits levels: the root is element 1, the children of i are 2*i for rows that the
	// word has not and 2*i+1 for those that it has. A row ends below the last level at its leaf's number, plus 1<<Bits.
	// Words that decide nothing are False.
	Separators []Word
}

// New numbers the leaves of a tree of at least one node. Node 0 is the root; a child that is not negative is a node, any
// other one is leaf ^child. All nodes and leaves are below the root, and leaves are at most 1<<16; but time and memory grow
// with the square of their number: 8 us for 31 leaves, 80 us for 255.
func New(children [][2]int32) *Plan {
	var b Builder
	return b.New(children)
}

// New is the function New with the builder's memory. The plan keeps none of it.
func (b *Builder) New(children [][2]int32) *Plan {
	b.plan = &Plan{Bits: bits.Len(uint(len(children)))}
	b.plan.Numbers = make([]uint16, len(children)+1)
	b.plan.Separators = make([]Word, 1<<b.plan.Bits)
	for i := range b.plan.Separators {
		b.plan.Separators[i] = False
	}
	b.subtrees = slices.Grow(b.subtrees[:0], 4*len(children)+2)
	b.halve(b.add(children, 0), b.plan.Bits, 1)
	return b.plan
}

// PostOrder appends the separators of the complete tree of that many levels below and at element i to dst: all of the left
// subtree, all of the right one, the element itself.
func (p *Plan) PostOrder(dst []Word, i, levels int) []Word {
	if levels > 1 {
		dst = p.PostOrder(dst, 2*i, levels-1)
		dst = p.PostOrder(dst, 2*i+1, levels-1)
	}
	return append(dst, p.Separators[i])
}
