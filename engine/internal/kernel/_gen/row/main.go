// Command row generates the assembly of row.go's functions.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	codes()
	outcomes(64)
	outcomes(128)
	outcomes(256)
	flat()
	flatSum(64)
	flatSum(32)
	heap()
	for _, levels := range []int{3, 4} {
		for _, columns := range []int{64, 128, 256} {
			blocks(levels, columns)
		}
	}
}

const (
	greater   = 0x1e // VCMPPD: greater, ordered, quiet
	unordered = 0x03 // VCMPPD: either is NaN
	above     = 6    // VPCMPUB: not less or equal
)

// codes is Codes. The tree of cuts is descended by counting, eight cuts at a time, so there is no branch on the data.
func codes() {
	gen.Func("rowCodesAVX512", "ranks n values, the first of one level, up to two of two, and writes their codes.",
		"func(codes *uint8, ranks *uint8, values *float64, sources *uint64, one int, two int, n int)")
	out, ranks, values, src := gen.Arg("codes"), gen.Arg("ranks"), gen.Arg("values"), gen.Arg("sources")
	one, two, n := gen.Arg("one"), gen.Arg("two"), gen.Arg("n")
	i := GP64()
	XORQ(i, i)
	cuts, pivots := GP64(), GP64()
	x := ZMM()
	count := func(k reg.Register, at Mem, to reg.GPVirtual) {
		VCMPPD(U8(greater), at, x, k)
		KMOVB(k, to.As32())
		POPCNTL(to.As32(), to.As32())
	}
	loop := func(name string, end reg.GPVirtual, body func() reg.GPVirtual) {
		Label(name)
		CMPQ(i, end)
		JGE(LabelRef(name + "_end"))
		MOVQ(gen.At(src, 0), cuts)
		MOVQ(gen.At(src, 24), pivots)
		VBROADCASTSD(gen.Indexed(values, i, 8, 0), x)
		r := body()
		MOVB(r.As8(), gen.Indexed(ranks, i, 1, 0))
		ADDQ(U8(48), src)
		INCQ(i)
		JMP(LabelRef(name))
		Label(name + "_end")
	}
	loop("one", one, func() reg.GPVirtual {
		r := GP64()
		count(K(), gen.At(cuts, 0), r)
		return r
	})
	loop("two", two, func() reg.GPVirtual {
		a, r := GP64(), GP64()
		count(K(), gen.At(pivots, 0), a)
		SHLQ(U8(3), a)
		count(K(), gen.Indexed(cuts, a, 8, 0), r)
		ADDQ(a, r)
		return r
	})
	loop("three", n, func() reg.GPVirtual {
		a, b, r := GP64(), GP64(), GP64()
		count(K(), gen.At(pivots, 0), a)
		SHLQ(U8(3), a)
		count(K(), gen.Indexed(pivots, a, 8, 64), b)
		ADDQ(a, b)
		SHLQ(U8(3), b)
		count(K(), gen.Indexed(cuts, b, 8, 0), r)
		ADDQ(b, r)
		return r
	})
	Comment("Words of a code and the same again; of NaN, 0 and 255.")
	high, t := ZMM(), GP32()
	MOVL(U32(0xff00), t)
	VPBROADCASTW(t, high)
	XORQ(i, i)
	Label("pair")
	w, v := ZMM(), ZMM()
	VPMOVZXBW(gen.Indexed(ranks, i, 1, 0), w)
	VPSLLW(U8(8), w, v)
	VPORQ(v, w, w)
	var nan [4]reg.Register
	for g := range nan {
		nan[g] = K()
		VMOVUPD(gen.Indexed(values, i, 8, 64*g), v)
		VCMPPD(U8(unordered), v, v, nan[g])
	}
	KUNPCKBW(nan[0], nan[1], nan[1])
	KUNPCKBW(nan[2], nan[3], nan[3])
	KUNPCKWD(nan[1], nan[3], nan[3])
	VMOVDQU16(high, nan[3], w)
	VMOVDQU64(w, gen.Indexed(out, i, 2, 0))
	ADDQ(U8(32), i)
	CMPQ(i, n)
	JLT(LabelRef("pair"))
	gen.Leave()
}

// outcomes is Outcomes for up to so many columns.
func outcomes(columns int) {
	name := map[int]string{64: "rowOutcomes64AVX512", 128: "rowOutcomes128AVX512", 256: "rowOutcomes256AVX512"}[columns]
	gen.Func(name, "decides 64 nodes a word.", "func(out *uint64, nodes *uint8, codes *uint8, words int)")
	out, nodes, codes, n := gen.Arg("out"), gen.Arg("nodes"), gen.Arg("codes"), gen.Arg("words")
	table := load(codes, columns)
	Label("loop")
	at, k := ZMM(), K()
	VMOVDQU64(gen.At(nodes, 0), at)
	lookUp(table, at)
	VPCMPUB(U8(above), gen.At(nodes, 64), at, k)
	KMOVQ(k, gen.At(out, 0))
	ADDQ(I32(128), nodes)
	ADDQ(U8(8), out)
	DECQ(n)
	JNZ(LabelRef("loop"))
	gen.Leave()
}

// exit finds the leaf of one flat tree.
func exit(outcomes, left reg.Register, tree reg.GPVirtual, disp int) reg.GPVirtual {
	o, a, b := ZMM(), K(), K()
	low, high := GP64(), GP64()
	VPBROADCASTD(gen.Indexed(outcomes, tree, 4, 4*disp), o)
	VPTESTNMD(gen.At(left, 128*disp), o, a)
	VPTESTNMD(gen.At(left, 128*disp+64), o, b)
	KMOVW(a, low.As32())
	KMOVW(b, high.As32())
	SHLL(U8(16), high.As32())
	ORL(high.As32(), low.As32())
	TZCNTL(low.As32(), low.As32())
	return low
}

func flat() {
	gen.Func("rowFlatAVX512", "writes the leaf numbers of n trees.", "func(numbers *uint8, outcomes *uint32, left *uint32, n int)")
	out, outcomes, left, n := gen.Arg("numbers"), gen.Arg("outcomes"), gen.Arg("left"), gen.Arg("n")
	i := GP64()
	XORQ(i, i)
	Label("loop")
	l := exit(outcomes, left, i, 0)
	MOVB(l.As8(), gen.Indexed(out, i, 1, 0))
	ADDQ(I32(128), left)
	INCQ(i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	gen.Leave()
}

// flatSum finds and adds.
func flatSum(width int) {
	name, f := "rowFlatSum64AVX512", "float64"
	if width == 32 {
		name, f = "rowFlatSum32AVX512", "float32"
	}
	gen.Func(name, "returns acc and the leaves of n trees.",
		"func(acc "+f+", outcomes *uint32, left *uint32, offsets *uint32, leaves *"+f+", n int) "+f)
	acc := XMM()
	Load(Param("acc"), acc)
	outcomes, left, offsets, leaves, n := gen.Arg("outcomes"), gen.Arg("left"), gen.Arg("offsets"), gen.Arg("leaves"), gen.Arg("n")
	i := GP64()
	XORQ(i, i)
	step := func(disp int) {
		l, at := exit(outcomes, left, i, disp), GP64()
		MOVL(gen.Indexed(offsets, i, 4, 4*disp), at.As32())
		ADDQ(at, l)
		if width == 64 {
			VADDSD(gen.Indexed(leaves, l, 8, 0), acc, acc)
		} else {
			VADDSS(gen.Indexed(leaves, l, 4, 0), acc, acc)
		}
	}
	SUBQ(U8(1), n)
	JLE(LabelRef("last"))
	Label("loop")
	step(0)
	step(1)
	ADDQ(I32(256), left)
	ADDQ(U8(2), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	Label("last")
	CMPQ(i, n)
	JNE(LabelRef("done"))
	step(0)
	Label("done")
	Store(acc, ReturnIndex(0))
	gen.Leave()
}

// heap descends eight trees at a time: at = 2*at + bit at of the outcomes.
func heap() {
	gen.Func("rowHeapAVX512", "writes the leaf numbers of 8*n trees.", "func(numbers *uint8, outcomes *uint64, places *uint8, n int)")
	out, outcomes, places, n := gen.Arg("numbers"), gen.Arg("outcomes"), gen.Arg("places"), gen.Arg("n")
	one, t := ZMM(), GP64()
	MOVQ(U32(1), t)
	VPBROADCASTQ(t, one)
	Label("loop")
	o, at, bit := ZMM(), ZMM(), ZMM()
	VMOVDQU64(gen.At(outcomes, 0), o)
	VMOVDQA64(one, at)
	for range 6 {
		VPSRLVQ(at, o, bit)
		VPADDQ(at, at, at)
		VPTERNLOGQ(U8(0xf8), one, bit, at) // at | bit&one
	}
	Comment("Place p of tree j of these eight is byte 64*j+p; at is 64+p.")
	for q := range 4 {
		x := XMM()
		VEXTRACTI64X2(U8(q), at, x)
		for h := range 2 {
			p := GP64()
			VPEXTRQ(U8(h), x, p)
			j := 2*q + h
			MOVBLZX(gen.Indexed(places, p, 1, 64*j-64), p.As32())
			MOVB(p.As8(), gen.At(out, j))
		}
	}
	ADDQ(U8(64), outcomes)
	ADDQ(I32(512), places)
	ADDQ(U8(8), out)
	DECQ(n)
	JNZ(LabelRef("loop"))
	gen.Leave()
}

// load loads so many codes into registers.
func load(codes reg.Register, columns int) (table []reg.VecVirtual) {
	for i := range columns / 64 {
		z := ZMM()
		VMOVDQU64(gen.At(codes, 64*i), z)
		table = append(table, z)
	}
	return table
}

// lookUp replaces the columns in at by their codes.
func lookUp(table []reg.VecVirtual, at reg.VecVirtual) {
	switch len(table) {
	case 1:
		VPERMB(table[0], at, at)
	case 2:
		VPERMI2B(table[1], table[0], at)
	default:
		other, upper := ZMM(), K()
		VMOVDQA64(at, other)
		VPMOVB2M(at, upper)
		VPERMI2B(table[1], table[0], at)
		VPERMI2B(table[3], table[2], other)
		VMOVDQU8(other, upper, at)
	}
}

// blocks is Blocks. All trees go through their first blocks, then those that go on through their next, in three steps:
// outcomes of each block; places of 32 blocks at a time; exits. That the trees are many hides what each waits for, and
// only the end of a step is a branch that cannot be foreseen.
func blocks(levels, columns int) {
	gen.Func(fmt.Sprintf("rowBlocks%dx%dAVX512", levels, columns), "writes the leaf numbers of n trees.",
		"func(numbers *uint8, blocks *uint8, roots *uint64, items *uint64, places *uint16, codes *uint8, n int)")
	out, blocks, from, items, places := gen.Arg("numbers"), gen.Arg("blocks"), gen.Arg("roots"), gen.Arg("items"), gen.Arg("places")
	codes, n := gen.Arg("codes"), gen.Arg("n")
	table := load(codes, columns)
	one, t := ZMM(), GP32()
	MOVL(U32(1), t)
	VPBROADCASTW(t, one)
	i, active, block := GP64(), GP64(), GP64()
	Label("pass")
	XORQ(i, i)
	Label("decide")
	{
		at, k := ZMM(), K()
		MOVL(gen.Indexed(from, i, 8, 0), block.As32())
		if levels == 3 {
			VMOVQ(gen.Indexed(blocks, block, 1, 0), at.AsX())
		} else {
			VMOVDQU(gen.Indexed(blocks, block, 1, 0), at.AsX())
		}
		lookUp(table, at)
		VPCMPUB(U8(above), gen.Indexed(blocks, block, 1, 1<<levels), at.AsX(), k)
		KMOVW(k, gen.Indexed(places, i, 2, 0))
	}
	INCQ(i)
	CMPQ(i, n)
	JLT(LabelRef("decide"))
	XORQ(i, i)
	Label("descend")
	{
		right, place, bit := ZMM(), ZMM(), ZMM()
		VMOVDQU64(gen.Indexed(places, i, 2, 0), right)
		VMOVDQA64(one, place)
		for range levels {
			VPSRLVW(place, right, bit)
			VPADDW(place, place, place)
			VPTERNLOGQ(U8(0xf8), one, bit, place) // place | bit&one
		}
		VMOVDQU64(place, gen.Indexed(places, i, 2, 0))
	}
	ADDQ(U8(32), i)
	CMPQ(i, n)
	JLT(LabelRef("descend"))
	XORQ(i, i)
	XORQ(active, active)
	Label("exit")
	{
		place, exit, tree, item := GP64(), GP64(), GP64(), GP64()
		MOVQ(gen.Indexed(from, i, 8, 0), item)
		MOVL(gen.Indexed(from, i, 8, 4), tree.As32())
		MOVL(item.As32(), block.As32())
		ADDQ(blocks, block)
		MOVWLZX(gen.Indexed(places, i, 2, 0), place.As32())
		MOVWLZX(gen.Indexed(block, place, 2, 0), exit.As32())
		MOVB(exit.As8(), gen.Indexed(out, tree, 1, 0))
		Comment("If the tree goes on, its item stays in the list.")
		on := GP64()
		MOVL(exit.As32(), on.As32())
		ANDL(U32(0x7fff), exit.As32())
		ADDQ(exit, item)
		MOVQ(item, gen.Indexed(items, active, 8, 0))
		SHRL(U8(15), on.As32())
		ADDQ(on, active)
	}
	INCQ(i)
	CMPQ(i, n)
	JLT(LabelRef("exit"))
	MOVQ(items, from)
	MOVQ(active, n)
	TESTQ(active, active)
	JNZ(LabelRef("pass"))
	gen.Leave()
}
