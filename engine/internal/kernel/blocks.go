package kernel

// Deep trees are walked several levels at a time. A block of l levels is 2^l-1 nodes in heap order: the children of node i
// are nodes 2i and 2i+1, the root is node 1. It is 2^l columns, 2^l codes, and 2^l exits. A row goes right at node i iff
// its code in column i is above code i. All outcomes of a row in a block are one permutation of the register that holds
// its codes and one comparison. A row leaves a block by the exit that its outcomes lead to, from left to right.
//
// An exit is a leaf's number << ItemShift, or ItemBlock plus a block's number << ItemShift. With a row below it, it is an
// item: what is handed on from block to block.
//
// With Shifted codes, a column of a node may have ShiftColumn: it compares a row's code plus 1, so that the highest code
// counts as 0 there. This way the code of NaN, the highest, serves nodes of both kinds.
const (
	RootLevels  = 5
	RootSlots   = 1 << RootLevels
	StepLevels  = 3
	StepSlots   = 1 << StepLevels
	ItemShift   = 9       // items have rows below MaxItems
	ItemBlock   = 1 << 31 // the item is at a block, else at a leaf
	MaxItems    = 1 << ItemShift
	ItemSlack   = 16                    // elements that may be written after the last item
	MaxExit     = 1 << (31 - ItemShift) // blocks or leaves of a tree
	ShiftColumn = 1 << 15
)

// Codes says how rows of codes look.
type Codes struct {
	Rows    []uint16 // row-major
	Width   int      // codes of a row: 32 or 64
	Shifted bool
}

// Walk is the working memory of WalkBlocks and WalkPair, and their result.
type Walk struct {
	Items   [MaxItems + ItemSlack]uint32 // WalkBlocks: an item at a leaf for every row, in any order
	Numbers [MaxItems]uint32             // WalkPair: leaf numbers by row
	active  [MaxItems]uint32             // items at blocks
	bits    [MaxItems]uint32             // outcomes
}

// rowMajor is Table.RowMajor.
func rowMajor(dst, codes []uint16, stride, width, columns, rows int) {
	for c := range columns {
		for r, x := range codes[c*stride:][:rows] {
			dst[r*width+c] = x
		}
	}
}

// recode is Table.Recode.
func recode(dst, src []uint16, from, to uint16) {
	dst = dst[:len(src)]
	for i, x := range src {
		if x == from {
			x = to
		}
		dst[i] = x
	}
}

// exit is the place below a block of l levels, in heap order, to which a row's outcomes lead.
func exit(block []uint32, l int, c *Codes, row int) uint32 {
	codes := c.Rows[row*c.Width:][:c.Width]
	half := 1 << l / 2
	i := uint32(1)
	for range l {
		shift := 16 * (i % 2)
		column, limit := uint16(block[i/2]>>shift), uint16(block[half+int(i/2)]>>shift)
		x := codes[int(column)%len(codes)]
		if c.Shifted {
			x += column >> 15
		}
		i = 2*i + above(x, limit)
	}
	return i
}

func walkBlocks(w *Walk, n int, root, steps []uint32, c *Codes) {
	active, ended := 0, 0
	put := func(to uint32, row int) {
		if to&ItemBlock != 0 {
			w.active[active%MaxItems] = to | uint32(row)
			active++
			return
		}
		w.Items[ended] = to | uint32(row)
		ended++
	}
	for r := range n {
		put(root[exit(root, RootLevels, c, r)], r)
	}
	for active > 0 {
		n, active = active, 0
		for _, item := range w.active[:n] {
			b, r := item&^ItemBlock>>ItemShift, int(item%MaxItems)
			block := steps[b*2*StepSlots:][: 2*StepSlots : 2*StepSlots]
			put(block[exit(block, StepLevels, c, r)], r)
		}
	}
}

func walkPair(w *Walk, n int, blocks []uint32, c *Codes) {
	for r := range w.Numbers[:n] {
		p := exit(blocks, RootLevels, c, r) - RootSlots
		q := exit(blocks[(1+p)*RootSlots:], RootLevels, c, r) - RootSlots
		w.Numbers[r] = p*RootSlots + q
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
