//go:build unix

package kernel

import (
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"
)

// Any number of rows, at any address, and not a byte beyond them: the values end where memory does.
func TestRankOfTails(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const page = 4096
	memory, err := syscall.Mmap(-1, 0, 3*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(memory); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mprotect(memory[2*page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	doubles := unsafe.Slice((*float64)(unsafe.Pointer(&memory[0])), 2*page/8)
	singles := unsafe.Slice((*float32)(unsafe.Pointer(&memory[0])), 2*page/4)
	step := 1
	if testing.Short() {
		step = 7
	}
	for _, c := range []rankCase{
		{"pairs", rng.NormFloat64, quantiles(rng.NormFloat64, 100)},
		{"crowded pairs", rng.NormFloat64, distinct(rng.NormFloat64, 250)},
		{"few", rng.NormFloat64, quantiles(rng.NormFloat64, 3)},
		{"linear", rng.NormFloat64, distinct(rng.NormFloat64, 700)},
		{"log", nil, distinct(func() float64 { return math.Exp(9 * rng.NormFloat64()) }, 700)},
		{"search", nil, distinct(func() float64 { return math.Float64frombits(math.Float64bits(3) + rng.Uint64N(500)) }, 400)},
	} {
		if c.draw == nil {
			c.draw = func() float64 { return c.cuts[rng.IntN(len(c.cuts))] * rng.Float64() * 2 }
		}
		for n := 0; n <= 600; n += step {
			v := doubles[len(doubles)-n:]
			copy(v, c.values(rng, n))
			q := NewCuts(c.cuts, false)
			dst8, dst16 := make([]uint8, n), make([]uint16, n)
			for _, k := range Tables() {
				k.Rank64x16(dst16, q, v)
				for i, x := range v {
					if int(dst16[i]) != naiveRank(c.cuts, false, x) {
						t.Fatalf("%s, %v, 64x16, %d rows: row %d", c.name, k.Tier, n, i)
					}
				}
				if q.N() > MaxCuts8 {
					continue
				}
				k.Rank64x8(dst8, q, v)
				for i, x := range v {
					if int(dst8[i]) != naiveRank(c.cuts, false, x) {
						t.Fatalf("%s, %v, 64x8, %d rows: row %d", c.name, k.Tier, n, i)
					}
				}
			}
			s := singles[len(singles)-n:]
			for i, x := range c.values(rng, n) {
				s[i] = float32(x)
			}
			for _, k := range Tables() {
				k.Rank32x16(dst16, q, s)
				for i, x := range s {
					if int(dst16[i]) != naiveRank(c.cuts, false, float64(x)) {
						t.Fatalf("%s, %v, 32x16, %d rows: row %d", c.name, k.Tier, n, i)
					}
				}
				if q.N() > MaxCuts8 {
					continue
				}
				k.Rank32x8(dst8, q, s)
				for i, x := range s {
					if int(dst8[i]) != naiveRank(c.cuts, false, float64(x)) {
						t.Fatalf("%s, %v, 32x8, %d rows: row %d", c.name, k.Tier, n, i)
					}
				}
			}
		}
	}
}
