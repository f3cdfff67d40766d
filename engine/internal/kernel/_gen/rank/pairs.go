package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// Offsets in pairTable.
const (
	pairEntries = 0
	pairBase    = 8
	pairCuts    = 16
	pairSingles = 24
	pairLo      = 32
	pairHi      = 36
	pairNaN     = 40
	pairScale   = 44
	pairOffset  = 48
	pairShift   = 52
)

// Predicates of VCMPPS and VCMPPD.
const (
	unordered        = 0x03
	equalOrUnordered = 0x08
	greater          = 0x1e // ordered, quiet
)

// pairs512 ranks by one look-up of a bucket's cut and code, 16 rows at a time. Rows that this does not settle are found
// by comparing with one cut after the other.
func pairs512(o *orders, in input) {
	gen.Func("rankPairs"+in.name+"AVX512", "ranks n > 0 values by the pairTable q.", "func(dst *uint8, q *uint64, v "+in.param+", n int)")
	q := gen.Arg("q")
	r := newRows(in, 1)
	codes := AllocLocal(4 * group)
	lo, hi, nan, scale, offset := ZMM(), ZMM(), ZMM(), ZMM(), ZMM()
	VBROADCASTSS(gen.At(q, pairLo), lo)
	VBROADCASTSS(gen.At(q, pairHi), hi)
	VBROADCASTSS(gen.At(q, pairNaN), nan)
	VBROADCASTSS(gen.At(q, pairScale), scale)
	VBROADCASTSS(gen.At(q, pairOffset), offset)
	shift := XMM()
	VMOVD(gen.At(q, pairShift), shift)
	table, base := GP64(), GP64()
	MOVQ(gen.At(q, pairEntries), table)
	MOVQ(gen.At(q, pairBase), base)
	SUBQ(base, table)
	ones, even, odd, unpack := ZMM(), ZMM(), ZMM(), ZMM()
	VPTERNLOGD(U8(0xff), ones, ones, ones)
	VMOVDQU32(o.even, even)
	VMOVDQU32(o.odd, odd)
	VMOVDQU32(o.unpack, unpack)

	r.each(func(own reg.Register) {
		open := K() // rows of the group that are not settled, ored
		KXORW(open, open, open)
		var found [4]reg.VecVirtual
		for j := range found {
			x := ZMM()
			if in == double {
				low, high := YMM(), YMM()
				a, b := ZMM(), ZMM()
				VMOVUPD(gen.At(r.v, 128*j), a)
				VMOVUPD(gen.At(r.v, 128*j+64), b)
				VCVTPD2PS_RD_SAE(a, low)
				VCVTPD2PS_RD_SAE(b, high)
				VINSERTF64X4(Imm(1), high, low.AsZ(), x)
			} else {
				VMOVUPS(gen.At(r.v, 64*j), x)
			}
			// The second operand in Intel's order passes if either is NaN: NaN passes the first step and becomes nan in the
			// second.
			VMINPS(x, hi, x)
			VMINPS(nan, x, x)
			VMAXPS(x, lo, x)
			t := ZMM()
			VMULPS(scale, x, t)
			VADDPS(offset, t, t)
			VPSRLD(shift, t, t)
			upper := YMM()
			VEXTRACTI64X4(Imm(1), t, upper)
			a, b := ZMM(), ZMM()
			for _, g := range []struct {
				at  reg.VecVirtual
				dst reg.VecVirtual
			}{{t.AsY().(reg.VecVirtual), a}, {upper, b}} {
				all := K()
				VXORPS(g.dst, g.dst, g.dst)
				everyLane(all)
				VPGATHERDQ(Mem{Base: table, Index: g.at, Scale: 8}, all, g.dst)
			}
			cut := ZMM()
			VMOVDQA64(even, cut)
			VPERMI2D(b, a, cut)
			f := ZMM()
			VMOVDQA64(odd, f)
			VPERMI2D(b, a, f)
			above, unclear := K(), K()
			VCMPPS(Imm(greater), cut, x, above)
			if in == double {
				VCMPPS(Imm(equalOrUnordered), cut, x, unclear)
			} else {
				VCMPPS(Imm(unordered), cut, cut, unclear)
			}
			KORW(unclear, open, open)
			VPSUBD(ones, f, above, f)
			found[j] = f
		}
		KORTESTW(open, open)
		JZ(LabelRef("settled"))
		settle512(in, q, r, codes, found[:], ones)
		Label("settled")
		VPACKUSDW(found[1], found[0], found[0])
		VPACKUSDW(found[3], found[2], found[2])
		VPACKUSWB(found[2], found[0], found[0])
		VPERMD(found[0], unpack, found[0])
		VMOVDQU8(found[0], own, gen.At(r.dst, 0))
	})
}

// settle512 raises each row's code until the cut of that number is not below the value.
func settle512(in input, q reg.Register, r *rows, codes Mem, found []reg.VecVirtual, ones reg.VecVirtual) {
	at, cuts, x := GP64(), GP64(), GP64()
	LEAQ(codes, at)
	for j, f := range found {
		VMOVDQU32(f, gen.At(at, 64*j))
	}
	if in == double {
		MOVQ(gen.At(q, pairCuts), cuts)
	} else {
		MOVQ(gen.At(q, pairSingles), cuts)
	}
	MOVQ(r.v, x)
	turns := GP64()
	MOVQ(I32(in.size), turns)
	Label("settle")
	value := ZMM()
	all, above := K(), K()
	cut := ZMM()
	if in == double {
		k := YMM()
		VMOVDQU32(gen.At(at, 0), k)
		VMOVUPD(gen.At(x, 0), value)
		Label("raise")
		VXORPS(cut, cut, cut)
		everyLane(all)
		VGATHERDPD(Mem{Base: cuts, Index: k, Scale: 8}, all, cut)
		VCMPPD(Imm(greater), cut, value, above)
		VPSUBD(ones.AsY(), k, above, k)
		KORTESTW(above, above)
		JNZ(LabelRef("raise"))
		VMOVDQU32(k, gen.At(at, 0))
		ADDQ(Imm(32), at)
	} else {
		k := ZMM()
		VMOVDQU32(gen.At(at, 0), k)
		VMOVUPS(gen.At(x, 0), value)
		Label("raise")
		VXORPS(cut, cut, cut)
		everyLane(all)
		VGATHERDPS(Mem{Base: cuts, Index: k, Scale: 4}, all, cut)
		VCMPPS(Imm(greater), cut, value, above)
		VPSUBD(ones, k, above, k)
		KORTESTW(above, above)
		JNZ(LabelRef("raise"))
		VMOVDQU32(k, gen.At(at, 0))
		ADDQ(Imm(64), at)
	}
	ADDQ(Imm(64), x)
	DECQ(turns)
	JNZ(LabelRef("settle"))
	LEAQ(codes, at)
	for j, f := range found {
		VMOVDQU32(gen.At(at, 64*j), f)
	}
}
