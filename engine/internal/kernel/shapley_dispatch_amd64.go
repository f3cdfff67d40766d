//go:build !purego

package kernel

import "unsafe"

// useShapleyAVX2 puts the assembly of shapley.go's functions into t.
func useShapleyAVX2(t *Table) {
	t.Shapley = shapleyCall(shapley8AVX2, shapley16AVX2)
	t.Above, t.AboveOrNaN = aboveCall(aboveAVX2), aboveCall(aboveOrNaNAVX2)
}

// useShapleyAVX512 puts the assembly of shapley.go's functions into t.
func useShapleyAVX512(t *Table) {
	t.Shapley = shapleyCall(shapley8AVX512, shapley16AVX512)
	t.Above, t.AboveOrNaN = aboveCall(aboveAVX512), aboveCall(aboveOrNaNAVX512)
}

// shapleyFunc is assembly for a number of lanes.
type shapleyFunc func(sums, frames *float64, turns, open *uint8, nodes *uint64, curves, leaves *float64, points int, steps *uint32, n int)

// shapleyCall makes pointers; all lanes are played for, whatever the number of rows.
func shapleyCall(few, many shapleyFunc) func([]float64, []float64, []uint64, []uint64, int, int, *Game, []uint32) {
	return func(sums, frames []float64, turns, open []uint64, first, rows int, g *Game, steps []uint32) {
		if len(steps) == 0 {
			return
		}
		// The rows' bytes of a little-endian word.
		bytesOf := func(words []uint64) *uint8 {
			return (*uint8)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(words)), first/8))
		}
		f := few
		if GameLanes(rows) > 8 {
			f = many
		}
		f(unsafe.SliceData(sums), unsafe.SliceData(frames), bytesOf(turns), bytesOf(open),
			(*uint64)(unsafe.Pointer(unsafe.SliceData(g.Nodes))), unsafe.SliceData(g.Curves), unsafe.SliceData(g.Leaves),
			g.Points, unsafe.SliceData(steps), len(steps))
	}
}

// maxTests bounds a call of assembly (K2).
const maxTests = 2048

// aboveCall makes pointers. Values are read 64 at a time.
func aboveCall(f func(words *uint64, values *float64, tests *uint64, n int)) func([]uint64, []float64, int, []Test) {
	return func(words []uint64, values []float64, _ int, tests []Test) {
		for len(tests) > 0 {
			n := min(len(tests), maxTests)
			f(unsafe.SliceData(words), unsafe.SliceData(values), (*uint64)(unsafe.Pointer(unsafe.SliceData(tests))), n)
			tests = tests[n:]
		}
	}
}
