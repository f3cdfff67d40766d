package monitor

import (
	"math"
	"math/bits"
	"slices"
	"sort"
)

// The sizes of bins and samples.
const (
	// DefaultBins is the number of quantile bins of a numeric feature.
	DefaultBins = 10
	// MaxCategories have a bin of their own.
	MaxCategories = 32
	// MaxKnown further categories are known, so that others are unseen ones.
	MaxKnown = 2000
	// SampleRows bounds the rows that edges and categories are taken from.
	SampleRows = 1 << 16
	// maxText bounds the bytes of a category in a profile; longer ones are cut.
	maxText = 128
)

// Field is a feature to profile, by the name of its column.
type Field struct {
	Name        string `json:"name"`
	Categorical bool   `json:"categorical,omitempty"`
}

// FeatureBins are the frozen bins of one feature.
type FeatureBins struct {
	Field

	// Edges ascend. Bin i of a numeric feature holds the values in (Edges[i-1], Edges[i]]; the first one is below all
	// values of the reference, the last one above.
	Edges []float64 `json:"edges,omitempty"`
	// Categories have a bin each, Known are counted together as others, and all else is unseen.
	Categories []string `json:"categories,omitempty"`
	Known      []string `json:"known,omitempty"`
	// Open: the reference has more categories than could be kept, so that unseen means little.
	Open bool `json:"open,omitempty"`
}

// Bins are the frozen bins of a reference.
type Bins struct {
	Features []FeatureBins `json:"features"`
}

// find returns the bins of a field, nil when there are none of its name and kind.
func (b *Bins) find(f Field) *FeatureBins {
	if b == nil {
		return nil
	}
	for i := range b.Features {
		if b.Features[i].Field == f {
			return &b.Features[i]
		}
	}
	return nil
}

// quantileEdges are the edges of bins with about equal numbers of the values, which are finite. It moves them.
func quantileEdges(values []float64, bins int) []float64 {
	if len(values) == 0 {
		return nil
	}
	at := make([]int, 0, bins+1)
	for k := range bins + 1 { // the smallest and the largest value are the first and the last
		if p := k * (len(values) - 1) / bins; k == 0 || p > at[len(at)-1] {
			at = append(at, p)
		}
	}
	pick(values, at)
	low, high := values[0], values[len(values)-1]
	edges := []float64{math.Nextafter(low, math.Inf(-1))}
	if math.IsInf(edges[0], 0) {
		edges[0] = low
	}
	for k := 1; k < bins; k++ {
		if e := values[k*(len(values)-1)/bins]; e > edges[len(edges)-1] && e < high {
			edges = append(edges, e)
		}
	}
	if high > edges[len(edges)-1] {
		edges = append(edges, high)
	}
	return edges
}

// key is a number whose unsigned order is that of the values that are no NaN; -0 and 0 have the same.
func key(v float64) uint64 {
	u := math.Float64bits(v + 0)
	return u ^ (uint64(int64(u)>>63) | 1<<63)
}

func keys(edges []float64) []uint64 {
	out := make([]uint64, len(edges))
	for i, e := range edges {
		out[i] = key(e)
	}
	return out
}

// bin is the number of edges below a value, by their keys. It does not branch, as a value's bin cannot be foreseen: three
// times as fast as comparing floats (BenchmarkProfiler).
func bin(edges []uint64, v uint64) uint64 {
	var b, below uint64
	for _, e := range edges {
		_, below = bits.Sub64(e, v, 0)
		b += below
	}
	return b
}

// topCategories splits the categories of a sample into those with a bin, the most frequent first, and further known ones.
func topCategories(counts map[string]int64) (top []CategoryCount, known []string, open bool) {
	all := make([]CategoryCount, 0, len(counts))
	for v, n := range counts {
		all = append(all, CategoryCount{v, n})
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].Count != all[j].Count {
			return all[i].Count > all[j].Count
		}
		return all[i].Value < all[j].Value
	})
	n := min(len(all), MaxCategories)
	top = all[:n:n]
	rest := all[n:]
	if len(rest) > MaxKnown {
		rest, open = rest[:MaxKnown], true
	}
	for _, c := range rest {
		known = append(known, c.Value)
	}
	slices.Sort(known)
	return top, known, open
}

// cut shortens a category, between characters.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	at := 0
	for i := range s {
		if i <= maxText-3 {
			at = i
		}
	}
	return s[:at] + "..."
}
