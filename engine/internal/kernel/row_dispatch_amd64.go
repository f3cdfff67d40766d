//go:build !purego

package kernel

import "unsafe"

// useRowAVX512 puts the assembly of row.go's functions into t.
func useRowAVX512(t *RowTable) {
	t.AtOnce = true
	t.Codes = func(codes *RowCodes, values []float64, sources []RowSource, one, two int) {
		_ = values[RowSources-1]
		rowCodesAVX512(&codes.Codes[0], &codes.ranks[0], unsafe.SliceData(values), (*uint64)(unsafe.Pointer(unsafe.SliceData(sources))), one, two, len(sources))
	}
	t.Outcomes = func(out []uint64, nodes []uint8, codes *RowCodes, columns int) {
		if len(out) == 0 {
			return
		}
		_ = nodes[128*len(out)-1]
		o, n := &out[0], &nodes[0]
		switch c := &codes.Codes[0]; {
		case columns <= 64:
			rowOutcomes64AVX512(o, n, c, len(out))
		case columns <= 128:
			rowOutcomes128AVX512(o, n, c, len(out))
		default:
			rowOutcomes256AVX512(o, n, c, len(out))
		}
	}
	t.Flat = func(numbers []uint8, outcomes []uint64, left []uint32) {
		if n := len(numbers); n > 0 {
			_, _ = outcomes[words(n, 32)-1], left[32*n-1]
			rowFlatAVX512(&numbers[0], (*uint32)(unsafe.Pointer(&outcomes[0])), &left[0], n)
		}
	}
	t.FlatSum64 = func(acc float64, outcomes []uint64, left, offsets []uint32, leaves []float64) float64 {
		if n := len(offsets); n > 0 {
			_, _ = outcomes[words(n, 32)-1], left[32*n-1]
			acc = rowFlatSum64AVX512(acc, (*uint32)(unsafe.Pointer(&outcomes[0])), &left[0], &offsets[0], &leaves[0], n)
		}
		return acc
	}
	t.FlatSum32 = func(acc float32, outcomes []uint64, left, offsets []uint32, leaves []float32) float32 {
		if n := len(offsets); n > 0 {
			_, _ = outcomes[words(n, 32)-1], left[32*n-1]
			acc = rowFlatSum32AVX512(acc, (*uint32)(unsafe.Pointer(&outcomes[0])), &left[0], &offsets[0], &leaves[0], n)
		}
		return acc
	}
	t.Heap = func(numbers []uint8, outcomes []uint64, places []uint8) {
		if n := len(numbers) / 8; n > 0 {
			_, _ = outcomes[8*n-1], places[64*8*n-1]
			rowHeapAVX512(&numbers[0], &outcomes[0], &places[0], n)
		}
	}
	t.Blocks = func(numbers, blocks []uint8, levels int, roots, items []uint64, places []uint16, codes *RowCodes, columns int) {
		n := len(roots)
		if n == 0 {
			return
		}
		_, _, _ = numbers[n-1], items[n-1], places[(n+31)&^31-1]
		f := rowBlocks4x256AVX512
		switch {
		case levels == 3 && columns <= 64:
			f = rowBlocks3x64AVX512
		case levels == 3 && columns <= 128:
			f = rowBlocks3x128AVX512
		case levels == 3:
			f = rowBlocks3x256AVX512
		case columns <= 64:
			f = rowBlocks4x64AVX512
		case columns <= 128:
			f = rowBlocks4x128AVX512
		}
		f(&numbers[0], &blocks[0], &roots[0], &items[0], &places[0], &codes.Codes[0], n)
	}
}
