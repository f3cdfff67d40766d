// Command shapley generates the assembly of shapley.go's functions.
package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	one := GLOBL("shapleyOne", RODATA|NOPTR)
	DATA(0, F64(1))
	masks := GLOBL("shapleyMasks", RODATA|NOPTR)
	for i := range 16 {
		for bit := range 4 {
			DATA(i*32+bit*8, U64(-uint64(i>>bit&1)))
		}
	}
	for _, v := range []vectors{{tier: "AVX512", wide: true}, {tier: "AVX2"}} {
		for _, v.lanes = range []int{8, 16} {
			game{vectors: v, one: one, masks: masks}.write()
		}
		above(v, "above", 0x1e, "above their cuts")
		above(v, "aboveOrNaN", 0x16, "above their cuts, or NaN")
	}
}

// The fields of kernel.GameNode.
const (
	share = 8 * iota
	frameOut
	sumCurve
	leftRight
	nodeSize
)

// The kinds of steps, with the bit for repeated features below.
const (
	pair = 2 * iota
	downLeft
	downRight
	next
	up
	upLeft
	upRight
)

// game is kernel.shapley for one tier.
type game struct {
	vectors
	one, masks Mem

	steps, n, frames   reg.GPVirtual // arguments
	block, block3, q8  reg.GPVirtual // bytes of a frame's array, three times that, and bytes of a curve
	kind, node         reg.GPVirtual // of the step
	p, end, out, c     reg.GPVirtual // where the loop over points is: frame, frame's first array's end, Out, Curve
	tmp                reg.GPVirtual
	share, left, right reg.VecVirtual // the same in all lanes
	k, s               []reg.VecVirtual
}

func (g game) write() {
	gen.Func(fmt.Sprint("shapley", g.lanes, g.tier),
		fmt.Sprint("plays n steps for ", g.lanes, " rows; turns and open are moved to the rows' bytes."),
		"func(sums, frames *float64, turns, open *uint8, nodes *uint64, curves, leaves *float64, points int, steps *uint32, n int)")
	g.steps, g.n, g.frames = gen.Arg("steps"), gen.Arg("n"), gen.Arg("frames")
	g.q8 = gen.Arg("points")
	SHLQ(U8(3), g.q8)
	g.block, g.block3 = GP64(), GP64()
	MOVQ(g.q8, g.block)
	SHLQ(U8(g.shift()-3), g.block)
	LEAQ(gen.Indexed(g.block, g.block, 2, 0), g.block3)
	for _, r := range []*reg.GPVirtual{&g.kind, &g.node, &g.p, &g.end, &g.out, &g.c, &g.tmp} {
		*r = GP64()
	}
	g.share, g.left, g.right, g.k, g.s = g.reg(), g.reg(), g.reg(), g.regs(), g.regs()

	Label("step")
	MOVL(gen.At(g.steps, 0), g.kind.As32())
	ADDQ(U8(4), g.steps)
	MOVQ(g.kind, g.node)
	SHRQ(U8(4), g.node)
	ANDQ(U8(15), g.kind)
	index := g.p // until the frame is known
	MOVQ(g.node, index)
	SHLQ(U8(5), g.node)
	Load(Param("nodes"), g.tmp)
	ADDQ(g.tmp, g.node)
	g.pulls(index)
	for _, at := range []struct {
		field int
		to    reg.GPVirtual
	}{{frameOut, g.p}, {frameOut + 4, g.out}} {
		MOVL(gen.At(g.node, at.field), at.to.As32())
		SHLQ(U8(g.shift()), at.to)
		ADDQ(g.frames, at.to)
	}
	LEAQ(gen.Indexed(g.p, g.block, 1, 0), g.end)
	MOVL(gen.At(g.node, sumCurve+4), g.c.As32())
	Load(Param("curves"), g.tmp)
	LEAQ(gen.Indexed(g.tmp, g.c, 8, 0), g.c)
	for _, s := range g.s {
		VXORPD(s, s, s)
	}

	for _, j := range []struct {
		kind  int
		label string
	}{{upRight, "upRight"}, {upLeft, "upLeft"}, {up, "up"}, {next, "next"}, {downRight, "downRight"}, {downLeft, "downLeft"}} {
		CMPQ(g.kind, U8(uint8(j.kind)))
		JAE(LabelRef(j.label))
	}
	g.variants("pair", g.pair)
	g.down("downLeft", true)
	g.down("downRight", false)
	g.next()
	g.variants("up", func(l string, repeat bool) { g.up(l, repeat, up) })
	g.variants("upLeft", func(l string, repeat bool) { g.up(l, repeat, upLeft) })
	g.variants("upRight", func(l string, repeat bool) { g.up(l, repeat, upRight) })

	Label("add") // the sums
	MOVL(gen.At(g.node, sumCurve), g.c.As32())
	SHLQ(U8(g.shift()), g.c)
	Load(Param("sums"), g.tmp)
	ADDQ(g.tmp, g.c)
	for i := range g.s {
		VMULPD(g.s[i], g.k[i], g.s[i])
		VADDPD(g.lane(g.c, i), g.s[i], g.s[i])
		VMOVUPD(g.s[i], g.lane(g.c, i))
	}
	Label("done")
	DECQ(g.n)
	JNZ(LabelRef("step"))
	gen.Leave()
}

// pulls makes k: 1-Share for rows that go left, 0-Share for those that go right, 0 for those that do not come.
func (g *game) pulls(index reg.GPVirtual) {
	VBROADCASTSD(gen.At(g.node, share), g.share)
	toLeft, toRight := g.reg(), g.reg()
	VBROADCASTSD(g.one, toLeft)
	VSUBPD(g.share, toLeft, toLeft)
	VXORPD(toRight, toRight, toRight)
	VSUBPD(g.share, toRight, toRight)
	g.masked("turns", index, func(i int, m reg.Register) {
		if g.wide {
			VMOVAPD(toLeft, g.k[i])
			VMOVAPD(toRight, m, g.k[i])
		} else {
			VBLENDVPD(m, toRight, toLeft, g.k[i])
		}
	})
	BTQ(U8(0), g.kind)
	JCC(LabelRef("reached"))
	g.masked("open", index, func(i int, m reg.Register) {
		if g.wide {
			VMOVAPD_Z(g.k[i], m, g.k[i])
		} else {
			VANDPD(m, g.k[i], g.k[i])
		}
	})
	Label("reached")
}

// masked calls use with the rows' bits of a word as a mask for each register: an opmask, or lanes of ones.
func (g *game) masked(words string, index reg.GPVirtual, use func(i int, m reg.Register)) {
	Load(Param(words), g.tmp)
	if g.wide {
		for i := range g.regs() {
			k := K()
			KMOVB(gen.Indexed(g.tmp, index, 8, i), k)
			use(i, k)
		}
		return
	}
	table, nibble, mask := GP64(), GP64(), g.reg()
	LEAQ(g.masks, table)
	if g.lanes == 8 { // the byte after may be past the last word
		MOVBQZX(gen.Indexed(g.tmp, index, 8, 0), g.tmp)
	} else {
		MOVWQZX(gen.Indexed(g.tmp, index, 8, 0), g.tmp)
	}
	for i := range g.regs() {
		MOVQ(g.tmp, nibble)
		ANDQ(U8(15), nibble)
		SHLQ(U8(5), nibble)
		VMOVUPD(gen.Indexed(table, nibble, 1, 0), mask)
		SHRQ(U8(4), g.tmp)
		use(i, mask)
	}
}

// variants writes body for features that are not repeated, and those that are.
func (g *game) variants(label string, body func(label string, repeat bool)) {
	Label(label)
	BTQ(U8(0), g.kind)
	JCS(LabelRef(label + "Repeat"))
	body(label+"Point", false)
	JMP(LabelRef("add"))
	body(label+"Repeat", true)
	JMP(LabelRef("add"))
}

// loop writes a loop over points.
func (g *game) loop(label string, body func()) {
	Label(label)
	body()
	ADDQ(gen.Int(8*g.lanes), g.p)
	ADDQ(gen.Int(8*g.lanes), g.out)
	ADDQ(U8(8), g.c)
	CMPQ(g.p, g.end)
	JB(LabelRef(label))
}

// leaf loads the leaf in a field into all lanes.
func (g *game) leaf(field int, to reg.VecVirtual) {
	leaves := Load(Param("leaves"), GP64())
	MOVL(gen.At(g.node, field), g.tmp.As32())
	VBROADCASTSD(gen.Indexed(leaves, g.tmp, 8, 0), to)
}

// curve loads the curve's tau (0) or psi (1) into all lanes.
func (g *game) curve(which int) reg.VecVirtual {
	x := g.reg()
	if which == 1 {
		VBROADCASTSD(gen.Indexed(g.c, g.q8, 1, 0), x)
	} else {
		VBROADCASTSD(gen.At(g.c, 0), x)
	}
	return x
}

func (g *game) pair(label string, repeat bool) {
	if repeat {
		Label(label)
		label += "Point"
	}
	g.leaf(leftRight, g.left)
	g.leaf(leftRight+4, g.right)
	VSUBPD(g.right, g.left, g.left)
	for i := range g.k { // is multiplied with the difference, and left becomes the mean
		VMULPD(g.left, g.k[i], g.k[i])
	}
	VMULPD(g.left, g.share, g.left)
	VADDPD(g.right, g.left, g.left)
	g.loop(label, func() {
		tau := g.curve(0)
		for i := range g.k {
			x := g.reg()
			VMULPD(g.k[i], tau, x)
			VADDPD(g.left, x, x)
			VMOVUPD(x, g.lane(g.out, i))
		}
		if !repeat {
			for i := range g.s {
				VADDPD(g.lane(g.p, i), g.s[i], g.s[i])
			}
			return
		}
		psi := g.curve(1)
		for i := range g.s {
			x := g.reg()
			VMULPD(g.lane(g.p, i), psi, x)
			VADDPD(x, g.s[i], g.s[i])
		}
	})
}

func (g *game) down(label string, left bool) {
	Label(label)
	g.loop(label+"Point", func() {
		tau := g.curve(0)
		for i := range g.k {
			m := g.reg()
			VMULPD(g.k[i], tau, m)
			VADDPD(g.share, m, m)
			VMOVUPD(m, g.array(1, i))
			if left {
				VMULPD(g.array(0, i), m, m)
			} else {
				p := g.reg()
				VMOVUPD(g.array(0, i), p)
				VMULPD(m, p, m)
				VSUBPD(m, p, m)
			}
			VMOVUPD(m, g.array(4, i))
		}
	})
	JMP(LabelRef("done"))
}

func (g *game) next() {
	Label("next")
	g.loop("nextPoint", func() {
		for i := range g.k {
			m, p := g.reg(), g.reg()
			VMOVUPD(g.array(0, i), p)
			VMULPD(g.array(1, i), p, m)
			VSUBPD(m, p, m)
			VMOVUPD(m, g.array(4, i))
		}
	})
	JMP(LabelRef("done"))
}

func (g *game) up(label string, repeat bool, kind int) {
	if repeat {
		Label(label)
		label += "Point"
	}
	switch kind {
	case upLeft:
		g.leaf(leftRight+4, g.right)
	case upRight:
		g.leaf(leftRight, g.left)
	}
	g.loop(label, func() {
		var psi reg.VecVirtual
		if repeat {
			psi = g.curve(1)
		}
		for i := range g.k {
			right, d, x := g.right, g.reg(), g.reg()
			if kind != upLeft {
				right = g.reg()
				VMOVUPD(g.array(3, i), right)
			}
			if kind == upRight {
				VSUBPD(right, g.left, d)
			} else {
				VMOVUPD(g.array(2, i), d)
				VSUBPD(right, d, d)
			}
			if repeat {
				VMULPD(g.array(0, i), psi, x)
				VMULPD(d, x, x)
			} else {
				VMULPD(g.array(0, i), d, x)
			}
			VADDPD(x, g.s[i], g.s[i])
			VMULPD(g.array(1, i), d, d)
			VADDPD(right, d, d)
			VMOVUPD(d, g.lane(g.out, i))
		}
	})
}

// array is the current point of a frame's array.
func (g *game) array(n, i int) Mem {
	switch n {
	case 0:
		return g.lane(g.p, i)
	case 3:
		return gen.Indexed(g.p, g.block3, 1, g.bytes()*i)
	}
	return gen.Indexed(g.p, g.block, uint8(n), g.bytes()*i)
}

// vectors is how a tier holds a number of float64s.
type vectors struct {
	tier  string
	wide  bool
	lanes int
}

func (v vectors) reg() reg.VecVirtual {
	if v.wide {
		return ZMM()
	}
	return YMM()
}

// regs returns registers for all lanes.
func (v vectors) regs() []reg.VecVirtual {
	r := make([]reg.VecVirtual, 8*v.lanes/v.bytes())
	for i := range r {
		r[i] = v.reg()
	}
	return r
}

// bytes is the size of a register.
func (v vectors) bytes() int {
	if v.wide {
		return 64
	}
	return 32
}

// shift is the logarithm of the bytes of all lanes.
func (v vectors) shift() uint8 { return uint8(bits.Len(uint(8*v.lanes)) - 1) }

// lane is the i-th register's part of all lanes at base.
func (v vectors) lane(base reg.Register, i int) Mem { return gen.At(base, v.bytes()*i) }

// above writes a comparison of 64 values with each of n cuts.
func above(v vectors, name string, predicate uint8, doc string) {
	gen.Func(name+v.tier, "writes a word of bits for each of n tests: those of its 64 values that are "+doc+".",
		"func(words *uint64, values *float64, tests *uint64, n int)")
	words, values, tests, n := gen.Arg("words"), gen.Arg("values"), gen.Arg("tests"), gen.Arg("n")
	at, to := GP64(), GP64()
	cut := v.reg()
	Label("test")
	VBROADCASTSD(gen.At(tests, 0), cut)
	MOVL(gen.At(tests, 8), at.As32())
	MOVL(gen.At(tests, 12), to.As32())
	LEAQ(gen.Indexed(values, at, 8, 0), at)
	if v.wide {
		for i := range 8 {
			k := K()
			x := ZMM()
			VMOVUPD(gen.At(at, 64*i), x)
			VCMPPD(U8(predicate), cut, x, k)
			KMOVB(k, gen.Indexed(words, to, 8, i))
		}
	} else {
		word, part := GP64(), GP32()
		XORQ(word, word)
		for i := range 16 {
			x := YMM()
			VMOVUPD(gen.At(at, 32*(15-i)), x)
			VCMPPD(U8(predicate), cut, x, x)
			VMOVMSKPD(x, part)
			SHLQ(U8(4), word)
			ORQ(part.As64(), word)
		}
		MOVQ(word, gen.Indexed(words, to, 8, 0))
	}
	ADDQ(U8(16), tests)
	DECQ(n)
	JNZ(LabelRef("test"))
	gen.Leave()
}
