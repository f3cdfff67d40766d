package engine

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// BenchmarkRanker reports ns per value, the fastest of all passes over blocks of 512 rows, in the fastest tier.
func BenchmarkRanker(b *testing.B) {
	const rows = 64 * maxBlock
	rng := rand.New(rand.NewPCG(10, 10))
	tiers := kernel.Tables()
	var cuts []float64
	for i := range 100 {
		cuts = append(cuts, float64(i)-49.5)
	}
	q := kernel.NewCuts(cuts, false)
	number := func() float64 { return math.Floor(30 * rng.NormFloat64()) }
	valid := draws(rows/8, func() uint8 { return ^uint8(1 << rng.IntN(60) & 0xff) })
	double, single := Float64s(draws(rows, number)), Float32s(draws(rows, func() float32 { return float32(number()) }))
	code := func() int { return rng.IntN(100) }
	dictionary := draws(100, number)
	columns := []struct {
		name   string
		column Column
		rd     reading
	}{
		{"float64", double, reading{}},
		{"float64 with 3% null", double.WithValidity(valid, 0), reading{}},
		{"float64, one value is missing", double, reading{hasMissing: true, missing: 3}},
		{"float64 as float32", double, reading{single: true}},
		{"float32", single, reading{}},
		{"float32 with 3% null", single.WithValidity(valid, 0), reading{}},
		{"int64", Int64s(draws(rows, func() int64 { return int64(number()) })), reading{}},
		{"int64 as float32", Int64s(draws(rows, func() int64 { return int64(number()) })), reading{single: true}},
		{"int32", Int32s(draws(rows, func() int32 { return int32(number()) })), reading{}},
		{"int16", Int16s(draws(rows, func() int16 { return int16(number()) })), reading{}},
		{"uint8", Uint8s(draws(rows, func() uint8 { return uint8(code()) })), reading{}},
		{"dictionary", Lookup(draws(rows, func() int32 { return int32(code()) }), dictionary), reading{}},
		{"bits", Bits(valid, 0, rows), reading{}},
		{"missing", MissingColumn(rows), reading{}},
	}
	table := slotTable{byCode: make([]uint16, 100), none: 101, nan: 102}
	dst8, dst16 := kernel.Aligned[uint8](maxBlock), kernel.Aligned[uint16](maxBlock)
	for i := range columns {
		c := &columns[i]
		k := &ranker{kernel: tiers[len(tiers)-1], reading: c.rd}
		run := func(name string, block func(from int)) {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				best := time.Duration(math.MaxInt64)
				for b.Loop() {
					start := time.Now()
					for from := 0; from < rows; from += maxBlock {
						block(from)
					}
					best = min(best, time.Since(start))
				}
				b.ReportMetric(float64(best.Nanoseconds())/rows, "ns/value")
				b.ReportMetric(0, "ns/op")
			})
		}
		run("codes8", func(from int) { k.codes8(dst8, q, &c.column, from, maxBlock) })
		run("codes16", func(from int) { k.codes16(dst16, q, &c.column, from, maxBlock) })
		run("slots", func(from int) { k.slots(dst16, &table, &c.column, from, maxBlock) })
		run("zeros", func(from int) { k.zeros(make([]uint64, 8), &c.column, from, maxBlock, true) })
	}
}
