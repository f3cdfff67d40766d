package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// resolver satisfies scoring.Resolver from the lifecycle.
type resolver struct {
	store      store.Store
	versions   *version.Service
	promotions *promotion.Service
}

// Resolve pins the Champion, or a version by number. Versions that no gate has judged may be scored by number, to look at
// them; those that were found wrong may not.
func (r *resolver) Resolve(ctx context.Context, model string, number int64) (scoring.Pinned, error) {
	if number == 0 {
		v, generation, err := r.promotions.Champion(ctx, model)
		if err != nil {
			return scoring.Pinned{}, err
		}
		return pinned(v, generation), nil
	}
	v, err := r.versions.Get(ctx, model, number)
	if err != nil {
		return scoring.Pinned{}, err
	}
	switch v.Stage {
	case stage.Trained, stage.Validated, stage.Champion, stage.Archived:
	default:
		return scoring.Pinned{}, fmt.Errorf("%s version %d is %s and is not scored any more: %w", model, number, v.Stage, stage.ErrWrong)
	}
	var generation int64
	err = r.store.View(ctx, func(tx store.Reader) error {
		m, err := tx.Model(model)
		generation = m.Generation
		return err
	})
	if err != nil {
		return scoring.Pinned{}, err
	}
	return pinned(v, generation), nil
}

func pinned(v version.Version, generation int64) scoring.Pinned {
	return scoring.Pinned{
		Model: v.Model, Version: v.Version, Generation: generation, RunID: v.RunID, Digest: v.Digest, GitSHA: v.GitSHA, TrainedAt: v.TrainedAt,
	}
}

// featureColumns satisfies gate.Columns from the warehouse.
type featureColumns struct {
	warehouse warehouse.Warehouse
	configs   []scoring.ModelConfig
}

// FeatureColumns describes a model's configured features table.
func (f *featureColumns) FeatureColumns(ctx context.Context, model string) (gate.FeatureTable, bool, error) {
	for _, c := range f.configs {
		if c.Name != model {
			continue
		}
		name, err := warehouse.ParseTableName(c.FeaturesTable)
		if err != nil {
			return gate.FeatureTable{}, true, err
		}
		schema, err := f.warehouse.Describe(ctx, warehouse.Input{Table: name})
		if err != nil {
			return gate.FeatureTable{}, true, err
		}
		allowed := append([]string{c.Label, c.DateColumn}, c.Exclude...) // an empty name is no column's
		return gate.FeatureTable{Name: c.FeaturesTable, Schema: schema, Keys: c.Keys, Allowed: allowed}, true, nil
	}
	return gate.FeatureTable{}, false, nil
}

// ledger satisfies scoring.Ledger from the store.
type ledger struct {
	store *store.Ledger
	all   store.Store // that store is a part of
}

func newLedger(s store.Store) *ledger { return &ledger{store: store.NewLedger(s), all: s} }

// Begin inserts or takes up the row of a batch.
func (l *ledger) Begin(ctx context.Context, b scoring.Batch) (int, error) {
	row, err := l.store.BeginBatch(ctx, toRow(b))
	return row.Attempt, err
}

// Phase moves a running batch to a phase.
func (l *ledger) Phase(ctx context.Context, id warehouse.BatchID, p scoring.Phase) error {
	return batchError(id, l.store.UpdateBatchPhase(ctx, string(id), string(p)))
}

// Finish stores the final row, and has the statistics of a batch that succeeded shown to SQL.
func (l *ledger) Finish(ctx context.Context, b scoring.Batch) error {
	return batchError(b.ID, l.all.Update(ctx, func(tx store.Tx) error {
		err := tx.FinishBatch(toRow(b))
		if err != nil || b.State != scoring.StateSucceeded {
			return err
		}
		of := monitor.BatchOf(b.Lineage.Model, b.Lineage.Version, string(b.ID))
		of.At = b.FinishedAt
		return monitor.Announce(tx, of)
	}))
}

// Get returns one row.
func (l *ledger) Get(ctx context.Context, id warehouse.BatchID) (scoring.Batch, error) {
	row, err := l.store.GetBatch(ctx, string(id))
	if err != nil {
		return scoring.Batch{}, batchError(id, err)
	}
	return fromRow(row)
}

// List returns rows, newest first.
func (l *ledger) List(ctx context.Context, model string, pageSize int, pageToken string) ([]scoring.Batch, string, error) {
	rows, next, err := l.store.ListBatches(ctx, store.BatchQuery{Model: model, PageSize: pageSize, PageToken: pageToken})
	if err != nil {
		return nil, "", err
	}
	out := make([]scoring.Batch, 0, len(rows))
	for _, r := range rows {
		b, err := fromRow(r)
		if err != nil {
			return nil, "", err
		}
		out = append(out, b)
	}
	return out, next, nil
}

func batchError(id warehouse.BatchID, err error) error {
	if errors.Is(err, store.ErrBatchNotFound) {
		return fmt.Errorf("batch %s: %w", id, scoring.ErrBatchNotFound)
	}
	return err
}

func toRow(b scoring.Batch) store.BatchRow {
	l := b.Lineage
	row := store.BatchRow{
		ID: string(b.ID), State: string(b.State), Phase: string(b.Phase),
		Lineage: store.Lineage{
			ModelName: l.Model, ModelVersion: l.Version, RunID: l.RunID, ModelDigest: l.Digest, Generation: l.Generation, GitSHA: l.GitSHA,
			TrainedAt: l.TrainedAt, FeatureSchemaHash: l.FeatureSchemaHash, EngineBuild: l.EngineBuild,
		},
		InputSource: b.InputSource, InputVersion: b.InputVersion, InputDate: b.InputDate, OutputTable: b.Output.String(),
		ConfigDigest: b.ConfigDigest, Rows: b.Rows, RowsRefused: b.RowsRefused,
		StartedAt: b.StartedAt, FinishedAt: b.FinishedAt, ScoredAt: b.ScoredAt,
		Histogram: b.Profile.Histogram, ScoreMin: b.Profile.Min, ScoreMax: b.Profile.Max, ScoreMean: b.Profile.Mean,
		PositiveRate: b.Profile.PositiveRate, DecisionThreshold: b.Threshold, OutputDigest: b.OutputDigest, Replaced: b.Replaced,
		Error: b.Error, Attempt: b.Attempt, PostProcessor: b.PostProcessor, PostProcessorDigest: b.PostProcessorDigest,
	}
	for _, t := range b.Timings {
		row.Timings = append(row.Timings, store.StepTiming{Step: t.Step, Duration: t.Duration})
	}
	return row
}

func fromRow(r store.BatchRow) (scoring.Batch, error) {
	out, err := warehouse.ParseOutput(r.OutputTable)
	if err != nil {
		return scoring.Batch{}, fmt.Errorf("batch %s in the state store: %w", r.ID, err)
	}
	l := r.Lineage
	b := scoring.Batch{
		ID: warehouse.BatchID(r.ID), State: scoring.State(r.State), Phase: scoring.Phase(r.Phase),
		Lineage: scoring.Lineage{
			Pinned: scoring.Pinned{
				Model: l.ModelName, Version: l.ModelVersion, Generation: l.Generation, RunID: l.RunID, Digest: l.ModelDigest, GitSHA: l.GitSHA,
				TrainedAt: l.TrainedAt,
			},
			FeatureSchemaHash: l.FeatureSchemaHash, EngineBuild: l.EngineBuild,
		},
		InputSource: r.InputSource, InputVersion: r.InputVersion, InputDate: r.InputDate, Output: out,
		ConfigDigest: r.ConfigDigest, Rows: r.Rows, RowsRefused: r.RowsRefused,
		StartedAt: r.StartedAt, FinishedAt: r.FinishedAt, ScoredAt: r.ScoredAt,
		Profile: scoring.Profile{
			Histogram: r.Histogram, Min: r.ScoreMin, Max: r.ScoreMax, Mean: r.ScoreMean, PositiveRate: r.PositiveRate,
		},
		Threshold: r.DecisionThreshold, OutputDigest: r.OutputDigest, Replaced: r.Replaced, Error: r.Error, Attempt: r.Attempt,
		PostProcessor: r.PostProcessor, PostProcessorDigest: r.PostProcessorDigest,
	}
	for _, t := range r.Timings {
		b.Timings = append(b.Timings, scoring.Timing{Step: t.Step, Duration: t.Duration})
	}
	return b, nil
}
