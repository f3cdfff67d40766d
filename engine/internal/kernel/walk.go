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
	// LeafCode is a leaf's Code, and no other node's.
	LeafCode = 1<<16 - 1
	// MemberSlack is the number of words of a set of all codes.
	MemberSlack = 1 << 10
)

// Sets are the sets of codes that SetNodes test. Code c is in set s iff bit c%64 of Members[First[s]+c/64] is set. First
// has at least one element, and there are at least MemberSlack words of Members from each on: any code may be looked up.
type Sets struct {
	First   []uint32
	Members []uint64
}

// walk finds the leaves of len(at) <= MaxItems rows. All rows take a step before any takes the next, so that their steps
// overlap. In deep trees, those that have come to a leaf are taken out now and then.
func walk(at []uint32, nodes []Node, codes []uint16, stride, root, depth int) {
	for r := range at {
		at[r] = uint32(root)
	}
	for range min(depth, firstSteps) {
		for r, i := range at {
			d := nodes[i]
			at[r] = d.Next + above(codes[int(d.Column)*stride+r], d.Code)
		}
	}
	if depth > firstSteps {
		walkOn(at, nodes, codes, stride, depth-firstSteps)
	}
}

const (
	firstSteps = 12 // of all rows
	moreSteps  = 6  // before rows at leaves are taken out
)

// walkOn is the rest of a walk.
func walkOn(at []uint32, nodes []Node, codes []uint16, stride, depth int) {
	var rows [MaxItems]uint16
	for ; depth > 0; depth -= moreSteps {
		n := 0
		for r, i := range at {
			rows[n%MaxItems] = uint16(r)
			n += one(nodes[i].Next != i)
		}
		if n == 0 {
			return
		}
		for range min(depth, moreSteps) {
			for _, r := range rows[:n] {
				d := nodes[at[r]]
				at[r] = d.Next + above(codes[int(d.Column)*stride+int(r)], d.Code)
			}
		}
	}
}

// above is 1 if a > b, else 0.
func above(a, b uint16) uint32 { return (uint32(b) - uint32(a)) >> 31 }

// walkSets is walk with nodes of both kinds.
func walkSets(at []uint32, nodes []Node, sets *Sets, codes []uint16, stride, root, depth int) {
	for r := range at {
		at[r] = uint32(root)
	}
	for range min(depth, firstSteps) {
		for r, i := range at {
			d := nodes[i]
			at[r] = stepSets(d, codes[int(d.Column)*stride+r], sets)
		}
	}
	var rows [MaxItems]uint16
	for depth -= firstSteps; depth > 0; depth -= moreSteps {
		n := 0
		for r, i := range at {
			rows[n%MaxItems] = uint16(r)
			n += one(nodes[i].Next != i)
		}
		if n == 0 {
			return
		}
		for range min(depth, moreSteps) {
			for _, r := range rows[:n] {
				d := nodes[at[r]]
				at[r] = stepSets(d, codes[int(d.Column)*stride+int(r)], sets)
			}
		}
	}
}

// stepSets is one step, without branches on the kind of node.
func stepSets(d Node, c uint16, sets *Sets) uint32 {
	isSet := uint32(int32(d.Next) >> 31) // all bits or none
	word := sets.First[uint32(d.Code)&isSet] + uint32(c>>6)&isSet
	in := uint32(sets.Members[word]>>(c&63)) & 1
	right := above(c, d.Code)
	return d.Next&^SetNode + (right ^ (right^in)&isSet)
}
