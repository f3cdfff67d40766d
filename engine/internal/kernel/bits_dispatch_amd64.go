//go:build !purego

package kernel

// useBitsAVX2 puts the assembly of bits.go's functions into t.
func useBitsAVX2(*Table) {}

// useBitsAVX512 puts the assembly of bits.go's functions into t.
func useBitsAVX512(*Table) {}
