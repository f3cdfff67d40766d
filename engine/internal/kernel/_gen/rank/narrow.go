package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// narrow512 is Narrow for AVX-512.
func narrow512() {
	gen.Func("narrowAVX512", "rounds n values to float32.", "func(dst *float32, v *float64, n int)")
	dst, v, n := gen.Arg("dst"), gen.Arg("v"), gen.Arg("n")
	Label("loop")
	CMPQ(n, Imm(16))
	JB(LabelRef("rest"))
	prefetch(double, v, 16)
	for i := range 2 {
		y := YMM()
		VCVTPD2PS(gen.At(v, 64*i), y)
		VMOVUPS(y, gen.At(dst, 32*i))
	}
	ADDQ(I32(128), v)
	ADDQ(Imm(64), dst)
	SUBQ(Imm(16), n)
	JMP(LabelRef("loop"))
	Label("rest")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	bits, z, y := GP64(), ZMM(), YMM()
	MOVQ(I32(-1), bits)
	BZHIQ(n, bits, bits)
	for i := range 2 {
		k := K()
		KMOVW(bits.As32(), k)
		VMOVUPD_Z(gen.At(v, 64*i), k, z)
		VCVTPD2PS(z, y)
		VMOVUPS(y, k, gen.At(dst, 32*i))
		SHRQ(U8(8), bits)
	}
	Label("done")
	gen.Leave()
}

// narrow256 is Narrow for AVX2.
func narrow256() {
	gen.Func("narrowAVX2", "rounds n values to float32.", "func(dst *float32, v *float64, n int)")
	dst, v, n := gen.Arg("dst"), gen.Arg("v"), gen.Arg("n")
	Label("loop")
	CMPQ(n, Imm(8))
	JB(LabelRef("rest"))
	prefetch(double, v, 8)
	for i := range 2 {
		x := XMM()
		VCVTPD2PSY(gen.At(v, 32*i), x)
		VMOVUPS(x, gen.At(dst, 16*i))
	}
	ADDQ(Imm(64), v)
	ADDQ(Imm(32), dst)
	SUBQ(Imm(8), n)
	JMP(LabelRef("loop"))
	Label("rest")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	x := XMM()
	VXORPS(x, x, x)
	VCVTSD2SS(gen.At(v, 0), x, x)
	VMOVSS(x, gen.At(dst, 0))
	ADDQ(Imm(8), v)
	ADDQ(Imm(4), dst)
	DECQ(n)
	JMP(LabelRef("rest"))
	Label("done")
	gen.Leave()
}
