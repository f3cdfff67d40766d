// Command sums generates the assembly of sums.go's functions.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	numbers256()
	ids512()
	for bits := range 9 {
		sum64(bits)
	}
	for bits := range 9 {
		sum32(bits)
	}
}

// constant loads a constant of 64 bytes into a new register.
func constant(name string, f func(i int) uint8) reg.VecVirtual {
	r := ZMM()
	VMOVDQU64(data(name, 64, f), r)
	return r
}

// data is a constant of size bytes.
func data(name string, size int, f func(i int) uint8) Mem {
	g, ok := constants[name]
	if ok {
		return g
	}
	g = GLOBL(name, 24) // NOPTR and RODATA
	for at := 0; at < size; at += 8 {
		var v uint64
		for i := range 8 {
			v |= uint64(f(at+i)) << (8 * i)
		}
		DATA(at, U64(v))
	}
	constants[name] = g
	return g
}

var constants = map[string]Mem{} // that have been written

// mask loads a constant into a mask register.
func mask(v uint32, k reg.OpmaskPhysical) {
	r := GP32()
	MOVL(U32(v), r)
	KMOVW(r, k)
}

// steps are operations in order. Sums are bound by two ports, and an operation that either could do is given to one of
// them long before it runs: two chains that use the ports differently must be woven into each other to keep both busy.
type steps []func()

func (s steps) emit() {
	for _, f := range s {
		f()
	}
}

// weave spreads other over the first n of s.
func (s steps) weave(other steps, n int) {
	done := 0
	for i, f := range s {
		f()
		for done < len(other) && done*n < (i+1)*len(other) {
			other[done]()
			done++
		}
	}
	other[done:].emit()
}

// sum is the frame of the sums of 512 bits: for each group of 64 rows the accumulators are loaded into registers, one
// leaf of each tree is added, and they are stored.
type sum struct {
	acc   []reg.VecVirtual
	arena reg.GPVirtual // at the group
	tree  reg.GPVirtual // whose planes' words are loaded
	now   reg.GPVirtual // the tree that is added
	leaf  reg.GPVirtual // leaf values of the tree that is added
}

// Offsets in a Leaves.
const (
	treeTable = 20
	treeSize  = 24
)

// lookups are what differs between sums.
type lookups struct {
	number *number
	order  reg.VecVirtual // a shuffle of the numbers; may be nil
	body   func(n reg.VecVirtual) steps
}

func newSum(name, doc, float string, accumulators int, setup func(s *sum) lookups) {
	gen.Func(name, doc, "func(acc *"+float+", arena *uint64, trees *uint16, table *uint64, n, groups int)")
	acc, groups, table := gen.Arg("acc"), gen.Arg("groups"), gen.Arg("table")
	s := &sum{arena: gen.Arg("arena"), tree: GP64(), now: GP64(), leaf: GP64()}
	for range accumulators {
		s.acc = append(s.acc, ZMM())
	}
	l := setup(s)
	last := GP64()
	var next, n reg.VecVirtual
	var ahead steps
	if l.number != nil {
		next, n = ZMM(), ZMM()
		ahead = l.number.of(s, next)
		if l.order != nil {
			ahead = append(ahead, func() { VPSHUFB(l.order, next, next) })
		}
	}

	Label("group")
	for i, a := range s.acc {
		VMOVUPS(gen.At(acc, 64*i), a)
	}
	Load(Param("trees"), s.tree)
	Load(Param("n"), last)
	LEAQ(Mem{Base: last, Index: last, Scale: 2}, last)
	LEAQ(Mem{Base: s.tree, Index: last, Scale: treeSize / 3, Disp: -treeSize}, last)
	ahead.emit()
	Label("tree")
	MOVQ(s.tree, s.now)
	MOVL(gen.At(s.tree, treeTable), s.leaf.As32())
	LEAQ(gen.Indexed(table, s.leaf, 8, 0), s.leaf)
	ADDQ(U8(treeSize), s.tree) // while a tree is added the next one's numbers are made, at the end the last one's again
	CMPQ(s.now, last)
	CMOVQEQ(last, s.tree)
	if n != nil {
		VMOVDQA64(next, n)
	}
	main := l.body(n)
	main.weave(ahead, len(main)/2)
	CMPQ(s.now, last)
	JNE(LabelRef("tree"))
	for i, a := range s.acc {
		VMOVUPS(a, gen.At(acc, 64*i))
	}
	ADDQ(U32(64*accumulators), acc)
	ADDQ(U8(8), s.arena)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()
}
