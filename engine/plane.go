package engine

import (
	"encoding/binary"
	"math/bits"
)

// planes transposes 64 bytes: bit r of planes[b] is bit b of c[r].
func planes(c *[word]uint8, p *[8]uint64) {
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

// exceed writes the rows whose rank is at least j to m[j-1], for 1 <= j <= len(m); p are the rank's bit planes, enough
// for len(m). It doubles the table bit by bit: with one more bit b, rank >= j for j < 2^b iff the bit is set or the
// lower bits are >= j, and rank >= 2^b+j iff the bit is set and the lower bits are >= j.
func exceed(m, p []uint64) {
	size := 0
	for _, b := range p {
		low := m[:size]
		if size < len(m) {
			m[size] = b
		}
		high := m[min(size+1, len(m)):min(2*size+1, len(m))]
		low2 := low[:len(high)]
		for i := range high {
			x := low2[i]
			high[i] = x & b
			low2[i] = x | b
		}
		for i := len(high); i < len(low); i++ {
			low[i] |= b
		}
		size = min(2*size+1, len(m))
	}
}

// exceed writes the rows whose rank in s.ranks is at least j to m[j-1].
func (s *rankScratch) exceed(m []uint64) {
	var p [8]uint64
	planes(&s.ranks, &p)
	exceed(m, p[:bits.Len(uint(len(m)))])
}

// exceedWide is exceed for s.wide.
func (s *rankScratch) exceedWide(m []uint64) {
	var p [16]uint64
	for r, k := range s.wide {
		s.ranks[r] = uint8(k)
		s.upper[r] = uint8(k >> 8)
	}
	planes(&s.ranks, (*[8]uint64)(p[:8]))
	planes(&s.upper, (*[8]uint64)(p[8:]))
	exceed(m, p[:bits.Len(uint(len(m)))])
}

// transpose transposes 64 x 64 bits: it exchanges bit r of m[i] and bit i of m[r].
func transpose(m *[word]uint64) {
	mask := uint64(0x00000000ffffffff)
	for j := 32; j > 0; j >>= 1 {
		for base := 0; base < word; base += 2 * j {
			for i := base; i < base+j; i++ {
				a, b := m[i&63], m[(i+j)&63]
				t := (a>>(j&63) ^ b) & mask
				m[i&63], m[(i+j)&63] = a^t<<(j&63), b^t
			}
		}
		mask ^= mask << (j >> 1 & 63)
	}
}
