package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"syscall"
	"testing"
	"unsafe"
)

// rankCase is a set of cuts, and values that suit them.
type rankCase struct {
	name string
	draw func() float64
	cuts []float64
}

// quantiles returns n cuts that divide the numbers of draw evenly, as the training libraries choose them: in the middle
// between neighbours.
func quantiles(draw func() float64, n int) []float64 {
	v := make([]float64, 4*n+4000)
	for i := range v {
		for v[i] = draw(); v[i] != v[i]; v[i] = draw() {
		}
	}
	slices.Sort(v)
	var cuts []float64
	for i := range n {
		k := (i + 1) * len(v) / (n + 1)
		if c := v[k-1]/2 + v[k]/2; !math.IsInf(c, 0) {
			cuts = append(cuts, c+0)
		}
	}
	return slices.Compact(cuts)
}

// distinct returns up to n distinct draws.
func distinct(draw func() float64, n int) []float64 {
	var cuts []float64
	for range n {
		if x := draw(); x == x {
			cuts = append(cuts, x+0)
		}
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// rankCases are the distributions and the numbers of cuts that the tests go through.
func rankCases(rng *rand.Rand, sizes []int) []rankCase {
	draws := []struct {
		name string
		draw func() float64
	}{
		{"normal", rng.NormFloat64},
		{"uniform", rng.Float64},
		{"exponential", rng.ExpFloat64},
		{"left-tailed", func() float64 { return 7 - math.Exp(2*rng.NormFloat64()) }},
		{"lognormal", func() float64 { return math.Exp(9 * rng.NormFloat64()) }},
		{"cauchy", func() float64 { return rng.NormFloat64() / rng.NormFloat64() }},
		{"both", func() float64 { return math.Copysign(math.Exp(20*rng.NormFloat64()), rng.Float64()-0.5) }},
		{"integers", func() float64 { return math.Floor(300 * rng.NormFloat64()) }},
		{"singles", func() float64 { return float64(float32(rng.NormFloat64())) }},
		{"years", func() float64 { return 1.7e9 + math.Floor(3e7*rng.Float64()) }},
		{"zeros", func() float64 { return max(0, rng.NormFloat64()) }},
		{"denormals", func() float64 { return math.Float64frombits(rng.Uint64() >> 13) }},
		{"single denormals", func() float64 { return 1e-45 * math.Floor(1e5*rng.NormFloat64()) }},
		{"bits", func() float64 { return math.Float64frombits(rng.Uint64()) }},
		{"single bits", func() float64 { return float64(math.Float32frombits(rng.Uint32())) }},
		{"huge", func() float64 { return 1e308 * rng.NormFloat64() }},
		{"one exponent", func() float64 { return 1 + rng.Float64() }},
		{"clustered", func() float64 { return 1 + math.Ldexp(rng.Float64(), -rng.IntN(50)) + float64(rng.IntN(2))*1e300 }},
		{"one step apart", func() float64 { return math.Float64frombits(math.Float64bits(3) + rng.Uint64N(500)) }},
		{"one single step apart", func() float64 { return float64(math.Float32frombits(math.Float32bits(3) + rng.Uint32N(500))) }},
		{"next to infinity", func() float64 {
			return math.Copysign(math.Float64frombits(math.Float64bits(math.Inf(1))-rng.Uint64N(300)), rng.Float64()-0.5)
		}},
		{"flushed zero", func() float64 {
			return [...]float64{0, 1e-35, -1e-35, math.Nextafter(1e-35, 1), rng.NormFloat64()}[rng.IntN(5)]
		}},
	}
	var cases []rankCase
	for _, d := range draws {
		for _, n := range sizes {
			cases = append(cases,
				rankCase{fmt.Sprintf("%s, %d quantiles", d.name, n), d.draw, quantiles(d.draw, n)},
				rankCase{fmt.Sprintf("%s, %d values", d.name, n), d.draw, distinct(d.draw, n)})
		}
	}
	return cases
}

// values draws n values, many of them at or next to a cut.
func (c *rankCase) values(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = c.draw()
		if len(c.cuts) > 0 && rng.IntN(2) == 0 {
			v[i] = c.cuts[rng.IntN(len(c.cuts))]
		}
		switch rng.IntN(16) {
		case 0:
			v[i] = math.Nextafter(v[i], math.Inf(1))
		case 1:
			v[i] = math.Nextafter(v[i], math.Inf(-1))
		case 2:
			v[i] = float64(math.Nextafter32(float32(v[i]), float32(math.Inf(1))))
		case 3:
			v[i] = float64(math.Nextafter32(float32(v[i]), float32(math.Inf(-1))))
		case 4:
			v[i] = [...]float64{
				0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0xfff0000000000001),
				math.MaxFloat64, -math.MaxFloat64, 5e-324, -5e-324, math.MaxFloat32, 1e-45,
			}[rng.IntN(12)]
		}
	}
	return v
}

// naiveRank is the definition of a code.
func naiveRank(cuts []float64, nanLow bool, x float64) int {
	if x != x {
		if nanLow {
			return 0
		}
		return len(cuts) + 1
	}
	return sort.Search(len(cuts), func(i int) bool { return !(cuts[i] < x) })
}

// checkRank compares all four functions of all tiers with the definition.
func checkRank(t *testing.T, name string, cuts []float64, nanLow bool, v []float64) {
	t.Helper()
	q := NewCuts(cuts, nanLow)
	if q.N() != len(cuts) || q.NaN() != naiveRank(cuts, nanLow, math.NaN()) {
		t.Fatalf("%s: %d cuts and code %d of NaN", name, q.N(), q.NaN())
	}
	single := make([]float32, len(v))
	for i, x := range v {
		single[i] = float32(x)
	}
	for _, k := range Tables() {
		const guard = 0xa5
		wide := make([]uint16, len(v)+1)
		narrow := make([]uint8, len(v)+1)
		check := func(which string, got, past func(i int) int, value func(i int) float64) {
			t.Helper()
			for i := range v {
				if want := naiveRank(cuts, nanLow, value(i)); got(i) != want {
					t.Fatalf("%s, %d cuts, %v, %s, row %d of %d: code of %v (%#x) is %d, want %d",
						name, len(cuts), k.Tier, which, i, len(v), value(i), math.Float64bits(value(i)), got(i), want)
				}
			}
			if past(len(v)) != guard {
				t.Fatalf("%s, %v, %s: wrote past %d rows", name, k.Tier, which, len(v))
			}
		}
		word := func(i int) int { return int(wide[i]) }
		char := func(i int) int { return int(narrow[i]) }
		double64 := func(i int) float64 { return v[i] }
		double32 := func(i int) float64 { return float64(single[i]) }
		wide[len(v)] = guard
		k.Rank64x16(wide[:len(v)], q, v)
		check("64x16", word, word, double64)
		k.Rank32x16(wide[:len(v)], q, single)
		check("32x16", word, word, double32)
		if len(cuts) > MaxCuts8 {
			continue
		}
		narrow[len(v)] = guard
		k.Rank64x8(narrow[:len(v)], q, v)
		check("64x8", char, char, double64)
		k.Rank32x8(narrow[:len(v)], q, single)
		check("32x8", char, char, double32)
	}
}

// Every way of ranking gives the number of cuts below a value, for values at the cuts and next to them too.
func TestRank(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, c := range rankCases(rng, []int{0, 1, 2, 4, 5, 12, 60, 200, 253, 254, 255, 3000}) {
		if len(c.cuts) > 255 && testing.Short() {
			continue
		}
		checkRank(t, c.name, c.cuts, false, c.values(rng, 700))
		checkRank(t, c.name, c.cuts, true, c.values(rng, 100))
	}
	for i, c := range rankCases(rng, []int{MaxCuts}) {
		if i%2 == 0 && os.Getenv("TREELINE_LONG") == "" {
			continue
		}
		checkRank(t, c.name, c.cuts, false, c.values(rng, 512))
	}
}

// Infinite cuts and pairs of neighbours.
func TestRankOfSpecialCuts(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	inf, tiny := math.Inf(1), 5e-324
	for _, cuts := range [][]float64{
		{inf},
		{-inf},
		{-inf, inf},
		{-inf, 0, inf},
		{0},
		{tiny},
		{-tiny, tiny},
		{-tiny, 0, tiny},
		{-inf, -math.MaxFloat64, math.MaxFloat64, inf},
		{-math.MaxFloat64, 1, 2, 3, 4, math.MaxFloat64},
		{-1e-35, 1e-35},
		{math.MaxFloat32, math.Nextafter(math.MaxFloat32, inf)},
		{1, math.Nextafter(1, 2)},
		{-inf, 1, 2, 3, 4, 5, 6, inf},
		{1e-320, 1, 1e300, 1.1e300, 1.2e300, 1.3e300},
		{-1e300, -1e-300, -tiny, 0, tiny, 1e-300, 1e300},
	} {
		c := rankCase{draw: func() float64 { return math.Float64frombits(rng.Uint64()) }, cuts: cuts}
		checkRank(t, fmt.Sprint(cuts), cuts, false, c.values(rng, 600))
		checkRank(t, fmt.Sprint(cuts), cuts, true, c.values(rng, 600))
	}
}

// The kinds of tables are all in use.
func TestRankings(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	seen := make(map[ranking]bool)
	for _, c := range rankCases(rng, []int{3, 100, 3000}) {
		seen[NewCuts(c.cuts, false).how] = true
	}
	for _, how := range []ranking{rankAll, rankLinear, rankLog, rankSearch} {
		if !seen[how] {
			t.Errorf("way %d was never chosen", how)
		}
	}
}

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
		for n := range 601 {
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

// FuzzRank takes the cuts and the values from bytes.
func FuzzRank(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 1, 0, 0, 0, 0, 0, 0xf0, 0x3f}, uint8(1), false)
	f.Add(make([]byte, 999), uint8(4), true)
	f.Fuzz(func(t *testing.T, raw []byte, n uint8, nanLow bool) {
		raw = raw[:len(raw)/8*8]
		if len(raw) > 1<<13 {
			return
		}
		v := make([]float64, len(raw)/8)
		for i := range v {
			for k := range 8 {
				v[i] = math.Float64frombits(math.Float64bits(v[i]) | uint64(raw[8*i+k])<<(8*k))
			}
		}
		var cuts []float64
		for _, x := range v[:min(int(n), len(v))] {
			if x == x {
				cuts = append(cuts, x+0)
			}
		}
		slices.Sort(cuts)
		checkRank(t, "fuzz", slices.Compact(cuts), nanLow, v)
	})
}

// Narrow rounds as the language does, to the nearest even.
func TestNarrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	for n := range 100 {
		v := make([]float64, n)
		for i := range v {
			switch v[i] = math.Float64frombits(rng.Uint64()); rng.IntN(4) {
			case 0:
				v[i] = (float64(math.Float32frombits(rng.Uint32())) + float64(math.Float32frombits(rng.Uint32()))) / 2
			case 1:
				v[i] = rng.NormFloat64()
			}
		}
		for _, k := range Tables() {
			dst := make([]float32, n+1)
			dst[n] = 7
			k.Narrow(dst[:n], v)
			for i, x := range v {
				if want := float32(x); math.Float32bits(dst[i]) != math.Float32bits(want) && want == want {
					t.Fatalf("%v, %d values: %v becomes %v, want %v", k.Tier, n, x, dst[i], want)
				}
			}
			if dst[n] != 7 {
				t.Fatalf("%v: wrote past %d values", k.Tier, n)
			}
		}
	}
}
