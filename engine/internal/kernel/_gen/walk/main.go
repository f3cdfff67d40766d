// Command walk generates the assembly of walk.go's and blocks.go's functions.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	iota := dwords("walkIota", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
	for _, m := range modes {
		step(iota, m, rootLevels, true)
		step(iota, m, stepLevels, false)
		pair(m)
	}
	addItems(8)
	addItems(4)
	gather(8)
	gather(4)
	rowMajor()
	recode512()
	recode256()
	prefetch()
	nodes()
	nodesSets()
}

// A row's codes are one register, or two in wide modes. In shift modes the highest bit of a node's column says that its
// codes count from 1, so that the highest code is the lowest.
type mode struct {
	name        string
	wide, shift bool
}

var modes = []mode{{"", false, false}, {"Shift", false, true}, {"Wide", true, false}, {"WideShift", true, true}}

// rowShift is the logarithm of the bytes of a row's codes.
func (m mode) rowShift() int {
	if m.wide {
		return 7
	}
	return 6
}

const (
	rootLevels = 5
	stepLevels = 3
	rowMask    = 511 // of an item
	rowBits    = 9
)

func dwords(name string, values ...uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range values {
		DATA(4*i, U32(v))
	}
	return m
}

// constant is a vector of equal dwords.
func constant(v uint32) reg.VecVirtual {
	t, z := GP32(), ZMM()
	MOVL(U32(v), t)
	VPBROADCASTD(t, z)
	return z
}

// resize is the vector register that holds n bytes of z.
func resize(z reg.VecVirtual, n int) Op {
	switch n {
	case 16:
		return z.AsX()
	case 32:
		return z.AsY()
	}
	return z
}

// compare writes the outcomes of all nodes of a block for one row: columns and limits are registers or memory.
func compare(m mode, levels int, columns, limits Op, row, rowAt reg.Register, out Mem) {
	size := 2 << levels
	x, k, t := ZMM(), K(), GP32()
	index, isReg := columns.(reg.VecVirtual)
	if !isReg {
		index = ZMM()
		VMOVDQU64(columns, resize(index, size))
	}
	if m.wide {
		low := ZMM()
		VMOVDQU64(gen.Indexed(row, rowAt, 1, 0), low)
		VMOVDQA64(resize(index, size), resize(x, size))
		VPERMI2W(gen.Indexed(row, rowAt, 1, 64), low, x)
	} else {
		VPERMW(gen.Indexed(row, rowAt, 1, 0), index, x)
	}
	if m.shift {
		ones := ZMM()
		VPSRAW(U8(15), resize(index, size), resize(ones, size))
		VPSUBW(resize(ones, size), resize(x, size), resize(x, size))
	}
	VPCMPUW(U8(6), limits, resize(x, size), k) // above
	KMOVD(k, t)
	MOVL(t, out)
}

// descend turns outcomes into exits: heap numbers of the places below a block's last level.
func descend(levels int, outcomes, one reg.VecVirtual) reg.VecVirtual {
	i := ZMM()
	VMOVDQA64(one, i)
	for range levels {
		t := ZMM()
		VPSRLVD(i, outcomes, t)
		VPADDD(i, i, i)
		VPTERNLOGD(U8(0xf8), one, t, i) // i | t&1
	}
	return i
}

// step is one block further for the rows of items: its exits say where to. A block of l levels has 2^l columns, 2^l codes
// and 2^l exits, in 8<<l bytes.
func step(iota Mem, m mode, levels int, root bool) {
	name, doc := "walkStep", "takes n items through their next block."
	if root {
		name, doc = "walkRoot", "takes rows 0 to n-1 through the first block."
	}
	gen.Func(name+m.name+"AVX512", doc+" Items that go on are written to items, the others to done.",
		"func(items, done, bits *uint32, n int, blocks *uint32, codes *uint16) int")
	items, bits, n := gen.Arg("items"), gen.Arg("bits"), gen.Arg("n")
	blocks, codes := gen.Arg("blocks"), gen.Arg("codes")
	i := GP64()
	XORL(i.As32(), i.As32())
	if root {
		columns, limits := ZMM(), ZMM()
		VMOVDQU64(gen.At(blocks, 0), columns)
		VMOVDQU64(gen.At(blocks, 2<<levels), limits)
		row := GP64()
		XORL(row.As32(), row.As32())
		Label("compare")
		compare(m, levels, columns, limits, codes, row, gen.Indexed(bits, i, 4, 0))
		ADDQ(U32(1<<m.rowShift()), row)
	} else {
		Label("compare")
		block, row := GP64(), GP64()
		MOVL(gen.Indexed(items, i, 4, 0), block.As32())
		MOVL(block.As32(), row.As32())
		ANDL(U32(rowMask), row.As32())
		SHLL(U8(m.rowShift()), row.As32())
		ANDL(U32((1<<31-1)&^rowMask), block.As32())
		SHRL(U8(rowBits-levels-3), block.As32())
		compare(m, levels, gen.Indexed(blocks, block, 1, 0), gen.Indexed(blocks, block, 1, 2<<levels), codes, row,
			gen.Indexed(bits, i, 4, 0))
	}
	INCQ(i)
	CMPQ(i, n)
	JLT(LabelRef("compare"))

	done := gen.Arg("done")
	one, rowOnly := constant(1), constant(rowMask)
	var rows, sixteen, blockOnly reg.VecVirtual
	if root {
		rows, sixteen = ZMM(), constant(16)
		VMOVDQU64(iota, rows)
	} else {
		blockOnly = constant((1<<31 - 1) >> (rowBits - levels - 1) &^ (2<<levels - 1))
	}
	active := GP64()
	XORL(active.As32(), active.As32())
	left, at := GP64(), GP64()
	MOVQ(n, left)
	XORL(at.As32(), at.As32())
	Label("exits")
	lanes, limit, some := GP32(), GP64(), K()
	MOVL(U32(16), limit.As32())
	CMPQ(left, limit)
	CMOVQLT(left, limit)
	MOVL(U32(0xffff), lanes)
	BZHIL(limit.As32(), lanes, lanes)
	KMOVW(lanes, some)
	b := ZMM()
	VMOVDQU32(gen.Indexed(bits, at, 4, 0), b)
	exit := descend(levels, b, one)
	item := rows
	if !root {
		item = ZMM()
		VMOVDQU32(gen.Indexed(items, at, 4, 0), item)
		t := ZMM()
		VPSRLD(U8(rowBits-levels-1), item, t)
		VPTERNLOGD(U8(0xf8), blockOnly, t, exit) // exit | t&blockOnly
	}
	next, lanesLeft := ZMM(), K()
	KMOVW(some, lanesLeft)
	VPXORD(next, next, next)
	VPGATHERDD(Mem{Base: blocks, Index: exit, Scale: 4}, lanesLeft, next)
	goOn, stop := K(), K()
	VPMOVD2M(next, goOn)
	KANDW(some, goOn, goOn)
	KANDNW(some, goOn, stop)
	VPTERNLOGD(U8(0xf8), rowOnly, item, next) // next | item&rowOnly
	z, count := ZMM(), GP32()
	VPCOMPRESSD_Z(next, goOn, z)
	VMOVDQU32(z, gen.Indexed(items, active, 4, 0))
	KMOVW(goOn, count)
	POPCNTL(count, count)
	ADDQ(count.As64(), active)
	z = ZMM()
	VPCOMPRESSD_Z(next, stop, z)
	VMOVDQU32(z, gen.At(done, 0))
	KMOVW(stop, count)
	POPCNTL(count, count)
	LEAQ(gen.Indexed(done, count.As64(), 4, 0), done)
	if root {
		VPADDD(sixteen, rows, rows)
	}
	ADDQ(U8(16), at)
	SUBQ(U8(16), left)
	JGT(LabelRef("exits"))
	Store(active, ReturnIndex(0))
	gen.Leave()
}

// pair is a tree of ten levels: a block, and one below each of its exits. Such blocks have no exits.
func pair(m mode) {
	const (
		levels = rootLevels
		half   = 2 << levels // bytes of a block's columns
	)
	gen.Func("walkPair"+m.name+"AVX512", "finds the leaves of rows 0 to n-1 of a tree of ten levels.",
		"func(numbers, bits *uint32, n int, blocks *uint32, codes *uint16)")
	numbers, bits, n := gen.Arg("numbers"), gen.Arg("bits"), gen.Arg("n")
	blocks, codes := gen.Arg("blocks"), gen.Arg("codes")
	one, low := constant(1), constant(1<<levels-1)
	i, row := GP64(), GP64()
	// rows calls body for each row, groups for each sixteen.
	rows := func(label string, body func()) {
		XORL(i.As32(), i.As32())
		XORL(row.As32(), row.As32())
		Label(label)
		body()
		ADDQ(U32(1<<m.rowShift()), row)
		INCQ(i)
		CMPQ(i, n)
		JLT(LabelRef(label))
	}
	groups := func(label string, body func(exit reg.VecVirtual)) {
		XORL(i.As32(), i.As32())
		Label(label)
		b := ZMM()
		VMOVDQU32(gen.Indexed(bits, i, 4, 0), b)
		exit := descend(levels, b, one)
		VPANDD(low, exit, exit)
		body(exit)
		VMOVDQU32(exit, gen.Indexed(numbers, i, 4, 0))
		ADDQ(U8(16), i)
		CMPQ(i, n)
		JLT(LabelRef(label))
	}
	columns, limits := ZMM(), ZMM()
	VMOVDQU64(gen.At(blocks, 0), columns)
	VMOVDQU64(gen.At(blocks, half), limits)
	rows("first", func() { compare(m, levels, columns, limits, codes, row, gen.Indexed(bits, i, 4, 0)) })
	groups("paths", func(exit reg.VecVirtual) { VPSLLD(U8(levels), exit, exit) })
	rows("second", func() {
		block := GP64()
		MOVL(gen.Indexed(numbers, i, 4, 0), block.As32())
		SHLL(U8(2), block.As32()) // from 32 leaves a block to 128 bytes
		compare(m, levels, gen.Indexed(blocks, block, 1, 2*half), gen.Indexed(blocks, block, 1, 3*half), codes, row,
			gen.Indexed(bits, i, 4, 0))
	})
	groups("leaves", func(exit reg.VecVirtual) { VPORD(gen.Indexed(numbers, i, 4, 0), exit, exit) })
	gen.Leave()
}

// addItems adds the leaves of items to their rows, for leaves of so many bytes.
func addItems(size uint8) {
	name, t := "walkAdd64", "float64"
	add, load, store := ADDSD, MOVSD, MOVSD
	if size == 4 {
		name, t = "walkAdd32", "float32"
		add, load, store = ADDSS, MOVSS, MOVSS
	}
	gen.Func(name, "adds the leaves of n items to their rows.", "func(acc *"+t+", items *uint32, leaves *"+t+", n int)")
	acc, items, leaves, n := gen.Arg("acc"), gen.Arg("items"), gen.Arg("leaves"), gen.Arg("n")
	LEAQ(gen.Indexed(items, n, 4, 0), items)
	NEGQ(n)
	Label("loop")
	leaf, row, x := GP64(), GP64(), XMM()
	MOVL(gen.Indexed(items, n, 4, 0), leaf.As32())
	MOVL(leaf.As32(), row.As32())
	ANDL(U32(rowMask), row.As32())
	SHRL(U8(rowBits), leaf.As32())
	load(gen.Indexed(acc, row, size, 0), x)
	add(gen.Indexed(leaves, leaf, size, 0), x)
	store(x, gen.Indexed(acc, row, size, 0))
	INCQ(n)
	JNZ(LabelRef("loop"))
	RET()
}

// gather adds to row r the leaf numbers[r].
func gather(size int) {
	name, t, per := "walkGather64AVX512", "float64", 8
	if size == 4 {
		name, t, per = "walkGather32AVX512", "float32", 16
	}
	gen.Func(name, "adds leaf numbers[r] to row r, for r < n.", "func(acc *"+t+", numbers *uint32, leaves *"+t+", n int)")
	acc, numbers, leaves, n := gen.Arg("acc"), gen.Arg("numbers"), gen.Arg("leaves"), gen.Arg("n")
	i := GP64()
	XORL(i.As32(), i.As32())
	Label("loop")
	lanes, limit, some, rest := GP32(), GP64(), K(), K()
	MOVL(U32(per), limit.As32())
	CMPQ(n, limit)
	CMOVQLT(n, limit)
	MOVL(U32(0xffff), lanes)
	BZHIL(limit.As32(), lanes, lanes)
	KMOVW(lanes, some)
	KMOVW(some, rest)
	v, a := ZMM(), ZMM()
	VPXORD(v, v, v)
	at := Mem{Base: acc, Index: i, Scale: uint8(size)}
	if size == 8 {
		index := YMM()
		VMOVDQU(gen.Indexed(numbers, i, 4, 0), index)
		VGATHERDPD(Mem{Base: leaves, Index: index, Scale: 8}, some, v)
		VMOVUPD_Z(at, rest, a)
		VADDPD(v, a, a)
		VMOVUPD(a, rest, at)
	} else {
		index := ZMM()
		VMOVDQU32(gen.Indexed(numbers, i, 4, 0), index)
		VGATHERDPS(Mem{Base: leaves, Index: index, Scale: 4}, some, v)
		VMOVUPS_Z(at, rest, a)
		VADDPS(v, a, a)
		VMOVUPS(a, rest, at)
	}
	ADDQ(U8(per), i)
	SUBQ(U8(per), n)
	JGT(LabelRef("loop"))
	gen.Leave()
}

// rowMajor transposes 32 rows of 8 columns at a time: 8 x 8 words in each lane of 128 bits.
func rowMajor() {
	gen.Func("rowMajorAVX512", "transposes columns of n words, stride bytes apart: 8 columns to places in rows of width bytes. n is a multiple of 32.",
		"func(dst, codes *uint16, stride, width, n int)")
	dst, codes, stride, width, n := gen.Arg("dst"), gen.Arg("codes"), gen.Arg("stride"), gen.Arg("width"), gen.Arg("n")
	Label("loop")
	at := GP64()
	MOVQ(codes, at)
	v := make([]reg.VecVirtual, 8)
	for c := range v {
		v[c] = ZMM()
		VMOVDQU64(gen.At(at, 0), v[c])
		if c < 7 {
			ADDQ(stride, at)
		}
	}
	next := func(low, high func(...Op), order [8]int) {
		out := make([]reg.VecVirtual, 8)
		for i := 0; i < 8; i += 2 {
			a, b := v[order[i]], v[order[i+1]]
			out[i], out[i+1] = ZMM(), ZMM()
			low(b, a, out[i])
			high(b, a, out[i+1])
		}
		v = out
	}
	// Words of two columns, then of four, then of eight side by side; afterwards v[r] has row r of each lane's eight.
	next(func(o ...Op) { VPUNPCKLWD(o...) }, func(o ...Op) { VPUNPCKHWD(o...) }, [8]int{0, 1, 2, 3, 4, 5, 6, 7})
	next(func(o ...Op) { VPUNPCKLDQ(o...) }, func(o ...Op) { VPUNPCKHDQ(o...) }, [8]int{0, 2, 1, 3, 4, 6, 5, 7})
	next(func(o ...Op) { VPUNPCKLQDQ(o...) }, func(o ...Op) { VPUNPCKHQDQ(o...) }, [8]int{0, 4, 1, 5, 2, 6, 3, 7})
	out := GP64()
	MOVQ(dst, out)
	for lane := range 4 {
		for r := range 8 {
			if lane == 0 {
				VMOVDQU(v[r].(reg.VecVirtual).AsX(), gen.At(out, 0))
			} else {
				VEXTRACTI32X4(U8(lane), v[r], gen.At(out, 0))
			}
			ADDQ(width, out)
		}
	}
	MOVQ(out, dst)
	ADDQ(U8(64), codes)
	SUBQ(U8(32), n)
	JGT(LabelRef("loop"))
	gen.Leave()
}

// recode512 and recode256 are Recode.
func recode512() {
	gen.Func("recodeAVX512", "copies n codes from src to dst, with to for every code that equals from.",
		"func(dst, src *uint16, n int, from, to int)")
	dst, src, n := gen.Arg("dst"), gen.Arg("src"), gen.Arg("n")
	from, to := ZMM(), ZMM()
	VPBROADCASTW(gen.Arg("from").As32(), from)
	VPBROADCASTW(gen.Arg("to").As32(), to)
	i, lanes, all := GP64(), GP64(), GP64()
	XORL(i.As32(), i.As32())
	MOVQ(I32(-1), all)
	Label("loop")
	limit := GP64()
	MOVL(U32(32), limit.As32())
	CMPQ(n, limit)
	CMOVQLT(n, limit)
	BZHIQ(limit, all, lanes)
	some, equal, x := K(), K(), ZMM()
	KMOVD(lanes.As32(), some)
	VMOVDQU16_Z(gen.Indexed(src, i, 2, 0), some, x)
	VPCMPEQW(from, x, equal)
	VMOVDQU16(to, equal, x)
	VMOVDQU16(x, some, gen.Indexed(dst, i, 2, 0))
	ADDQ(U8(32), i)
	SUBQ(U8(32), n)
	JGT(LabelRef("loop"))
	gen.Leave()
}

func recode256() {
	gen.Func("recodeAVX2", "is recodeAVX512 for n that are multiples of 16.", "func(dst, src *uint16, n int, from, to int)")
	dst, src, n := gen.Arg("dst"), gen.Arg("src"), gen.Arg("n")
	broadcast := func(name string) reg.VecVirtual {
		x, y := XMM(), YMM()
		VMOVD(gen.Arg(name).As32(), x)
		VPBROADCASTW(x, y)
		return y
	}
	from, to := broadcast("from"), broadcast("to")
	i := GP64()
	XORL(i.As32(), i.As32())
	Label("loop")
	x, equal := YMM(), YMM()
	VMOVDQU(gen.Indexed(src, i, 2, 0), x)
	VPCMPEQW(from, x, equal)
	VPBLENDVB(equal, to, x, x)
	VMOVDQU(x, gen.Indexed(dst, i, 2, 0))
	ADDQ(U8(16), i)
	CMPQ(i, n)
	JLT(LabelRef("loop"))
	gen.Leave()
}

// prefetch asks for lines.
func prefetch() {
	gen.Func("walkPrefetch", "asks for n lines of 64 bytes in the second-level cache.", "func(p *byte, n int)")
	p, n := gen.Arg("p"), gen.Arg("n")
	Label("loop")
	PREFETCHT1(gen.At(p, 0))
	ADDQ(U8(64), p)
	DECQ(n)
	JNZ(LabelRef("loop"))
	RET()
}

// nodes walks eight rows at a time, in general registers: as fast as gathers, or faster, and any processor has them.
func nodes() {
	const lanes = 8
	gen.Func("walkNodes", "takes groups of eight rows up to 2*pairs steps further, until a group's rows are at leaves. stride is in bytes.",
		"func(at *uint32, nodes *byte, codes *uint16, stride, groups, pairs int)")
	left, more := AllocLocal(8), AllocLocal(8)
	t := gen.Arg("groups")
	MOVQ(t, more)
	at, nodes, codes, stride := gen.Arg("at"), gen.Arg("nodes"), gen.Arg("codes"), gen.Arg("stride")
	Label("group")
	t = gen.Arg("pairs")
	MOVQ(t, left)
	var i [lanes]reg.GPVirtual
	for l := range i {
		i[l] = GP64()
		MOVL(gen.At(at, 4*l), i[l].As32())
	}
	Label("pair")
	leaf := GP32()
	MOVL(U32(0xffff), leaf)
	for s := range 2 {
		for l := range i {
			column, code := GP64(), GP32()
			MOVWLZX(gen.Indexed(nodes, i[l], 8, 2), column.As32())
			IMULQ(stride, column)
			MOVWLZX(gen.Indexed(nodes, i[l], 8, 0), code)
			if s == 1 {
				ANDL(code, leaf)
			}
			MOVL(gen.Indexed(nodes, i[l], 8, 4), i[l].As32())
			CMPW(code.As16(), gen.Indexed(codes, column, 1, 2*l)) // carries if the row's code is above
			ADCL(U8(0), i[l].As32())
		}
	}
	CMPL(leaf, U32(0xffff)) // all were at leaves before the last step
	JEQ(LabelRef("done"))
	DECQ(left)
	JNZ(LabelRef("pair"))
	Label("done")
	for l := range i {
		MOVL(i[l].As32(), gen.At(at, 4*l))
	}
	ADDQ(U8(4*lanes), at)
	ADDQ(U8(2*lanes), codes)
	DECQ(more)
	JNZ(LabelRef("group"))
	RET()
}

// nodesSets is nodes for both kinds of node, without branches on the kind: both outcomes are found, one is taken.
func nodesSets() {
	const lanes = 5
	gen.Func("walkNodesSets", "takes groups of five rows up to so many steps further, until a group's rows are at leaves. stride is in bytes.",
		"func(at *uint32, nodes *byte, first *uint32, members *uint64, codes *uint16, stride, groups, steps int)")
	left, more := AllocLocal(8), AllocLocal(8)
	t := gen.Arg("groups")
	MOVQ(t, more)
	at, nodes, first, members, codes := gen.Arg("at"), gen.Arg("nodes"), gen.Arg("first"), gen.Arg("members"), gen.Arg("codes")
	stride, err := Param("stride").Resolve()
	if err != nil {
		panic(err)
	}
	Label("group")
	t = gen.Arg("steps")
	MOVQ(t, left)
	var i [lanes]reg.GPVirtual
	for l := range i {
		i[l] = GP64()
		MOVL(gen.At(at, 4*l), i[l].As32())
	}
	Label("step")
	leaf := GP32()
	MOVL(U32(0xffff), leaf)
	for l := range i {
		c, code, set, above := GP64(), GP64(), GP64(), GP64()
		MOVWLZX(gen.Indexed(nodes, i[l], 8, 2), c.As32())
		IMULQ(stride.Addr, c)
		MOVWLZX(gen.Indexed(nodes, i[l], 8, 0), code.As32())
		MOVL(gen.Indexed(nodes, i[l], 8, 4), i[l].As32())
		ANDL(code.As32(), leaf)
		MOVWLZX(gen.Indexed(codes, c, 1, 2*l), c.As32())
		XORL(set.As32(), set.As32())
		TESTL(i[l].As32(), i[l].As32())
		CMOVLMI(code.As32(), set.As32())
		MOVL(gen.Indexed(first, set, 4, 0), set.As32())
		MOVL(c.As32(), above.As32())
		SHRL(U8(6), above.As32())
		ADDL(above.As32(), set.As32())
		MOVQ(gen.Indexed(members, set, 8, 0), set)
		CMPL(code.As32(), c.As32())
		SBBL(above.As32(), above.As32())
		BTQ(c, set)
		SBBL(code.As32(), code.As32())
		TESTL(i[l].As32(), i[l].As32())
		CMOVLMI(code.As32(), above.As32())
		ANDL(U32(1<<31-1), i[l].As32())
		SUBL(above.As32(), i[l].As32())
	}
	CMPL(leaf, U32(0xffff))
	JEQ(LabelRef("done"))
	DECQ(left)
	JNZ(LabelRef("step"))
	Label("done")
	for l := range i {
		MOVL(i[l].As32(), gen.At(at, 4*l))
	}
	ADDQ(U8(4*lanes), at)
	ADDQ(U8(2*lanes), codes)
	DECQ(more)
	JNZ(LabelRef("group"))
	RET()
}
