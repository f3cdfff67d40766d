//go:build !purego && linux

package kernel_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// A processor that the system says has AVX2 or AVX-512 runs their tiers, so that the tests of all tiers test them.
func TestTiersOfThisProcessor(t *testing.T) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(info), "\nflags")
	line, _, _ := strings.Cut(rest, "\n")
	flags := strings.Fields(line)
	want := []kernel.Tier{kernel.Portable}
	if has(flags, "avx2", "bmi2", "fma") {
		want = append(want, kernel.AVX2)
	}
	if has(flags, "avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512vbmi", "avx512_vbmi2", "gfni", "bmi2") {
		want = append(want, kernel.AVX512)
	}
	var got []kernel.Tier
	for _, table := range kernel.Tables() {
		got = append(got, table.Tier)
		byName, err := kernel.Choose(table.Tier.String())
		if err != nil || byName.Tier != table.Tier {
			t.Errorf("Choose(%q): %v, %v", table.Tier, byName, err)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("tiers %v, want %v for a processor with %q", got, want, line)
	}
}

func has(flags []string, names ...string) bool {
	for _, name := range names {
		if !slices.Contains(flags, name) {
			return false
		}
	}
	return true
}
