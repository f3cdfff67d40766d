package kernel

// Deep trees are walked five levels at a time. A block is the 31 nodes of five levels in heap order: the children of
// node i are nodes 2i and 2i+1, the root is node 1. It has BlockSlots columns, then BlockSlots codes; a row goes right at
// node i iff its code in column i is above code i. All outcomes of a row in a block are one gather of its codes from a
// register and one comparison. A row leaves a block by one of BlockSlots exits; exit p is where the lowest level's
// outcomes lead that are the bits of p, the root's first.
//
// An exit is a leaf's number << ItemShift, or ItemBlock plus a block's number << ItemShift. With a row below it, it is an
// item: what WalkRoot and WalkStep hand on.
const (
	BlockLevels = 5
	BlockSlots  = 1 << BlockLevels
	ItemShift   = 9       // items have rows below MaxItems
	ItemBlock   = 1 << 31 // the item is at a block, else at a leaf
	MaxItems    = 1 << ItemShift
	ItemSlack   = 16                    // elements that may be written after the last item
	MaxExit     = 1 << (31 - ItemShift) // blocks or leaves of a tree
)

// Blocks is a tree. Nodes has 2*BlockSlots elements a block, Exits BlockSlots.
type Blocks struct {
	Nodes []uint16
	Exits []uint32
}

// rowMajor is Table.RowMajor.
func rowMajor(dst, codes []uint16, stride, width, columns, rows int) {
	for c := range columns {
		for r, x := range codes[c*stride:][:rows] {
			dst[r*width+c] = x
		}
	}
}

// outcomes is the bit set of a block's nodes at which the row goes right.
func outcomes(block, row []uint16) uint32 {
	b := uint32(0)
	codes := (*[BlockSlots]uint16)(block[BlockSlots:])
	for i, c := range block[:BlockSlots] {
		b |= above(row[c], codes[i]) << i
	}
	return b
}

// path is the exit that outcomes lead to.
func path(outcomes uint32) uint32 {
	i := uint32(1)
	for range BlockLevels {
		i = 2*i + outcomes>>i&1
	}
	return i - BlockSlots
}

func block(nodes []uint16, i uint32) []uint16 {
	return nodes[int(i)*2*BlockSlots:][: 2*BlockSlots : 2*BlockSlots]
}

// Walk is the working memory of WalkBlocks and WalkPair, and their result.
type Walk struct {
	Items   [MaxItems + ItemSlack]uint32 // WalkBlocks: an item at a leaf for every row, in any order
	Numbers [MaxItems]uint32             // WalkPair: leaf numbers by row
	active  [MaxItems]uint32             // items at blocks
	bits    [MaxItems]uint32             // outcomes
}

// Each tier has its own step; a walk ends since a tree has no cycle.
func walkBlocks(w *Walk, n int, t *Blocks, codes []uint16, width int) {
	for r := range n {
		w.active[r%MaxItems] = uint32(r)
	}
	ended := 0
	for n > 0 {
		active := walkStep(w, n, ended, t, codes, width)
		ended += n - active
		n = active
	}
}

func walkStep(w *Walk, n, ended int, t *Blocks, codes []uint16, width int) int {
	active := 0
	for _, item := range w.active[:n] {
		b, r := item&^ItemBlock>>ItemShift, item%MaxItems
		p := path(outcomes(block(t.Nodes, b), codes[int(r)*width:][:width]))
		next := t.Exits[b*BlockSlots+p] | r
		if next&ItemBlock != 0 {
			w.active[active] = next
			active++
			continue
		}
		w.Items[ended] = next
		ended++
	}
	return active
}

func walkPair(w *Walk, n int, nodes, codes []uint16, width int) {
	for r := range w.Numbers[:n] {
		row := codes[r*width:][:width]
		p := path(outcomes(block(nodes, 0), row))
		w.Numbers[r] = p*BlockSlots + path(outcomes(block(nodes, 1+p), row))
	}
}

func addItems[F float](acc []F, items []uint32, leaves []F) {
	for _, i := range items {
		acc[i%MaxItems] += leaves[i>>ItemShift]
	}
}

func addLeaves[F float](acc []F, numbers []uint32, leaves []F) {
	acc = acc[:len(numbers)]
	for r, i := range numbers {
		acc[r] += leaves[i]
	}
}
