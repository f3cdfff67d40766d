package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// setsAVX512 transposes 512 rows of up to 512 bits: of slots 64g+8a+r, bit 64i+8b+s becomes bit r of byte a of element g
// of word 64i+8b+s. Registers, elements, bytes and bits change places one after the other:
//
//	          register  element  byte  bit
//	load      g         i        b     s     for each a, r
//	elements  i         g        b     s     8 x 8 elements, to scratch
//	bytes     b         g        r     s     for each a, i
//	bits      b         g        s     r     by GF(2) multiplication, to word 64i+8b+a
//	bytes     s         g        a     r     for each i, b, in place
//
// Exchanges of bytes are by shuffle (port 5) or by shifts and a selection (port 0, either), to keep both ports busy: the
// fastest mix of those tried.
func setsAVX512() {
	gen.Func("setsAVX512", "writes n*64 words, n <= 8, for records of n of stride bytes; scratch has 512 elements.",
		"func(out *uint64, slots *uint16, right *uint64, stride int, n int, scratch *uint64)")
	out, slots, right := gen.Arg("out"), gen.Arg("slots"), gen.Arg("right")
	stride, n, scratch := gen.Arg("stride"), gen.Arg("n"), gen.Arg("scratch")

	// Elements from n on are not read.
	t := GP64()
	MOVQ(U32(255), t)
	all := GP64()
	MOVQ(U32(8), all)
	SUBQ(n, all)
	SHRXQ(all, t, t)
	valid := K()
	KMOVB(t.As32(), valid)

	unit := ZMM() // byte j of each element is 1<<j
	MOVQ(U64(0x8040201008040201), t)
	VPBROADCASTQ(t, unit)
	swap := newByteSwap()

	a := GP64()
	MOVQ(U32(8), a)
	Label("a")
	row, to := GP64(), GP64()
	MOVQ(slots, row)
	LEAQ(gen.At(scratch, 7*64), to) // row 0 last: the multiplication reverses bits
	r := GP64()
	MOVQ(U32(8), r)
	Label("r")
	var x [8]reg.VecVirtual
	for g := range x {
		x[g] = ZMM()
		s := GP64()
		MOVWQZX(gen.At(row, 128*g), s)
		IMULQ(stride, s)
		VMOVDQU64_Z(gen.Indexed(right, s, 1, 0), valid, x[g])
	}
	transposeElements(&x)
	for i := range x {
		VMOVDQU64(x[i], gen.At(to, 512*i))
	}
	ADDQ(U8(2), row)
	SUBQ(U8(64), to)
	DECQ(r)
	JNZ(LabelRef("r"))

	from, word, i := GP64(), GP64(), GP64()
	MOVQ(scratch, from)
	MOVQ(out, word)
	MOVQ(n, i)
	Label("i")
	for r := range x {
		VMOVDQU64(gen.At(from, 64*r), x[r])
	}
	swap.bytes(&x, 4, false)
	swap.bytes(&x, 2, true)
	swap.bytes(&x, 1, true)
	for b := range x {
		VGF2P8AFFINEQB(U8(0), x[b], unit, x[b])
		VMOVDQA64(x[b], gen.At(word, 512*b))
	}
	ADDQ(U32(512), from)
	ADDQ(U32(4096), word)
	DECQ(i)
	JNZ(LabelRef("i"))
	ADDQ(U8(16), slots)
	ADDQ(U8(64), out)
	DECQ(a)
	JNZ(LabelRef("a"))

	SUBQ(U32(512), out)
	SHLQ(U8(3), n)
	Label("b")
	for a := range x {
		VMOVDQA64(gen.At(out, 64*a), x[a])
	}
	swap.bytes(&x, 4, false)
	swap.bytes(&x, 2, false)
	swap.bytes(&x, 1, true)
	for s := range x {
		VMOVDQA64(x[s], gen.At(out, 64*s))
	}
	ADDQ(U32(512), out)
	DECQ(n)
	JNZ(LabelRef("b"))
	gen.Leave()
}

// setsAVX2 is Sets for 256 rows and records of 64 or 128 bits: bytes of 32 rows are brought together, then each byte's
// bits taken one after the other as in planes.
func setsAVX2(name string, words int) {
	gen.Func(name, "writes 64 words for each of the records' words; scratch has 32 elements.",
		"func(out *uint64, slots *uint16, right *uint64, stride int, scratch *uint64)")
	out, slots, right := gen.Arg("out"), gen.Arg("slots"), gen.Arg("right")
	stride, scratch := gen.Arg("stride"), gen.Arg("scratch")
	groups := GP64()
	MOVQ(U32(8), groups)
	record := func(row int) Mem {
		s := GP64()
		MOVWQZX(gen.At(slots, 2*row), s)
		IMULQ(stride, s)
		return gen.Indexed(right, s, 1, 0)
	}
	Label("group")
	var pairs [8]reg.VecVirtual // bytes 2j of 8 rows, then bytes 2j+1 of them; rows 16 on in the upper half
	for half := range 2 {
		var x []reg.VecVirtual
		for r := range 8 {
			v := YMM()
			if words == 1 {
				upper := YMM()
				VPBROADCASTQ(record(8*half+r), v)
				VPBROADCASTQ(record(8*half+r+16), upper)
				VPBLENDD(U8(0xf0), upper, v, v)
			} else {
				VBROADCASTI128(record(8*half+r), v)
				VINSERTI128(U8(1), record(8*half+r+16), v, v)
			}
			x = append(x, v)
		}
		runs := interleave([][]reg.VecVirtual{x}, words == 2, VPUNPCKLBW, VPUNPCKHBW)
		runs = interleave(runs, true, VPUNPCKLWD, VPUNPCKHWD)
		runs = interleave(runs, true, VPUNPCKLDQ, VPUNPCKHDQ)
		for j, v := range runs {
			pairs[j] = v[0]
			if half == 0 {
				VMOVDQU(pairs[j], gen.At(scratch, 32*j))
			}
		}
	}
	for j := range 4 * words {
		first, odd := YMM(), YMM()
		VMOVDQU(gen.At(scratch, 32*j), first)
		VPUNPCKHQDQ(pairs[j], first, odd)
		VPUNPCKLQDQ(pairs[j], first, first)
		for i, v := range []reg.VecVirtual{first, odd} {
			for bit := 7; bit >= 0; bit-- {
				m := GP32()
				VPMOVMSKB(v, m)
				MOVL(m, gen.At(out, 32*(8*(2*j+i)+bit)))
				if bit > 0 {
					VPADDB(v, v, v)
				}
			}
		}
	}
	ADDQ(gen.Int(64), slots)
	ADDQ(gen.Int(4), out)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()
}

// interleave exchanges a bit of the number of a row for one of the byte's: of each run of registers it interleaves
// neighbours, and returns the low halves of the results as a run and, if high is set, the high halves as another.
func interleave(runs [][]reg.VecVirtual, high bool, low, up func(...Op)) (next [][]reg.VecVirtual) {
	for _, x := range runs {
		var l, h []reg.VecVirtual
		for k := 0; k < len(x); k += 2 {
			v := YMM()
			low(x[k+1], x[k], v)
			l = append(l, v)
			if high {
				up(x[k+1], x[k], x[k])
				h = append(h, x[k])
			}
		}
		next = append(next, l)
		if high {
			next = append(next, h)
		}
	}
	return next
}

// transposeElements exchanges registers and elements.
func transposeElements(x *[8]reg.VecVirtual) {
	var t, u [8]reg.VecVirtual
	for i := range t {
		t[i], u[i] = ZMM(), ZMM()
	}
	// Neighbours: t[2k] has their even elements, t[2k+1] the odd ones.
	for k := 0; k < 8; k += 2 {
		VPUNPCKLQDQ(x[k+1], x[k], t[k])
		VPUNPCKHQDQ(x[k+1], x[k], t[k+1])
	}
	// Quarters of t[p], t[p+2], t[p+4], t[p+6].
	for p := range 2 {
		for h := range 2 {
			VSHUFI64X2(U8(0x44), t[p+4*h+2], t[p+4*h], u[p+4*h])
			VSHUFI64X2(U8(0xee), t[p+4*h+2], t[p+4*h], u[p+4*h+2])
		}
		for q := range 2 {
			VSHUFI64X2(U8(0x88), u[p+4+2*q], u[p+2*q], x[p+4*q])
			VSHUFI64X2(U8(0xdd), u[p+4+2*q], u[p+2*q], x[p+4*q+2])
		}
	}
}

// byteSwap exchanges a bit of the number of a register and of a byte's number in its element.
type byteSwap struct {
	order map[int]reg.VecVirtual // byte i is i^distance
	low   map[int]reg.VecVirtual // ones where the bit of the byte's number is clear
	set   map[int]reg.Register   // bytes whose number has the bit
	unset map[int]reg.Register
}

func newByteSwap() *byteSwap {
	s := &byteSwap{map[int]reg.VecVirtual{}, map[int]reg.VecVirtual{}, map[int]reg.Register{}, map[int]reg.Register{}}
	elements, odd := GP64(), K()
	MOVQ(U32(0xaa), elements)
	KMOVB(elements.As32(), odd)
	for _, d := range []int{1, 2, 4} {
		var order, set uint64
		for b := range 8 {
			order |= uint64(b^d) << (8 * b)
			if b&d != 0 {
				set |= 0x0101010101010101 << b
			}
		}
		t := GP64()
		s.order[d], s.low[d] = ZMM(), ZMM()
		k, not := K(), K()
		MOVQ(U64(set), t)
		KMOVQ(t, k)
		KNOTQ(k, not)
		s.set[d], s.unset[d] = k, not
		VPMOVM2B(not, s.low[d])
		if d == 4 {
			continue // always by shifts
		}
		// The odd elements' bytes are 8 to 15 of a shuffle's 16.
		MOVQ(U64(order), t)
		VPBROADCASTQ(t, s.order[d])
		MOVQ(U64(order|0x0808080808080808), t)
		VPBROADCASTQ(t, odd, s.order[d])
	}
	return s
}

func (s *byteSwap) bytes(x *[8]reg.VecVirtual, d int, shuffle bool) {
	for i := range x {
		if i&d != 0 {
			continue
		}
		a, b := x[i], x[i+d]
		t := ZMM()
		if shuffle {
			VMOVDQA64(a, t)
			VPSHUFB(s.order[d], b, s.set[d], a)
			VPSHUFB(s.order[d], t, s.unset[d], b)
			continue
		}
		u := ZMM()
		VPSLLQ(U8(uint8(8*d)), b, t)
		VPSRLQ(U8(uint8(8*d)), a, u)
		VPTERNLOGQ(U8(0xe4), s.low[d], t, a) // low ? a : t
		VPTERNLOGQ(U8(0xd8), s.low[d], u, b) // low ? u : b
	}
}
