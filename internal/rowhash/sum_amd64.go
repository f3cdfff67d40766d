//go:build !purego

package rowhash

import "golang.org/x/sys/cpu"

func sum(b *Batch) {
	if !cpu.X86.HasAVX512F || !cpu.X86.HasAVX512BW {
		sumEach(b)
		return
	}
	sum16AVX512(&b.words[0], &b.blocks[0])
}
