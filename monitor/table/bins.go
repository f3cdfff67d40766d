package table

import (
	"math"
	"slices"

	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// scoreBins are the bins of the scores that hold rows. They have equal widths, over [0,1] for probabilities and over
// [min,max] otherwise. The ledger does not say which, but the bins do: those of the least and the largest score.
func scoreBins(b *store.BatchRow) []warehouse.Bin {
	low, high := 0.0, 1.0
	if !overUnit(b) {
		low, high = b.ScoreMin, b.ScoreMax
	}
	var out []warehouse.Bin
	n := float64(len(b.Histogram))
	for i, count := range b.Histogram {
		if count == 0 {
			continue
		}
		out = append(out, warehouse.Bin{
			Kind: warehouse.BinScore, Index: i, Lower: low + float64((high-low)*float64(i))/n, Upper: low + float64((high-low)*float64(i+1))/n, Count: count,
		})
	}
	return out
}

func overUnit(b *store.BatchRow) bool {
	if b.ScoreMin < 0 || b.ScoreMax > 1 {
		return false
	}
	filled := func(n int64) bool { return n > 0 }
	first, last := slices.IndexFunc(b.Histogram, filled), len(b.Histogram)-1
	for last > 0 && !filled(b.Histogram[last]) {
		last--
	}
	at := func(v float64) int { return min(int(v*float64(len(b.Histogram))), len(b.Histogram)-1) }
	return first == at(b.ScoreMin) && last == at(b.ScoreMax)
}

// addProfile adds the statistics of each feature.
func addProfile(s *warehouse.Statistics, p *monitor.Profile) {
	s.Metrics = append(s.Metrics, figure("profiled_rows", float64(p.Seen)), figure("binned_rows", float64(p.Binned)))
	for i := range p.Features {
		f := &p.Features[i]
		add := func(name string, v float64) {
			s.Metrics = append(s.Metrics, warehouse.Metric{Column: f.Name, Name: name, Value: v})
		}
		add("count", float64(f.Count))
		add("nulls", float64(f.Nulls))
		add("null_rate", f.NullRate())
		if !f.Categorical {
			mean, sd, low, high := f.Mean, f.SD, f.Min, f.Max
			if f.Count == f.Nulls { // there is no value that these could be of
				mean, sd, low, high = math.NaN(), math.NaN(), math.NaN(), math.NaN()
			}
			add("mean", mean)
			add("sd", sd)
			add("min", low)
			add("max", high)
		}
		s.Bins = append(s.Bins, featureBins(f)...)
	}
}

// featureBins are all bins of a feature, empty ones too: they are what another batch is compared with.
func featureBins(f *monitor.FeatureProfile) []warehouse.Bin {
	nan := math.NaN()
	var out []warehouse.Bin
	add := func(kind string, index int, lower, upper float64, category string, count int64) {
		out = append(out, warehouse.Bin{
			Column: f.Name, Kind: kind, Index: index, Lower: lower, Upper: upper, Category: category, Count: count,
		})
	}
	add(warehouse.BinNull, 0, nan, nan, "", f.NullBin)
	if f.Categorical {
		for i, c := range f.Categories {
			add(warehouse.BinCategory, i, nan, nan, c.Value, c.Count)
		}
		add(warehouse.BinOther, 0, nan, nan, "", f.Other)
		add(warehouse.BinUnseen, 0, nan, nan, "", f.Unseen)
		return out
	}
	for i, count := range f.Bins {
		lower, upper := nan, nan
		if i > 0 {
			lower = f.Edges[i-1]
		}
		if i < len(f.Edges) {
			upper = f.Edges[i]
		}
		add(warehouse.BinRange, i, lower, upper, "", count)
	}
	add(warehouse.BinNegativeInfinity, 0, nan, nan, "", f.NegInf)
	add(warehouse.BinPositiveInfinity, 0, nan, nan, "", f.PosInf)
	return out
}
