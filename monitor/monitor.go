// Package monitor describes the rows that models see, and tells whether they changed.
package monitor

import (
	"errors"
	"time"
)

// Sentinel errors.
var (
	// ErrNoData: there are no statistics of what was asked for. The message says how to get them.
	ErrNoData = errors.New("monitor: no statistics")
	// ErrInput: columns or options do not fit. The caller changes what the message names.
	ErrInput = errors.New("monitor: input does not fit")
)

// Mode is a rule of drift.
type Mode string

// The modes.
const (
	ModePSI    Mode = "psi"
	ModePValue Mode = "p_value"
)

// Verdict is what a comparison found.
type Verdict string

// The verdicts.
const (
	None         Verdict = "none"
	Warn         Verdict = "warn"
	Drift        Verdict = "drift"
	Inconclusive Verdict = "inconclusive"
)

// Field is a feature to profile.
type Field struct {
	Name        string `json:"name"`
	Categorical bool   `json:"categorical"`
}

// FeatureBins are the frozen bins of one feature.
type FeatureBins struct {
	Field

	Edges      []float64 `json:"edges,omitempty"`      // ascending; bin i holds (edges[i-1], edges[i]]
	Categories []string  `json:"categories,omitempty"` // that have a bin of their own
	Known      []string  `json:"known,omitempty"`      // further ones, counted together
	Open       bool      `json:"open,omitempty"`       // there were too many categories to know them all
}

// Bins are the frozen bins of a reference.
type Bins struct {
	Features []FeatureBins `json:"features"`
}

// CategoryCount is a category with its rows.
type CategoryCount struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// FeatureProfile are the statistics of one feature.
type FeatureProfile struct {
	Field

	Count              int64           `json:"count"` // rows, nulls included
	Nulls              int64           `json:"nulls"` // NaN included
	Mean               float64         `json:"mean"`
	SD                 float64         `json:"sd"`
	Min                float64         `json:"min"`
	Max                float64         `json:"max"`
	Edges              []float64       `json:"edges,omitempty"`
	Bins               []int64         `json:"bins,omitempty"` // one more than edges
	NegInf             int64           `json:"neg_inf,omitempty"`
	PosInf             int64           `json:"pos_inf,omitempty"`
	Categories         []CategoryCount `json:"categories,omitempty"`
	Other, UnseenCount int64           `json:"-"`
}

// Profile are the statistics of a set of rows.
type Profile struct {
	Format   int              `json:"format"`
	Rows     int64            `json:"rows"`    // of the set
	Sampled  int64            `json:"sampled"` // of them, that were looked at
	Features []FeatureProfile `json:"features"`
}

// Options are the thresholds of Detect; zero fields mean the defaults.
type Options struct {
	Mode       Mode
	PThreshold float64
	Share      float64
}

// FeatureDrift is the comparison of one feature.
type FeatureDrift struct {
	Feature                  string  `json:"feature"`
	Categorical              bool    `json:"categorical"`
	PSI                      float64 `json:"psi"`
	NoiseFloor               float64 `json:"noise_floor"`
	Statistic                float64 `json:"statistic"`
	PValue                   float64 `json:"p_value"`
	PValueCorrected          float64 `json:"p_value_corrected"`
	NullRateRef, NullRateCur float64
	UnseenRate               float64 `json:"unseen_rate"`
	MeanRef, MeanCur         float64
	Importance               float64 `json:"importance"`
	Verdict                  Verdict `json:"verdict"`
	Reason                   string  `json:"reason"`
}

// Report is a comparison of two sets of rows.
type Report struct {
	ID                         int64 `json:"-"`
	Model                      string
	Version                    int64
	BatchID                    string
	Reference                  string
	At                         time.Time
	Mode                       Mode
	Verdict                    Verdict
	OverallDrift               bool
	Share                      float64
	ShareThreshold, PThreshold float64
	ReferenceRows, CurrentRows int64
	Features                   []FeatureDrift
	ScorePSI                   float64
	Summary                    string
}

// Request asks for a drift check.
type Request struct {
	Model            string
	BatchID          string // empty means the latest batch that succeeded
	ReferenceBatchID string // empty means the training data of the version that scored the batch
	Mode             Mode   // empty means as configured
}
