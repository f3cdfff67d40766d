package scoring

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// profileOf runs scores through parts of the given sizes and merges them.
func profileOf(unit bool, scores []float64, pieces int) Profile {
	total := newPart(unit)
	var h rowHasher
	step := max(1, len(scores)/pieces)
	for from := 0; from < len(scores); from += step {
		p := newPart(unit)
		p.fill(scores[from:min(from+step, len(scores))], 1, nil, 0.5, &h)
		total.merge(p)
	}
	return total.result(unit)
}

func TestProfileOfProbabilities(t *testing.T) {
	got := profileOf(true, []float64{0, 0.004, 0.0100000001, 0.5, 0.4999999, 0.999, 1, math.NaN()}, 1)
	want := map[int]int64{0: 2, 1: 1, 49: 1, 50: 1, 99: 2}
	for i, n := range got.Histogram {
		if n != want[i] {
			t.Errorf("bin %d has %d, want %d", i, n, want[i])
		}
	}
	if got.Min != 0 || got.Max != 1 || got.PositiveRate != 3.0/7 {
		t.Errorf("min %v, max %v, positive rate %v", got.Min, got.Max, got.PositiveRate)
	}
	if len(got.Histogram) != 100 {
		t.Errorf("%d bins", len(got.Histogram))
	}
}

func TestProfileOfNothing(t *testing.T) {
	got := profileOf(false, []float64{math.NaN(), math.Inf(1)}, 1)
	if got.Min != 0 || got.Max != 0 || got.Mean != 0 || len(got.Histogram) != 100 || slices.Max(got.Histogram) != 0 {
		t.Errorf("%+v", got)
	}
}

// Distributions whose range is known only at the end.
func samples(n int) map[string][]float64 {
	rng := rand.New(rand.NewPCG(3, 4))
	out := map[string][]float64{"constant": make([]float64, n), "one": {-3.25}, "extremes": {-math.MaxFloat64, math.MaxFloat64, 0, 5e-324}}
	for i := range n {
		out["constant"][i] = 0.1
		out["normal"] = append(out["normal"], rng.NormFloat64())
		out["rising"] = append(out["rising"], float64(i)*1e-3)
		out["falling"] = append(out["falling"], -float64(i)*1e12)
		out["outlier"] = append(out["outlier"], rng.Float64())
		out["exponential"] = append(out["exponential"], math.Exp(rng.NormFloat64()*20))
		out["narrow"] = append(out["narrow"], 1e9+rng.Float64()*1e-3)
	}
	out["outlier"][n/2] = 1e18
	return out
}

// The oracle knows all scores at once: sorted, binned by the definition, summed exactly.
func TestProfileOfAnyRange(t *testing.T) {
	for name, scores := range samples(20_000) {
		t.Run(name, func(t *testing.T) {
			got := profileOf(false, scores, 1)
			lo, hi := slices.Min(scores), slices.Max(scores)
			if got.Min != lo || got.Max != hi {
				t.Errorf("range %v to %v, want %v to %v", got.Min, got.Max, lo, hi)
			}
			var total int64
			for _, n := range got.Histogram {
				total += n
			}
			if total != int64(len(scores)) {
				t.Errorf("bins hold %d scores, want %d", total, len(scores))
			}
			// A score may be counted beside its bin only when it lies within 2/32768 of the range from the edge.
			const slack = 2.0 / fineBins
			below := int64(0)
			for edge := 1; edge < HistogramBins && hi > lo; edge++ {
				below += got.Histogram[edge-1]
				var surely, perhaps int64
				for _, s := range scores {
					share := (s/2 - lo/2) / (hi/2 - lo/2)
					if share < float64(edge)/HistogramBins-slack {
						surely++
					}
					if share < float64(edge)/HistogramBins+slack {
						perhaps++
					}
				}
				if below < surely || below > perhaps {
					t.Fatalf("below edge %d: %d scores, want %d to %d", edge, below, surely, perhaps)
				}
			}
			exact := new(big.Rat)
			for _, s := range scores {
				exact.Add(exact, new(big.Rat).SetFloat64(s))
			}
			want, _ := exact.Quo(exact, big.NewRat(int64(len(scores)), 1)).Float64()
			if got.Mean != want {
				t.Errorf("mean %v, want %v", got.Mean, want)
			}
		})
	}
}

// S5: order and splits change nothing, not even a bit of the mean.
func TestProfileIsOrderFree(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for name, scores := range samples(5_000) {
		want := profileOf(false, scores, 1)
		for _, pieces := range []int{1, 2, 7, 100} {
			moved := slices.Clone(scores)
			rng.Shuffle(len(moved), func(i, j int) { moved[i], moved[j] = moved[j], moved[i] })
			got := profileOf(false, moved, pieces)
			if !slices.Equal(got.Histogram, want.Histogram) || got.Mean != want.Mean || got.Min != want.Min || got.Max != want.Max {
				t.Errorf("%s in %d pieces differs: mean %v and %v", name, pieces, got.Mean, want.Mean)
			}
		}
	}
}

func TestExactSumCarries(t *testing.T) {
	var s exactSum
	for range 5 {
		s.add(math.MaxFloat64)
		s.adds = 1 << 30 // the next add carries
	}
	for range 5 {
		s.add(-math.MaxFloat64)
	}
	s.add(3)
	if got := s.mean(1); got != 3 {
		t.Errorf("mean %v, want 3", got)
	}
}

func BenchmarkProfile(b *testing.B) {
	scores := samples(16384)["normal"]
	for _, unit := range []bool{true, false} {
		b.Run(map[bool]string{true: "probability", false: "any"}[unit], func(b *testing.B) {
			p := newPart(unit)
			for b.Loop() {
				for _, s := range scores {
					p.score(s, 0.5)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(scores)), "ns/row")
		})
	}
}
