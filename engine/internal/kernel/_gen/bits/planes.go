package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// planesAVX512 and planesAVX2 are Planes8 and Planes16: the top bits of 64 or 32 bytes become a mask, the bytes are
// shifted, and so on from bit 7 down to 0. Planes from n on are not written: the first jump goes to bit n-1.

func planesAVX512() {
	gen.Func("planes8AVX512", "writes n of 1 to 8 planes of 512 codes.", "func(p *uint64, codes *uint8, n int)")
	p, codes, n := gen.Arg("p"), gen.Arg("codes"), gen.Arg("n")
	groups := GP64()
	MOVQ(U32(8), groups)
	Label("group")
	x := ZMM()
	VMOVDQU64(gen.At(codes, 0), x)
	bits512("", p, n, x, 0)
	ADDQ(gen.Int(64), codes)
	ADDQ(gen.Int(8), p)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()

	even := GLOBL("bitsEvenBytes", 8+16) // RODATA|NOPTR
	for i := range 64 {
		DATA(i, U8(2*i))
	}
	gen.Func("planes16AVX512", "writes n of 1 to 16 planes of 512 codes.", "func(p *uint64, codes *uint16, n int)")
	p, codes, n = gen.Arg("p"), gen.Arg("codes"), gen.Arg("n")
	lows := lowPlanes(n)
	groups = GP64()
	MOVQ(U32(8), groups)
	order := ZMM()
	VMOVDQU64(even, order)
	Label("group")
	low, high, second := ZMM(), ZMM(), ZMM()
	VMOVDQU64(gen.At(codes, 0), high)
	VMOVDQU64(gen.At(codes, 64), second)
	VMOVDQA64(order, low)
	VPERMI2B(second, high, low)
	VPSRLW(U8(8), high, high)
	VPSRLW(U8(8), second, second)
	{
		t := ZMM()
		VMOVDQA64(order, t)
		VPERMI2B(second, high, t)
		high = t
	}
	bits512("Low", p, lows, low, 0)
	TESTQ(n, n)
	JLE(LabelRef("noHigh"))
	bits512("High", p, n, high, 8)
	Label("noHigh")
	ADDQ(gen.Int(128), codes)
	ADDQ(gen.Int(8), p)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()
}

// bits512 writes bits 0 to n-1 of the 64 bytes of x to words first, first+1, ... of p.
func bits512(name string, p, n reg.Register, x reg.VecVirtual, first int) {
	for b := 7; b >= 0; b-- {
		if b > 0 {
			skip := "bits" + name + string(rune('0'+b))
			CMPQ(n, U8(uint8(b)))
			JLE(LabelRef(skip))
			k := K()
			VPMOVB2M(x, k)
			KMOVQ(k, gen.At(p, 64*(first+b)))
			Label(skip)
			VPADDB(x, x, x)
			continue
		}
		k := K()
		VPMOVB2M(x, k)
		KMOVQ(k, gen.At(p, 64*first))
	}
}

func planesAVX2() {
	gen.Func("planes8AVX2", "writes n of 1 to 8 planes of 256 codes.", "func(p *uint64, codes *uint8, n int)")
	p, codes, n := gen.Arg("p"), gen.Arg("codes"), gen.Arg("n")
	groups := GP64()
	MOVQ(U32(8), groups) // of 32 codes
	Label("group")
	x := YMM()
	VMOVDQU(gen.At(codes, 0), x)
	bits256("", p, n, x, 0)
	ADDQ(gen.Int(32), codes)
	ADDQ(gen.Int(4), p)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()

	gen.Func("planes16AVX2", "writes n of 1 to 16 planes of 256 codes.", "func(p *uint64, codes *uint16, n int)")
	p, codes, n = gen.Arg("p"), gen.Arg("codes"), gen.Arg("n")
	lows := lowPlanes(n)
	groups = GP64()
	MOVQ(U32(8), groups)
	mask := YMM()
	VPCMPEQW(mask, mask, mask)
	VPSRLW(U8(8), mask, mask)
	Label("group")
	a, b, low, high := YMM(), YMM(), YMM(), YMM()
	VMOVDQU(gen.At(codes, 0), a)
	VMOVDQU(gen.At(codes, 32), b)
	VPAND(mask, a, low)
	VPAND(mask, b, high)
	VPSRLW(U8(8), a, a)
	VPSRLW(U8(8), b, b)
	// Packing goes by 128-bit halves: put the quarters into order.
	VPACKUSWB(high, low, low)
	VPACKUSWB(b, a, high)
	VPERMQ(U8(0b11011000), low, low)
	VPERMQ(U8(0b11011000), high, high)
	bits256("Low", p, lows, low, 0)
	TESTQ(n, n)
	JLE(LabelRef("noHigh"))
	bits256("High", p, n, high, 8)
	Label("noHigh")
	ADDQ(gen.Int(64), codes)
	ADDQ(gen.Int(4), p)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()
}

// bits256 writes bits 0 to n-1 of the 32 bytes of x to words first, first+1, ... of p.
func bits256(name string, p, n reg.Register, x reg.VecVirtual, first int) {
	for b := 7; b >= 0; b-- {
		if b > 0 {
			skip := "bits" + name + string(rune('0'+b))
			CMPQ(n, U8(uint8(b)))
			JLE(LabelRef(skip))
			r := GP32()
			VPMOVMSKB(x, r)
			MOVL(r, gen.At(p, 32*(first+b)))
			Label(skip)
			VPADDB(x, x, x)
			continue
		}
		r := GP32()
		VPMOVMSKB(x, r)
		MOVL(r, gen.At(p, 32*first))
	}
}

// lowPlanes returns the number of planes of low bytes, min(n, 8), and leaves n-8 in n.
func lowPlanes(n reg.Register) reg.Register {
	lows := GP64()
	MOVQ(U32(8), lows)
	CMPQ(n, lows)
	CMOVQLT(n, lows)
	SUBQ(U8(8), n)
	return lows
}
