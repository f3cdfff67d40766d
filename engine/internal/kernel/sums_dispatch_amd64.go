//go:build !purego

package kernel

// useSumsAVX2 puts the assembly of sums.go's functions into t.
func useSumsAVX2(*Table) {}

// useSumsAVX512 puts the assembly of sums.go's functions into t.
func useSumsAVX512(*Table) {}
