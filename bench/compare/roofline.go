package main

import (
	"fmt"
	"strings"
)

// lanes is how many rows' comparisons one vector instruction of a tier carries out, and how many such instructions a
// core starts in a cycle.
func lanes(versions map[string]string) (rows, ports float64) {
	switch build := versions["treeline"]; {
	case strings.HasSuffix(build, " avx512"):
		return 512, 2
	case strings.HasSuffix(build, " avx2"):
		return 256, 3
	default:
		return 64, 4
	}
}

// operations is the least that a split costs a word of rows: its comparison (shared by the splits at the same cut) and
// the choice between its children.
const operations = 2

// roofline says what bounds a row of a model: the bytes that must be read at the measured bandwidth of memory, and all
// splits' comparisons at the measured cycles.
func roofline(r *report, m string) string {
	x, p, probe := r.at(m, ours, 1, allRows), r.program(m, ours), r.Context.Probe
	if x == nil || p == nil || probe.BytesPerSecond == 0 || probe.CyclesPerSecond == 0 {
		return ""
	}
	rows, ports := lanes(x.Versions)
	memory := float64(p.BytesPerRow) / probe.BytesPerSecond * 1e9
	rate := probe.CyclesPerSecond * ports * rows / operations
	compares := float64(p.Splits) / rate * 1e9
	return fmt.Sprintf("  roofline: %d bytes/row at %.1f GB/s: %.1f ns; %d compares/row at %.0f G/s: %.1f ns;\n"+
		"  measured: %.1f ns, %.1f G compares/s, %.0f %% of the core's, %.0f %% of its bandwidth; a walk passes %.0f",
		p.BytesPerRow, probe.BytesPerSecond/1e9, memory, p.Splits, rate/1e9, compares,
		x.NsPerRow, float64(p.Splits)/x.NsPerRow, 100*compares/x.NsPerRow, 100*memory/x.NsPerRow, p.Walk)
}
