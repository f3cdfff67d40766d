//go:build !purego

package kernel

import (
	"math/bits"

	"github.com/treeline-ml/treeline/internal/libm"
)

// linkGroups is the number of groups of eight values in a call of the assembly.
const linkGroups = 64

// useLinksAVX512 puts the assembly of link.go's functions into t.
func useLinksAVX512(t *Table) {
	table64, table32 := libm.Tables()
	t.Exp64 = func(dst, v []float64) {
		var special [linkGroups]uint8
		inGroups(dst, v, &special, libm.Exp, func(dst, v []float64, groups int) {
			exp64AVX512(&dst[0], &v[0], &special[0], groups, &table64[0][0])
		})
	}
	t.Sigmoid64 = func(dst, v []float64, slope float64) {
		var special [linkGroups]uint8
		inGroups(dst, v, &special, func(x float64) float64 { return sigmoid(x, slope) }, func(dst, v []float64, groups int) {
			sigmoid64AVX512(&dst[0], &v[0], &special[0], groups, &table64[0][0], -slope)
		})
	}
	t.Exp32 = func(dst, v []float64) {
		var special [linkGroups]uint8
		inGroups(dst, v, &special, expf, func(dst, v []float64, groups int) {
			exp32AVX512(&dst[0], &v[0], &special[0], groups, &table32[0])
		})
	}
	t.Sigmoid32 = func(dst, v []float64) {
		var special [linkGroups]uint8
		inGroups(dst, v, &special, sigmoidf, func(dst, v []float64, groups int) {
			sigmoid32AVX512(&dst[0], &v[0], &special[0], groups, &table32[0])
		})
	}
}

// inGroups calls assembly for groups of eight values and one for those that it says are special, which it does not write, and
// for the last few. dst may be v.
func inGroups(dst, v []float64, special *[linkGroups]uint8, one func(float64) float64, assembly func(dst, v []float64, groups int)) {
	dst = dst[:len(v)]
	for len(v) >= 8 {
		groups := min(len(v)/8, linkGroups)
		assembly(dst, v, groups)
		for g, b := range special[:groups] {
			for ; b != 0; b &= b - 1 {
				i := bits.TrailingZeros8(b)
				dst[8*g+i] = one(v[8*g+i])
			}
		}
		dst, v = dst[8*groups:], v[8*groups:]
	}
	for i, x := range v {
		dst[i] = one(x)
	}
}
