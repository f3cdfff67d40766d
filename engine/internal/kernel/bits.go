package kernel

import "encoding/binary"

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

// exceed doubles the table plane by plane: with one more plane b, code > j for j < 2^b iff the bit is set or the lower
// bits are above j, and code > 2^b+j iff the bit is set and the lower bits are above j.
func exceed(m, p []uint64, cuts, n, w int) {
	size := 0
	for b := range n {
		plane := p[b*w : (b+1)*w]
		if size < cuts {
			copy(m[size*w:], plane)
		}
		high := m[min(size+1, cuts)*w : min(2*size+1, cuts)*w]
		low := m[:size*w]
		for base := 0; base < len(high); base += 4 {
			h, l := (*[4]uint64)(high[base:]), (*[4]uint64)(low[base:])
			q := (*[4]uint64)(plane[base%w:])
			h[0], h[1], h[2], h[3] = l[0]&q[0], l[1]&q[1], l[2]&q[2], l[3]&q[3]
			l[0], l[1], l[2], l[3] = l[0]|q[0], l[1]|q[1], l[2]|q[2], l[3]|q[3]
		}
		for base := len(high); base < len(low); base += 4 {
			l, q := (*[4]uint64)(low[base:]), (*[4]uint64)(plane[base%w:])
			l[0], l[1], l[2], l[3] = l[0]|q[0], l[1]|q[1], l[2]|q[2], l[3]|q[3]
		}
		size = min(2*size+1, cuts)
	}
}

func andNot(arena []uint64, to int, from []uint32, not, w int) {
	n := arena[not*w : (not+1)*w]
	for i, f := range from {
		src, dst := arena[int(f)*w:][:w], arena[(to+i)*w:][:w]
		for k, x := range src {
			dst[k] = x &^ n[k]
		}
	}
}

func blend(arena []uint64, ops []Op, w int) {
	for _, op := range ops {
		for k := 0; k < w; k += 4 {
			a, b := (*[4]uint64)(arena[int(op.A)*w+k:]), (*[4]uint64)(arena[int(op.B)*w+k:])
			m, d := (*[4]uint64)(arena[int(op.Mask)*w+k:]), (*[4]uint64)(arena[int(op.Dst)*w+k:])
			d[0], d[1] = a[0]^(a[0]^b[0])&m[0], a[1]^(a[1]^b[1])&m[1]
			d[2], d[3] = a[2]^(a[2]^b[2])&m[2], a[3]^(a[3]^b[3])&m[3]
		}
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
