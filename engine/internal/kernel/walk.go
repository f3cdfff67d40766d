package kernel

// Node is a node of a tree that is walked. A row's code in column c is codes[c*stride+row]; it goes on to node Next if
// it is at most Code and to Next+1 if it is above. A leaf has the highest Code, which no row exceeds, and leads to
// itself.
//
// With SetNode in Next, the row goes to Next+1 iff its code is in set number Code.
type Node struct {
	Code, Column uint16
	Next         uint32
}

const (
	// SetNode marks a node whose Code is the number of a set.
	SetNode = 1 << 31
	// LeafCode is a leaf's Code.
	LeafCode = 1<<16 - 1
)

// Sets are the sets of codes that SetNodes test. Code c is in set s iff bit c%64 of Members[First[s]+c/64] is set. First
// has at least one element and Members a word that First[0] names, even if there are no sets.
type Sets struct {
	First   []uint32
	Members []uint64
}

// walk finds the leaves of len(at) rows. All rows take a step before any takes the next, so that their steps overlap.
func walk(at []uint32, nodes []Node, codes []uint16, stride, root, depth int) {
	for r := range at {
		at[r] = uint32(root)
	}
	for range depth {
		moved := uint32(0)
		for r, i := range at {
			n := nodes[i]
			next := n.Next + above(codes[int(n.Column)*stride+r], n.Code)
			moved |= next ^ i
			at[r] = next
		}
		if moved == 0 {
			return
		}
	}
}

// above is 1 if a > b, else 0.
func above(a, b uint16) uint32 { return (uint32(b) - uint32(a)) >> 31 }

// walkSets is walk with nodes of both kinds, without branches on the kind.
func walkSets(at []uint32, nodes []Node, sets *Sets, codes []uint16, stride, root, depth int) {
	for r := range at {
		at[r] = uint32(root)
	}
	for range depth {
		moved := uint32(0)
		for r, i := range at {
			n := nodes[i]
			c := codes[int(n.Column)*stride+r]
			isSet := uint32(int32(n.Next) >> 31) // all bits or none
			word := sets.First[uint32(n.Code)&isSet] + uint32(c>>6)&isSet
			in := uint32(sets.Members[word]>>(c&63)) & 1
			right := above(c, n.Code)
			next := n.Next&^SetNode + (right ^ (right^in)&isSet)
			moved |= next ^ i
			at[r] = next
		}
		if moved == 0 {
			return
		}
	}
}
