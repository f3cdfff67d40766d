// Command rank generates the assembly of rank.go's functions.
//
// The tables and constants are in the structures pairTable and bucketTable of the kernel package; the offsets below are
// their fields'.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	o := newOrders()
	slots512(o)
	zeros512()
	narrow512()
	narrow256()
	for _, in := range []input{double, single} {
		for _, how := range []ranking{few, linear, log} {
			for _, out := range []code{byte8, word16} {
				buckets256(in, how, out)
			}
		}
	}
	pairs256(false)
	pairs256(true)
	for _, in := range []input{double, single} {
		pairs512(o, in, false)
		pairs512(o, in, true)
		for _, how := range []ranking{few, linear, log} {
			for _, out := range []code{byte8, word16} {
				buckets512(o, in, how, out)
			}
		}
	}
}

// input is the type of the values.
type input struct {
	name  string // in the names of functions
	size  int    // of a value
	param string
}

var (
	double = input{"64", 8, "*float64"}
	single = input{"32", 4, "*float32"}
)

// code is the type of the codes.
type code struct {
	name  string
	size  int
	param string
}

var (
	byte8  = code{"x8", 1, "*uint8"}
	word16 = code{"x16", 2, "*uint16"}
)

// orders are permutations of packed codes.
type orders struct {
	unpack    Mem // of dwords: undoes the lanes of two packs
	words     Mem // of qwords: undoes the lanes of one pack
	even, odd Mem // of dwords of a pair of vectors
}

func newOrders() *orders {
	table := func(name string, at ...int) Mem {
		m := GLOBL(name, RODATA|NOPTR)
		for i, x := range at {
			if len(at) == 8 {
				DATA(8*i, U64(uint64(x)))
			} else {
				DATA(4*i, U32(uint32(x)))
			}
		}
		return m
	}
	return &orders{
		unpack: table("rankUnpack", 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
		words:  table("rankWords", 0, 2, 4, 6, 1, 3, 5, 7),
		even:   table("rankEven", 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
		odd:    table("rankOdd", 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31),
	}
}

const (
	group = 64  // rows per turn of a loop
	block = 512 // rows that a caller takes at a time
)

// prefetch fetches n values of the next block: the processor's own prefetching forgets a column while others, and the
// trees, have their turn.
func prefetch(in input, v reg.Register, n int) {
	for at := 0; at < n*in.size; at += 64 {
		PREFETCHT1(gen.At(v, block*in.size+at))
	}
}

// rows is a loop over groups of 64 rows of the caller's memory. The last group, if it is not whole, is copied to the
// stack first, so that no load leaves the slice.
type rows struct {
	in       input
	dst, v   reg.GPVirtual
	n        reg.GPVirtual
	own      reg.GPVirtual // mask of the rows of this group
	tail     Mem
	loop     string
	codeSize int
}

func newRows(in input, codeSize int) *rows {
	return &rows{
		in: in, dst: gen.Arg("dst"), v: gen.Arg("v"), n: gen.Arg("n"), own: GP64(),
		tail: AllocLocal(group * in.size), codeSize: codeSize,
	}
}

// each emits the loop; body must end with a store under the mask that it is given.
func (r *rows) each(body func(own reg.Register)) {
	own := K()
	Label("group")
	MOVQ(I32(-1), r.own)
	CMPQ(r.n, Imm(group))
	JAE(LabelRef("whole"))
	// The rest: own = 1<<n - 1.
	BZHIQ(r.n, r.own, r.own)
	at := GP64()
	LEAQ(r.tail, at)
	lanes := 64 / r.in.size
	shifted := GP64()
	MOVQ(r.own, shifted)
	for i := range r.in.size {
		k, z := K(), ZMM()
		KMOVQ(shifted, k)
		SHRQ(U8(lanes), shifted)
		if r.in.size == 8 {
			VMOVUPD_Z(gen.At(r.v, 64*i), k, z)
			VMOVUPD(z, gen.At(at, 64*i))
		} else {
			VMOVUPS_Z(gen.At(r.v, 64*i), k, z)
			VMOVUPS(z, gen.At(at, 64*i))
		}
	}
	MOVQ(at, r.v)
	Label("whole")
	KMOVQ(r.own, own)
	prefetch(r.in, r.v, group)
	body(own)
	ADDQ(I32(group*r.in.size), r.v)
	ADDQ(I32(group*r.codeSize), r.dst)
	SUBQ(Imm(group), r.n)
	JA(LabelRef("group"))
	gen.Leave()
}

// everyLane sets the mask of a gather, which clears it. Any other mask may be the operand: avo takes one that is not
// written for live from the start, and there are but seven.
func everyLane(k reg.OpmaskVirtual) { KXNORW(reg.K7, reg.K7, k) }
