package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// trainingRows opens the rows that versions were trained on, for monitor.Deps.Training.
type trainingRows struct {
	store     store.Store
	versions  *version.Service
	features  func() *feature.Service // wired later
	warehouse warehouse.Warehouse
}

// open pins the history of the training again. Rows that changed since are not those of the training any more.
func (t *trainingRows) open(ctx context.Context, model string, number int64) (warehouse.RecordStream, error) {
	v, err := t.versions.Get(ctx, model, number)
	if err != nil {
		return nil, err
	}
	if v.TrainingID == "" {
		return nil, fmt.Errorf("%s version %d was registered, not trained here: %w", model, number, monitor.ErrNoData)
	}
	var row store.Training
	err = t.store.View(ctx, func(r store.Reader) (err error) {
		row, err = r.Training(v.TrainingID)
		return err
	})
	if err != nil {
		return nil, err
	}
	ref, err := t.features().Pin(ctx, model, row.ComputeDate)
	if err != nil {
		return nil, fmt.Errorf("the training rows of %s version %d: %w: %w", model, number, monitor.ErrNoData, err)
	}
	if ref.Version != row.InputVersion {
		return nil, fmt.Errorf("the feature table of %s was changed since version %d was trained: %w", model, number, monitor.ErrNoData)
	}
	return t.warehouse.Read(ctx, warehouse.Query{Ref: ref})
}

// described describes the features of versions, for monitor.Deps.Model.
type described struct {
	versions *version.Service
	models   *scoring.Models
	columns  *featureColumns
}

// model returns the columns of a version's features, which of them are categories, and their shares of the gain.
func (d *described) model(ctx context.Context, model string, number int64) (monitor.ModelInfo, error) {
	v, err := d.versions.Get(ctx, model, number)
	if err != nil {
		return monitor.ModelInfo{}, err
	}
	loaded, err := d.models.Load(ctx, v.Digest)
	if err != nil {
		return monitor.ModelInfo{}, err
	}
	table, configured, err := d.columns.FeatureColumns(ctx, model)
	if err != nil || !configured {
		return monitor.ModelInfo{}, errors.Join(err, fmt.Errorf("%s has no features table: %w", model, monitor.ErrNoData))
	}
	columns, err := bound(loaded, table.Schema)
	if err != nil {
		return monitor.ModelInfo{}, err
	}
	kinds := map[string]bool{}
	for i, f := range loaded.Model.Features {
		if i < len(columns) {
			kinds[columns[i]] = f.Kind == forest.Categorical
		}
	}
	info := monitor.ModelInfo{Columns: columns, Categorical: func(c string) bool { return kinds[c] }}
	gain := monitor.GainShares(loaded.Model)
	if gain == nil {
		if gain, err = d.importance(ctx, v); err != nil {
			return monitor.ModelInfo{}, err
		}
	}
	if gain != nil { // by column, as the statistics are
		info.Importance = map[string]float64{}
		for i, f := range loaded.Model.Features {
			if i < len(columns) {
				info.Importance[columns[i]] = gain[f.Name]
			}
		}
	}
	return info, nil
}

// bound is where a model reads its features in a table.
func bound(l *scoring.Loaded, s *arrow.Schema) ([]string, error) {
	b, err := frame.NewBinding(l.Model, l.Program, s, frame.BindOptions{IgnoreExtra: true})
	if err != nil {
		return nil, err
	}
	return b.Columns(), nil
}

// importance reads what the trainer said of its features; nil when it said nothing.
func (d *described) importance(ctx context.Context, v version.Version) (map[string]float64, error) {
	var shares map[string]float64
	err := trainerFile(ctx, d.versions, v, "importance.json", &shares)
	return shares, err
}

// trainerSeconds reads what the trainer said of the time that its steps took; nil when it said nothing.
func trainerSeconds(ctx context.Context, versions *version.Service, model string, number int64) (map[string]float64, error) {
	v, err := versions.Get(ctx, model, number)
	if err != nil {
		return nil, err
	}
	var result struct {
		Seconds map[string]float64 `json:"seconds"`
	}
	err = trainerFile(ctx, versions, v, "result.json", &result)
	return result.Seconds, err
}

// maxTrainerFile bounds a JSON file that a trainer wrote.
const maxTrainerFile = 16 << 20

// trainerFile reads a JSON file of a version's artifact, when it has one.
func trainerFile(ctx context.Context, versions *version.Service, v version.Version, name string, into any) error {
	dir, a, err := versions.Artifact(ctx, v)
	if err != nil {
		return err
	}
	for _, f := range a.Files {
		if f.Name != name || f.Size > maxTrainerFile {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, into); err != nil {
			return fmt.Errorf("%s of %s version %d: %w", f.Name, v.Model, v.Version, err)
		}
	}
	return nil
}

// profiles satisfies scoring.Profiles from the monitor.
type profiles struct {
	monitor *monitor.Service
	done    *driftChecks
	log     *slog.Logger
}

// Begin begins the statistics of a batch.
func (p *profiles) Begin(ctx context.Context, b scoring.Batch, input warehouse.Ref, columns []string) scoring.Recorder {
	r, err := p.monitor.BeginBatch(ctx, monitor.BatchInput{
		Model: b.Lineage.Model, Version: b.Lineage.Version, ID: string(b.ID), Rows: input.Rows, Schema: input.Schema, Columns: columns,
	})
	if err != nil {
		p.log.WarnContext(ctx, "a batch gets no statistics", "score_batch_id", b.ID, "error", err)
		return nil
	}
	return &recorder{BatchProfile: r, done: p.done}
}

type recorder struct {
	*monitor.BatchProfile
	done *driftChecks
}

// Finish stores the statistics and has the batch compared with its reference.
func (r *recorder) Finish(ctx context.Context, b scoring.Batch) error {
	if err := r.BatchProfile.Finish(ctx); err != nil {
		return err
	}
	r.done.add(b.Lineage.Model, string(b.ID))
	return nil
}

// driftChecks compares each batch with its reference once it is committed, one after the other, and then has the model's
// triggers look at it.
type driftChecks struct {
	monitor *monitor.Service
	wake    func(model string)
	log     *slog.Logger
	loop    *service.Loop
	more    chan struct{} // of capacity 1

	mu      sync.Mutex
	waiting []monitor.Request
}

func newDriftChecks(m *monitor.Service, log *slog.Logger) *driftChecks {
	d := &driftChecks{monitor: m, log: log, more: make(chan struct{}, 1), wake: func(string) {}}
	d.loop = service.NewLoop(d.run)
	return d
}

// add queues a batch. It does not block.
func (d *driftChecks) add(model, batch string) {
	d.mu.Lock()
	d.waiting = append(d.waiting, monitor.Request{Model: model, BatchID: batch})
	d.mu.Unlock()
	select {
	case d.more <- struct{}{}:
	default:
	}
}

func (d *driftChecks) run(ctx context.Context, started func()) error {
	started()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.more:
		}
		d.mu.Lock()
		waiting := d.waiting
		d.waiting = nil
		d.mu.Unlock()
		for _, q := range waiting {
			d.check(ctx, q)
		}
	}
}

func (d *driftChecks) check(ctx context.Context, q monitor.Request) {
	r, err := d.monitor.Check(ctx, q)
	switch {
	case ctx.Err() != nil: // the next start looks again
	case errors.Is(err, monitor.ErrNoData):
		d.log.InfoContext(ctx, "a batch is compared with nothing", "model", q.Model, "score_batch_id", q.BatchID, "reason", err)
	case err != nil:
		d.log.WarnContext(ctx, "a batch was not compared", "model", q.Model, "score_batch_id", q.BatchID, "error", err)
	default:
		d.log.InfoContext(ctx, "drift checked", "model", q.Model, "score_batch_id", q.BatchID, "verdict", r.Verdict, "share", r.Share)
		d.wake(q.Model)
	}
}

// resume queues the latest batch of each model that was committed and not compared before the daemon stopped.
func (d *driftChecks) resume(ctx context.Context, s store.Store, models []string) error {
	return s.View(ctx, func(r store.Reader) error {
		for _, m := range models {
			batches, _, err := r.Batches(store.BatchQuery{Model: m, State: store.BatchSucceeded, PageSize: 1})
			if err != nil {
				return err
			}
			if len(batches) == 0 {
				continue
			}
			reports, _, err := r.Drifts(store.DriftQuery{Model: m, BatchID: batches[0].ID, PageSize: 1})
			if err != nil {
				return err
			}
			if len(reports) == 0 {
				d.add(m, batches[0].ID)
			}
		}
		return nil
	})
}

// drifts satisfies trigger.DriftSource from the monitor.
type drifts struct {
	store   store.Store
	monitor *monitor.Service
}

// Latest returns the newest report of each of the latest batches that the present Champion scored since it is Champion, as
// configured and against its training data: other comparisons that somebody asked for are no windows.
func (d drifts) Latest(ctx context.Context, model string, n int) ([]trigger.DriftReport, error) {
	var period store.Period
	err := d.store.View(ctx, func(r store.Reader) (err error) {
		period, err = r.OpenPeriod(model)
		return err
	})
	if errors.Is(err, store.ErrNoChampion) || errors.Is(err, store.ErrModelNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	reports, err := d.monitor.Windows(ctx, model, period.Version, n)
	var out []trigger.DriftReport
	for _, r := range reports {
		if !r.At.Before(period.Since) {
			out = append(out, trigger.DriftReport{BatchID: r.BatchID, Version: r.Version, Share: r.Share, At: r.At})
		}
	}
	return out, err
}
