//go:build !purego

package kernel

// useRankAVX2 puts the assembly of rank.go's functions into t.
func useRankAVX2(*Table) {}

// useRankAVX512 puts the assembly of rank.go's functions into t.
func useRankAVX512(*Table) {}
