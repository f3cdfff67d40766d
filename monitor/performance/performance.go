// Package performance measures the present Champion on rows whose labels have arrived.
//
//	ledger: the Champion's batches, newest first
//	   -> warehouse.Labelled (scores beside labels)  -- enough of them known? -> AUC with DeLong's interval
//	   -> baseline: as configured, or what the version had on its holdout
//
// # Invariants
//
//	F1  A batch counts when the share of its scored rows that have a label is at least MinMaturity: labels that arrive
//	    early are not like those that arrive late. One batch counts for a day of an input: the newest.
//	F2  Batches are taken newest first until MinRows rows have labels, and no further, so that a measurement is about now.
//	F3  What cannot be measured has no rows and says why. It is an error only when the store or the warehouse fails.
//	F4  Memory is bounded: of a batch at most SampleRows labelled rows are read, chosen by a hash of their keys, and at
//	    most MaxRows in all.
//
// # Concurrency
//
// A Source serves any number of goroutines.
package performance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/internal/stat"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// The metrics.
const (
	AUC       = "auc"
	Precision = "precision"
	Recall    = "recall"
)

// Bounds of one measurement.
const (
	SampleRows = 1 << 20 // of a batch
	MaxRows    = 4 << 20 // of all batches together
	maxBatches = 400     // that are looked at
)

// Settings say how a model is measured.
type Settings struct {
	Key       string   // model_key: the score is <Key>_probability
	Keys      []string // columns that identify a row, in the output table and in Labels
	Threshold float64  // of precision and recall

	Labels warehouse.TableName
	Label  string // 0 or 1, or a boolean; null is not known yet
	// DateColumn restricts the labels of a batch of one day to that day, where Labels has a column of this name.
	DateColumn string
	// Available names the day or time of Labels from which on a row counts; empty: always.
	Available string

	Metric string // AUC when empty
	// Baseline is what the metric is compared with; 0: what the Champion had on its holdout.
	Baseline    float64
	MinRows     int64   // with labels
	MinMaturity float64 // share of a batch's scored rows, in (0,1]
}

// Measurement is a metric of scored rows whose labels have arrived.
type Measurement struct {
	Metric              string
	Value, Lower, Upper float64 // at stat.Level; NaN when Rows is 0
	Rows                int64   // with labels; 0 when there is nothing to measure
	Baseline            float64 // NaN when it is not known
	Detail              string  // in words: over which batches, or why not
}

// Deps are what a Source needs.
type Deps struct {
	Store     store.Store
	Warehouse warehouse.Warehouse
	// Settings returns false for a model that is not measured.
	Settings func(model string) (Settings, bool)
	Now      func() time.Time // time.Now when nil
}

// Source measures.
type Source struct{ d Deps }

// New returns a Source.
func New(d Deps) *Source {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Source{d: d}
}

// nothing is a measurement of no rows.
func nothing(metric, format string, args ...any) Measurement {
	return Measurement{
		Metric: metric, Value: math.NaN(), Lower: math.NaN(), Upper: math.NaN(), Baseline: math.NaN(), Detail: fmt.Sprintf(format, args...),
	}
}

// Matured measures the present Champion of a model. What keeps it from measuring is in Detail; an error is the store's,
// the warehouse's, or the end of ctx.
func (s *Source) Matured(ctx context.Context, model string) (Measurement, error) {
	set, ok := s.d.Settings(model)
	if set.Metric == "" {
		set.Metric = AUC
	}
	if !ok {
		return nothing(set.Metric, "%s has no triggers.performance", model), nil
	}
	champion, err := s.champion(ctx, model)
	if errors.Is(err, store.ErrNoChampion) || errors.Is(err, store.ErrModelNotFound) {
		return nothing(set.Metric, "there is no Champion yet"), nil
	}
	if err != nil {
		return Measurement{}, err
	}
	baseline, from, err := s.baseline(ctx, set, champion)
	if err != nil {
		return Measurement{}, err
	}
	g := &gathering{source: s, set: set}
	if g.dated, err = s.hasColumn(ctx, set.Labels, set.DateColumn); err != nil {
		return s.explained(ctx, set, err)
	}
	if err := g.walk(ctx, champion); err != nil {
		return s.explained(ctx, set, err)
	}
	m := g.measure()
	m.Baseline = baseline
	if m.Rows > 0 && from != "" {
		m.Detail += "; " + from
	}
	return m, nil
}

// explained turns what a person must correct into words.
func (s *Source) explained(ctx context.Context, set Settings, err error) (Measurement, error) {
	if ctx.Err() != nil {
		return Measurement{}, context.Cause(ctx)
	}
	for _, theirs := range []error{
		warehouse.ErrTableNotFound, warehouse.ErrColumn, warehouse.ErrDuplicateKey, warehouse.ErrBatchNotFound, errUnfit,
	} {
		if errors.Is(err, theirs) {
			return nothing(set.Metric, "%v", err), nil
		}
	}
	return Measurement{}, err
}

func (s *Source) champion(ctx context.Context, model string) (store.Version, error) {
	var v store.Version
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		p, err := r.OpenPeriod(model)
		if err != nil {
			return err
		}
		v, err = r.Version(model, p.Version)
		return err
	})
	return v, err
}

func (s *Source) hasColumn(ctx context.Context, table warehouse.TableName, name string) (bool, error) {
	schema, err := s.d.Warehouse.Describe(ctx, warehouse.Input{Table: table})
	if err != nil {
		return false, err
	}
	return name != "" && schema.HasField(name), nil
}

// baseline is what the metric must not be below, and where it is from; NaN when nobody knows.
func (s *Source) baseline(ctx context.Context, set Settings, v store.Version) (float64, string, error) {
	if set.Baseline > 0 {
		return set.Baseline, "", nil
	}
	if set.Metric == AUC {
		auc, err := s.proved(ctx, v)
		if err != nil || !math.IsNaN(auc) {
			return auc, fmt.Sprintf("the baseline is what version %d had on its holdout", v.Version), err
		}
	}
	if said, ok := v.Metrics[set.Metric]; ok {
		return said, fmt.Sprintf("the baseline is what the trainer of version %d reported", v.Version), nil
	}
	return math.NaN(), fmt.Sprintf("version %d has no %s of its holdout: set triggers.performance.baseline", v.Version, set.Metric), nil
}

// proved is the AUC on the holdout as our engine computed it for the gate; NaN when it did not.
func (s *Source) proved(ctx context.Context, v store.Version) (float64, error) {
	var e store.Evidence
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		e, err = r.Evidence(v.Model, v.Version)
		return err
	})
	if errors.Is(err, store.ErrNoEvidence) || errors.Is(err, store.ErrVersionNotFound) {
		return math.NaN(), nil
	}
	if err != nil {
		return math.NaN(), err
	}
	var report struct {
		Gates []struct {
			Gate     string            `json:"gate"`
			Evidence map[string]string `json:"evidence"`
		} `json:"gates"`
	}
	if err := json.Unmarshal(e.Report, &report); err != nil {
		return math.NaN(), fmt.Errorf("evidence of %s version %d: %w: %w", v.Model, v.Version, store.ErrCorrupt, err)
	}
	for _, g := range report.Gates {
		if g.Gate != "auc_floor" {
			continue
		}
		if auc, err := strconv.ParseFloat(g.Evidence["auc"], 64); err == nil {
			return auc, nil
		}
	}
	return math.NaN(), nil
}

// interval is the metric with its bounds.
func interval(set Settings, scores []float64, labels []bool) (stat.Interval, error) {
	if set.Metric == AUC {
		return stat.AUCInterval(scores, labels, stat.Level)
	}
	c, err := stat.At(scores, labels, set.Threshold)
	if err != nil {
		return stat.Interval{}, err
	}
	if set.Metric == Precision {
		return stat.Wilson(c.TP, c.TP+c.FP, stat.Level)
	}
	return stat.Wilson(c.TP, c.TP+c.FN, stat.Level)
}

func words(batches []string) string {
	const shown = 3
	if len(batches) > shown {
		return strings.Join(batches[:shown], ", ") + fmt.Sprintf(" and %d more", len(batches)-shown)
	}
	return strings.Join(batches, ", ")
}
