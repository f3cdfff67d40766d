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
	g, ok := constants[name]
	if !ok {
		g = GLOBL(name, 24) // NOPTR and RODATA
		for at := 0; at < 64; at += 8 {
			var v uint64
			for i := range 8 {
				v |= uint64(f(at+i)) << (8 * i)
			}
			DATA(at, U64(v))
		}
		constants[name] = g
	}
	r := ZMM()
	VMOVDQU64(g, r)
	return r
}

var constants = map[string]Mem{} // that have been written

// mask loads a constant into a mask register.
func mask(v uint32, k reg.OpmaskPhysical) {
	r := GP32()
	MOVL(U32(v), r)
	KMOVW(r, k)
}

// sum is the frame of all sums of 512 bits: for each group of 64 rows the accumulators are loaded into registers, one
// leaf of each tree is added, and they are stored.
type sum struct {
	acc   []reg.VecVirtual
	arena reg.GPVirtual // at the group
	tree  reg.GPVirtual
	leaf  reg.GPVirtual // the tree's leaf values
}

// Offsets in a Leaves.
const (
	treeTable = 20
	treeSize  = 24
)

func newSum(name, doc, float string, accumulators int, setup, body func(s *sum)) {
	gen.Func(name, doc, "func(acc *"+float+", arena *uint64, trees *uint16, table *uint64, n, groups int)")
	acc, groups, table := gen.Arg("acc"), gen.Arg("groups"), gen.Arg("table")
	s := &sum{arena: gen.Arg("arena"), tree: GP64(), leaf: GP64()}
	for range accumulators {
		s.acc = append(s.acc, ZMM())
	}
	setup(s)
	Label("group")
	for i, a := range s.acc {
		VMOVUPS(gen.At(acc, 64*i), a)
	}
	n := GP64()
	Load(Param("trees"), s.tree)
	Load(Param("n"), n)
	Label("tree")
	MOVL(gen.At(s.tree, treeTable), s.leaf.As32())
	LEAQ(gen.Indexed(table, s.leaf, 8, 0), s.leaf)
	body(s)
	ADDQ(U8(treeSize), s.tree)
	DECQ(n)
	JNZ(LabelRef("tree"))
	for i, a := range s.acc {
		VMOVUPS(a, gen.At(acc, 64*i))
	}
	ADDQ(U32(64*accumulators), acc)
	ADDQ(U8(8), s.arena)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()
}
