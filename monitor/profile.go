package monitor

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// profileFormat is the version of the JSON.
const profileFormat = 1

// CategoryCount is a category with its rows.
type CategoryCount struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// FeatureProfile are the statistics of one feature.
type FeatureProfile struct {
	Field

	Count int64 `json:"count"` // rows, nulls included
	Nulls int64 `json:"nulls"` // NaN included
	// Of the finite values of a numeric feature; 0 without any.
	Mean float64 `json:"mean"`
	SD   float64 `json:"sd"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`

	// Rows by bin; they add up to Profile.Binned.
	NullBin    int64           `json:"null_bin"`
	NegInf     int64           `json:"neg_inf,omitempty"`
	PosInf     int64           `json:"pos_inf,omitempty"`
	Edges      []float64       `json:"edges,omitempty"`      // as FeatureBins has them
	Bins       []int64         `json:"bins,omitempty"`       // one more than Edges
	Categories []CategoryCount `json:"categories,omitempty"` // those with a bin, the reference's most frequent first
	Known      []string        `json:"known,omitempty"`      // further ones, counted in Other
	Open       bool            `json:"open,omitempty"`
	Other      int64           `json:"other,omitempty"`
	Unseen     int64           `json:"unseen,omitempty"`
	// Single are the rows whose category occurs once in the sample: about as many of later rows will be unseen.
	Single int64 `json:"single,omitempty"`
}

// NullRate is the share of nulls.
func (f *FeatureProfile) NullRate() float64 {
	if f.Count == 0 {
		return 0
	}
	return float64(f.Nulls) / float64(f.Count)
}

// counts lists all bins in a fixed order.
func (f *FeatureProfile) counts() []int64 {
	out := []int64{f.NullBin, f.NegInf, f.PosInf, f.Other, f.Unseen}
	out = append(out, f.Bins...)
	for _, c := range f.Categories {
		out = append(out, c.Count)
	}
	return out
}

// frozen are the bins that the feature was counted in.
func (f *FeatureProfile) frozen() FeatureBins {
	b := FeatureBins{Field: f.Field, Edges: f.Edges, Known: f.Known, Open: f.Open}
	for _, c := range f.Categories {
		b.Categories = append(b.Categories, c.Value)
	}
	return b
}

// Profile are the statistics of a set of rows.
type Profile struct {
	Format int   `json:"format"`
	Rows   int64 `json:"rows"` // of the set
	// Seen of them were looked at: all, or a sample of a large batch.
	Seen int64 `json:"seen"`
	// Binned of those are in bins: all, or the sample that the bins were taken from.
	Binned   int64            `json:"binned"`
	Features []FeatureProfile `json:"features"`
}

// FrozenBins are the bins to count other rows in.
func (p *Profile) FrozenBins() *Bins {
	b := &Bins{}
	for i := range p.Features {
		b.Features = append(b.Features, p.Features[i].frozen())
	}
	return b
}

// Feature returns the statistics of a feature, nil when there are none.
func (p *Profile) Feature(name string) *FeatureProfile {
	for i := range p.Features {
		if p.Features[i].Name == name {
			return &p.Features[i]
		}
	}
	return nil
}

// Encode writes the JSON of docs/format/statistics.md; equal profiles have equal bytes.
func (p *Profile) Encode() ([]byte, error) { return json.Marshal(p) }

// DecodeProfile reads what Encode wrote. It fails with ErrInput for anything else.
func DecodeProfile(b []byte) (Profile, error) {
	var p Profile
	if err := json.Unmarshal(b, &p); err != nil {
		return Profile{}, fmt.Errorf("a profile: %w: %w", ErrInput, err)
	}
	if p.Format != profileFormat {
		return Profile{}, fmt.Errorf("a profile of format %d, this release reads %d: %w", p.Format, profileFormat, ErrInput)
	}
	for i := range p.Features {
		if problem := p.Features[i].problem(p.Binned); problem != "" {
			return Profile{}, fmt.Errorf("a profile: feature %q %s: %w", p.Features[i].Name, problem, ErrInput)
		}
	}
	return p, nil
}

// problem says why the counts cannot be used, or "".
func (f *FeatureProfile) problem(binned int64) string {
	if len(f.Bins) > 0 && len(f.Bins) != len(f.Edges)+1 || len(f.Bins) == 0 && len(f.Edges) > 0 {
		return fmt.Sprintf("has %d bins for %d edges", len(f.Bins), len(f.Edges))
	}
	if !slices.IsSorted(f.Edges) || slices.ContainsFunc(f.Edges, math.IsNaN) {
		return "has edges that do not ascend"
	}
	var all int64
	for _, n := range f.counts() {
		if n < 0 || all > math.MaxInt64-n {
			return "has counts that are none"
		}
		all += n
	}
	if all != binned || f.Count < 0 || f.Nulls < 0 || f.Nulls > f.Count {
		return fmt.Sprintf("has %d rows in bins of %d", all, binned)
	}
	return ""
}
