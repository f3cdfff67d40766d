package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Every way of ranking gives the number of cuts below a value, for values on the cuts and next to them too.
func TestRank(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	draws := map[string]func() float64{
		"normal":    rng.NormFloat64,
		"lognormal": func() float64 { return math.Exp(9 * rng.NormFloat64()) },
		"both":      func() float64 { return math.Copysign(math.Exp(20*rng.NormFloat64()), rng.Float64()-0.5) },
		"integers":  func() float64 { return math.Floor(300 * rng.NormFloat64()) },
		"denormals": func() float64 { return math.Float64frombits(rng.Uint64() >> 13) },
		"bits":      func() float64 { return math.Float64frombits(rng.Uint64()) },
		"clustered": func() float64 { return 1 + math.Ldexp(rng.Float64(), -rng.IntN(50)) + float64(rng.IntN(2))*1e300 },
	}
	seen := make(map[ranking]bool)
	for name, draw := range draws {
		for _, n := range []int{0, 1, 4, 5, 60, 255, 256, 3000, maxRankedCuts} {
			cuts := make([]float64, n)
			for i := range cuts {
				for cuts[i] = draw(); cuts[i] != cuts[i]; cuts[i] = draw() {
				}
				cuts[i] += 0
			}
			slices.Sort(cuts)
			cuts = slices.Compact(cuts)
			for _, nanLow := range []bool{false, true} {
				q := newCutter(cuts, nanLow)
				seen[q.how] = true
				v := make([]float64, word)
				for range 20 {
					for r := range v {
						v[r] = draw()
						if n > 0 && rng.IntN(2) == 0 {
							v[r] = cuts[rng.IntN(len(cuts))]
						}
						switch rng.IntN(12) {
						case 0:
							v[r] = math.Nextafter(v[r], math.Inf(1))
						case 1:
							v[r] = math.Nextafter(v[r], math.Inf(-1))
						case 2:
							v[r] = [...]float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), -1e308}[rng.IntN(6)]
						}
					}
					var got [word]uint16
					rank(q, v, got[:])
					for r, x := range v {
						want := q.nan
						if x == x {
							want, _ = slices.BinarySearch(cuts, x)
						}
						if int(got[r]) != want {
							t.Fatalf("%s, %d cuts, way %d: rank of %v is %d, want %d", name, len(cuts), q.how, x, got[r], want)
						}
					}
				}
			}
		}
	}
	for _, how := range []ranking{rankAll, rankLinear, rankLog, rankSearch} {
		if !seen[how] {
			t.Errorf("way %d was never chosen", how)
		}
	}
}

func TestExceed(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, size := range []int{0, 1, 2, 3, 127, 128, 129, 255, 256, 257, 1000, math.MaxUint16} {
		s := &rankScratch{}
		for r := range s.wide {
			s.wide[r] = uint16(rng.IntN(size + 1))
			s.ranks[r] = uint8(s.wide[r])
		}
		m := make([]uint64, size)
		if size < 256 {
			s.exceed(m)
		} else {
			s.exceedWide(m)
		}
		for i, w := range m {
			for r, k := range s.wide {
				if got := w>>r&1 == 1; got != (int(k) > i) {
					t.Fatalf("%d words: rank %d > %d is %v", size, k, i, got)
				}
			}
		}
	}
}

func TestTranspose(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	var m [word]uint64
	for i := range m {
		m[i] = rng.Uint64()
	}
	got := m
	transpose(&got)
	for i := range m {
		for r := range m {
			if m[i]>>r&1 != got[r]>>i&1 {
				t.Fatalf("bit %d of word %d", r, i)
			}
		}
	}
}

func TestBitsAt(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	bitmap := make([]byte, 40)
	for i := range bitmap {
		bitmap[i] = byte(rng.Uint32())
	}
	for at := range 8 * len(bitmap) {
		for n := 1; n <= min(64, 8*len(bitmap)-at); n++ {
			w := bitsAt(bitmap, at, n)
			for i := range n {
				if w>>i&1 != uint64(bitmap[(at+i)/8]>>((at+i)%8)&1) {
					t.Fatalf("bit %d of %d at %d", i, n, at)
				}
			}
		}
	}
}
