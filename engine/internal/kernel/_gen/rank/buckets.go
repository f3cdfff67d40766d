package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// Offsets in bucketTable.
const (
	bucketFirst = 0
	bucketCuts  = 8
	bucketLo    = 16
	bucketHi    = 24
	bucketScale = 32
	bucketLeast = 40
	bucketHalf  = 48
	bucketShift = 56
	bucketSteps = 64
	bucketNaN   = 72
)

// ranking is a way of finding the first cut to compare with.
type ranking struct {
	name string
	load func(q reg.Register) func(x, k reg.VecVirtual) // constants, then the code for a vector of values
	avx2 func(q reg.Register) func(x, k reg.VecVirtual)
}

var (
	few    = ranking{"Few", loadFew, loadFew256}
	linear = ranking{"Linear", loadLinear, loadLinear256}
	log    = ranking{"Log", loadLog, loadLog256}
)

// buckets512 ranks in double precision, 8 rows at a time and 64 to a turn, so that the look-ups of different rows
// overlap: first all first cuts are looked up, then each step of the binary search is taken for all.
func buckets512(o *orders, in input, how ranking, out code) {
	gen.Func("rank"+how.name+in.name+out.name+"AVX512", "ranks n > 0 values by the bucketTable q.",
		"func(dst "+out.param+", q *uint64, v "+in.param+", n int)")
	q := gen.Arg("q")
	r := newRows(in, out.size)
	find := how.load(q)
	ones, nan, order := YMM(), YMM(), ZMM()
	VPTERNLOGD(U8(0xff), ones, ones, ones)
	VPBROADCASTD(gen.At(q, bucketNaN), nan)
	if out == byte8 {
		VMOVDQU64(o.unpack, order)
	} else {
		VMOVDQU64(o.words, order)
	}
	cuts := GP64()
	MOVQ(gen.At(q, bucketCuts), cuts)

	r.each(func(own reg.Register) {
		var found [8]reg.VecVirtual
		for j := range found {
			found[j] = YMM()
			find(r.load(j), found[j])
		}
		if how.name != few.name {
			search512(q, r, cuts, found[:], ones)
		}
		for j, k := range found {
			x := r.load(j)
			if how.name != few.name {
				raise(cuts, x, k, ones)
			}
			missing := K()
			VCMPPD(Imm(unordered), x, x, missing)
			VMOVDQA32(nan, missing, k)
		}
		pairs := joined(found)
		VPACKUSDW(pairs[1], pairs[0], pairs[0])
		VPACKUSDW(pairs[3], pairs[2], pairs[2])
		if out == byte8 {
			VPACKUSWB(pairs[2], pairs[0], pairs[0])
			VPERMD(pairs[0], order, pairs[0])
			VMOVDQU8(pairs[0], own, gen.At(r.dst, 0))
			return
		}
		storeWords(r, own, order, pairs[0], pairs[2])
	})
}

// joined returns vectors of 16 codes made of those of 8.
func joined(found [8]reg.VecVirtual) (pairs [4]reg.VecVirtual) {
	for j := range pairs {
		pairs[j] = ZMM()
		VINSERTI64X4(Imm(1), found[2*j+1], found[2*j].AsZ(), pairs[j])
	}
	return pairs
}

// storeWords stores a group's packed codes of 16 bits.
func storeWords(r *rows, own reg.Register, order, a, b reg.VecVirtual) {
	VPERMQ(a, order, a)
	VPERMQ(b, order, b)
	VMOVDQU16(a, own, gen.At(r.dst, 0))
	KSHIFTRQ(U8(32), own, own)
	VMOVDQU16(b, own, gen.At(r.dst, 64))
}

// load loads values 8j to 8j+7 of the group as doubles.
func (r *rows) load(j int) reg.VecVirtual {
	x := ZMM()
	if r.in == double {
		VMOVUPD(gen.At(r.v, 64*j), x)
	} else {
		VCVTPS2PD(gen.At(r.v, 32*j), x)
	}
	return x
}

// raise adds 1 to the codes k of the values above cut k.
func raise(cuts reg.Register, x, k, ones reg.VecVirtual) {
	cut := ZMM()
	all, above := K(), K()
	VXORPS(cut, cut, cut)
	everyLane(all)
	VGATHERDPD(Mem{Base: cuts, Index: k, Scale: 8}, all, cut)
	VCMPPD(Imm(greater), cut, x, above)
	VPSUBD(ones, k, above, k)
}

// search512 takes the steps of a binary search: with half going down from 1<<steps>>1 to 1, adds half to the codes k
// of the values above cut k+half-1.
func search512(q reg.Register, r *rows, cuts reg.Register, found []reg.VecVirtual, ones reg.VecVirtual) {
	half, at := GP64(), GP64()
	MOVQ(gen.At(q, bucketSteps), half)
	Label("step")
	TESTQ(half, half)
	JZ(LabelRef("searched"))
	LEAQ(Mem{Base: cuts, Index: half, Scale: 8, Disp: -8}, at)
	add := YMM()
	VPBROADCASTD(half.As32(), add)
	for j, k := range found {
		x, cut := r.load(j), ZMM()
		all, above := K(), K()
		VXORPS(cut, cut, cut)
		everyLane(all)
		VGATHERDPD(Mem{Base: at, Index: k, Scale: 8}, all, cut)
		VCMPPD(Imm(greater), cut, x, above)
		VPADDD(add, k, above, k)
	}
	SHRQ(Imm(1), half)
	JMP(LabelRef("step"))
	Label("searched")
}

// loadFew compares with four cuts.
func loadFew(q reg.Register) func(x, k reg.VecVirtual) {
	at := GP64()
	MOVQ(gen.At(q, bucketCuts), at)
	var cuts [4]reg.VecVirtual
	for i := range cuts {
		cuts[i] = ZMM()
		VBROADCASTSD(gen.At(at, 8*i), cuts[i])
	}
	ones := YMM()
	VPTERNLOGD(U8(0xff), ones, ones, ones)
	return func(x, k reg.VecVirtual) {
		VXORPS(k, k, k)
		for _, c := range cuts {
			above := K()
			VCMPPD(Imm(greater), c, x, above)
			VPSUBD(ones, k, above, k)
		}
	}
}

// clamp makes x a number from lo to hi.
func clamp(q reg.Register) func(x reg.VecVirtual) reg.VecVirtual {
	lo, hi := ZMM(), ZMM()
	VBROADCASTSD(gen.At(q, bucketLo), lo)
	VBROADCASTSD(gen.At(q, bucketHi), hi)
	return func(x reg.VecVirtual) reg.VecVirtual {
		c := ZMM()
		VMAXPD(lo, x, c) // lo for NaN
		VMINPD(hi, c, c)
		return c
	}
}

// loadLinear is Cuts.linear.
func loadLinear(q reg.Register) func(x, k reg.VecVirtual) {
	clamped := clamp(q)
	lo, scale, low := ZMM(), ZMM(), YMM()
	VBROADCASTSD(gen.At(q, bucketLo), lo)
	VBROADCASTSD(gen.At(q, bucketScale), scale)
	VPTERNLOGD(U8(0xff), low, low, low)
	VPSRLD(U8(16), low, low)
	first := GP64()
	MOVQ(gen.At(q, bucketFirst), first)
	return func(x, k reg.VecVirtual) {
		c := clamped(x)
		VSUBPD(lo, c, c)
		VMULPD(scale, c, c)
		at, all := YMM(), K()
		VCVTTPD2DQ(c, at)
		VXORPS(k, k, k)
		everyLane(all)
		VPGATHERDD(Mem{Base: first, Index: at, Scale: 2}, all, k)
		VPANDD(low, k, k)
	}
}

// loadLog is Cuts.log.
func loadLog(q reg.Register) func(x, k reg.VecVirtual) {
	clamped := clamp(q)
	least, half, magnitude, low, zero := ZMM(), ZMM(), ZMM(), YMM(), ZMM()
	VPBROADCASTQ(gen.At(q, bucketLeast), least)
	VPBROADCASTQ(gen.At(q, bucketHalf), half)
	VPTERNLOGD(U8(0xff), magnitude, magnitude, magnitude)
	VPSRLQ(U8(1), magnitude, magnitude)
	VPTERNLOGD(U8(0xff), low, low, low)
	VPSRLD(U8(16), low, low)
	VXORPS(zero, zero, zero)
	shift := XMM()
	VMOVQ(gen.At(q, bucketShift), shift)
	first := GP64()
	MOVQ(gen.At(q, bucketFirst), first)
	return func(x, k reg.VecVirtual) {
		c := clamped(x)
		a := ZMM()
		VPANDQ(magnitude, c, a)
		VPSRLQ(shift, a, a)
		VPSUBQ(least, a, a) // least is one less than in Go
		VPMAXSQ(zero, a, a)
		negative, all := K(), K()
		VPMOVQ2M(c, negative)
		VPSUBQ(a, zero, negative, a)
		VPADDQ(half, a, a)
		VXORPS(k, k, k)
		everyLane(all)
		VPGATHERQD(Mem{Base: first, Index: a, Scale: 2}, all, k)
		VPANDD(low, k, k)
	}
}
