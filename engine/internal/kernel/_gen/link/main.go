// Command link generates the assembly of link.go's functions: glibc's exp and expf, eight values at a time.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	exp64("exp64AVX512", false)
	exp64("sigmoid64AVX512", true)
	exp32("exp32AVX512", false)
	exp32("sigmoid32AVX512", true)
}

// constant is a double in every lane of a register.
func constant(v float64) reg.VecVirtual { return word(math.Float64bits(v)) }

// word is a word in every lane of a register.
func word(v uint64) reg.VecVirtual {
	g, r := GP64(), ZMM()
	MOVQ(U64(v), g)
	VPBROADCASTQ(g, r)
	return r
}

// loop runs body for groups of eight: src and dst advance by 64 bytes, special by one.
func loop(body func(src, dst, special reg.GPVirtual)) {
	src, dst, special, n := gen.Arg("src"), gen.Arg("dst"), gen.Arg("special"), gen.Arg("groups")
	Label("next")
	body(src, dst, special)
	ADDQ(gen.Int(64), src)
	ADDQ(gen.Int(64), dst)
	INCQ(special)
	DECQ(n)
	JNZ(LabelRef("next"))
	gen.Leave()
}

// exp64 follows libm.Exp, whose comments say why; what it does for special values is left to Go.
func exp64(name string, sigmoid bool) {
	signature := "func(dst, src *float64, special *uint8, groups int, table *uint64)"
	doc := "writes e**x of 8*groups values; a bit of special is set where it does not."
	if sigmoid {
		signature = "func(dst, src *float64, special *uint8, groups int, table *uint64, slope float64)"
		doc = "writes 1/(1+e**(slope*x)) of 8*groups values; a bit of special is set where it does not."
	}
	gen.Func(name, doc, signature)
	table := gen.Arg("table")
	invLn2N, shift := constant(0x1.71547652b82fep+7), constant(0x1.8p+52)
	hi, lo := constant(-0x1.62e42fefa0000p-8), constant(-0x1.cf79abc9e3b3ap-47)
	c2, c3 := constant(0x1.ffffffffffdbdp-2), constant(0x1.555555555543cp-3)
	c4, c5 := constant(0x1.55555cf172b91p-5), constant(0x1.1111167a4d017p-7)
	exponent, least, range_, index := word(0x7ff), word(0x3c9), word(0x3f), word(127)
	one := constant(1)
	var slope reg.VecVirtual
	if sigmoid {
		slope = ZMM()
		x := XMM()
		Load(Param("slope"), x)
		VBROADCASTSD(x, slope)
	}
	loop(func(src, dst, special reg.GPVirtual) {
		x := ZMM()
		VMOVUPD(gen.At(src, 0), x)
		if sigmoid {
			VMULPD(slope, x, x)
		}
		top := ZMM()
		VPSRLQ(Imm(52), x, top)
		VPANDQ(exponent, top, top)
		VPSUBQ(least, top, top)
		wrong, bits := K(), GP32()
		VPCMPUQ(Imm(5), range_, top, wrong) // top >= range
		KMOVW(wrong, bits)
		MOVB(bits.As8(), gen.At(special, 0))
		KNOTW(wrong, wrong) // values that are wrong are not written: dst may be src

		kd := ZMM()
		VMOVAPD(x, kd)
		VFMADD213PD(shift, invLn2N, kd)
		ki := ZMM()
		VMOVDQA64(kd, ki)
		VSUBPD(shift, kd, kd)
		r, t := ZMM(), ZMM()
		VMOVAPD(kd, r)
		VFMADD213PD(x, hi, r)
		VFMADD231PD(lo, kd, r)
		at, tail, scale := ZMM(), ZMM(), ZMM()
		VPANDQ(index, ki, at)
		VPADDQ(at, at, at)
		gather(table, 0, at, tail)
		gather(table, 8, at, scale)
		VPSLLQ(Imm(45), ki, ki)
		VPADDQ(ki, scale, scale)
		r2 := ZMM()
		VMULPD(r, r, r2)
		VADDPD(tail, r, tail)
		VMOVAPD(r, t)
		VFMADD213PD(c2, c3, t)       // r*c3 + c2
		VFMADD213PD(tail, r2, t)     // low
		VFMADD213PD(c4, c5, r)       // r*c5 + c4
		VMULPD(r2, r2, r2)           //
		VFMADD213PD(t, r2, r)        // tmp
		VFMADD213PD(scale, scale, r) // scale*tmp + scale
		if sigmoid {
			VADDPD(one, r, r)
			VDIVPD(r, one, r)
		}
		VMOVUPD(r, wrong, gen.At(dst, 0))
	})
}

// gather loads the words table[index] + disp bytes.
func gather(table reg.GPVirtual, disp int, index, out reg.VecVirtual) {
	k := K()
	KXNORB(reg.K7, reg.K7, k)
	VPXORQ(out, out, out)
	VPGATHERQQ(gen.Indexed(table, index, 8, disp), k, out)
}

// exp32 follows libm.Exp32: single precision values, held in doubles.
func exp32(name string, sigmoid bool) {
	signature := "func(dst, src *float64, special *uint8, groups int, table *uint64)"
	doc := "writes e**x of 8*groups single precision values; a bit of special is set where it does not."
	if sigmoid {
		doc = "writes XGBoost's 1/(1+e**-x) of 8*groups single precision values; a bit of special is set where it does not."
	}
	gen.Func(name, doc, signature)
	table := gen.Arg("table")
	invLn2N, shift := constant(0x1.71547652b82fep+5), constant(0x1.8p+52)
	c0, c1 := constant(0x1.c6af84b912394p-20), constant(0x1.ebfce50fac4f3p-13)
	c2, one := constant(0x1.62e42ff0c52d6p-6), constant(1)
	limit, absolute, index := constant(88), word(1<<63-1), word(31)
	var sign, ones reg.VecVirtual
	if sigmoid {
		sign = word(1 << 63)
		ones = YMM()
		g := GP32()
		MOVL(U32(math.Float32bits(1)), g)
		VPBROADCASTD(g, ones)
	}
	loop(func(src, dst, special reg.GPVirtual) {
		x := ZMM()
		VMOVUPD(gen.At(src, 0), x)
		if sigmoid {
			VXORPD(sign, x, x)
		}
		size := ZMM()
		VANDPD(absolute, x, size)
		wrong, bits := K(), GP32()
		VCMPPD(Imm(5), limit, size, wrong) // not below, or NaN
		KMOVW(wrong, bits)
		MOVB(bits.As8(), gen.At(special, 0))
		KNOTW(wrong, wrong) // values that are wrong are not written: dst may be src

		kd := ZMM()
		VMOVAPD(x, kd)
		VFMADD213PD(shift, invLn2N, kd)
		ki := ZMM()
		VMOVDQA64(kd, ki)
		VSUBPD(shift, kd, kd)
		r := ZMM()
		VMOVAPD(x, r)
		VFMSUB213PD(kd, invLn2N, r) // x*invLn2N - kd
		at, scale := ZMM(), ZMM()
		VPANDQ(index, ki, at)
		gather(table, 0, at, scale)
		VPSLLQ(Imm(47), ki, ki)
		VPADDQ(ki, scale, scale)
		r2, y, z := ZMM(), ZMM(), ZMM()
		VMULPD(r, r, r2)
		VMOVAPD(r, y)
		VFMADD213PD(c1, c0, y) // c0*r + c1
		VMOVAPD(r, z)
		VFMADD213PD(one, c2, z) // c2*r + 1
		VFMADD213PD(z, r2, y)
		VMULPD(scale, y, y)
		e := YMM()
		VCVTPD2PS(y, e)
		if sigmoid {
			VADDPS(ones, e, e) // adding XGBoost's 1e-16 to 1 or more changes nothing in single precision
			VDIVPS(e, ones, e)
		}
		VCVTPS2PD(e, y)
		VMOVUPD(y, wrong, gen.At(dst, 0))
	})
}
