package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// numbers256 numbers 64 rows in two registers: each plane's bytes are repeated for the eight rows that they are of, each
// row's bit is compared with its mask, and the result, 0 or -1, is subtracted from twice the bits above.
func numbers256() {
	gen.Func("numbersAVX2", "writes the leaf numbers of n trees for 64 rows, size bytes apart.",
		"func(rows *uint8, arena *uint64, trees *uint16, n, planes, size int)")
	rows, arena, tree, n, planes, size := gen.Arg("rows"), gen.Arg("arena"), gen.Arg("trees"), gen.Arg("n"), gen.Arg("planes"), gen.Arg("size")
	own := constant256("sumsOwnBit", func(i int) uint8 { return 1 << (i % 8) })
	order := [2]reg.VecVirtual{
		constant256("sumsLowBytes8", func(i int) uint8 { return uint8(i / 8) }),
		constant256("sumsHighBytes8", func(i int) uint8 { return uint8(4 + i/8) }),
	}
	sum := [2]reg.VecVirtual{YMM(), YMM()}
	p, at := GP64(), GP64()
	Label("tree")
	for _, s := range sum {
		VPXOR(s, s, s)
	}
	MOVQ(planes, p)
	TESTQ(p, p)
	JZ(LabelRef("done"))
	Label("plane")
	MOVWLZX(gen.Indexed(tree, p, 2, -2), at.As32())
	SHLQ(U8(5), at)
	x := YMM()
	VPBROADCASTQ(gen.Indexed(arena, at, 1, 0), x)
	for i, s := range sum {
		y := YMM()
		VPSHUFB(order[i], x, y)
		VPAND(own, y, y)
		VPCMPEQB(own, y, y)
		VPADDB(s, s, s)
		VPSUBB(y, s, s)
	}
	DECQ(p)
	JNZ(LabelRef("plane"))
	Label("done")
	VMOVDQU(sum[0], gen.At(rows, 0))
	VMOVDQU(sum[1], gen.At(rows, 32))
	ADDQ(size, rows)
	ADDQ(U8(treeSize), tree)
	DECQ(n)
	JNZ(LabelRef("tree"))
	gen.Leave()
}

// constant256 loads a constant of 32 bytes into a new register.
func constant256(name string, f func(i int) uint8) reg.VecVirtual {
	r := YMM()
	VMOVDQU(data(name, 32, f), r)
	return r
}
