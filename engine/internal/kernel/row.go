package kernel

import (
	"math"
	"slices"
	"unsafe"
)

// Rows one at a time: the row's values become codes of one byte, all nodes of a run of trees are decided at once, and
// a table lookup or a few shifts find each tree's leaf. Trees that this does not suit are walked, several at a time.
const (
	// RowSources is the largest number of sources of a row's codes.
	RowSources = 128
	// RowColumns is the size of a row of codes: source i has column 2*i, in which NaN is 0, and column 2*i+1, in which
	// it is 255.
	RowColumns = 2 * RowSources
	// MaxRowCuts is the largest number of cuts of a source.
	MaxRowCuts = 254
	// FlatLeaves is the largest number of leaves of a flat tree, FlatWord the size of its outcomes in bytes.
	FlatLeaves = 32
	FlatWord   = FlatLeaves / 8
	// HeapLeaves is the largest number of leaves of a heap tree, HeapDepth its depth.
	HeapLeaves = 64
	HeapDepth  = 6
	// MinBlockLevels and MaxBlockLevels bound the levels of a block.
	MinBlockLevels = 3
	MaxBlockLevels = 4
)

// RowCodes is a row of codes.
type RowCodes struct {
	Codes [RowColumns]uint8
	ranks [RowSources]uint8 // codes by source
}

// RowSource ranks one value of a row among up to MaxRowCuts cuts: a tree of up to three levels, eight cuts a node.
type RowSource struct {
	cuts   []float64 // ascending; NaN follows up to a multiple of 8, beyond len
	pivots []float64 // the last cuts of blocks of 64, if there are more than 64, and those of blocks of 8, if more than 8
}

// NewRowSource prepares ascending cuts. It keeps the slice if it has room for the padding, which is written there.
func NewRowSource(cuts []float64) RowSource {
	n := len(cuts)
	s := RowSource{cuts: cuts}
	for range 8 - n%8 {
		cuts = append(cuts, math.NaN())
	}
	s.cuts = cuts[:n]
	last := func(i int) float64 {
		if i < n {
			return cuts[i]
		}
		return math.NaN()
	}
	if n > 64 {
		for k := range 8 {
			s.pivots = append(s.pivots, last(64*k+63))
		}
	}
	if n > 8 {
		for k := range 8 * (n/64 + 1) {
			s.pivots = append(s.pivots, last(8*k+7))
		}
	}
	return s
}

// Share makes the source use the memory of q's cuts if they are the same.
func (s *RowSource) Share(q *Cuts) {
	if slices.Equal(s.cuts, q.cuts[:q.n]) {
		s.cuts = q.cuts[:q.n] // which has the padding too
	}
}

// Cuts returns the cuts.
func (s *RowSource) Cuts() []float64 { return s.cuts }

// Bytes is the source's memory.
func (s *RowSource) Bytes() int { return int(unsafe.Sizeof(*s)) + 8*(len(s.cuts)+8) + 8*len(s.pivots) }

// levels is the height of the source's tree.
func (s *RowSource) levels() int {
	switch n := len(s.cuts); {
	case n > 64:
		return 3
	case n > 8:
		return 2
	default:
		return 1
	}
}

// RowLevels counts sources that must be in ascending order of their number of cuts: those of one level, and those of one or two.
func RowLevels(sources []RowSource) (one, two int) {
	for i := range sources {
		switch sources[i].levels() {
		case 1:
			one++
			two++
		case 2:
			two++
		}
	}
	return one, two
}

// RowTable is a tier's functions for single rows.
type RowTable struct {
	// Codes writes the codes of a row: source i's from values[i], the number of cuts below it. values has RowSources
	// elements. The sources are in the order that RowLevels wants, which gives one and two.
	Codes func(codes *RowCodes, values []float64, sources []RowSource, one, two int)
	// Outcomes decides 64 nodes a word: bit i%64 of out[i/64] is set iff node i goes right. nodes has 128 bytes for
	// each word: 64 columns, all below columns, and 64 cuts; a node goes right iff its column's code is above its cut.
	Outcomes func(out []uint64, nodes []uint8, codes *RowCodes, columns int)

	// Flat writes the leaf numbers of len(numbers) trees of up to 32 leaves. Tree i's outcomes are bits 32*i.. of the
	// outcomes. left has 32 words a tree: bit j of word l is set iff leaf l is to the left of node j. A row's leaf is
	// the first one that is left of no node that went right.
	Flat func(numbers []uint8, outcomes []uint64, left []uint32)
	// FlatSum64 returns acc plus the leaves of len(offsets) such trees, one after the other: leaf l of tree i is
	// leaves[offsets[i]+l].
	FlatSum64 func(acc float64, outcomes []uint64, left, offsets []uint32, leaves []float64) float64
	// FlatSum32 is FlatSum64 for float32.
	FlatSum32 func(acc float32, outcomes []uint64, left, offsets []uint32, leaves []float32) float32

	// Heap writes the leaf numbers of len(numbers) trees of depth HeapDepth at most. Tree i's outcomes are word i:
	// node j's children are 2*j and 2*j+1, the root is 1, and place 64+p, below the last node, is leaf places[64*i+p].
	// len(numbers) is a multiple of 8.
	Heap func(numbers []uint8, outcomes []uint64, places []uint8)

	// Blocks writes the leaf numbers of len(numbers) trees of up to 256 leaves in blocks of so many levels. A block of n
	// places is the columns of its nodes, their cuts, and n exits of 16 bits: 4*n bytes. Node j's children are 2*j and
	// 2*j+1, the root is 1, and place n+e, below the last node, has exit e: a leaf's number, or RowBlockOn plus the
	// distance in bytes to the next block. Tree i is roots[i] = i<<32 plus the offset of its first block. items has room
	// for len(roots) elements, places for the next multiple of 32.
	Blocks func(numbers, blocks []uint8, levels int, roots, items []uint64, places []uint16, codes *RowCodes, columns int)

	// AtOnce is set where these functions are faster than walking the trees.
	AtOnce bool
}

// RowBlockOn marks an exit that leads to another block.
const RowBlockOn = 1 << 15

// newPortableRow returns the pure Go functions.
func newPortableRow() RowTable {
	return RowTable{
		Codes: rowCodes, Outcomes: rowOutcomes, Flat: rowFlat, FlatSum64: rowFlatSum[float64], FlatSum32: rowFlatSum[float32],
		Heap: rowHeap, Blocks: rowBlocks,
	}
}

func rowCodes(codes *RowCodes, values []float64, sources []RowSource, _, _ int) {
	for i := range sources {
		cuts := sources[i].cuts
		x := values[i]
		k := 0
		for n := len(cuts); n > 0; {
			half := (n + 1) >> 1
			k += half & -one(x > cuts[k+half-1])
			n -= half
		}
		pair := codes.Codes[2*(i&(RowSources-1)):][:2]
		pair[0], pair[1] = uint8(k), uint8(k)|uint8(-one(x != x))
	}
}

func rowOutcomes(out []uint64, nodes []uint8, codes *RowCodes, _ int) {
	for w := range out {
		n := (*[128]uint8)(nodes[128*w:])
		var x uint64
		for i, column := range n[:64] {
			x |= uint64(one(codes.Codes[column] > n[64+i])) << i
		}
		out[w] = x
	}
}

func rowFlat(numbers []uint8, outcomes []uint64, left []uint32) {
	for i := range numbers {
		right := uint32(outcomes[i/2] >> (32 * (i % 2)))
		leaf := 0
		for l, m := range left[32*i : 32*i+32] {
			if m&right == 0 {
				leaf = l
				break
			}
		}
		numbers[i] = uint8(leaf)
	}
}

func rowFlatSum[F float](acc F, outcomes []uint64, left, offsets []uint32, leaves []F) F {
	var number [1]uint8
	for i, at := range offsets {
		right := outcomes[i/2] >> (32 * (i % 2))
		rowFlat(number[:], []uint64{right}, left[32*i:])
		acc += leaves[at+uint32(number[0])]
	}
	return acc
}

func rowHeap(numbers []uint8, outcomes []uint64, places []uint8) {
	for i := range numbers {
		at := uint64(1)
		for range HeapDepth {
			at = 2*at + outcomes[i]>>(at&63)&1
		}
		numbers[i] = places[64*i+int(at-64)]
	}
}

func rowBlocks(numbers, blocks []uint8, levels int, roots, _ []uint64, _ []uint16, codes *RowCodes, _ int) {
	n := 1 << levels
	for i, at := range roots {
		for {
			b := blocks[uint32(at):][:4*n]
			place := 1
			for range levels {
				place = 2*place + one(codes.Codes[b[place]] > b[n+place])
			}
			exit := uint16(b[2*place]) | uint16(b[2*place+1])<<8
			if exit < RowBlockOn {
				numbers[i] = uint8(exit)
				break
			}
			at += uint64(exit - RowBlockOn)
		}
	}
}

// words is the number of outcome words of n trees of the given bits each.
func words(n, size int) int { return (n*size + 63) / 64 }
