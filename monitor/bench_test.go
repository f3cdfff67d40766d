package monitor

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkProfiler counts 16,384 rows of one number or one category in frozen bins.
func BenchmarkProfiler(b *testing.B) {
	const rows = 16_384
	for _, kind := range []string{"normal", "integer", "dictionary"} {
		b.Run(kind, func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			rec := frame(rng, []string{kind}, rows, nil)
			first, err := NewProfiler(FieldsOf(rec.Schema(), []string{kind}, nil), nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := first.Add(rec); err != nil {
				b.Fatal(err)
			}
			profile := first.Profile()
			p, err := NewProfiler(FieldsOf(rec.Schema(), []string{kind}, nil), profile.FrozenBins())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Add(rec); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/value")
		})
	}
	b.Run("sample", func(b *testing.B) { // making bins
		rng := rand.New(rand.NewPCG(1, 2))
		rec := frame(rng, []string{"normal", "integer", "single"}, rows, nil)
		p, err := NewProfiler(FieldsOf(rec.Schema(), []string{"normal", "integer", "single"}, nil), nil)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := p.Add(rec); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows/3, "ns/value")
	})
}
