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

// number writes the leaf numbers of a group's 64 rows, in row order.
func number(out *[64]uint8, arena []uint64, tree *Leaves, group, w int) {
	s := spread // a copy of the pointer is loaded once
	var p [MaxPlanes]uint64
	for b := range min(tree.Bits, MaxPlanes) {
		p[b] = arena[int(tree.Planes[b])*w+group]
	}
	p0, p1, p2, p3, p4, p5, p6, p7 := p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
	switch planes := tree.Bits; {
	case planes <= 2:
		for i := 0; i < 64; i += 8 {
			binary.LittleEndian.PutUint64(out[i:], s[uint8(p0)]|s[uint8(p1)]<<1)
			p0, p1 = p0>>8, p1>>8
		}
	case planes <= 4:
		for i := 0; i < 64; i += 8 {
			binary.LittleEndian.PutUint64(out[i:], s[uint8(p0)]|s[uint8(p1)]<<1|s[uint8(p2)]<<2|s[uint8(p3)]<<3)
			p0, p1, p2, p3 = p0>>8, p1>>8, p2>>8, p3>>8
		}
	case planes == 5:
		for i := 0; i < 64; i += 8 {
			x := s[uint8(p0)] | s[uint8(p1)]<<1 | s[uint8(p2)]<<2 | s[uint8(p3)]<<3
			binary.LittleEndian.PutUint64(out[i:], x|s[uint8(p4)]<<4)
			p0, p1, p2, p3, p4 = p0>>8, p1>>8, p2>>8, p3>>8, p4>>8
		}
	case planes == 6:
		for i := 0; i < 64; i += 8 {
			x := s[uint8(p0)] | s[uint8(p1)]<<1 | s[uint8(p2)]<<2 | s[uint8(p3)]<<3
			binary.LittleEndian.PutUint64(out[i:], x|s[uint8(p4)]<<4|s[uint8(p5)]<<5)
			p0, p1, p2, p3, p4, p5 = p0>>8, p1>>8, p2>>8, p3>>8, p4>>8, p5>>8
		}
	default:
		for i := 0; i < 64; i += 8 {
			x := s[uint8(p0)] | s[uint8(p1)]<<1 | s[uint8(p2)]<<2 | s[uint8(p3)]<<3
			y := s[uint8(p4)] | s[uint8(p5)]<<1 | s[uint8(p6)]<<2 | s[uint8(p7)]<<3
			binary.LittleEndian.PutUint64(out[i:], x|y<<4)
			p0, p1, p2, p3, p4, p5, p6, p7 = p0>>8, p1>>8, p2>>8, p3>>8, p4>>8, p5>>8, p6>>8, p7>>8
		}
	}
}

func leafIDs(ids []uint8, arena []uint64, tree *Leaves, groups, w int) {
	for g := range groups {
		number((*[64]uint8)(ids[64*g:]), arena, tree, g, w)
	}
}

type float interface{ float32 | float64 }

// numbered is a tree whose leaf numbers for 64 rows are found.
type numbered struct {
	rows   [64]uint8
	leaves unsafe.Pointer
}

// numberedTrees is the number of trees that are numbered before their leaves are added: eight rows' sums stay in
// registers over all of them.
const numberedTrees = 16

// sum adds one leaf of each tree to each row, in tree order; per is the number of leaf values in an element of the table.
func sum[F float](acc []F, arena []uint64, trees []Leaves, table []F, groups, w, per int) {
	var all [numberedTrees]numbered
	for len(trees) > 0 {
		batch := all[:min(len(trees), numberedTrees)]
		findLeaves(batch, trees, table, per)
		for g := range groups {
			for i := range batch {
				number(&batch[i].rows, arena, &trees[i], g, w)
			}
			sumNumbered((*[64]F)(acc[64*g:]), batch)
		}
		trees = trees[len(batch):]
	}
}

func findLeaves[F float](batch []numbered, trees []Leaves, table []F, per int) {
	for i := range batch {
		t := &trees[i]
		batch[i].leaves = unsafe.Pointer(&table[int(t.Table)*per:][: 1<<t.Bits : 1<<t.Bits][0])
	}
}

// sumNumbered adds the leaves of trees. A number is below 2^planes, so it is not checked against the table.
func sumNumbered[F float](acc *[64]F, trees []numbered) {
	for r := 0; r < 64; r += 8 {
		a := (*[8]F)(acc[r:])
		a0, a1, a2, a3, a4, a5, a6, a7 := a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]
		for i := range trees {
			t := &trees[i]
			x, l := (*[8]uint8)(t.rows[r:]), t.leaves
			a0 += leafAt[F](l, x[0])
			a1 += leafAt[F](l, x[1])
			a2 += leafAt[F](l, x[2])
			a3 += leafAt[F](l, x[3])
			a4 += leafAt[F](l, x[4])
			a5 += leafAt[F](l, x[5])
			a6 += leafAt[F](l, x[6])
			a7 += leafAt[F](l, x[7])
		}
		a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7] = a0, a1, a2, a3, a4, a5, a6, a7
	}
}

// leafAt returns leaf n.
func leafAt[F float](t unsafe.Pointer, n uint8) F {
	var z F
	return *(*F)(unsafe.Add(t, uintptr(n)*unsafe.Sizeof(z)))
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
