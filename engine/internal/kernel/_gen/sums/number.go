package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

// number makes the bytes of 64 rows' leaf numbers from the planes' words of 64 bits. The words are loaded into the eight
// places of a register (loads that broadcast cost p05 only when masked); a shuffle brings the bytes of the same
// eight rows together, the lowest plane's last, and an affine product with the matrix that they are, transposes them.
//
// A KMOVQ and a masked addition for each plane are twice as many operations, half of them on p5.
type number struct {
	planes          int
	pair            bool // words 0 and 1 are loaded by a shuffle and leave K1 free
	shuffle, affine reg.VecVirtual
}

// slots are the masks of the places of words 1 and up.
var slots = []reg.OpmaskPhysical{nil, reg.K1, reg.K2, reg.K3, reg.K4, reg.K5, reg.K6, reg.K7}

// newNumber numbers rows by the given number of planes. Bits above are arbitrary. order says which of eight rows byte t
// of a word of 64 bits is.
func newNumber(planes int, name string, order func(t int) int) *number {
	u := &number{planes: planes}
	for p := 1; p < planes; p++ {
		mask(1<<p, slots[p])
	}
	u.shuffle = constant("sumsShuffle", func(i int) uint8 { return uint8(8*(7-i%8) + i/8) })
	u.affine = constant("sumsAffine"+name, func(i int) uint8 { return 1 << order(i%8) })
	return u
}

func natural(t int) int { return t }

// word is the word of plane p of tree for the 64 rows.
func (s *sum) word(tree reg.GPVirtual, p int) Mem {
	at := GP64()
	MOVWLZX(gen.At(tree, 2*p), at.As32())
	IMUL3Q(U8(8), at, at) // a shift would take one of the vectors' ports
	return gen.Indexed(s.arena, at, 8, 0)
}

// of makes the numbers of s.tree.
func (u *number) of(s *sum, n reg.VecVirtual) (f steps) {
	x := ZMM()
	for p := range u.planes {
		f = append(f, func() {
			m := s.word(s.tree, p)
			switch {
			case p == 0 && u.pair:
				VMOVQ(m, x.AsX())
			case p == 0:
				VPBROADCASTQ(m, x)
			case p == 1 && u.pair:
				VMOVHPD(m, x.AsX(), x.AsX())
			default:
				VPBROADCASTQ(m, slots[p], x)
			}
		})
	}
	return append(f, func() { VPERMB(x, u.shuffle, x) }, func() { VGF2P8AFFINEQB(U8(0), x, u.affine, n) })
}

func ids512() {
	gen.Func("idsAVX512", "writes the leaf numbers of one tree.",
		"func(ids *uint8, arena *uint64, tree *uint16, planes, groups int)")
	ids, arena, tree, planes, groups := gen.Arg("ids"), gen.Arg("arena"), gen.Arg("tree"), gen.Arg("planes"), gen.Arg("groups")
	shuffle := constant("sumsShuffle", func(i int) uint8 { return uint8(8*(7-i%8) + i/8) })
	affine := constant("sumsAffineNatural", func(i int) uint8 { return 1 << (i % 8) })
	Label("group")
	x, one, p, at := ZMM(), GP64(), GP64(), GP64()
	VPXORQ(x, x, x)
	MOVQ(U32(1), one)
	XORQ(p, p)
	CMPQ(p, planes)
	JEQ(LabelRef("done"))
	Label("plane")
	KMOVW(one.As32(), reg.K1)
	SHLQ(U8(1), one)
	MOVWLZX(gen.Indexed(tree, p, 2, 0), at.As32())
	SHLQ(U8(6), at)
	VPBROADCASTQ(gen.Indexed(arena, at, 1, 0), reg.K1, x)
	INCQ(p)
	CMPQ(p, planes)
	JNE(LabelRef("plane"))
	Label("done")
	VPERMB(x, shuffle, x)
	VGF2P8AFFINEQB(U8(0), x, affine, x)
	VMOVDQU64(x, gen.At(ids, 0))
	ADDQ(U8(64), ids)
	ADDQ(U8(8), arena)
	DECQ(groups)
	JNZ(LabelRef("group"))
	gen.Leave()
}

func name(kind string, bits int) string { return fmt.Sprintf("%sx%dAVX512", kind, bits) }
