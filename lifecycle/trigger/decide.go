package trigger

import (
	"context"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// ChainRequest asks for the retraining chain of a model.
type ChainRequest struct {
	Model, ComputeDate, Trigger, Reason, Actor, GitSHA string
}

// Result is what became of a retraining.
type Result string

// The results.
const (
	ResultRunning  Result = "running"
	ResultAccepted Result = "accepted" // promoted, or waiting for a person to promote it
	ResultRefused  Result = "refused"  // a validation said no, or could not say
	ResultFailed   Result = "failed"   // no candidate, or it could not be judged or promoted; or cancelled
)

// Outcome is what became of a retraining, and when.
type Outcome struct {
	Result Result
	At     time.Time // zero while it runs
}

// Chain is the retraining chain: features, train, validate, promote, score of one model.
type Chain interface {
	// Begin begins it in the transaction and returns the id of its run.
	Begin(tx store.Tx, r ChainRequest) (runID string, err error)
	// Wake is called after the transaction has committed.
	Wake()
	// Active returns the run that is about to train the model, or does, or has its candidate in hand; "" when there is none.
	Active(r store.Reader, model string) (runID string, err error)
	Outcome(r store.Reader, runID, model string) (Outcome, error)
}

// settle decides about a finding, stores the decision and begins the chain, all in one transaction.
func (s *Service) settle(ctx context.Context, p Policy, r Request, f finding, dryRun bool) (d Decision, err error) {
	if dryRun {
		err = s.d.Store.View(ctx, func(tx store.Reader) error {
			d, err = s.decide(tx, p, r, f)
			return err
		})
		return d, err
	}
	err = s.d.Store.Update(ctx, func(tx store.Tx) error {
		if d, err = s.decide(tx, p, r, f); err != nil {
			return err
		}
		return s.enact(tx, p, r, &d)
	})
	if err != nil {
		return Decision{}, err
	}
	if d.Outcome == Fired {
		s.d.Chain.Wake()
	}
	if d.ID != 0 {
		s.d.Logger.InfoContext(ctx, "trigger decided", "model", d.Model, "kind", d.Kind, "outcome", d.Outcome, "reason", d.Reason,
			"run", d.RunID, "actor", d.Actor)
	}
	return d, nil
}

// decide changes nothing.
func (s *Service) decide(tx store.Reader, p Policy, r Request, f finding) (Decision, error) {
	now := s.now()
	d := Decision{Model: p.Model, Kind: r.Kind, At: now, Actor: r.Actor, Reason: f.reason, Evidence: f.evidence}
	switch {
	case f.inconclusive:
		d.Outcome = Inconclusive
		return d, nil
	case !f.due:
		d.Outcome = NotDue
		return d, nil
	}
	active, err := s.d.Chain.Active(tx, p.Model)
	if err != nil {
		return Decision{}, err
	}
	if active != "" {
		d.Outcome, d.RunID = Coalesced, active
		d.Reason += "; joined run " + active + ", which is retraining the model"
		return d, nil
	}
	h, err := s.history(tx, &p, now)
	if err != nil {
		return Decision{}, err
	}
	proposed, err := proposedAt(tx, &p, r.Kind)
	if err != nil {
		return Decision{}, err
	}
	l := p.limit(r.Kind, h, proposed, now)
	switch {
	case l.outcome != "" && r.IgnoreCooldown:
		d.Outcome = Fired
		d.Reason += "; in spite of a limit: " + l.reason
	case l.outcome != "":
		d.Outcome = l.outcome
		d.Reason += "; but " + l.reason
	case p.ProposeOnly && r.Kind != Manual:
		d.Outcome = Proposed
		d.Reason += "; a person starts the training: " + command(p.Model)
	default:
		d.Outcome = Fired
	}
	return d, nil
}

// command starts a retraining by hand.
func command(model string) string {
	return fmt.Sprintf("ctl trigger fire %s --reason WHY", model)
}

// enact stores a decision that is to be stored (T3) and does what it says.
func (s *Service) enact(tx store.Tx, p Policy, r Request, d *Decision) (err error) {
	switch d.Outcome {
	case Fired:
		if r.ComputeDate == "" && r.Kind != Manual && r.Kind != Scheduled && s.d.Day != nil {
			if r.ComputeDate, err = s.d.Day(tx, p.Model); err != nil {
				return err
			}
		}
		d.RunID, err = s.d.Chain.Begin(tx, ChainRequest{
			Model: p.Model, ComputeDate: r.ComputeDate, Trigger: r.Kind, Reason: d.Reason, Actor: r.Actor, GitSHA: r.GitSHA,
		})
		if err == nil {
			err = s.alert(tx, p, *d, true)
		}
	case Proposed:
		err = s.alert(tx, p, *d, false)
	default:
		if r.Kind != Manual && r.Kind != Scheduled {
			again, err := repeated(tx, *d)
			if err != nil || again {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	d.ID, err = tx.PutDecision(*d)
	return err
}

// repeated reports whether the latest stored decision of the kind says the same.
func repeated(r store.Reader, d Decision) (bool, error) {
	last, _, err := r.Decisions(store.DecisionQuery{Model: d.Model, Kind: d.Kind, PageSize: 1})
	if err != nil || len(last) == 0 {
		return false, err
	}
	return last[0].Outcome == d.Outcome && (d.Outcome != Coalesced || last[0].RunID == d.RunID), nil
}

// LatestDay is the day of the model's latest batch: what a condition saw is in the data up to it, and the features of a
// later day may not be there yet. It is "" when no batch was of one day.
func LatestDay(r store.Reader, model string) (string, error) {
	rows, _, err := r.Batches(store.BatchQuery{Model: model, State: store.BatchSucceeded, PageSize: 1})
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0].InputDate, nil
}
