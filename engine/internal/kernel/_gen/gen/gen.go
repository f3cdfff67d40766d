// Package gen holds what every generator of the kernel's assembly needs.
//
// A generator is a program in a folder of its own, ../<name>/main.go; engine/internal/kernel/generate.sh runs all of
// them. It writes <name>_amd64.s and <name>_amd64.go of the kernel package.
//
// # How the output is bound
//
//   - Stubs take pointers and ints only (*uint64 and the like): avo resolves no types of the kernel package. The wrappers
//     in the package's <name>_dispatch_amd64.go check lengths and make the pointers.
//   - Every function ends with Leave, so that no caller pays for dirty upper halves.
package gen

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// File generates the file that write describes. The build tag purego turns all assembly off.
func File(write func()) {
	ConstraintExpr("!purego")
	write()
	Generate()
}

// Func begins a function: signature is a Go signature, as "func(arena *uint64, n int)". Pointers do not escape.
func Func(name, doc, signature string) {
	TEXT(name, 4, signature) // 4 is NOSPLIT
	Pragma("noescape")
	Doc(name + " " + doc)
}

// Arg loads the argument of that name into a new 64-bit register.
func Arg(name string) reg.GPVirtual {
	return Load(Param(name), GP64()).(reg.GPVirtual)
}

// Leave leaves the function with the upper halves of the vector registers cleared.
func Leave() {
	VZEROUPPER()
	RET()
}

// At is the memory at base+disp.
func At(base reg.Register, disp int) Mem { return Mem{Base: base, Disp: disp} }

// Indexed is the memory at base+index*scale+disp.
func Indexed(base, index reg.Register, scale uint8, disp int) Mem {
	return Mem{Base: base, Index: index, Scale: scale, Disp: disp}
}

// Int is n >= 0 as the immediate operand of a 64-bit instruction; avo's Imm makes 16-bit ones, which those do not take.
func Int(n int) Constant {
	if n < 128 {
		return U8(uint8(n))
	}
	return U32(uint32(n))
}
