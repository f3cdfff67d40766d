// Command _gen generates the assembly of package rowhash: internal/rowhash/generate.sh runs it.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	sum16()
	Generate()
}

// sum16 is one block of SHA-256 (FIPS 180-4) for 16 messages, one a lane of 32 bits.
func sum16() {
	k := GLOBL("roundConstants", 24) // NOPTR and RODATA
	for i, v := range roundConstants() {
		DATA(4*i, U32(v))
	}
	iv := GLOBL("initialState", 24)
	for i, v := range initialState() {
		DATA(4*i, U32(v))
	}
	swap := GLOBL("swapWords", 24)
	for i := range 64 {
		DATA(i, U8(uint8(i^3)&15))
	}

	TEXT("sum16AVX512", 4, "func(out *uint32, blocks *byte)") // 4 is NOSPLIT
	Pragma("noescape")
	Doc("sum16AVX512 writes the first four words of the SHA-256 of 16 padded blocks of 64 bytes, as bytes in their order,",
		"word by word: out[16*i+lane].")
	out := Load(Param("out"), GP64())
	blocks := Load(Param("blocks"), GP64())

	w := make([]reg.VecPhysical, 16)
	all := []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	}
	copy(w, all)
	spare := []reg.VecPhysical{
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	for i, r := range w {
		VMOVDQU64(Mem{Base: blocks.(reg.Register), Disp: 64 * i}, r)
	}
	transpose(w, spare)
	shuffle := spare[8]
	VMOVDQU64(swap, shuffle)
	for _, r := range w {
		VPSHUFB(shuffle, r, r)
	}

	s := spare[:8] // a to h
	for i := range s {
		VPBROADCASTD(iv.Offset(4*i), s[i])
	}
	t1, t2, t3, t4 := spare[8], spare[9], spare[10], spare[11]
	for round := range 64 {
		word := w[round%16]
		if round >= 16 {
			schedule(w, round, t1, t2)
		}
		a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
		VPADDD_BCST(k.Offset(4*round), word, t1)
		VPADDD(t1, h, h)
		rotated(e, 6, 11, 25, t1, t2, t3)
		VMOVDQA64(e, t4)
		VPTERNLOGD(U8(0xca), g, f, t4) // e ? f : g
		VPADDD(t1, h, h)
		VPADDD(t4, h, h)
		VPADDD(h, d, d)
		rotated(a, 2, 13, 22, t1, t2, t3)
		VMOVDQA64(a, t4)
		VPTERNLOGD(U8(0xe8), c, b, t4) // the majority
		VPADDD(t1, h, h)
		VPADDD(t4, h, h)
		s = append([]reg.VecPhysical{h}, s[:7]...)
		_ = g
	}
	VMOVDQU64(swap, t1)
	for i := range 4 {
		VPADDD_BCST(iv.Offset(4*i), s[i], s[i])
		VPSHUFB(t1, s[i], s[i])
		VMOVDQU64(s[i], Mem{Base: out.(reg.Register), Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
}

// rotated leaves the exclusive or of x rotated right by three numbers of bits in t1.
func rotated(x reg.VecPhysical, i, j, k uint8, t1, t2, t3 reg.VecPhysical) {
	VPRORD(U8(i), x, t1)
	VPRORD(U8(j), x, t2)
	VPRORD(U8(k), x, t3)
	VPTERNLOGD(U8(0x96), t3, t2, t1)
}

// schedule replaces w[t-16] by w[t].
func schedule(w []reg.VecPhysical, t int, t1, t2 reg.VecPhysical) {
	at := func(back int) reg.VecPhysical { return w[(t-back)%16] }
	into := at(16)
	VPADDD(at(7), into, into)
	VPSRLD(U8(3), at(15), t1)
	VPRORD(U8(7), at(15), t2)
	VPXORD(t2, t1, t1)
	VPRORD(U8(18), at(15), t2)
	VPXORD(t2, t1, t1)
	VPADDD(t1, into, into)
	VPSRLD(U8(10), at(2), t1)
	VPRORD(U8(17), at(2), t2)
	VPXORD(t2, t1, t1)
	VPRORD(U8(19), at(2), t2)
	VPXORD(t2, t1, t1)
	VPADDD(t1, into, into)
}

// transpose turns 16 rows of 16 words into columns: by words, by pairs of words, then twice by quarters of a register.
func transpose(r, t []reg.VecPhysical) {
	for i := 0; i < 16; i += 2 {
		VPUNPCKLDQ(r[i+1], r[i], t[i])
		VPUNPCKHDQ(r[i+1], r[i], t[i+1])
	}
	for i := 0; i < 16; i += 4 {
		VPUNPCKLQDQ(t[i+2], t[i], r[i])
		VPUNPCKHQDQ(t[i+2], t[i], r[i+1])
		VPUNPCKLQDQ(t[i+3], t[i+1], r[i+2])
		VPUNPCKHQDQ(t[i+3], t[i+1], r[i+3])
	}
	// r[4*g+c] has word 4*q+c of rows 4*g to 4*g+3 in quarter q.
	for c := range 4 {
		VSHUFI32X4(U8(0x88), r[4+c], r[c], t[c])
		VSHUFI32X4(U8(0xdd), r[4+c], r[c], t[4+c])
		VSHUFI32X4(U8(0x88), r[12+c], r[8+c], t[8+c])
		VSHUFI32X4(U8(0xdd), r[12+c], r[8+c], t[12+c])
	}
	for c := range 4 {
		VSHUFI32X4(U8(0x88), t[8+c], t[c], r[c])
		VSHUFI32X4(U8(0xdd), t[8+c], t[c], r[8+c])
		VSHUFI32X4(U8(0x88), t[12+c], t[4+c], r[4+c])
		VSHUFI32X4(U8(0xdd), t[12+c], t[4+c], r[12+c])
	}
}

// roundConstants are the fractional parts of the cube roots of the first 64 primes.
func roundConstants() []uint32 {
	return []uint32{
		0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
		0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
		0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
		0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
		0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
		0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
		0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
		0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
	}
}

// initialState are the fractional parts of the square roots of the first 8 primes.
func initialState() []uint32 {
	return []uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
}
