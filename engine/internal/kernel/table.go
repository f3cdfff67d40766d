package kernel

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// Tier is a kind of processor that there are kernels for.
type Tier uint8

// The tiers, slowest first.
const (
	Portable Tier = iota
	AVX2
	AVX512
)

// String is the name that TREELINE_ENGINE_TIER takes.
func (t Tier) String() string {
	switch t {
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	default:
		return "portable"
	}
}

// Table is one tier's functions.
type Table struct {
	Tier  Tier
	Words int // W: uint64s in a word

	// Planes8 transposes codes: bit r of word b of p is bit b of codes[r], for b < n <= 8. codes has Rows() elements, p
	// n words.
	Planes8 func(p []uint64, codes []uint8, n int)
	// Planes16 is Planes8 for n <= 16.
	Planes16 func(p []uint64, codes []uint16, n int)
	// Exceed writes word j of m, for j < cuts: the rows whose code is above j. p are the code's planes, n of them,
	// 2^n > cuts.
	Exceed func(m, p []uint64, cuts, n int)
	// AndNot writes word to+i of arena, for each i: word from[i] without the rows of word not.
	AndNot func(arena []uint64, to int, from []uint32, not int)
	// Blend carries out ops in order: word Dst = rows of B where Mask is set, of A elsewhere.
	Blend func(arena []uint64, ops []Op)
	// Trees evaluates complete trees of depth 1 < depth <= MaxTreeDepth one after the other. A tree is 1<<depth numbers
	// of words: of its splits, in post-order (all of the left subtree, all of the right one, the node itself), and of the
	// first of the depth-1 words that are written, none of which is among its splits: bits 0 to depth-2 of the rows'
	// leaf numbers, leaves counted from left to right; bit depth-1 is the root's word. A set bit sends right.
	Trees func(arena []uint64, depth int, trees []uint16)
	// Sets writes words first, first+1, ... of arena, one for each of splits: bit r of word s is bit s%64 of
	// right[slots[r]*width+s/64]. width is (splits+63)/64; width*64 words are written. slots has Rows() elements.
	Sets func(arena []uint64, first int, slots []uint16, right []uint64, width int)

	// Rank64x8 writes the codes of the len(v) values v, which may lie anywhere, to dst. At most MaxCuts8 cuts.
	Rank64x8 func(dst []uint8, q *Cuts, v []float64)
	// Rank64x16 is Rank64x8 for any number of cuts.
	Rank64x16 func(dst []uint16, q *Cuts, v []float64)
	// Rank32x8 is Rank64x8 for float32 values.
	Rank32x8 func(dst []uint8, q *Cuts, v []float32)
	// Rank32x16 is Rank64x16 for float32 values.
	Rank32x16 func(dst []uint16, q *Cuts, v []float32)
	// Slots writes the slots of the len(v) category codes v, which may lie anywhere, to dst.
	Slots func(dst []uint16, q *Categories, v []float64)
	// Zeros sets bit r%64 of dst[r/64] iff v[r] is from -limit to limit. Bits of the last word beyond v are arbitrary.
	Zeros func(dst []uint64, v []float64, limit float64)
	// Narrow rounds values, which may lie anywhere, to float32. dst is as long as v.
	Narrow func(dst []float32, v []float64)

	// Walk writes to at the leaves of rows 0 to len(at)-1 of the tree at node root of nodes, none deeper than depth. A
	// column has stride codes.
	Walk func(at []uint32, nodes []Node, codes []uint16, stride, root, depth int)
	// WalkSets is Walk for nodes some of which have SetNode.
	WalkSets func(at []uint32, nodes []Node, sets *Sets, codes []uint16, stride, root, depth int)
	// Recode copies src to dst, with to for every code that equals from. They may be the same.
	Recode func(dst, src []uint16, from, to uint16)
	// RowMajor transposes columns of rows codes, which lie stride apart, to rows of width codes. It reads and writes as
	// if columns were a multiple of 8 and rows one of 32.
	RowMajor func(dst, codes []uint16, stride, width, columns, rows int)
	// WalkBlocks finds the leaves of rows 0 to n-1, n <= MaxItems: w.Items[:n]. root is a block of RootLevels, the
	// others are blocks of StepLevels.
	WalkBlocks func(w *Walk, n int, root, steps []uint32, c *Codes)
	// WalkPair finds the leaves of rows 0 to n-1 in a complete tree of blocks of RootLevels: block 1+p follows exit p of
	// block 0, leaf p*RootSlots+q exit q of that; there are no exits in memory. The result is w.Numbers[:n].
	WalkPair func(w *Walk, n int, blocks []uint32, c *Codes)
	// Prefetch asks for n bytes at p, which need not be there, in the second-level cache.
	Prefetch func(p unsafe.Pointer, n int)
	// AddItems64 adds to each item's row its leaf.
	AddItems64 func(acc []float64, items []uint32, leaves []float64)
	// AddItems32 is AddItems64 for float32.
	AddItems32 func(acc []float32, items []uint32, leaves []float32)
	// AddLeaves64 adds to row r leaf numbers[r]. It reads up to 15 elements after numbers.
	AddLeaves64 func(acc []float64, numbers []uint32, leaves []float64)
	// AddLeaves32 is AddLeaves64 for float32.
	AddLeaves32 func(acc []float32, numbers []uint32, leaves []float32)

	// Exp64 writes glibc's exp of each value, Sigmoid64 LightGBM's 1/(1+exp(-slope*x)). dst may be v.
	Exp64     func(dst, v []float64)
	Sigmoid64 func(dst, v []float64, slope float64)
	// Exp32 writes glibc's expf of each value, Sigmoid32 XGBoost's sigmoid: values are single precision, held in doubles.
	Exp32, Sigmoid32 func(dst, v []float64)

	// IDs writes the leaf numbers of one tree for groups*64 rows.
	IDs func(ids []uint8, arena []uint64, tree *Leaves, groups int)
	// Sum64 adds to each row of the first groups*64 rows the leaf of each tree, tree after tree. All trees have the same
	// number of planes. acc holds Rows() values; row r's is acc[r&^63|Order64[r&63]]. table holds the trees' leaf
	// values as Lay64 wrote them.
	Sum64 func(acc []float64, arena []uint64, trees []Leaves, table []uint64, groups int)
	// Sum32 is Sum64 for float32, with Order32 and Lay32.
	Sum32 func(acc []float32, arena []uint64, trees []Leaves, table []uint64, groups int)
	// Order64 and Order32 give each row of 64 its place in an accumulator.
	Order64, Order32 *[64]uint8
	// Lay64 writes 2^bits leaf values, len(leaves) of them and zeros, to table in the form that Sum64 reads: Size64(bits)
	// elements. A tree's table starts on a 64-byte boundary, as tables that follow each other in an Aligned one do.
	Lay64 func(table []uint64, leaves []float64, bits int)
	// Lay32 is Lay64 for float32: Size32(bits) elements.
	Lay32 func(table []uint64, leaves []float32, bits int)

	// Shapley plays steps of a game for rows first..first+rows, at most MaxGameLanes of them, first being a multiple of 8 up
	// to 48. It adds to sums what the rows' features contribute. turns and open have a word for each node: bit r of a turn
	// says that row r goes right there, a bit of open that the values lead the row there as far as the node's feature is
	// concerned (read for steps with bit 0 set). The first step of a game finds P in its frame; frames keeps what later
	// steps need. Both hold groups of GameLanes(rows) lanes.
	Shapley func(sums, frames []float64, turns, open []uint64, first, rows int, g *Game, steps []uint32)
	// Above writes a word for each of tests: bit r is set iff value r of the test's is above the cut. The first rows <= 64
	// values count; other bits are arbitrary. values has 64 of them for each test, words is as long as the tests say.
	Above func(words []uint64, values []float64, rows int, tests []Test)
	// AboveOrNaN is Above with the bit of NaN set.
	AboveOrNaN func(words []uint64, values []float64, rows int, tests []Test)

	// Row has the functions for single rows.
	Row RowTable
}

// Op is a Blend of words of an arena.
type Op struct{ A, B, Mask, Dst uint16 }

// MaxPlanes is the largest number of planes of a leaf number: numbers are bytes.
const MaxPlanes = 8

// MaxTreeDepth is the largest depth of Trees.
const MaxTreeDepth = 6

// Leaves says where a tree's leaf numbers and leaf values are.
type Leaves struct {
	Planes [MaxPlanes]uint16 // words of the arena, the lowest bit's first; those from Bits on are unused and 0
	Bits   uint32            // number of planes
	Table  uint32            // offset of the leaf values in elements of the table
}

// Rows is the number of rows in a block.
func (t *Table) Rows() int { return 64 * t.Words }

// Tables returns the tiers that this processor can run, slowest first.
func Tables() []*Table { return tables() }

// ErrTier reports a tier that there are no kernels of.
var ErrTier = errors.New("engine: no tier")

// Choose returns the tier of the given name, or the fastest for an empty one.
func Choose(name string) (*Table, error) {
	all := tables()
	if name == "" {
		return all[len(all)-1], nil
	}
	names := make([]string, len(all))
	for i, t := range all {
		if t.Tier.String() == name {
			return t, nil
		}
		names[i] = t.Tier.String()
	}
	return nil, fmt.Errorf("%w %q: this processor and build have %s", ErrTier, name, strings.Join(names, ", "))
}

// Aligned returns n zeros that start on a 64-byte boundary.
func Aligned[T uint8 | uint16 | uint32 | uint64 | float32 | float64](n int) []T {
	var z T
	size := int(unsafe.Sizeof(z))
	b := make([]T, n+64/size)
	skip := 0
	for uintptr(unsafe.Pointer(&b[skip]))%64 != 0 {
		skip++
	}
	return b[skip : skip+n : skip+n]
}

// newPortable returns the pure Go functions for words of w uint64s; w is a multiple of 4.
func newPortable(tier Tier, w int) *Table {
	t := &Table{Tier: tier, Words: w, Order64: &inOrder, Order32: &inOrder, Lay64: layPlain64, Lay32: layPlain32, Row: newPortableRow()}
	t.Planes8 = planes8
	t.Planes16 = planes16
	t.Exceed = func(m, p []uint64, cuts, n int) { exceed(m, p, cuts, n, w) }
	t.AndNot = func(arena []uint64, to int, from []uint32, not int) { andNot(arena, to, from, not, w) }
	t.Blend = func(arena []uint64, ops []Op) { blend(arena, ops, w) }
	t.Trees = func(arena []uint64, depth int, ops []uint16) { trees(arena, depth, ops, w) }
	t.Sets = func(arena []uint64, first int, slots []uint16, right []uint64, width int) {
		sets(arena, first, slots, right, width, w)
	}
	t.Exp64, t.Sigmoid64, t.Exp32, t.Sigmoid32 = exp64, sigmoid64, exp32, sigmoid32
	t.Rank64x8, t.Rank64x16 = rank[float64, uint8], rank[float64, uint16]
	t.Rank32x8, t.Rank32x16 = rank[float32, uint8], rank[float32, uint16]
	t.Slots, t.Zeros, t.Narrow = slots, zeros, narrow
	t.Shapley, t.Above, t.AboveOrNaN = shapley, testAbove, testAboveOrNaN
	t.Walk, t.WalkSets = walk, walkSets
	t.Recode, t.RowMajor, t.WalkBlocks, t.WalkPair = recode, rowMajor, walkBlocks, walkPair
	t.Prefetch = func(unsafe.Pointer, int) {}
	t.AddItems64, t.AddItems32 = addItems[float64], addItems[float32]
	t.AddLeaves64, t.AddLeaves32 = addLeaves[float64], addLeaves[float32]
	t.IDs = func(ids []uint8, arena []uint64, tree *Leaves, groups int) { leafIDs(ids, arena, tree, groups, w) }
	t.Sum64 = func(acc []float64, arena []uint64, trees []Leaves, table []uint64, groups int) {
		sum(acc, arena, trees, floats[float64](table), groups, w, 1)
	}
	t.Sum32 = func(acc []float32, arena []uint64, trees []Leaves, table []uint64, groups int) {
		sum(acc, arena, trees, floats[float32](table), groups, w, 2)
	}
	return t
}

// inOrder is the order of rows in accumulators of the portable tier.
var inOrder = func() (o [64]uint8) {
	for i := range o {
		o[i] = uint8(i)
	}
	return o
}()
