package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// rankedColumn is a column and what its rows are as numbers of the two input types, nulls aside: the definition that the
// codes must follow.
type rankedColumn struct {
	name   string
	column Column
	double func(i int) float64
	single func(i int) float32
}

func number[T Index | float32 | float64](name string, v []T, column func([]T) Column) rankedColumn {
	return rankedColumn{
		name, column(v),
		func(i int) float64 { return float64(v[i]) },
		func(i int) float32 { return float32(v[i]) },
	}
}

func lookedUp[I Index](name string, rng *rand.Rand, rows int, table []float64) rankedColumn {
	index := make([]I, rows)
	for i := range index {
		index[i] = I(rng.IntN(min(len(table), 127)))
	}
	return rankedColumn{
		name, Lookup(index, table),
		func(i int) float64 { return table[index[i]] },
		func(i int) float32 { return float32(table[index[i]]) },
	}
}

func draws[T any](rows int, draw func() T) []T {
	v := make([]T, rows)
	for i := range v {
		v[i] = draw()
	}
	return v
}

// rankedColumns are columns of every kind.
func rankedColumns(rng *rand.Rand, rows int) []rankedColumn {
	double := func() float64 {
		return [...]float64{0, 1, -7, 1e-36, -1e-36, math.NaN(), math.Inf(1), rng.NormFloat64(), 30 * rng.NormFloat64(), 0.1}[rng.IntN(10)]
	}
	bitmap := draws((rows+3+7)/8, func() uint8 { return uint8(rng.Uint32()) })
	bit := func(i int) int { return int(bitmap[(i+3)/8]>>((i+3)%8)) & 1 }
	wide := draws(3*rows, double)
	return []rankedColumn{
		number("float64", draws(rows, double), Float64s),
		number("float32", draws(rows, func() float32 { return float32(double()) }), Float32s),
		number("int64", draws(rows, func() int64 { return rng.Int64N(1<<62)>>rng.IntN(62) - rng.Int64N(20) }), Int64s),
		number("int32", draws(rows, func() int32 { return rng.Int32N(1<<30)>>rng.IntN(30) - rng.Int32N(20) }), Int32s),
		number("int16", draws(rows, func() int16 { return int16(rng.IntN(60) - 20) }), Int16s),
		number("int8", draws(rows, func() int8 { return int8(rng.IntN(60) - 20) }), Int8s),
		number("uint64", draws(rows, func() uint64 { return rng.Uint64() >> rng.IntN(64) }), Uint64s),
		number("uint32", draws(rows, func() uint32 { return rng.Uint32() >> rng.IntN(32) }), Uint32s),
		number("uint16", draws(rows, func() uint16 { return uint16(rng.Uint32() >> rng.IntN(32)) }), Uint16s),
		number("uint8", draws(rows, func() uint8 { return uint8(rng.Uint32() >> rng.IntN(32)) }), Uint8s),
		lookedUp[int8]("int8 dictionary", rng, rows, wide[:5]),
		lookedUp[int16]("int16 dictionary", rng, rows, wide[:100]),
		lookedUp[int32]("int32 dictionary", rng, rows, wide[:513]),
		lookedUp[int64]("int64 dictionary", rng, rows, wide[:1]),
		lookedUp[uint8]("uint8 dictionary", rng, rows, wide[:7]),
		lookedUp[uint16]("uint16 dictionary", rng, rows, wide),
		lookedUp[uint32]("uint32 dictionary", rng, rows, wide[:512]),
		lookedUp[uint64]("uint64 dictionary", rng, rows, wide[:511]),
		{"bits", Bits(bitmap, 3, rows), func(i int) float64 { return float64(bit(i)) }, func(i int) float32 { return float32(bit(i)) }},
		{"missing", MissingColumn(rows), func(int) float64 { return math.NaN() }, func(int) float32 { return float32(math.NaN()) }},
	}
}

// Codes, zeros and slots of every kind of column, with and without nulls, as either input type, with values that are read
// as missing, from any row on, in every tier.
func TestRanker(t *testing.T) {
	const rows = 1300
	rng := rand.New(rand.NewPCG(9, 9))
	cuts := []float64{-20, -7, math.Nextafter(-1e-35, -1), 1e-35, 0.05, float64(float32(0.1)), 0.1, 0.5, 1, 2, 17, 40, 1e5, 1 << 40}
	slices.Sort(cuts)
	many := slices.Clone(cuts)
	for range 400 {
		many = append(many, 30*rng.NormFloat64())
	}
	slices.Sort(many)
	ranks := []*kernel.Cuts{kernel.NewCuts(cuts, false), kernel.NewCuts(many, false)}
	byCode := draws(40, func() uint16 { return uint16(rng.IntN(30)) })
	table := slotTable{byCode: byCode, none: 900, nan: 901}
	valid := draws(rows/8+2, func() uint8 { return uint8(rng.Uint32() | rng.Uint32()) })
	readings := []reading{
		{},
		{single: true},
		{hasMissing: true, missing: 1},
		{single: true, hasMissing: true, missing: 1},
		{hasMissing: true, missing: 0},
		{hasMissing: true, missing: 0.1},
		{single: true, hasMissing: true, missing: float64(float32(0.1))},
	}
	for _, rc := range rankedColumns(rng, rows) {
		for _, nulls := range []bool{false, true} {
			c := rc.column
			if nulls {
				c = c.WithValidity(valid, 5)
			}
			for _, rd := range readings {
				value := func(i int) float64 {
					if nulls && valid[(i+5)/8]>>((i+5)%8)&1 == 0 {
						return math.NaN()
					}
					x := rc.double(i)
					if rd.single {
						x = float64(rc.single(i))
					}
					if rd.hasMissing && x == rd.missing {
						return math.NaN()
					}
					return x
				}
				for _, k := range kernel.Tables() {
					for _, cast := range []forest.CategoryCast{0, forest.CastNonNegative} {
						r := &ranker{kernel: k, reading: rd, cast: cast}
						for _, span := range [][2]int{{0, k.Rows()}, {3, 200}, {rows - 65, 65}, {512, 0}, {rows - 1, 1}, {700, 33}} {
							name := fmt.Sprintf("%s, nulls %v, %+v, %v, cast %v, rows %v", rc.name, nulls, rd, k.Tier, cast, span)
							checkRanker(t, name, r, &c, span[0], span[1], ranks, [][]float64{cuts, many}, &table, value)
						}
					}
				}
			}
		}
	}
}

func checkRanker(
	t *testing.T, name string, k *ranker, c *Column, from, n int, ranks []*kernel.Cuts, cuts [][]float64,
	table *slotTable, value func(i int) float64,
) {
	t.Helper()
	code := func(cuts []float64, x float64) int {
		if x != x {
			return len(cuts) + 1
		}
		return sort.Search(len(cuts), func(j int) bool { return !(cuts[j] < x) })
	}
	var narrow [maxBlock]uint8
	var wide [maxBlock]uint16
	k.codes8(narrow[:], ranks[0], c, from, n)
	k.codes16(wide[:], ranks[1], c, from, n)
	for r := range n {
		x := value(from + r)
		if want := code(cuts[0], x); int(narrow[r]) != want {
			t.Fatalf("%s: byte code of row %d, %v, is %d, want %d", name, r, x, narrow[r], want)
		}
		if want := code(cuts[1], x); int(wide[r]) != want {
			t.Fatalf("%s: wide code of row %d, %v, is %d, want %d", name, r, x, wide[r], want)
		}
	}
	for _, flush := range []bool{false, true} {
		var zeros [maxBlock / word]uint64
		k.zeros(zeros[:], c, from, n, flush)
		for r := range n {
			x := value(from + r)
			want := x == 0 || flush && math.Abs(x) <= forest.ZeroThreshold
			if zeros[r/word]>>(r%word)&1 == 1 != want {
				t.Fatalf("%s, flush %v: row %d, %v, is zero: %v", name, flush, r, x, !want)
			}
		}
	}
	k.slots(wide[:], table, c, from, n)
	for r := range n {
		x := value(from + r)
		want := table.none
		switch limit := 1 << 31; {
		case x != x:
			want = table.nan
		case k.cast == forest.CastNonNegative && (x < 0 || x >= 1<<24), x <= -1, x >= float64(limit):
		case int(x) < len(table.byCode):
			want = table.byCode[int(x)]
		default:
			want = 0
		}
		if wide[r] != want {
			t.Fatalf("%s: slot of row %d, %v, is %d, want %d", name, r, x, wide[r], want)
		}
	}
}
