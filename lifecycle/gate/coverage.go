package gate

import (
	"math"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/forest"
)

// coverage counts in how many golden rows the hard cases occur: agreement on easy rows proves little.
type coverage struct {
	features []coveredFeature
	single   bool // inputs are rounded to float32 first

	missing, infinite, negativeZero, atThreshold, besideThreshold int64
}

type coveredFeature struct {
	column     int // in the schema
	thresholds map[float64]bool
}

// newCoverage follows the columns that a binding reads, one a feature.
func newCoverage(m *forest.Model, schema *arrow.Schema, columns []string) *coverage {
	c := &coverage{single: m.Arithmetic.Input == forest.Float32, features: make([]coveredFeature, len(m.Features))}
	for i := range m.Features {
		c.features[i] = coveredFeature{column: schema.FieldIndices(columns[i])[0], thresholds: map[float64]bool{}}
	}
	for _, t := range m.Trees {
		for _, n := range t.Nodes {
			if n.Op == forest.LessEqual || n.Op == forest.Less {
				c.features[n.Feature].thresholds[n.Threshold] = true
			}
		}
	}
	return c
}

// cases of one row.
const (
	isMissing = 1 << iota
	isInfinite
	isNegativeZero
	isAtThreshold
	isBesideThreshold
)

// add counts the rows of one record.
func (c *coverage) add(rec arrow.Record) {
	seen := make([]uint8, rec.NumRows())
	for i := range c.features {
		f := &c.features[i]
		c.mark(seen, f, rec.Column(f.column))
	}
	for _, s := range seen {
		c.missing += int64(s & isMissing / isMissing)
		c.infinite += int64(s & isInfinite / isInfinite)
		c.negativeZero += int64(s & isNegativeZero / isNegativeZero)
		c.atThreshold += int64(s & isAtThreshold / isAtThreshold)
		c.besideThreshold += int64(s & isBesideThreshold / isBesideThreshold)
	}
}

// mark sets the cases that a column puts its rows into. Thresholds are looked for in floating-point columns.
func (c *coverage) mark(seen []uint8, f *coveredFeature, col arrow.Array) {
	var value func(int) float64
	switch a := col.(type) {
	case *array.Float64:
		value = a.Value
	case *array.Float32:
		value = func(i int) float64 { return float64(a.Value(i)) }
	default:
		none := col.DataType().ID() == arrow.NULL // whose rows Arrow calls valid
		for row := range seen {
			if none || col.IsNull(row) {
				seen[row] |= isMissing
			}
		}
		return
	}
	for row := range seen {
		if col.IsNull(row) {
			seen[row] |= isMissing
			continue
		}
		seen[row] |= c.cases(f, value(row))
	}
}

func (c *coverage) cases(f *coveredFeature, v float64) (s uint8) {
	below, above := math.Nextafter(v, math.Inf(-1)), math.Nextafter(v, math.Inf(1))
	if c.single {
		x := float32(v)
		v, below = float64(x), float64(math.Nextafter32(x, float32(math.Inf(-1))))
		above = float64(math.Nextafter32(x, float32(math.Inf(1))))
	}
	switch {
	case math.IsNaN(v):
		return isMissing
	case math.IsInf(v, 0):
		s |= isInfinite
	case v == 0 && math.Signbit(v):
		s |= isNegativeZero
	}
	if f.thresholds[v] {
		s |= isAtThreshold
	}
	if f.thresholds[below] || f.thresholds[above] {
		s |= isBesideThreshold
	}
	return s
}

func (c *coverage) report(evidence map[string]string) {
	for name, n := range map[string]int64{
		"rows_with_missing":            c.missing,
		"rows_with_infinite":           c.infinite,
		"rows_with_negative_zero":      c.negativeZero,
		"rows_at_a_threshold":          c.atThreshold,
		"rows_one_ulp_from_thresholds": c.besideThreshold,
	} {
		evidence[name] = strconv.FormatInt(n, 10)
	}
}
