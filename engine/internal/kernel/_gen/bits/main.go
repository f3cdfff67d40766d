// Command bits generates the assembly of bits.go's functions.
//
// A word is one vector register: 512 rows in ZMM, 256 in YMM. Most functions are written once for both (see vector).
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
	for _, v := range []vector{{wide: true}, {}} {
		blend(v)
		andNot(v)
		exceed(v)
		for depth := 2; depth <= 6; depth++ {
			trees(v, depth)
		}
	}
	planesAVX512()
	setsAVX512()
	setsAVX2("sets1AVX2", 1)
	setsAVX2("sets2AVX2", 2)
	planesAVX2()
}

// vector is a width of words.
type vector struct{ wide bool }

func (v vector) name(base string) string {
	if v.wide {
		return base + "AVX512"
	}
	return base + "AVX2"
}

// size is the number of bytes of a word, 1<<shift.
func (v vector) size() int {
	if v.wide {
		return 64
	}
	return 32
}

func (v vector) shift() Constant {
	if v.wide {
		return U8(6)
	}
	return U8(5)
}

func (v vector) register() reg.VecVirtual {
	if v.wide {
		return ZMM()
	}
	return YMM()
}

// move loads, stores or copies a word.
func (v vector) move(from, to Op) {
	if v.wide {
		VMOVDQA64(from, to)
	} else {
		VMOVDQA(from, to)
	}
}

func (v vector) and(a Op, b, to reg.Register) {
	if v.wide {
		VPANDQ(a, b, to)
	} else {
		VPAND(a, b, to)
	}
}

func (v vector) or(a Op, b, to reg.Register) {
	if v.wide {
		VPORQ(a, b, to)
	} else {
		VPOR(a, b, to)
	}
}

func (v vector) zero(to reg.Register) {
	if v.wide {
		VPXORQ(to, to, to)
	} else {
		VPXOR(to, to, to)
	}
}

// loop repeats f n times, four at a time as long as there are four: f emits the code for step u of unroll, next moves on.
func loop(name string, n reg.Register, unroll int, f func(u int), next func(steps int)) {
	one, many, done := name+"One", name+"Many", name+"Done"
	SUBQ(gen.Int(unroll), n)
	JLT(LabelRef(one))
	Label(many)
	for u := range unroll {
		f(u)
	}
	next(unroll)
	SUBQ(gen.Int(unroll), n)
	JGE(LabelRef(many))
	Label(one)
	ADDQ(gen.Int(unroll), n)
	JZ(LabelRef(done))
	Label(name + "Last")
	f(0)
	next(1)
	DECQ(n)
	JNZ(LabelRef(name + "Last"))
	Label(done)
}

// indices reads 16-bit numbers of words. Two come with one load, since there are three load ports for scalars, but two
// as long as words of 512 bits are loaded; and they are scaled by addresses, since there are two ports for shifts. Four
// loads and shifts an operation are 2.9 cycles, two loads and four shifts 3.3, this 2.7 (BenchmarkBlend).
type indices struct {
	v       vector
	arena   reg.Register
	zero    reg.Register // avo wants a base for every address
	from    reg.Register
	at      int // bytes read after from
	pending reg.GPVirtual
}

func newIndices(v vector, arena, from reg.Register) *indices {
	x := &indices{v: v, arena: arena, from: from, zero: GP64()}
	XORQ(x.zero, x.zero)
	return x
}

// word is the memory of the next word.
func (x *indices) word() Mem {
	i := x.pending
	if i == nil {
		i = GP64()
		x.pending = GP64()
		MOVL(gen.At(x.from, x.at), x.pending.As32())
		MOVWLZX(x.pending.As16(), i.As32())
		SHRL(U8(16), x.pending.As32())
		x.at += 4
	} else {
		x.pending = nil
	}
	scaled := GP64()
	LEAQ(gen.Indexed(x.zero, i, uint8(x.v.size()/8), 0), scaled)
	return gen.Indexed(x.arena, scaled, 8, 0)
}

// next ends a step: what was read is passed.
func (x *indices) next() {
	ADDQ(gen.Int(x.at), x.from)
	x.at = 0
}

// blend is Blend.
func blend(v vector) {
	gen.Func(v.name("blend"), "carries out n ops.", "func(arena *uint64, ops *uint16, n int)")
	arena, ops, n := gen.Arg("arena"), gen.Arg("ops"), gen.Arg("n")
	read := newIndices(v, arena, ops)
	// Each step stores before the next one loads: a step may read the word that the step before wrote.
	step := func(u int) {
		read.at = 8 * u
		a, b, mask, dst := read.word(), read.word(), read.word(), read.word()
		x, m := v.register(), v.register()
		v.move(a, x)
		v.move(mask, m)
		if v.wide {
			VPTERNLOGQ(U8(0xac), b, x, m)
		} else {
			y := YMM()
			VPAND(b, m, y)
			VPANDN(x, m, m)
			VPOR(y, m, m)
		}
		v.move(m, dst)
	}
	loop("loop", n, 4, step, func(steps int) { ADDQ(gen.Int(8*steps), ops) })
	gen.Leave()
}

// trees is Trees for one depth: a tree's words stay in registers.
func trees(v vector, depth int) {
	gen.Func(fmt.Sprintf("%s%d", v.name("trees"), depth), fmt.Sprintf("evaluates n trees of depth %d.", depth),
		"func(arena *uint64, ops *uint16, n int)")
	arena, ops, n := gen.Arg("arena"), gen.Arg("ops"), gen.Arg("n")
	read := newIndices(v, arena, ops)
	to := GP64()
	spill := !v.wide && depth == 6 // 16 registers hold a tree of depth 5
	Label("tree")
	if spill {
		save := *read
		read.at, read.pending = 2*(1<<depth-1), nil
		i := GP64()
		MOVWLZX(gen.At(ops, read.at), i.As32())
		SHLQ(v.shift(), i)
		LEAQ(gen.Indexed(arena, i, 1, 0), to)
		*read = save
	}
	var walk func(depth int) []Op
	walk = func(d int) []Op {
		if d == 1 {
			return []Op{read.word()}
		}
		left := walk(d - 1)
		if d == 2 || spill && d == depth {
			for i, p := range left {
				switch {
				case d == 2:
					x := v.register()
					v.move(p, x)
					left[i] = x
				default:
					v.move(p, gen.At(to, v.size()*i))
					left[i] = gen.At(to, v.size()*i)
				}
			}
		}
		right := walk(d - 1)
		m := v.register()
		v.move(read.word(), m)
		for i := range left {
			switch {
			case v.wide:
				VPTERNLOGQ(U8(0xb8), right[i], m, left[i])
			case d == 2:
				x := YMM()
				VPXOR(right[i], left[i], x)
				VPAND(m, x, x)
				VPXOR(x, left[i], left[i])
			default:
				x := right[i]
				VPXOR(left[i], x, x)
				VPAND(m, x, x)
				VPXOR(left[i], x, x)
				left[i] = x
			}
		}
		return append(left, m)
	}
	planes := walk(depth)
	dst := read.word()
	if !spill {
		LEAQ(dst, to)
	}
	for i, p := range planes[:depth-1] {
		v.move(p, gen.At(to, v.size()*i))
	}
	read.next()
	DECQ(n)
	JNZ(LabelRef("tree"))
	gen.Leave()
}

// andNot is AndNot; to and not are words.
func andNot(v vector) {
	gen.Func(v.name("andNot"), "writes n words from to on.", "func(arena *uint64, to int, from *uint32, n int, not int)")
	arena, to, from, n, not := gen.Arg("arena"), gen.Arg("to"), gen.Arg("from"), gen.Arg("n"), gen.Arg("not")
	SHLQ(v.shift(), to)
	ADDQ(arena, to)
	SHLQ(v.shift(), not)
	mask := v.register()
	v.move(gen.Indexed(arena, not, 1, 0), mask)
	step := func(u int) {
		i, x := GP64(), v.register()
		MOVL(gen.At(from, 4*u), i.As32())
		SHLQ(v.shift(), i)
		if v.wide {
			VPANDNQ(gen.Indexed(arena, i, 1, 0), mask, x)
		} else {
			VPANDN(gen.Indexed(arena, i, 1, 0), mask, x)
		}
		v.move(x, gen.At(to, v.size()*u))
	}
	loop("loop", n, 4, step, func(steps int) {
		ADDQ(gen.Int(4*steps), from)
		ADDQ(gen.Int(v.size()*steps), to)
	})
	gen.Leave()
}

// exceed is Exceed, three planes in a sweep: from the word l of "the lower bits are above j" and three planes come the
// words of 8 cuts, so that a cut's word is written 1.14 times instead of twice. The first sweep, of n%3 planes, needs no l.
func exceed(v vector) {
	gen.Func(v.name("exceed"), "writes a word for each cut.", "func(m *uint64, p *uint64, cuts int, n int)")
	m, p, cuts, n := gen.Arg("m"), gen.Arg("p"), gen.Arg("cuts"), gen.Arg("n")
	size := v.size()
	s, log := GP64(), GP64() // words that are there already, plus one: 1<<log
	MOVQ(U32(1), s)
	XORQ(log, log)
	TESTQ(cuts, cuts)
	JZ(LabelRef("end"))

	// n%3 planes: 1 or 3 words.
	rest, sweeps := GP64(), GP64()
	MOVQ(n, rest)
	IMUL3Q(U8(43), n, sweeps) // n/3 is n*43>>7 for n <= 16
	SHRQ(U8(7), sweeps)
	SUBQ(sweeps, rest)
	SUBQ(sweeps, rest)
	SUBQ(sweeps, rest)
	JZ(LabelRef("sweep"))
	q0, q1, x := v.register(), v.register(), v.register()
	v.move(gen.At(p, 0), q0)
	ADDQ(gen.Int(size), p)
	MOVQ(U32(2), s)
	MOVQ(U32(1), log)
	CMPQ(rest, U8(1))
	JEQ(LabelRef("first"))
	v.move(gen.At(p, 0), q1)
	ADDQ(gen.Int(size), p)
	MOVQ(U32(4), s)
	MOVQ(U32(2), log)
	CMPQ(cuts, U8(1))
	JEQ(LabelRef("either"))
	v.move(q1, gen.At(m, size))
	CMPQ(cuts, U8(2))
	JEQ(LabelRef("either"))
	v.and(q0, q1, x)
	v.move(x, gen.At(m, 2*size))
	Label("either")
	v.or(q1, q0, q0)
	Label("first")
	v.move(q0, gen.At(m, 0))

	Label("sweep")
	TESTQ(sweeps, sweeps)
	JZ(LabelRef("end"))
	var q [3]reg.VecVirtual
	for i := range q {
		q[i] = v.register()
		v.move(gen.At(p, size*i), q[i])
	}
	ADDQ(gen.Int(3*size), p)
	// The lower bits are never above s-1.
	CMPQ(cuts, s)
	JLT(LabelRef("few"))
	last, zero := GP64(), v.register()
	MOVQ(s, last)
	SHLQ(v.shift(), last)
	v.zero(zero)
	v.move(zero, gen.Indexed(m, last, 1, -size))
	Label("few")

	// Of the words j, j+s, ..., j+7s, those below cuts are wanted: full+1 for j < part, full for the others.
	full, part, stride, at, count := GP64(), GP64(), GP64(), GP64(), GP64()
	SHRXQ(log, cuts, full)
	LEAQ(Mem{Base: s, Disp: -1}, part)
	ANDQ(cuts, part)
	MOVQ(s, count)
	CMPQ(full, U8(8))
	JLT(LabelRef("partial"))
	MOVQ(U32(8), full)
	XORQ(part, part)
	Label("partial")
	SUBQ(part, count)
	MOVQ(s, stride)
	SHLQ(v.shift(), stride)
	MOVQ(m, at)
	// The words with one cut more come first; wanted is the number of cuts of a j, left of those j.
	wanted, left := GP64(), GP64()
	LEAQ(Mem{Base: full, Disp: 1}, wanted)
	MOVQ(part, left)
	stride3, stride5, stride7 := GP64(), GP64(), GP64()
	LEAQ(gen.Indexed(stride, stride, 2, 0), stride3)
	LEAQ(gen.Indexed(stride, stride, 4, 0), stride5)
	LEAQ(gen.Indexed(stride3, stride, 4, 0), stride7)
	Label("segment")
	TESTQ(left, left)
	JZ(LabelRef("next"))
	for k := 1; k <= 8; k++ {
		CMPQ(wanted, U8(uint8(k)))
		JEQ(LabelRef(fmt.Sprintf("cuts%d", k)))
	}
	JMP(LabelRef("next"))
	to := []Mem{
		gen.At(at, 0), gen.Indexed(at, stride, 1, 0), gen.Indexed(at, stride, 2, 0), gen.Indexed(at, stride3, 1, 0),
		gen.Indexed(at, stride, 4, 0), gen.Indexed(at, stride5, 1, 0), gen.Indexed(at, stride3, 2, 0), gen.Indexed(at, stride7, 1, 0),
	}
	for k := 1; k <= 8; k++ {
		Label(fmt.Sprintf("cuts%d", k))
		above(v, to[:k], q)
		ADDQ(gen.Int(size), at)
		DECQ(left)
		JNZ(LabelRef(fmt.Sprintf("cuts%d", k)))
		JMP(LabelRef("next"))
	}
	Label("next")
	MOVQ(full, wanted)
	MOVQ(count, left)
	XORQ(count, count)
	TESTQ(left, left)
	JNZ(LabelRef("segment"))
	SHLQ(U8(3), s)
	ADDQ(U8(3), log)
	DECQ(sweeps)
	JMP(LabelRef("sweep"))
	Label("end")
	gen.Leave()
}

// above writes the words of the first len(to) cuts of 8 whose lower bits are the same. to[0] is the word of the lower
// bits on entry; bit i of a cut's number says whether plane i must be set as well (and) or suffices (or).
func above(v vector, to []Mem, q [3]reg.VecVirtual) {
	l := v.register()
	v.move(to[0], l)
	var low [2]reg.VecVirtual
	for b := range min(2, len(to)) {
		low[b] = v.register()
		if b == 0 {
			v.or(q[0], l, low[b])
		} else {
			v.and(q[0], l, low[b])
		}
	}
	for i := range to {
		x := v.register()
		if v.wide {
			// Operands x, q[1], q[2] are bits 2, 1, 0 of the table's index.
			imm := [4]uint8{0b11111110, 0b11101010, 0b10101000, 0b10000000}
			VMOVDQA64(low[i&1], x)
			VPTERNLOGQ(U8(imm[i>>1]), q[2], q[1], x)
		} else {
			for b, from := 1, reg.Register(low[i&1]); b < 3; b, from = b+1, x {
				if i>>b&1 == 0 {
					VPOR(q[b], from, x)
				} else {
					VPAND(q[b], from, x)
				}
			}
		}
		v.move(x, to[i])
	}
}
