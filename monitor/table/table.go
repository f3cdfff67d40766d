// Package table shows statistics to SQL: it copies what the store keeps of batches and trainings to the tables of
// mlflow.monitoring in the warehouse (docs/format/statistics.md).
//
//	FinishBatch, Record, the end of a training  --monitor.Announce, same transaction-->  outbox  --Deliver-->  warehouse
//
// # Invariants
//
//	B1  An outbox row only names a subject; what is copied is what the store says when it is delivered. So rows may be
//	    delivered again and in any order: the tables end up with the latest.
//	B2  A subject is replaced as a whole, in one transaction: no reader sees a part of it.
//	B3  Only batches that succeeded are shown. One that ran again and failed stays as it was, and so do its rows.
//
// # Concurrency
//
// A Writer serves any number of goroutines.
package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"

	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// Target takes statistics; warehouse.Warehouse is one.
type Target interface {
	MirrorStatistics(ctx context.Context, subjects []warehouse.Statistics) error
}

// Deps are what a Writer needs.
type Deps struct {
	Store  store.Store
	Target Target
	// Seconds returns how long each step of a version's training took; nil, or nothing for a version, when it is not known.
	Seconds func(ctx context.Context, model string, version int64) (map[string]float64, error)
	Logger  *slog.Logger // discards when nil
}

// Writer is the outbox's handler of monitor.OutboxKind.
type Writer struct{ d Deps }

// New returns a Writer.
func New(d Deps) *Writer {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return &Writer{d: d}
}

// Deliver copies the subjects that the rows name.
func (w *Writer) Deliver(ctx context.Context, rows []store.OutboxRow) error {
	var all []warehouse.Statistics
	seen := map[monitor.Announcement]bool{}
	for _, row := range rows {
		var a monitor.Announcement
		if err := json.Unmarshal(row.Payload, &a); err != nil {
			return fmt.Errorf("outbox row %d: %w: %w", row.ID, store.ErrCorrupt, err)
		}
		if seen[a] {
			continue
		}
		seen[a] = true
		s, ok, err := w.statistics(ctx, a)
		if err != nil {
			return fmt.Errorf("statistics of %s %s of %s: %w", a.Kind, a.Subject, a.Model, err)
		}
		if ok {
			all = append(all, s)
		}
	}
	return w.d.Target.MirrorStatistics(ctx, all)
}

// statistics reads what is known of a subject; false when there is nothing to show.
func (w *Writer) statistics(ctx context.Context, a monitor.Announcement) (warehouse.Statistics, bool, error) {
	switch a.Kind {
	case store.ProfileOfBatch:
		return w.batch(ctx, a)
	case store.ProfileOfTraining:
		return w.training(ctx, a)
	}
	return warehouse.Statistics{}, false, fmt.Errorf("kind %q: %w", a.Kind, store.ErrCorrupt)
}

func (w *Writer) batch(ctx context.Context, a monitor.Announcement) (s warehouse.Statistics, ok bool, err error) {
	var b store.BatchRow
	var p *monitor.Profile
	err = w.d.Store.View(ctx, func(r store.Reader) (err error) {
		if b, err = r.Batch(a.Subject); err != nil {
			return err
		}
		p, err = profile(r, a)
		return err
	})
	if errors.Is(err, store.ErrBatchNotFound) || err == nil && b.State != store.BatchSucceeded {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	s = warehouse.Statistics{Model: b.Lineage.ModelName, Version: b.Lineage.ModelVersion, Batch: row(&b)}
	s.Metrics = append(s.Metrics,
		figure("rows", float64(b.Rows)), figure("rows_refused", float64(b.RowsRefused)),
		figure("score_min", s.Batch.ScoreMin), figure("score_max", s.Batch.ScoreMax), figure("score_mean", s.Batch.ScoreMean),
		figure("positive_rate", s.Batch.PositiveRate),
	)
	for _, t := range b.Timings {
		s.Metrics = append(s.Metrics, figure("seconds_"+t.Step, t.Duration.Seconds()))
	}
	s.Bins = scoreBins(&b)
	if p != nil {
		addProfile(&s, p)
	}
	return s, true, nil
}

func (w *Writer) training(ctx context.Context, a monitor.Announcement) (s warehouse.Statistics, ok bool, err error) {
	version, err := strconv.ParseInt(a.Subject, 10, 64)
	if err != nil {
		return s, false, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	var v store.Version
	var t store.Training
	var p *monitor.Profile
	err = w.d.Store.View(ctx, func(r store.Reader) (err error) {
		if v, err = r.Version(a.Model, version); err != nil {
			return err
		}
		if v.TrainingID != "" {
			if t, err = r.Training(v.TrainingID); err != nil {
				return err
			}
		}
		p, err = profile(r, a)
		return err
	})
	if errors.Is(err, store.ErrVersionNotFound) || errors.Is(err, store.ErrModelNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	s = warehouse.Statistics{Model: v.Model, Version: v.Version}
	if t.State == store.TrainingSucceeded {
		s.Metrics = append(s.Metrics, figure("rows", float64(t.InputRows)))
		if !t.StartedAt.IsZero() && !t.FinishedAt.IsZero() {
			s.Metrics = append(s.Metrics, figure("seconds_total", t.FinishedAt.Sub(t.StartedAt).Seconds()))
		}
		s.Metrics = append(s.Metrics, w.seconds(ctx, v)...)
	}
	for _, name := range sorted(v.Metrics) {
		s.Metrics = append(s.Metrics, figure("holdout_"+name, v.Metrics[name]))
	}
	if p != nil {
		addProfile(&s, p)
	}
	return s, true, nil
}

// seconds are what the trainer says of its steps. That they are not known any more keeps nothing else back.
func (w *Writer) seconds(ctx context.Context, v store.Version) (out []warehouse.Metric) {
	if w.d.Seconds == nil {
		return nil
	}
	steps, err := w.d.Seconds(ctx, v.Model, v.Version)
	if err != nil {
		w.d.Logger.WarnContext(ctx, "the seconds of a training's steps are not known", "model", v.Model, "version", v.Version, "error", err)
	}
	for _, name := range sorted(steps) {
		out = append(out, figure("seconds_"+name, steps[name]))
	}
	return out
}

func sorted(m map[string]float64) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// profile is nil when there is none.
func profile(r store.Reader, a monitor.Announcement) (*monitor.Profile, error) {
	kept, err := r.Profile(a.Model, a.Kind, a.Subject)
	if errors.Is(err, store.ErrStatisticsNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p, err := monitor.DecodeProfile(kept.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrCorrupt, err)
	}
	return &p, nil
}

// figure is a metric of the subject as a whole.
func figure(name string, v float64) warehouse.Metric { return warehouse.Metric{Name: name, Value: v} }

func row(b *store.BatchRow) *warehouse.MonitoredBatch {
	out := &warehouse.MonitoredBatch{
		ID: b.ID, RunID: b.Lineage.RunID, ModelDigest: b.Lineage.ModelDigest, InputSource: b.InputSource, InputVersion: b.InputVersion,
		InputDate: b.InputDate, OutputTable: b.OutputTable, OutputDigest: b.OutputDigest, PostProcessor: b.PostProcessor, Rows: b.Rows,
		RowsRefused: b.RowsRefused, StartedAt: b.StartedAt, FinishedAt: b.FinishedAt, ScoredAt: b.ScoredAt, Threshold: b.DecisionThreshold,
		ScoreMin: b.ScoreMin, ScoreMax: b.ScoreMax, ScoreMean: b.ScoreMean, PositiveRate: b.PositiveRate, Attempt: b.Attempt,
	}
	if scored(b) == 0 {
		nan := math.NaN()
		out.ScoreMin, out.ScoreMax, out.ScoreMean, out.PositiveRate = nan, nan, nan, nan
	}
	return out
}

// scored is the number of rows in the histogram.
func scored(b *store.BatchRow) int64 {
	var n int64
	for _, c := range b.Histogram {
		n += c
	}
	return n
}
