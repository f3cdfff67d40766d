package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"testing"
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
	if testing.Short() {
		return
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

// The slots of codes, of values that are none, and of missing ones, with tables of any length.
func TestSlots(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 10))
	for _, size := range []int{0, 1, 2, 50, 5000} {
		q := &Categories{Slots: make([]uint16, size), None: 7, NaN: 65535}
		for i := range q.Slots {
			q.Slots[i] = uint16(rng.Uint32())
		}
		for _, limits := range [][2]float64{{-1, 1 << 31}, {-5e-324, 1 << 24}} {
			q.Low, q.High = limits[0], limits[1]
			for n := range 300 {
				v := make([]float64, n)
				for i := range v {
					v[i] = [...]float64{
						float64(rng.IntN(2*size + 2)), float64(size), float64(size - 1), float64(size) - 0.5, -rng.Float64(), -1,
						math.Copysign(0, -1), 1 << 24, 1<<24 - 1, 1 << 31, 1<<31 - 0.5, math.Inf(1), math.Inf(-1), math.NaN(),
						math.Float64frombits(rng.Uint64()), 1 << 32,
					}[rng.IntN(16)]
				}
				for _, k := range Tables() {
					dst := make([]uint16, n+1)
					dst[n] = 4711
					k.Slots(dst[:n], q, v)
					for i, x := range v {
						want := uint16(0)
						switch {
						case x != x:
							want = q.NaN
						case x <= q.Low || x >= q.High:
							want = q.None
						case math.Trunc(x) < float64(size):
							want = q.Slots[int(math.Trunc(x))]
						}
						if dst[i] != want {
							t.Fatalf("%v, %d codes: slot of %v is %d, want %d", k.Tier, size, x, dst[i], want)
						}
					}
					if dst[n] != 4711 {
						t.Fatalf("%v: wrote past %d rows", k.Tier, n)
					}
				}
			}
		}
	}
}

// Zeros are those up to the limit on either side.
func TestZeros(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for _, limit := range []float64{0, 1e-35} {
		for n := range 520 {
			v := make([]float64, n)
			for i := range v {
				v[i] = [...]float64{
					0, math.Copysign(0, -1), limit, -limit, math.Nextafter(limit, 1), math.Nextafter(-limit, -1), math.NaN(),
					math.Inf(1), math.Inf(-1), 5e-324, rng.NormFloat64(),
				}[rng.IntN(11)]
			}
			for _, k := range Tables() {
				dst := make([]uint64, (n+63)/64)
				k.Zeros(dst, v, limit)
				for i, x := range v {
					if got := dst[i/64]>>(i%64)&1 == 1; got != (math.Abs(x) <= limit) {
						t.Fatalf("%v, limit %v: %v is zero: %v", k.Tier, limit, x, got)
					}
				}
			}
		}
	}
}
