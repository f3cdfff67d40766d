package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
)

// computed satisfies orchestration.Features.
type computed struct{ features *feature.Service }

// Compute makes the rows of a date, or finds them made.
func (c computed) Compute(ctx context.Context, model, date string) (string, error) {
	m, err := c.features.Compute(ctx, model, date)
	switch {
	case err != nil:
		return "", err
	case m.Computed:
		return fmt.Sprintf("%d rows of %s computed", m.Rows, date), nil
	case m.Version == "":
		return "the table is filled by somebody else", nil
	default:
		return fmt.Sprintf("%d rows of %s were there", m.Rows, date), nil
	}
}

// judged satisfies orchestration.Gates.
type judged struct{ gates *gate.Service }

// Validate runs the gates and moves the version.
func (j judged) Validate(ctx context.Context, model string, version int64, actor string, progress func(string)) (orchestration.Verdict, error) {
	r, err := j.gates.Validate(ctx, gate.Request{
		Model: model, Version: version, Actor: actor, AuthMethod: daemonAuth,
		Progress: func(name string, r *gate.Result) {
			if r == nil {
				progress(name)
			}
		},
	})
	return verdict(r), err
}

// Report returns the latest stored verdict.
func (j judged) Report(ctx context.Context, model string, version int64) (orchestration.Verdict, error) {
	r, err := j.gates.Report(ctx, model, version)
	return verdict(r), err
}

func verdict(r gate.Report) orchestration.Verdict {
	return orchestration.Verdict{Passed: r.Passed(), Conclusive: r.Outcome != gate.Inconclusive, Explanation: r.Explanation}
}

// promoted satisfies orchestration.Promotions.
type promoted struct{ promotions *promotion.Service }

// Promote makes the version the Champion at the expected generation.
func (p promoted) Promote(ctx context.Context, r orchestration.PromotionRequest) (string, error) {
	c, err := p.promotions.Promote(ctx, promotion.Request{
		Model: r.Model, Version: r.Version, Reason: r.Reason, ExpectedGeneration: &r.ExpectedGeneration, Actor: r.Actor, AuthMethod: daemonAuth,
	})
	if err != nil {
		return "", err
	}
	if c.FromVersion == 0 {
		return fmt.Sprintf("version %d is the first Champion", c.ToVersion), nil
	}
	return fmt.Sprintf("version %d is Champion, version %d archived", c.ToVersion, c.FromVersion), nil
}

// daemonAuth is how the audit log says that the daemon acted by itself, for whoever asked for the run.
const daemonAuth = "daemon"

// scored satisfies orchestration.Batches.
type scored struct{ batcher *scoring.Batcher }

// Score runs the batch of a date with the present Champion.
func (s scored) Score(ctx context.Context, model, date string, progress func(string)) (orchestration.BatchResult, error) {
	req := scoring.Request{Model: model, Date: date}
	if c, ok := s.batcher.Config(model); ok && c.DateColumn == "" {
		req.Date = "" // the table is one day's
	}
	w, err := s.batcher.Start(ctx, req)
	if err != nil {
		return orchestration.BatchResult{}, err
	}
	for {
		e, err := w.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return orchestration.BatchResult{}, fmt.Errorf("batch of %s: %w", model, scoring.ErrInterrupted)
		case err != nil:
			return orchestration.BatchResult{}, err
		case e.Err != nil:
			return orchestration.BatchResult{}, e.Err
		case e.Batch != nil:
			if e.Batch.State != scoring.StateSucceeded {
				return orchestration.BatchResult{}, fmt.Errorf("batch %s %s: %s", e.Batch.ID, e.Batch.State, e.Batch.Error)
			}
			b := e.Batch
			return orchestration.BatchResult{
				ID: string(b.ID),
				Summary: fmt.Sprintf("%d rows with version %d into %s in %s", b.Rows, b.Lineage.Version, b.Output,
					b.FinishedAt.Sub(b.StartedAt).Round(time.Millisecond)),
			}, nil
		case e.RowsTotal > 0:
			progress(fmt.Sprintf("%s, %d of %d rows", e.Phase, e.RowsWritten, e.RowsTotal))
		default:
			progress(string(e.Phase))
		}
	}
}

// trained satisfies orchestration.Trainings.
type trained struct{ trainings *training.Service }

// Trigger accepts a training, or finds the one of the same key.
func (t trained) Trigger(ctx context.Context, r orchestration.TrainingRequest) (orchestration.TrainingRef, error) {
	row, joined, err := t.trainings.Trigger(ctx, training.Request{
		Model: r.Model, ComputeDate: r.ComputeDate, Trigger: r.Trigger, Reason: r.Reason, GitSHA: r.GitSHA, IdempotencyKey: r.Key,
		Actor: r.Actor, AuthMethod: daemonAuth,
	})
	return orchestration.TrainingRef{ID: row.ID, Joined: joined && row.IdempotencyKey != r.Key}, err
}

// Wait waits until the training has ended.
func (t trained) Wait(ctx context.Context, id string, progress func(string)) (orchestration.TrainingResult, error) {
	row, err := t.trainings.Wait(ctx, id, func(row store.Training) {
		text := row.State
		if row.State == store.TrainingRunning && row.Step != "" {
			text = row.Step
		}
		progress(text)
	})
	if err != nil {
		return orchestration.TrainingResult{}, err
	}
	out := orchestration.TrainingResult{Succeeded: row.State == store.TrainingSucceeded, Version: row.Version}
	if !out.Succeeded {
		out.Summary = row.Error
		if row.Hint != "" {
			out.Summary += "; " + row.Hint
		}
		return out, nil
	}
	out.Summary = fmt.Sprintf("trained from %d rows in %s", row.InputRows,
		row.FinishedAt.Sub(row.CreatedAt).Round(100*time.Millisecond))
	if auc, ok := row.Metrics["auc"]; ok {
		out.Summary += fmt.Sprintf(", AUC %.4f", auc)
	}
	return out, nil
}

// Cancel ends the training that was accepted under the key.
func (t trained) Cancel(ctx context.Context, key, reason, actor string) error {
	row, err := t.trainings.ByKey(ctx, key)
	if err == nil {
		_, err = t.trainings.Cancel(ctx, row.ID, reason, actor)
	}
	if errors.Is(err, store.ErrTrainingNotFound) || errors.Is(err, training.ErrEnded) {
		return nil
	}
	return err
}
