// Command bits generates the assembly of bits.go's functions.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"

	"github.com/treeline-ml/treeline/engine/internal/kernel/_gen/gen"
)

func main() { gen.File(write) }

func write() {
	blend512()
}

// blend512 is Blend for words of 512 bits.
func blend512() {
	gen.Func("blendAVX512", "carries out n ops on words of 8 uint64s.", "func(arena *uint64, ops *uint16, n int)")
	arena, ops, n := gen.Arg("arena"), gen.Arg("ops"), gen.Arg("n")
	Label("loop")
	op, a, b, m := GP64(), GP64(), GP64(), GP64()
	MOVQ(gen.At(ops, 0), op)
	for i, r := range []Op{a, b, m} {
		_ = i
		MOVWQZX(op.As16(), r)
		SHLQ(U8(6), r)
		SHRQ(U8(16), op)
	}
	SHLQ(U8(6), op)
	x, y := ZMM(), ZMM()
	VMOVDQA64(gen.Indexed(arena, a, 1, 0), x)
	VMOVDQA64(gen.Indexed(arena, m, 1, 0), y)
	VPTERNLOGQ(U8(0xac), gen.Indexed(arena, b, 1, 0), x, y)
	VMOVDQA64(y, gen.Indexed(arena, op, 1, 0))
	ADDQ(U8(8), ops)
	DECQ(n)
	JNZ(LabelRef("loop"))
	gen.Leave()
}
