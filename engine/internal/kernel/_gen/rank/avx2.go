package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// group256 is the number of rows per turn of the AVX2 loops: there are but 16 registers.
const group256 = 16

// rows256 is rows without masks: values and codes of a group that is not whole go through the stack.
type rows256 struct {
	in            input
	out           code
	v, to, dst, n reg.GPVirtual // to is where the group's codes go
	values, spill Mem
}

func newRows256(in input, out code) *rows256 {
	return &rows256{
		in: in, out: out, dst: gen.Arg("dst"), v: gen.Arg("v"), n: gen.Arg("n"), to: GP64(),
		values: AllocLocal(group256 * in.size), spill: AllocLocal(group256 * out.size),
	}
}

// each emits the loop.
func (r *rows256) each(body func()) {
	move := func(size int, from, to reg.Register, label string) {
		i := GP64()
		XORQ(i, i)
		Label(label)
		switch size {
		case 1:
			t := GP32()
			MOVBLZX(gen.Indexed(from, i, 1, 0), t)
			MOVB(t.As8(), gen.Indexed(to, i, 1, 0))
		case 2:
			t := GP32()
			MOVWLZX(gen.Indexed(from, i, 2, 0), t)
			MOVW(t.As16(), gen.Indexed(to, i, 2, 0))
		case 4:
			t := GP32()
			MOVL(gen.Indexed(from, i, 4, 0), t)
			MOVL(t, gen.Indexed(to, i, 4, 0))
		default:
			t := GP64()
			MOVQ(gen.Indexed(from, i, 8, 0), t)
			MOVQ(t, gen.Indexed(to, i, 8, 0))
		}
		INCQ(i)
		CMPQ(i, r.n)
		JB(LabelRef(label))
	}
	Label("group")
	MOVQ(r.dst, r.to)
	CMPQ(r.n, Imm(group256))
	JAE(LabelRef("whole"))
	from := GP64()
	MOVQ(r.v, from)
	LEAQ(r.values, r.v)
	LEAQ(r.spill, r.to)
	move(r.in.size, from, r.v, "in")
	Label("whole")
	prefetch(r.in, r.v, group256)
	body()
	CMPQ(r.n, Imm(group256))
	JB(LabelRef("rest"))
	ADDQ(gen.Int(group256*r.in.size), r.v)
	ADDQ(gen.Int(group256*r.out.size), r.dst)
	SUBQ(Imm(group256), r.n)
	JNZ(LabelRef("group"))
	JMP(LabelRef("done"))
	Label("rest")
	move(r.out.size, r.to, r.dst, "out")
	Label("done")
	gen.Leave()
}

// everyLane256 sets the mask of a gather, which clears it.
func everyLane256(m reg.VecVirtual) { VPCMPEQD(m, m, m) }

// pairs256 is pairs512 for float32 and AVX2.
func pairs256(centred bool) {
	name := "rankPairs32AVX2"
	if centred {
		name = "rankCentred32AVX2"
	}
	gen.Func(name, "ranks n > 0 values by the pairTable q.", "func(dst *uint8, q *uint64, v *float32, n int)")
	q := gen.Arg("q")
	r := newRows256(single, byte8)
	lo, hi, nan, scale, offset, shift := YMM(), YMM(), YMM(), YMM(), YMM(), XMM()
	VBROADCASTSS(gen.At(q, pairLo), lo)
	VBROADCASTSS(gen.At(q, pairHi), hi)
	VBROADCASTSS(gen.At(q, pairNaN), nan)
	VBROADCASTSS(gen.At(q, pairScale), scale)
	VBROADCASTSS(gen.At(q, pairOffset), offset)
	VMOVD(gen.At(q, pairShift), shift)
	table, base := GP64(), GP64()
	MOVQ(gen.At(q, pairEntries), table)
	MOVQ(gen.At(q, pairBase), base)
	SUBQ(base, table)
	magnitude, one, negative := YMM(), YMM(), YMM()
	if centred {
		VPCMPEQD(magnitude, magnitude, magnitude)
		VPSRLD(U8(25), magnitude, one)
		VPSLLD(U8(23), one, one)
		VPSRLD(U8(1), magnitude, magnitude)
		VPBROADCASTD(gen.At(q, pairNegative), negative)
	}
	clamped := func(j int) reg.VecVirtual {
		x := YMM()
		VMINPS(gen.At(r.v, 32*j), hi, x)
		VMINPS(nan, x, x)
		VMAXPS(x, lo, x)
		return x
	}
	r.each(func() {
		var found [2]reg.VecVirtual
		for j := range found {
			x, t := clamped(j), YMM()
			VMULPS(scale, x, t)
			VADDPS(offset, t, t)
			if centred {
				below := YMM()
				VPSRAD(U8(31), t, below)
				VPAND(negative, below, below)
				VPAND(magnitude, t, t)
				VADDPS(one, t, t)
				VPSRLD(shift, t, t)
				VPADDD(below, t, t)
			} else {
				VPSRLD(shift, t, t)
			}
			// The halves of the look-ups are shuffled by lanes: rows 0, 1, 4 and 5 come first.
			VPERMQ(U8(0xd8), t, t)
			upper := XMM()
			VEXTRACTI128(U8(1), t, upper)
			gather := func(at reg.Register) reg.VecVirtual {
				all, to := YMM(), YMM()
				everyLane256(all)
				VPXOR(to, to, to)
				VPGATHERDQ(all, Mem{Base: table, Index: at, Scale: 8}, to)
				return to
			}
			a, b := gather(t.AsX()), gather(upper)
			cut := YMM()
			found[j] = YMM()
			VSHUFPS(U8(0x88), b, a, cut)
			VSHUFPS(U8(0xdd), b, a, found[j])
			VCMPPS(U8(greater), cut, x, cut)
			VPSUBD(cut, found[j], found[j])
		}
		left, at := GP64(), GP64()
		MOVL(gen.At(q, pairPeels), left.As32())
		TESTQ(left, left)
		JZ(LabelRef("peeled"))
		LEAQ(gen.At(q, pairPeel), at)
		Label("peel")
		cut := YMM()
		VBROADCASTSS(gen.At(at, 0), cut)
		for j, k := range found {
			x := clamped(j)
			VCMPPS(U8(greater), cut, x, x)
			VPSUBD(x, k, k)
		}
		ADDQ(Imm(4), at)
		DECQ(left)
		JNZ(LabelRef("peel"))
		Label("peeled")
		any, crowded := YMM(), GP32()
		VPOR(found[0], found[1], any)
		VPSLLD(U8(15), any, any)
		VMOVMSKPS(any, crowded)
		TESTL(crowded, crowded)
		JZ(LabelRef("settled"))
		cuts, turns := GP64(), GP64()
		MOVQ(gen.At(q, pairSingles), cuts)
		MOVL(gen.At(q, pairTurns), turns.As32())
		for _, k := range found {
			VPSLLD(U8(16), k, k)
			VPSRLD(U8(16), k, k)
		}
		Label("raise")
		for j, k := range found {
			all, c := YMM(), YMM()
			everyLane256(all)
			VPXOR(c, c, c)
			VGATHERDPS(all, Mem{Base: cuts, Index: k, Scale: 4}, c)
			x := YMM()
			VMOVUPS(gen.At(r.v, 32*j), x)
			VCMPPS(U8(greater), c, x, c)
			VPSUBD(c, k, k)
		}
		DECQ(turns)
		JNZ(LabelRef("raise"))
		Label("settled")
		VPACKUSDW(found[1], found[0], found[0])
		VPERMQ(U8(0xd8), found[0], found[0])
		upper := XMM()
		VEXTRACTI128(U8(1), found[0], upper)
		VPACKUSWB(upper, found[0].AsX(), upper)
		VMOVDQU(upper, gen.At(r.to, 0))
	})
}

// buckets256 is buckets512 for AVX2: 4 rows at a time and 16 to a turn.
func buckets256(in input, how ranking, out code) {
	gen.Func("rank"+how.name+in.name+out.name+"AVX2", "ranks n > 0 values by the bucketTable q.",
		"func(dst "+out.param+", q *uint64, v "+in.param+", n int)")
	q := gen.Arg("q")
	r := newRows256(in, out)
	find := how.avx2(q)
	nan, cuts := XMM(), GP64()
	VPBROADCASTD(gen.At(q, bucketNaN), nan)
	MOVQ(gen.At(q, bucketCuts), cuts)
	load := func(j int) reg.VecVirtual {
		x := YMM()
		if in == double {
			VMOVUPD(gen.At(r.v, 32*j), x)
		} else {
			VCVTPS2PD(gen.At(r.v, 16*j), x)
		}
		return x
	}
	// above compares x with the cuts at k.
	above := func(cuts reg.Register, x, k reg.VecVirtual) reg.VecVirtual {
		all, c := YMM(), YMM()
		everyLane256(all)
		VPXOR(c, c, c)
		VGATHERDPD(all, Mem{Base: cuts, Index: k, Scale: 8}, c)
		return compare256(greater, c, x)
	}
	r.each(func() {
		var found [4]reg.VecVirtual
		for j := range found {
			found[j] = XMM()
			find(load(j), found[j])
		}
		if how.name != few.name {
			half, at := GP64(), GP64()
			MOVQ(gen.At(q, bucketSteps), half)
			Label("step")
			TESTQ(half, half)
			JZ(LabelRef("searched"))
			LEAQ(Mem{Base: cuts, Index: half, Scale: 8, Disp: -8}, at)
			add := XMM()
			VMOVD(half.As32(), add)
			VPBROADCASTD(add, add)
			for j, k := range found {
				m := above(at, load(j), k)
				VPAND(add, m, m)
				VPADDD(m, k, k)
			}
			SHRQ(Imm(1), half)
			JMP(LabelRef("step"))
			Label("searched")
		}
		for j, k := range found {
			x := load(j)
			if how.name != few.name {
				VPSUBD(above(cuts, x, k), k, k)
			}
			missing := compare256(unordered, x, x)
			VPBLENDVB(missing, nan, k, k)
		}
		VPACKUSDW(found[1], found[0], found[0])
		VPACKUSDW(found[3], found[2], found[2])
		if out == byte8 {
			VPACKUSWB(found[2], found[0], found[0])
			VMOVDQU(found[0], gen.At(r.to, 0))
			return
		}
		VMOVDQU(found[0], gen.At(r.to, 0))
		VMOVDQU(found[2], gen.At(r.to, 16))
	})
}

// compare256 compares four doubles, x with c, and returns the outcomes as four dwords.
func compare256(predicate uint8, c, x reg.VecVirtual) reg.VecVirtual {
	m, low, high := YMM(), XMM(), XMM()
	VCMPPD(U8(predicate), c, x, m)
	VEXTRACTF128(U8(1), m, high)
	VSHUFPS(U8(0x88), high, m.AsX(), low)
	return low
}

func loadFew256(q reg.Register) func(x, k reg.VecVirtual) {
	at := GP64()
	MOVQ(gen.At(q, bucketCuts), at)
	var cuts [4]reg.VecVirtual
	for i := range cuts {
		cuts[i] = YMM()
		VBROADCASTSD(gen.At(at, 8*i), cuts[i])
	}
	return func(x, k reg.VecVirtual) {
		VPXOR(k, k, k)
		for _, c := range cuts {
			VPSUBD(compare256(greater, c, x), k, k)
		}
	}
}

// first256 looks the first cuts up.
func first256(q reg.Register) func(gather func(all reg.VecVirtual, first reg.GPVirtual), k reg.VecVirtual) {
	low, first := XMM(), GP64()
	VPCMPEQD(low, low, low)
	VPSRLD(U8(16), low, low)
	MOVQ(gen.At(q, bucketFirst), first)
	return func(gather func(all reg.VecVirtual, first reg.GPVirtual), k reg.VecVirtual) {
		all := XMM()
		everyLane256(all)
		VPXOR(k, k, k)
		gather(all, first)
		VPAND(low, k, k)
	}
}

func clamp256(q reg.Register) (clamped func(x reg.VecVirtual) reg.VecVirtual, lo reg.VecVirtual) {
	lo = YMM()
	hi := YMM()
	VBROADCASTSD(gen.At(q, bucketLo), lo)
	VBROADCASTSD(gen.At(q, bucketHi), hi)
	return func(x reg.VecVirtual) reg.VecVirtual {
		c := YMM()
		VMAXPD(lo, x, c)
		VMINPD(hi, c, c)
		return c
	}, lo
}

func loadLinear256(q reg.Register) func(x, k reg.VecVirtual) {
	clamped, lo := clamp256(q)
	scale := YMM()
	VBROADCASTSD(gen.At(q, bucketScale), scale)
	first := first256(q)
	return func(x, k reg.VecVirtual) {
		c, at := clamped(x), XMM()
		VSUBPD(lo, c, c)
		VMULPD(scale, c, c)
		VCVTTPD2DQY(c, at)
		first(func(all reg.VecVirtual, base reg.GPVirtual) {
			VPGATHERDD(all, Mem{Base: base, Index: at, Scale: 2}, k)
		}, k)
	}
}

func loadLog256(q reg.Register) func(x, k reg.VecVirtual) {
	clamped, _ := clamp256(q)
	least, half, magnitude, shift := YMM(), YMM(), YMM(), XMM()
	VPBROADCASTQ(gen.At(q, bucketLeast), least)
	VPBROADCASTQ(gen.At(q, bucketHalf), half)
	VPCMPEQD(magnitude, magnitude, magnitude)
	VPSRLQ(U8(1), magnitude, magnitude)
	VMOVQ(gen.At(q, bucketShift), shift)
	first := first256(q)
	return func(x, k reg.VecVirtual) {
		c, a, m := clamped(x), YMM(), YMM()
		VPAND(magnitude, c, a)
		VPSRLQ(shift, a, a)
		VPSUBQ(least, a, a)
		VPXOR(m, m, m)
		negative := YMM()
		VPCMPGTQ(c, m, negative)
		VPCMPGTQ(m, a, m)
		VPAND(m, a, a)
		VPXOR(negative, a, a)
		VPSUBQ(negative, a, a)
		VPADDQ(half, a, a)
		first(func(all reg.VecVirtual, base reg.GPVirtual) {
			VPGATHERQD(all, Mem{Base: base, Index: a, Scale: 2}, k)
		}, k)
	}
}
