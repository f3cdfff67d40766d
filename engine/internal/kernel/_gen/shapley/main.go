// Command shapley generates the assembly of shapley.go's functions.
package main

import (
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
	for _, v := range []vectors{{name: "AVX512", wide: true, n: 1}, {name: "AVX2", n: 2}} {
		game{vectors: v, one: one, masks: masks}.write()
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

	steps, n, frames  reg.GPVirtual // arguments
	block, block3, q8 reg.GPVirtual // bytes of a frame's array, three times that, and bytes of a curve
	kind, node        reg.GPVirtual // of the step
	p, end, out, c    reg.GPVirtual // where the loop over points is: frame, frame's first array's end, Out, Curve
	tmp               reg.GPVirtual
	share, k          []reg.VecVirtual
	left, right       []reg.VecVirtual
	s                 []reg.VecVirtual
}

func (g game) write() {
	gen.Func("shapley"+g.name, "plays n steps for 8 rows; turns and open are moved to the rows' bytes.",
		"func(sums, frames *float64, turns, open, nodes *uint64, curves, leaves *float64, points int, steps *uint32, n int)")
	g.steps, g.n, g.frames = gen.Arg("steps"), gen.Arg("n"), gen.Arg("frames")
	g.q8 = gen.Arg("points")
	SHLQ(U8(3), g.q8)
	g.block, g.block3 = GP64(), GP64()
	MOVQ(g.q8, g.block)
	SHLQ(U8(3), g.block)
	LEAQ(gen.Indexed(g.block, g.block, 2, 0), g.block3)
	for _, r := range []*reg.GPVirtual{&g.kind, &g.node, &g.p, &g.end, &g.out, &g.c, &g.tmp} {
		*r = GP64()
	}
	g.share, g.k, g.left, g.right, g.s = g.regs(), g.regs(), g.regs(), g.regs(), g.regs()

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
	g.offset(frameOut, g.frames, g.p, g.out)
	LEAQ(gen.Indexed(g.p, g.block, 1, 0), g.end)
	g.offset(sumCurve, nil, g.tmp, g.c)
	Load(Param("curves"), g.tmp)
	ADDQ(g.tmp, g.c)
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
	g.offset(sumCurve, nil, g.c, g.tmp)
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

// offset reads two 32-bit offsets in float64s at once, the lower one relative to base and so the other, if there is one.
func (g *game) offset(field int, base, low, high reg.Register) {
	MOVL(gen.At(g.node, field), low.(reg.GPVirtual).As32())
	MOVL(gen.At(g.node, field+4), high.(reg.GPVirtual).As32())
	if base == nil {
		SHLQ(U8(3), low)
		SHLQ(U8(3), high)
		return
	}
	LEAQ(gen.Indexed(base, low, 8, 0), low)
	LEAQ(gen.Indexed(base, high, 8, 0), high)
}

// pulls makes k: 1-Share for rows that go left, 0-Share for those that go right, 0 for those that do not come.
func (g *game) pulls(index reg.GPVirtual) {
	VBROADCASTSD(gen.At(g.node, share), g.share[0])
	for i := range g.share[1:] {
		VMOVAPD(g.share[0], g.share[i+1])
	}
	toLeft, toRight := g.reg(), g.reg()
	VBROADCASTSD(g.one, toLeft)
	VSUBPD(g.share[0], toLeft, toLeft)
	VXORPD(toRight, toRight, toRight)
	VSUBPD(g.share[0], toRight, toRight)
	Load(Param("turns"), g.tmp)
	if g.wide {
		k := K()
		KMOVB(gen.Indexed(g.tmp, index, 8, 0), k)
		VMOVAPD(toLeft, g.k[0])
		VMOVAPD(toRight, k, g.k[0])
	} else {
		MOVBQZX(gen.Indexed(g.tmp, index, 8, 0), g.tmp)
		for i, m := range g.nibbles() {
			VBLENDVPD(m, toRight, toLeft, g.k[i])
		}
	}
	BTQ(U8(0), g.kind)
	JCC(LabelRef("reached"))
	Load(Param("open"), g.tmp)
	if g.wide {
		k := K()
		KMOVB(gen.Indexed(g.tmp, index, 8, 0), k)
		VMOVAPD_Z(g.k[0], k, g.k[0])
	} else {
		MOVBQZX(gen.Indexed(g.tmp, index, 8, 0), g.tmp)
		for i, m := range g.nibbles() {
			VANDPD(m, g.k[i], g.k[i])
		}
	}
	Label("reached")
}

// nibbles turns the byte in tmp into masks.
func (g *game) nibbles() []reg.VecVirtual {
	table, nibble := GP64(), GP64()
	LEAQ(g.masks, table)
	masks := g.regs()
	MOVQ(g.tmp, nibble)
	ANDQ(U8(15), nibble)
	SHLQ(U8(5), nibble)
	VMOVUPD(gen.Indexed(table, nibble, 1, 0), masks[0])
	SHRQ(U8(4), g.tmp)
	SHLQ(U8(5), g.tmp)
	VMOVUPD(gen.Indexed(table, g.tmp, 1, 0), masks[1])
	return masks
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
	ADDQ(U8(64), g.p)
	ADDQ(U8(64), g.out)
	ADDQ(U8(8), g.c)
	CMPQ(g.p, g.end)
	JB(LabelRef(label))
}

// leaf loads the leaf in a field into all lanes.
func (g *game) leaf(field int, to []reg.VecVirtual) {
	leaves := Load(Param("leaves"), GP64())
	MOVL(gen.At(g.node, field), g.tmp.As32())
	VBROADCASTSD(gen.Indexed(leaves, g.tmp, 8, 0), to[0])
	for i := range to[1:] {
		VMOVAPD(to[0], to[i+1])
	}
}

func (g *game) pair(label string, repeat bool) {
	if repeat {
		Label(label)
		label += "Point"
	}
	g.leaf(leftRight, g.left)
	g.leaf(leftRight+4, g.right)
	for i := range g.left { // left becomes the mean, k is multiplied with the difference
		VSUBPD(g.right[i], g.left[i], g.left[i])
		VMULPD(g.left[i], g.k[i], g.k[i])
		VMULPD(g.left[i], g.share[i], g.left[i])
		VADDPD(g.right[i], g.left[i], g.left[i])
	}
	x := g.regs()
	g.loop(label, func() {
		g.curve(0, g.k, x)
		for i := range x {
			VADDPD(g.left[i], x[i], x[i])
			VMOVUPD(x[i], g.lane(g.out, i))
		}
		if repeat {
			g.prob(x)
			for i := range x {
				VADDPD(x[i], g.s[i], g.s[i])
			}
			return
		}
		for i := range x {
			VADDPD(g.lane(g.p, i), g.s[i], g.s[i])
		}
	})
}

// curve multiplies the curve's tau (0) or psi (1) with v.
func (g *game) curve(which int, v, to []reg.VecVirtual) {
	at := gen.At(g.c, 0)
	if which == 1 {
		at = gen.Indexed(g.c, g.q8, 1, 0)
	}
	if g.wide {
		VMULPD_BCST(at, v[0], to[0])
		return
	}
	b := g.reg()
	VBROADCASTSD(at, b)
	for i := range v {
		VMULPD(b, v[i], to[i])
	}
}

// prob loads P times psi.
func (g *game) prob(to []reg.VecVirtual) {
	for i := range to {
		VMOVUPD(g.lane(g.p, i), to[i])
	}
	g.curve(1, to, to)
}

func (g *game) down(label string, left bool) {
	Label(label)
	m, p := g.regs(), g.regs()
	g.loop(label+"Point", func() {
		g.curve(0, g.k, m)
		for i := range m {
			VADDPD(g.share[i], m[i], m[i])
			VMOVUPD(m[i], g.array(1, i))
			VMOVUPD(g.array(0, i), p[i])
			VMULPD(m[i], p[i], m[i])
			if !left {
				VSUBPD(m[i], p[i], m[i])
			}
			VMOVUPD(m[i], g.array(4, i))
		}
	})
	JMP(LabelRef("done"))
}

func (g *game) next() {
	Label("next")
	m, p := g.regs(), g.regs()
	g.loop("nextPoint", func() {
		for i := range m {
			VMOVUPD(g.array(0, i), p[i])
			VMULPD(g.array(1, i), p[i], m[i])
			VSUBPD(m[i], p[i], m[i])
			VMOVUPD(m[i], g.array(4, i))
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
	d, x := g.regs(), g.regs()
	g.loop(label, func() {
		for i := range d {
			right := g.right[i]
			if kind != upLeft {
				VMOVUPD(g.array(3, i), right)
			}
			if kind == upRight {
				VSUBPD(right, g.left[i], d[i])
			} else {
				VMOVUPD(g.array(2, i), d[i])
				VSUBPD(right, d[i], d[i])
			}
		}
		if repeat {
			g.prob(x)
		}
		for i := range d {
			if repeat {
				VMULPD(d[i], x[i], x[i])
			} else {
				VMULPD(g.array(0, i), d[i], x[i])
			}
			VADDPD(x[i], g.s[i], g.s[i])
			VMULPD(g.array(1, i), d[i], d[i])
			VADDPD(g.right[i], d[i], d[i])
			VMOVUPD(d[i], g.lane(g.out, i))
		}
	})
}

// array is the current point of a frame's array.
func (g *game) array(n, i int) Mem {
	switch n {
	case 0:
		return g.lane(g.p, i)
	case 3:
		return gen.Indexed(g.p, g.block3, 1, 32*i)
	}
	return gen.Indexed(g.p, g.block, uint8(n), 32*i)
}

// vectors is how a tier holds 8 float64s.
type vectors struct {
	name string
	wide bool
	n    int // registers
}

func (v vectors) reg() reg.VecVirtual {
	if v.wide {
		return ZMM()
	}
	return YMM()
}

func (v vectors) regs() []reg.VecVirtual {
	r := make([]reg.VecVirtual, v.n)
	for i := range r {
		r[i] = v.reg()
	}
	return r
}

// lane is the i-th register's part of 8 float64s.
func (v vectors) lane(base reg.Register, i int) Mem { return gen.At(base, 32*i) }

// above writes a comparison of 64 values with each of n cuts.
func above(v vectors, name string, predicate uint8, doc string) {
	gen.Func(name+v.name, "writes a word of bits for each of n tests: those of its 64 values that are "+doc+".",
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
