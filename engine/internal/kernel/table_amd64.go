//go:build !purego

package kernel

import "golang.org/x/sys/cpu"

func tables() []*Table {
	all := []*Table{newPortable(Portable, 4)}
	if cpu.X86.HasAVX2 && cpu.X86.HasBMI2 && cpu.X86.HasFMA {
		t := newPortable(AVX2, 4)
		useBitsAVX2(t)
		useRankAVX2(t)
		useShapleyAVX2(t)
		useSumsAVX2(t)
		useWalkAVX2(t)
		all = append(all, t)
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VBMI &&
		cpu.X86.HasAVX512VBMI2 && cpu.X86.HasAVX512GFNI && cpu.X86.HasBMI2 {
		t := newPortable(AVX512, 8)
		useBitsAVX512(t)
		useRankAVX512(t)
		useShapleyAVX512(t)
		useSumsAVX512(t)
		useLinksAVX512(t)
		useWalkAVX512(t)
		useRowAVX512(&t.Row)
		all = append(all, t)
	}
	return all
}
