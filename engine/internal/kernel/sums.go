package kernel

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// spread puts bit i of a byte into byte i of a word.
var spread = func() *[256]uint64 {
	var t [256]uint64
	for b := range t {
		for i := range 8 {
			t[b] |= uint64(b>>i&1) << (8 * i)
		}
	}
	return &t
}()

// number writes the leaf numbers of 64 rows: byte r%8 of out[r/8].
func number(out *[8]uint64, arena []uint64, tree *Leaves, group, w int) {
	*out = [8]uint64{}
	for b := range tree.Bits {
		p := arena[int(tree.Planes[b&7])*w+group]
		for i := range out {
			out[i] |= spread[uint8(p>>(8*i&63))] << (b & 7)
		}
	}
}

func leafIDs(ids []uint8, arena []uint64, tree *Leaves, groups, w int) {
	var n [8]uint64
	for g := range groups {
		number(&n, arena, tree, g, w)
		for i, x := range n {
			binary.LittleEndian.PutUint64(ids[64*g+8*i:], x)
		}
	}
}

type float interface{ float32 | float64 }

// sum adds one leaf of each tree to each row, in tree order; per is the number of leaf values in an element of the table.
func sum[F float](acc []F, arena []uint64, trees []Leaves, table []F, groups, w, per int) {
	var n [8]uint64
	for g := range groups {
		a := (*[64]F)(acc[64*g:])
		for i := range trees {
			t := &trees[i]
			number(&n, arena, t, g, w)
			leaf := table[int(t.Table)*per:][: 1<<t.Bits : 1<<t.Bits]
			for r := range a {
				a[r] += leaf[uint8(n[r>>3]>>(8*r&63))]
			}
		}
	}
}

// Size64 is the number of elements that Lay64 writes: a multiple of 8, so that tables that follow each other start on
// 64-byte boundaries.
func Size64(bits int) int { return max(8, 1<<bits) }

// Size32 is the number of elements that Lay32 writes.
func Size32(bits int) int { return max(8, 1<<bits/2) }

func layPlain64(table []uint64, leaves []float64, bits int) {
	clear(table[:Size64(bits)])
	for i, v := range leaves {
		table[i] = math.Float64bits(v)
	}
}

func layPlain32(table []uint64, leaves []float32, bits int) {
	clear(table[:Size32(bits)])
	for i, v := range leaves {
		table[i/2] |= uint64(math.Float32bits(v)) << (32 * (i % 2))
	}
}

func floats[F float](table []uint64) []F {
	var z F
	return unsafe.Slice((*F)(unsafe.Pointer(unsafe.SliceData(table))), len(table)*8/int(unsafe.Sizeof(z)))
}
