package kernel

import (
	"encoding/binary"
	"unsafe"
)

func planes8(p []uint64, codes []uint8, n int) {
	w := len(codes) / 64
	var t [8]uint64
	for g := range w {
		transpose8((*[64]uint8)(codes[64*g:]), &t)
		for b := range n {
			p[b*w+g] = t[b]
		}
	}
}

func planes16(p []uint64, codes []uint16, n int) {
	w := len(codes) / 64
	var low, high [64]uint8
	var t [16]uint64
	for g := range w {
		for r, c := range codes[64*g : 64*g+64] {
			low[r], high[r] = uint8(c), uint8(c>>8)
		}
		transpose8(&low, (*[8]uint64)(t[:8]))
		transpose8(&high, (*[8]uint64)(t[8:]))
		for b := range n {
			p[b*w+g] = t[b]
		}
	}
}

// transpose8 transposes 64 bytes: bit r of p[b] is bit b of c[r].
func transpose8(c *[64]uint8, p *[8]uint64) {
	var t [8]uint64
	for g := range t {
		x := binary.LittleEndian.Uint64(c[8*g:])
		y := (x ^ x>>7) & 0x00aa00aa00aa00aa
		x ^= y ^ y<<7
		y = (x ^ x>>14) & 0x0000cccc0000cccc
		x ^= y ^ y<<14
		y = (x ^ x>>28) & 0x00000000f0f0f0f0
		t[g] = x ^ y ^ y<<28
	}
	// Byte b of t[g] holds bit b of rows 8g to 8g+7: transpose the bytes.
	const m4, m2, m1 = 0x00000000ffffffff, 0x0000ffff0000ffff, 0x00ff00ff00ff00ff
	for i := range 4 {
		a, b := t[i], t[i+4]
		t[i], t[i+4] = a&m4|b<<32, a>>32|b&^m4
	}
	for _, i := range [4]int{0, 1, 4, 5} {
		a, b := t[i&7], t[(i+2)&7]
		t[i&7], t[(i+2)&7] = a&m2|b&m2<<16, a>>16&m2|b&^m2
	}
	for i := 0; i < 8; i += 2 {
		a, b := t[i&7], t[(i+1)&7]
		p[i&7], p[(i+1)&7] = a&m1|b&m1<<8, a>>8&m1|b&^m1
	}
}

// quad is a word of the portable tier; wider words are several.
type quad = [4]uint64

// quads views memory as quads.
func quads(v []uint64) []quad {
	return unsafe.Slice((*quad)(unsafe.Pointer(unsafe.SliceData(v))), len(v)/4)
}

// exceed doubles the table plane by plane: with one more plane b, code > j for j < 2^b iff the bit is set or the lower
// bits are above j, and code > 2^b+j iff the bit is set and the lower bits are above j.
func exceed(m, p []uint64, cuts, n, w int) {
	per := w / 4
	words, planes := quads(m), quads(p)
	for k := range per {
		size := 0
		for b := range n {
			q := &planes[b*per+k]
			q0, q1, q2, q3 := q[0], q[1], q[2], q[3]
			if size < cuts {
				words[size*per+k] = *q
			}
			next := min(2*size+1, cuts)
			high := max(next-size-1, 0)
			for i := range high {
				h, l := &words[(size+1+i)*per+k], &words[i*per+k]
				l0, l1, l2, l3 := l[0], l[1], l[2], l[3]
				h[0], h[1], h[2], h[3] = l0&q0, l1&q1, l2&q2, l3&q3
				l[0], l[1], l[2], l[3] = l0|q0, l1|q1, l2|q2, l3|q3
			}
			for i := high; i < size; i++ {
				l := &words[i*per+k]
				l[0], l[1], l[2], l[3] = l[0]|q0, l[1]|q1, l[2]|q2, l[3]|q3
			}
			size = next
		}
	}
}

func andNot(arena []uint64, to int, from []uint32, not, w int) {
	per := w / 4
	words := quads(arena)
	for k := range per {
		n := words[not*per+k]
		for i, f := range from {
			src, dst := &words[int(f)*per+k], &words[(to+i)*per+k]
			s0, s1, s2, s3 := src[0], src[1], src[2], src[3]
			dst[0], dst[1], dst[2], dst[3] = s0&^n[0], s1&^n[1], s2&^n[2], s3&^n[3]
		}
	}
}

func blend(arena []uint64, ops []Op, w int) {
	words := quads(arena)
	if w == 4 {
		for _, op := range ops {
			blendQuad(&words[op.A], &words[op.B], &words[op.Mask], &words[op.Dst])
		}
		return
	}
	per := w / 4
	for _, op := range ops {
		for k := range per {
			blendQuad(&words[int(op.A)*per+k], &words[int(op.B)*per+k], &words[int(op.Mask)*per+k], &words[int(op.Dst)*per+k])
		}
	}
}

func blendQuad(a, b, m, d *quad) {
	a0, a1, a2, a3 := a[0], a[1], a[2], a[3]
	b0, b1, b2, b3 := b[0], b[1], b[2], b[3]
	d[0], d[1] = a0^(a0^b0)&m[0], a1^(a1^b1)&m[1]
	d[2], d[3] = a2^(a2^b2)&m[2], a3^(a3^b3)&m[3]
}

func trees(arena []uint64, depth int, trees []uint16, w int) {
	per := w / 4
	words := quads(arena)
	var planes [32]quad // 15 for MaxTreeDepth
	for ; len(trees) >= 1<<depth; trees = trees[1<<depth:] {
		for k := range per {
			tree(words, trees[:1<<depth], per, k, &planes)
		}
	}
}

// tree evaluates a tree of Trees for quad k of each word. Subtrees wait on the stack planes for the ones to the right of them: one
// of height h as h-1 planes, its root in roots.
func tree(words []quad, splits []uint16, per, k int, planes *[32]quad) {
	var roots [8]*quad
	top, waiting, at := 0, 0, 0 // in planes, roots and splits
	for pair := range len(splits) / 4 {
		l, r, m := &words[int(splits[at])*per+k], &words[int(splits[at+1])*per+k], &words[int(splits[at+2])*per+k]
		at += 3
		blendQuad(l, r, m, &planes[top&31])
		// Every second one is a right subtree, whose parent comes next, every fourth the parent of that as well.
		height := 2
		for ; pair>>(height-2)&1 == 1; height++ {
			l, r, m = roots[(waiting-1)&7], m, &words[int(splits[at])*per+k]
			at++
			waiting--
			top -= height - 1
			for i := range height - 1 {
				left := &planes[(top+i)&31]
				blendQuad(left, &planes[(top+height-1+i)&31], m, left)
			}
			blendQuad(l, r, m, &planes[(top+height-1)&31])
		}
		roots[waiting&7] = m
		waiting++
		top += height - 1
	}
	for i := range top {
		words[(int(splits[len(splits)-1])+i)*per+k] = planes[i&31]
	}
}

func sets(arena []uint64, first int, slots []uint16, right []uint64, width, w int) {
	var t [64]uint64
	for g := range w {
		own := slots[64*g : 64*g+64]
		for i := range width {
			for r, s := range own {
				t[r] = right[int(s)*width+i]
			}
			transpose64(&t)
			out := arena[(first+64*i)*w+g:]
			for s, x := range t {
				out[s*w] = x
			}
		}
	}
}

// transpose64 transposes 64 x 64 bits: it exchanges bit r of m[i] and bit i of m[r].
func transpose64(m *[64]uint64) {
	mask := uint64(0x00000000ffffffff)
	for j := 32; j > 0; j >>= 1 {
		for base := 0; base < 64; base += 2 * j {
			for i := base; i < base+j; i++ {
				a, b := m[i&63], m[(i+j)&63]
				t := (a>>(j&63) ^ b) & mask
				m[i&63], m[(i+j)&63] = a^t<<(j&63), b^t
			}
		}
		mask ^= mask << (j >> 1 & 63)
	}
}
