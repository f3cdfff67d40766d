//go:build !purego

package kernel

import (
	"math"
	"unsafe"
)

// useSumsAVX2 puts the assembly of sums.go's functions into t. Leaf numbers are found by assembly; the sums are Go's, since
// the two loads of a row and tree bind them, and gathers of four values are no fewer.
func useSumsAVX2(t *Table) {
	t.IDs = func(ids []uint8, arena []uint64, tree *Leaves, groups int) {
		if groups == 0 {
			return
		}
		_ = ids[64*groups-1]
		for g := range groups {
			numbersAVX2(&ids[64*g], (*uint64)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(arena)), 8*g)), &tree.Planes[0], 1, int(tree.Bits), 0)
		}
	}
	t.Sum64 = func(acc []float64, arena []uint64, trees []Leaves, table []uint64, groups int) {
		sumAVX2(acc, arena, trees, floats[float64](table), groups, 1)
	}
	t.Sum32 = func(acc []float32, arena []uint64, trees []Leaves, table []uint64, groups int) {
		sumAVX2(acc, arena, trees, floats[float32](table), groups, 2)
	}
}

// sumAVX2 is sum with numbersAVX2.
func sumAVX2[F float](acc []F, arena []uint64, trees []Leaves, table []F, groups, per int) {
	var all [numberedTrees]numbered
	for len(trees) > 0 {
		batch := all[:min(len(trees), numberedTrees)]
		findLeaves(batch, trees, table, per)
		words := unsafe.SliceData(arena)
		for g := range groups {
			numbersAVX2(&batch[0].rows[0], (*uint64)(unsafe.Add(unsafe.Pointer(words), 8*g)), &trees[0].Planes[0], len(batch),
				int(trees[0].Bits), int(unsafe.Sizeof(batch[0])))
			sumNumbered((*[64]F)(acc[64*g:]), batch)
		}
		trees = trees[len(batch):]
	}
}

// useSumsAVX512 puts the assembly of sums.go's functions into t.
func useSumsAVX512(t *Table) {
	t.IDs = func(ids []uint8, arena []uint64, tree *Leaves, groups int) {
		if groups > 0 {
			_ = ids[64*groups-1]
			idsAVX512(&ids[0], unsafe.SliceData(arena), &tree.Planes[0], int(tree.Bits), groups)
		}
	}
	t.Sum64, t.Lay64, t.Order64 = sum64AVX512, lay64AVX512, &order64AVX512
	t.Sum32, t.Lay32, t.Order32 = sum32AVX512, lay32AVX512, &order32AVX512
}

// maxSummed bounds the trees of a call of assembly (K2).
const maxSummed = 256

func sum64AVX512(acc []float64, arena []uint64, trees []Leaves, table []uint64, groups int) {
	if groups == 0 {
		return
	}
	_ = acc[64*groups-1]
	a, w, l := &acc[0], unsafe.SliceData(arena), unsafe.SliceData(table)
	for len(trees) > 0 {
		n := min(len(trees), maxSummed)
		t := &trees[0].Planes[0]
		switch trees[0].Bits {
		case 0:
			sum64x0AVX512(a, w, t, l, n, groups)
		case 1:
			sum64x1AVX512(a, w, t, l, n, groups)
		case 2:
			sum64x2AVX512(a, w, t, l, n, groups)
		case 3:
			sum64x3AVX512(a, w, t, l, n, groups)
		case 4:
			sum64x4AVX512(a, w, t, l, n, groups)
		case 5:
			sum64x5AVX512(a, w, t, l, n, groups)
		case 6:
			sum64x6AVX512(a, w, t, l, n, groups)
		case 7:
			sum64x7AVX512(a, w, t, l, n, groups)
		default:
			sum64x8AVX512(a, w, t, l, n, groups)
		}
		trees = trees[n:]
	}
}

func sum32AVX512(acc []float32, arena []uint64, trees []Leaves, table []uint64, groups int) {
	if groups == 0 {
		return
	}
	_ = acc[64*groups-1]
	a, w, l := &acc[0], unsafe.SliceData(arena), unsafe.SliceData(table)
	for len(trees) > 0 {
		n := min(len(trees), maxSummed)
		t := &trees[0].Planes[0]
		switch trees[0].Bits {
		case 0:
			sum32x0AVX512(a, w, t, l, n, groups)
		case 1:
			sum32x1AVX512(a, w, t, l, n, groups)
		case 2:
			sum32x2AVX512(a, w, t, l, n, groups)
		case 3:
			sum32x3AVX512(a, w, t, l, n, groups)
		case 4:
			sum32x4AVX512(a, w, t, l, n, groups)
		case 5:
			sum32x5AVX512(a, w, t, l, n, groups)
		case 6:
			sum32x6AVX512(a, w, t, l, n, groups)
		case 7:
			sum32x7AVX512(a, w, t, l, n, groups)
		default:
			sum32x8AVX512(a, w, t, l, n, groups)
		}
		trees = trees[n:]
	}
}

// order64AVX512: row 16L + 8h + 4e + i is value 2L+e of register 2i+h.
var order64AVX512 = func() (o [64]uint8) {
	for r := range o {
		l, h, e, i := r/16, r/8%2, r/4%2, r%4
		o[r] = uint8(8*(2*i+h) + 2*l + e)
	}
	return o
}()

// order32AVX512: row 4d + i is value d of register i.
var order32AVX512 = func() (o [64]uint8) {
	for r := range o {
		o[r] = uint8(16*(r%4) + r/4)
	}
	return o
}()

// lay64AVX512 writes up to 16 values as they are (fewer than 8 repeatedly); the low and then the high halves of 32; and the first
// bytes of more, then the second ones, and so on.
func lay64AVX512(table []uint64, leaves []float64, bits int) {
	table = table[:Size64(bits)]
	clear(table)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&table[0])), 8*len(table))
	for i, v := range leaves {
		x := math.Float64bits(v)
		switch {
		case bits <= 4:
			for at := i; at < len(table); at += 1 << bits {
				table[at] = x
			}
		case bits == 5:
			putBytes(b[4*i:], x, 4, 1)
			putBytes(b[128+4*i:], x>>32, 4, 1)
		default:
			putBytes(b[i:], x, 8, 1<<bits)
		}
	}
}

func lay32AVX512(table []uint64, leaves []float32, bits int) {
	table = table[:Size32(bits)]
	clear(table)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&table[0])), 8*len(table))
	for i, v := range leaves {
		x := uint64(math.Float32bits(v))
		switch {
		case bits <= 4:
			for at := i; at < 16; at += 1 << bits {
				putBytes(b[4*at:], x, 4, 1)
			}
		case bits == 5:
			putBytes(b[4*i:], x, 4, 1)
		default:
			putBytes(b[i:], x, 4, 1<<bits)
		}
	}
}

// putBytes writes the lowest n bytes of x, stride bytes apart.
func putBytes(b []byte, x uint64, n, stride int) {
	for i := range n {
		b[i*stride] = byte(x >> (8 * i))
	}
}
