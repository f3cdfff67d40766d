//go:build !purego

package kernel

import "unsafe"

// useBitsAVX2 puts the assembly of bits.go's functions into t.
func useBitsAVX2(*Table) {}

// useBitsAVX512 puts the assembly of bits.go's functions into t.
func useBitsAVX512(t *Table) {
	t.Blend = func(arena []uint64, ops []Op) {
		if len(ops) > 0 {
			blendAVX512(unsafe.SliceData(arena), (*uint16)(unsafe.Pointer(unsafe.SliceData(ops))), len(ops))
		}
	}
}
