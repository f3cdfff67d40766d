package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// Offsets in pairTable.
const (
	pairEntries  = 0
	pairBase     = 8
	pairCuts     = 16
	pairSingles  = 24
	pairLo       = 32
	pairHi       = 36
	pairNaN      = 40
	pairScale    = 44
	pairOffset   = 48
	pairShift    = 52
	pairNegative = 56
	pairTurns    = 60
	pairMore     = 64
	pairPeels    = 68
	pairPeel     = 72
)

// Predicates of VCMPPS and VCMPPD.
const (
	equal     = 0x00 // ordered
	unordered = 0x03
	greater   = 0x1e // ordered, quiet
)

// pairs512 ranks by one look-up of a bucket's cut and code, 16 rows at a time. Rows that this does not settle go on
// comparing with one cut after the other.
func pairs512(o *orders, in input, centred bool) {
	name := "rankPairs"
	if centred {
		name = "rankCentred"
	}
	name += in.name + "AVX512"
	TEXT(name, 0, "func(dst *uint8, q *uint64, v "+in.param+", n int)") // the frame is too large for NOSPLIT
	Pragma("noescape")
	Doc(name + " ranks n > 0 values by the pairTable q.")
	q := gen.Arg("q")
	r := newRows(in, 1)
	codes := AllocLocal(4 * group)
	p := loadPairs(o, q, centred)
	r.each(func(own reg.Register) {
		open := K() // vectors with a row that equals its cut once rounded
		if in == double {
			KXORW(reg.K7, reg.K7, open)
		}
		var values, found [4]reg.VecVirtual
		for j := range found {
			values[j] = p.clamped(r, j)
			found[j] = p.find(in, values[j], open)
		}
		p.peel(q, in, values[:], found[:], open)
		crowded, any := K(), ZMM()
		VMOVDQA64(found[0], any)
		VPTERNLOGD(U8(0xfe), found[1], found[2], any)
		VPORD(found[3], any, any)
		VPTESTMD(p.flag, any, crowded)
		if in == double {
			KORW(open, crowded, crowded)
		}
		KORTESTW(crowded, crowded)
		JZ(LabelRef("settled"))
		p.settle(q, r, open, codes, found[:])
		Label("settled")
		VPACKUSDW(found[1], found[0], found[0])
		VPACKUSDW(found[3], found[2], found[2])
		VPACKUSWB(found[2], found[0], found[0])
		VPERMD(found[0], p.unpack, found[0])
		VMOVDQU8(found[0], own, gen.At(r.dst, 0))
	})
}

// pairs is the state of pairs512 that lasts.
type pairs struct {
	lo, hi, nan, scale, offset reg.VecVirtual
	shift                      reg.VecVirtual
	centred                    bool
	one, magnitude, negative   reg.VecVirtual // centred
	table                      reg.GPVirtual
	ones, flag                 reg.VecVirtual
	even, odd, unpack          reg.VecVirtual
}

func loadPairs(o *orders, q reg.Register, centred bool) *pairs {
	p := &pairs{
		lo: ZMM(), hi: ZMM(), nan: ZMM(), scale: ZMM(), offset: ZMM(), shift: XMM(), centred: centred, table: GP64(),
		ones: ZMM(), flag: ZMM(), even: ZMM(), odd: ZMM(), unpack: ZMM(),
	}
	VBROADCASTSS(gen.At(q, pairLo), p.lo)
	VBROADCASTSS(gen.At(q, pairHi), p.hi)
	VBROADCASTSS(gen.At(q, pairNaN), p.nan)
	VBROADCASTSS(gen.At(q, pairScale), p.scale)
	VBROADCASTSS(gen.At(q, pairOffset), p.offset)
	VMOVD(gen.At(q, pairShift), p.shift)
	base := GP64()
	MOVQ(gen.At(q, pairEntries), p.table)
	MOVQ(gen.At(q, pairBase), base)
	SUBQ(base, p.table)
	VPTERNLOGD(U8(0xff), p.ones, p.ones, p.ones)
	VPSRLD(U8(31), p.ones, p.flag)
	VPSLLD(U8(16), p.flag, p.flag)
	VMOVDQU32(o.even, p.even)
	VMOVDQU32(o.odd, p.odd)
	VMOVDQU32(o.unpack, p.unpack)
	if centred {
		p.one, p.magnitude, p.negative = ZMM(), ZMM(), ZMM()
		VPSRLD(U8(25), p.ones, p.one) // 127, the exponent of 1
		VPSLLD(U8(23), p.one, p.one)
		VPSRLD(U8(1), p.ones, p.magnitude)
		VPBROADCASTD(gen.At(q, pairNegative), p.negative)
	}
	return p
}

// clamped loads values 16j to 16j+15 of the group, rounded down to float32, from lo to hi or nan.
func (p *pairs) clamped(r *rows, j int) reg.VecVirtual {
	x := ZMM()
	if r.in == double {
		low, high := YMM(), YMM()
		a, b := ZMM(), ZMM()
		VMOVUPD(gen.At(r.v, 128*j), a)
		VMOVUPD(gen.At(r.v, 128*j+64), b)
		VCVTPD2PS_RD_SAE(a, low)
		VCVTPD2PS_RD_SAE(b, high)
		VINSERTF64X4(Imm(1), high, low.AsZ(), x)
		VMINPS(x, p.hi, x)
	} else {
		VMINPS(gen.At(r.v, 64*j), p.hi, x)
	}
	// The first operand, the second in Intel's order, is the result if either is NaN: NaN has passed, and becomes nan.
	VMINPS(p.nan, x, x)
	VMAXPS(x, p.lo, x)
	return x
}

// find looks the values' buckets up and returns the codes so far.
func (p *pairs) find(in input, x reg.VecVirtual, open reg.OpmaskVirtual) reg.VecVirtual {
	t := ZMM()
	VMULPS(p.scale, x, t)
	VADDPS(p.offset, t, t)
	below := K()
	if p.centred {
		VPMOVD2M(t, below)
		VPANDD(p.magnitude, t, t)
		VADDPS(p.one, t, t)
	}
	VPSRLD(p.shift, t, t)
	if p.centred {
		VPADDD(p.negative, t, below, t)
	}
	upper := YMM()
	VEXTRACTI64X4(Imm(1), t, upper)
	gather := func(at reg.Register) reg.VecVirtual {
		all, to := K(), ZMM()
		VXORPS(to, to, to)
		everyLane(all)
		VPGATHERDQ(Mem{Base: p.table, Index: at, Scale: 8}, all, to)
		return to
	}
	a, b := gather(t.AsY()), gather(upper)
	cut, code := ZMM(), ZMM()
	VMOVDQA64(p.even, cut)
	VPERMI2D(b, a, cut)
	VMOVDQA64(p.odd, code)
	VPERMI2D(b, a, code)
	p.count(in, cut, x, code, open)
	return code
}

// count adds 1 to the codes of the values above their cuts.
func (p *pairs) count(in input, cut, x, code reg.VecVirtual, open reg.OpmaskVirtual) {
	above := K()
	VCMPPS(Imm(greater), cut, x, above)
	if in == double {
		same := K()
		VCMPPS(Imm(equal), cut, x, same)
		KORW(same, open, open)
	}
	VPSUBD(p.ones, code, above, code)
}

// peel compares with the cuts that the table leaves out.
func (p *pairs) peel(q reg.Register, in input, values, found []reg.VecVirtual, open reg.OpmaskVirtual) {
	left, at := GP64(), GP64()
	MOVL(gen.At(q, pairPeels), left.As32())
	TESTQ(left, left)
	JZ(LabelRef("peeled"))
	LEAQ(gen.At(q, pairPeel), at)
	Label("peel")
	cut := ZMM()
	VBROADCASTSS(gen.At(at, 0), cut)
	for j, x := range values {
		p.count(in, cut, x, found[j], open)
	}
	ADDQ(Imm(4), at)
	DECQ(left)
	JNZ(LabelRef("peel"))
	Label("peeled")
}

// settle raises the codes by as many comparisons as any row may need: always the same number, since a branch on the
// outcome would often be mispredicted.
func (p *pairs) settle(q reg.Register, r *rows, open reg.Register, codes Mem, found []reg.VecVirtual) {
	at, cuts, x, turns := GP64(), GP64(), GP64(), GP64()
	LEAQ(codes, at)
	for j, f := range found {
		VPANDND(f, p.flag, f)
		VMOVDQU32(f, gen.At(at, 64*j))
	}
	MOVL(gen.At(q, pairTurns), turns.As32())
	if r.in == double {
		MOVQ(gen.At(q, pairCuts), cuts)
		more := GP64()
		KORTESTW(open, open)
		JZ(LabelRef("crowded"))
		MOVL(gen.At(q, pairMore), more.As32())
		ADDQ(more, turns)
		Label("crowded")
	} else {
		MOVQ(gen.At(q, pairSingles), cuts)
	}
	MOVQ(r.v, x)
	vectors, turn := GP64(), GP64()
	MOVQ(I32(int32(r.in.size)), vectors)
	Label("settle")
	MOVQ(turns, turn)
	value, cut := ZMM(), ZMM()
	all, above := K(), K()
	size := 64
	var k reg.VecVirtual
	if r.in == double {
		size = 32
		k = YMM()
		VMOVDQU32(gen.At(at, 0), k)
		VMOVUPD(gen.At(x, 0), value)
	} else {
		k = ZMM()
		VMOVDQU32(gen.At(at, 0), k)
		VMOVUPS(gen.At(x, 0), value)
	}
	Label("raise")
	everyLane(all)
	VXORPS(cut, cut, cut)
	if r.in == double {
		VGATHERDPD(Mem{Base: cuts, Index: k, Scale: 8}, all, cut)
		VCMPPD(Imm(greater), cut, value, above)
		VPSUBD(p.ones.AsY(), k, above, k)
	} else {
		VGATHERDPS(Mem{Base: cuts, Index: k, Scale: 4}, all, cut)
		VCMPPS(Imm(greater), cut, value, above)
		VPSUBD(p.ones, k, above, k)
	}
	DECQ(turn)
	JNZ(LabelRef("raise"))
	VMOVDQU32(k, gen.At(at, 0))
	ADDQ(gen.Int(size), at)
	ADDQ(Imm(64), x)
	DECQ(vectors)
	JNZ(LabelRef("settle"))
	LEAQ(codes, at)
	for j, f := range found {
		VMOVDQU32(gen.At(at, 64*j), f)
	}
}
