package gate

import (
	"context"

	"github.com/treeline-ml/treeline/lifecycle/version"
)

// run is one validation on its way through the gates.
type run struct {
	s        *Service
	v        version.Version
	policy   Policy
	governed bool // there is a policy
	tell     Progress
	minRows  int64
	columns  bool

	gates    []Result
	loaded   *loaded
	trial    *trial // nil when there are no usable holdout rows
	why      string // then, in words
	tried    bool
	rival    *rival
	champion *opponent // for the evidence; nil when no gate compared
}

// all runs the gates in order. An error is one of the machinery, not a verdict.
func (r *run) all(ctx context.Context) error {
	err := r.one(Artifact, func() (result Result, err error) {
		result, r.loaded, err = r.s.artifact(ctx, r.v, r.columns)
		return result, err
	})
	if err != nil {
		return err
	}
	if err := r.one(Parity, func() (Result, error) {
		if r.loaded == nil {
			return notRun(Parity), nil
		}
		return r.s.parity(ctx, r.v, r.loaded, r.minRows)
	}); err != nil || !r.governed {
		return err
	}
	for _, g := range []struct {
		name string
		run  func(ctx context.Context) (Result, error)
	}{
		{AUCFloor, r.onTrial(AUCFloor, func(t *trial) Result { return aucFloor(t, r.policy.AUCFloor, r.v) })},
		{ChampionChallenger, r.compare},
		{Slices, r.onTrial(Slices, func(t *trial) Result { return slicesGate(t, r.policy.Slices) })},
		{Calibration, r.onTrial(Calibration, func(t *trial) Result { return calibration(t, r.policy.Calibration) })},
		{FeatureStability, r.stability},
		{NoDrift, func(ctx context.Context) (Result, error) { return r.s.noDrift(ctx, r.v, r.loaded, r.policy.NoDrift) }},
		{Validator, func(ctx context.Context) (Result, error) { return r.s.validator(ctx, r.v, r.loaded, r.policy) }},
	} {
		if r.policy.Mode(g.name) == Off {
			continue
		}
		if err := r.one(g.name, func() (Result, error) {
			if r.loaded == nil {
				return notRun(g.name), nil
			}
			return g.run(ctx)
		}); err != nil {
			return err
		}
	}
	return nil
}

// one runs a gate and tells of it.
func (r *run) one(gate string, f func() (Result, error)) error {
	if r.tell != nil {
		r.tell(gate, nil)
	}
	result, err := f()
	if err != nil {
		return err
	}
	result.Gate, result.Required = gate, r.policy.Mode(gate) == Required
	if result.Outcome == Pass {
		result.Hint = ""
	}
	r.gates = append(r.gates, result)
	if r.tell != nil {
		shown := result
		r.tell(gate, &shown)
	}
	return nil
}

// notRun is the verdict of a gate that needs a model which the artifact gate refused.
func notRun(gate string) Result {
	return Result{
		Gate: gate, Outcome: Inconclusive, Summary: "not run: the artifact gate failed", Hint: "see to the artifact gate first",
	}
}

// try scores the holdout rows, once.
func (r *run) try(ctx context.Context) (err error) {
	if r.tried {
		return nil
	}
	r.tried = true
	if r.rival, err = r.s.present(ctx, r.v); err != nil {
		return err
	}
	r.trial, r.why, err = r.s.examine(ctx, r.v, r.loaded, r.policy, r.rival)
	return err
}

// onTrial is a gate that needs the holdout rows.
func (r *run) onTrial(gate string, f func(*trial) Result) func(context.Context) (Result, error) {
	return func(ctx context.Context) (Result, error) {
		if err := r.try(ctx); err != nil {
			return Result{}, err
		}
		if r.trial == nil {
			return noTrial(gate, r.why), nil
		}
		return f(r.trial), nil
	}
}

// compare runs champion_challenger and notes whom it compared with.
func (r *run) compare(ctx context.Context) (Result, error) {
	if err := r.try(ctx); err != nil {
		return Result{}, err
	}
	r.champion = &opponent{}
	if r.rival != nil {
		r.champion.Version, r.champion.Digest = r.rival.version.Version, r.rival.version.Digest
	}
	if r.trial == nil {
		if r.rival == nil {
			return championChallenger(&trial{}, r.policy.ChampionChallenger, 0, 0), nil
		}
		return noTrial(ChampionChallenger, r.why), nil
	}
	spent, err := r.s.spent(ctx, r.v, r.trial.digest)
	if err != nil {
		return Result{}, err
	}
	return championChallenger(r.trial, r.policy.ChampionChallenger, spent, r.policy.HoldoutBudget), nil
}

func (r *run) stability(ctx context.Context) (Result, error) {
	if err := r.try(ctx); err != nil {
		return Result{}, err
	}
	return r.s.featureStability(ctx, r.v, r.loaded, r.trial, r.rival, r.policy.FeatureStability)
}
