package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
)

// chainInput is the input of a model's workflow.
type chainInput struct {
	chainPlan

	RunID   string `json:"run_id"`
	Date    string `json:"compute_date"`
	Trigger string `json:"trigger"`
	Reason  string `json:"reason,omitempty"`
	Actor   string `json:"actor,omitempty"`
	GitSHA  string `json:"git_sha,omitempty"`
}

// covers reports whether this chain does what another one is wanted for.
func (c chainInput) covers(other chainInput) bool {
	for _, s := range other.Steps {
		if !c.has(s) {
			return false
		}
	}
	return c.Date == other.Date
}

// outcome is the journaled end of a node, under the node's step.
type outcome struct {
	State     State     `json:"state"`
	Message   string    `json:"message,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Refused   bool      `json:"refused,omitempty"`
	Champion  int64     `json:"champion,omitempty"` // that stays, of a node that did not succeed
	StartedAt time.Time `json:"started_at"`
}

func (o outcome) succeeded() bool { return o.State == Succeeded || o.State == AwaitingApproval }

// keeps says what stays as it was.
func (o outcome) keeps() string {
	if o.Champion == 0 {
		return ""
	}
	return fmt.Sprintf("; version %d stays the Champion", o.Champion)
}

// result is the journaled effect of a node, under the node's step with "/do".
type result struct {
	StartedAt time.Time `json:"started_at"`
	Summary   string    `json:"summary,omitempty"`
	Subject   string    `json:"subject,omitempty"`
	Error     string    `json:"error,omitempty"` // it did not succeed
	Version   int64     `json:"version,omitempty"`
	// Of a validation.
	Passed     bool `json:"passed,omitempty"`
	Conclusive bool `json:"conclusive,omitempty"`
	// Of a batch: it was left out.
	NoChampion bool `json:"no_champion,omitempty"`
}

// candidate is the journaled beginning of a validation or promotion.
type candidate struct {
	Version    int64  `json:"version"`
	Champion   int64  `json:"champion"` // 0 when there is none
	Generation int64  `json:"generation"`
	Evidence   int64  `json:"evidence"`          // id of the latest before the validation
	Missing    string `json:"missing,omitempty"` // why there is no version
}

// walk is one execution of a model's workflow.
type walk struct {
	s  *Service
	c  *workflow.Context
	in chainInput

	outcomes map[Step]outcome
	trained  int64 // by this chain
	cand     candidate
}

// chain is the workflow of one model: its nodes one after the other. That a node fails is an outcome; an error is one of
// the machinery, or the end of the daemon or of the run.
func (s *Service) chain(c *workflow.Context, raw json.RawMessage) (any, error) {
	w := &walk{s: s, c: c, outcomes: map[Step]outcome{}}
	if err := json.Unmarshal(raw, &w.in); err != nil {
		return nil, fmt.Errorf("input of chain %s: %w", c.ID(), err)
	}
	defer s.live.forget(c.ID())
	err := w.walk()
	if err != nil && errors.Is(context.Cause(c), workflow.ErrCancelled) {
		if err := w.abandon(); err != nil {
			return nil, err
		}
	}
	return nil, err
}

func (w *walk) walk() error {
	nodes := map[Step]func() (outcome, error){
		StepFeatures: w.features, StepTrain: w.train, StepValidate: w.validate, StepPromote: w.promote, StepScore: w.score,
	}
	for _, step := range w.in.Steps {
		var (
			o   outcome
			err error
		)
		if why := w.blocked(step); why != "" {
			o, err = w.settle(step, func(store.Tx) (outcome, error) {
				return outcome{State: Skipped, Message: why, StartedAt: w.s.now()}, nil
			})
		} else {
			o, err = nodes[step]()
		}
		if err != nil {
			return err
		}
		w.outcomes[step] = o
		w.s.live.forget(w.c.ID())
	}
	return nil
}

// abandon ends the training that a cancelled chain may have under way. The key finds it also when a crash came before the
// journal knew of it.
func (w *walk) abandon() error {
	if _, over := w.outcomes[StepTrain]; over || !w.in.has(StepTrain) {
		return nil
	}
	c := w.c.Cleanup()
	_, err := workflow.Step(c, string(StepTrain)+"/cancel", func(ctx context.Context) (bool, error) {
		return true, w.s.d.Trainings.Cancel(ctx, w.key(), w.s.cancelReason(ctx, c.ID()), w.in.Actor)
	})
	return err
}

// key is the idempotency key of the training.
func (w *walk) key() string { return w.in.RunID + "/" + nodeID(w.in.Model, StepTrain) }

// blocked says why a node is left out, "" when it is not: the node that stopped it, whose own message has the cause. A
// batch needs its features only: whatever became of a candidate, the present Champion scores.
func (w *walk) blocked(step Step) string {
	before := Step("")
	for _, s := range w.in.Steps {
		if s == step {
			break
		}
		before = s
	}
	if step == StepScore {
		before = StepFeatures
	}
	o, asked := w.outcomes[before]
	switch {
	case !asked || o.succeeded():
		return ""
	case o.State == Skipped:
		return o.Message // names the one before
	case o.Refused:
		return fmt.Sprintf("blocked by %s%s", before, o.keeps())
	default:
		return fmt.Sprintf("%s failed%s", before, o.keeps())
	}
}

// do has an effect once a slot is free. An error of f is the node's failure, unless everything ends.
func (w *walk) do(step Step, f func(ctx context.Context, progress func(string)) (result, error)) (result, error) {
	s, id := w.s, w.c.ID()
	return workflow.Step(w.c, string(step)+"/do", func(ctx context.Context) (result, error) {
		s.live.set(id, func(n *liveNode) { *n = liveNode{step: step, state: Pending} })
		release, err := s.slots.take(ctx, step == StepTrain, func(what string) {
			s.live.set(id, func(n *liveNode) { n.message = "waits for another " + what + " to end" })
		})
		if err != nil {
			return result{}, err
		}
		defer release()
		at := s.now()
		s.live.set(id, func(n *liveNode) { *n = liveNode{step: step, state: Running, at: at} })
		r, err := f(ctx, func(text string) {
			s.live.set(id, func(n *liveNode) { n.message = line(text) })
		})
		r.StartedAt = at
		if err != nil {
			if ctx.Err() != nil {
				return result{}, context.Cause(ctx)
			}
			r.Error = line(err.Error())
		}
		return r, nil
	})
}

// settle journals the outcome of a node, and what f writes with it.
func (w *walk) settle(step Step, f func(tx store.Tx) (outcome, error)) (outcome, error) {
	return workflow.StepTx(w.c, string(step), f)
}

func (w *walk) features() (outcome, error) {
	r, err := w.do(StepFeatures, func(ctx context.Context, _ func(string)) (result, error) {
		summary, err := w.s.d.Features.Compute(ctx, w.in.Model, w.in.Date)
		return result{Summary: summary}, err
	})
	if err != nil {
		return outcome{}, err
	}
	return w.settle(StepFeatures, func(tx store.Tx) (outcome, error) { return w.plain(tx, StepFeatures, r) })
}

func (w *walk) train() (outcome, error) {
	r, err := w.do(StepTrain, func(ctx context.Context, progress func(string)) (result, error) {
		ref, err := w.s.d.Trainings.Trigger(ctx, TrainingRequest{
			Model: w.in.Model, ComputeDate: w.in.Date, Trigger: w.in.Trigger, Reason: w.in.Reason, Actor: w.in.Actor,
			GitSHA: w.in.GitSHA, Key: w.key(),
		})
		if err != nil {
			return result{}, err
		}
		w.s.live.set(w.c.ID(), func(n *liveNode) { n.subject = ref.ID })
		joined := ""
		if ref.Joined {
			joined = "joined training " + ref.ID + ": "
		}
		t, err := w.s.d.Trainings.Wait(ctx, ref.ID, func(text string) { progress(joined + text) })
		if err != nil {
			return result{Subject: ref.ID}, err
		}
		r := result{Subject: ref.ID, Summary: joined + t.Summary, Version: t.Version}
		if !t.Succeeded {
			r.Error = line(r.Summary)
		}
		return r, nil
	})
	if err != nil {
		return outcome{}, err
	}
	w.trained = r.Version
	return w.settle(StepTrain, func(tx store.Tx) (outcome, error) {
		if r.Error == "" {
			r.Summary = fmt.Sprintf("version %d: %s", r.Version, r.Summary)
		}
		return w.plain(tx, StepTrain, r)
	})
}

// begin finds the version that a step is about, and reads what a promotion must find unchanged.
func (w *walk) begin(step Step, from stage.Stage) (candidate, error) {
	return workflow.StepTx(w.c, string(step)+"/begin", func(tx store.Tx) (c candidate, err error) {
		m, err := tx.Model(w.in.Model)
		if errors.Is(err, store.ErrModelNotFound) {
			return candidate{Missing: "the model has no version yet; train one"}, nil
		}
		if err != nil {
			return c, err
		}
		c.Champion, c.Generation, c.Version = m.Champion, m.Generation, w.trained
		if c.Version == 0 {
			v, err := tx.NewestVersion(w.in.Model, string(from))
			if errors.Is(err, store.ErrVersionNotFound) {
				c.Missing = fmt.Sprintf("no version is %s; train one", from.Title())
				return c, nil
			}
			if err != nil {
				return c, err
			}
			c.Version = v.Version
		}
		e, err := tx.Evidence(w.in.Model, c.Version)
		if err != nil && !errors.Is(err, store.ErrNoEvidence) {
			return c, err
		}
		c.Evidence = e.ID
		return c, nil
	})
}

func (w *walk) validate() (o outcome, err error) {
	if w.cand, err = w.begin(StepValidate, stage.Trained); err != nil {
		return outcome{}, err
	}
	version := strconv.FormatInt(w.cand.Version, 10)
	r, err := w.do(StepValidate, func(ctx context.Context, progress func(string)) (result, error) {
		if w.cand.Missing != "" {
			return result{}, errors.New(w.cand.Missing)
		}
		// A crash may have come between the verdict and its journal entry. The verdict counts: a version that was
		// rejected cannot be validated again.
		judged, err := w.judged(ctx)
		if err != nil {
			return result{Subject: version}, err
		}
		var v Verdict
		if judged {
			v, err = w.s.d.Gates.Report(ctx, w.in.Model, w.cand.Version)
		} else {
			v, err = w.s.d.Gates.Validate(ctx, w.in.Model, w.cand.Version, w.in.Actor, progress)
		}
		return result{Subject: version, Summary: v.Explanation, Passed: v.Passed, Conclusive: v.Conclusive}, err
	})
	if err != nil {
		return outcome{}, err
	}
	return w.settle(StepValidate, func(tx store.Tx) (outcome, error) {
		if r.Error != "" || r.Passed {
			return w.plain(tx, StepValidate, r)
		}
		verb := "blocked"
		if !r.Conclusive {
			verb = "not judged"
		}
		o := outcome{
			State: Failed, Refused: true, Subject: r.Subject, StartedAt: r.StartedAt, Champion: w.cand.Champion,
			Message: line(fmt.Sprintf("version %s is %s: %s", version, verb, r.Summary)),
		}
		return o, w.alertRefused(tx, o, r.Conclusive)
	})
}

// judged reports whether there is evidence newer than the beginning of the validation.
func (w *walk) judged(ctx context.Context) (yes bool, err error) {
	err = w.s.d.Store.View(ctx, func(r store.Reader) error {
		e, err := r.Evidence(w.in.Model, w.cand.Version)
		if errors.Is(err, store.ErrNoEvidence) {
			return nil
		}
		yes = e.ID > w.cand.Evidence
		return err
	})
	return yes, err
}

func (w *walk) promote() (o outcome, err error) {
	if !w.in.has(StepValidate) {
		if w.cand, err = w.begin(StepPromote, stage.Validated); err != nil {
			return outcome{}, err
		}
	}
	version := strconv.FormatInt(w.cand.Version, 10)
	if w.in.Policy == PolicyPropose && w.cand.Missing == "" {
		return w.settle(StepPromote, func(tx store.Tx) (outcome, error) {
			o := outcome{State: AwaitingApproval, Subject: version, StartedAt: w.s.now()}
			o.Message = fmt.Sprintf("version %s awaits approval: %s", version, promoteCommand(w.in.Model, w.cand.Version, w.cand.Generation))
			return o, w.alertProposal(tx, o)
		})
	}
	r, err := w.do(StepPromote, func(ctx context.Context, _ func(string)) (result, error) {
		if w.cand.Missing != "" {
			return result{}, errors.New(w.cand.Missing)
		}
		// A crash may have come between the promotion and its journal entry.
		champion, err := w.champion(ctx)
		if err != nil {
			return result{Subject: version}, err
		}
		if champion == w.cand.Version {
			return result{Subject: version, Summary: fmt.Sprintf("version %s is the Champion", version)}, nil
		}
		reason := "passed its gates in run " + w.in.RunID
		if w.in.Reason != "" {
			reason += ": " + w.in.Reason
		}
		summary, err := w.s.d.Promotions.Promote(ctx, PromotionRequest{
			Model: w.in.Model, Version: w.cand.Version, ExpectedGeneration: w.cand.Generation, Reason: reason, Actor: w.in.Actor,
		})
		return result{Subject: version, Summary: summary}, err
	})
	if err != nil {
		return outcome{}, err
	}
	return w.settle(StepPromote, func(tx store.Tx) (outcome, error) { return w.plain(tx, StepPromote, r) })
}

// champion is the present Champion, 0 when there is none.
func (w *walk) champion(ctx context.Context) (version int64, err error) {
	err = w.s.d.Store.View(ctx, func(r store.Reader) error {
		m, err := r.Model(w.in.Model)
		if errors.Is(err, store.ErrModelNotFound) {
			return nil
		}
		version = m.Champion
		return err
	})
	return version, err
}

func (w *walk) score() (outcome, error) {
	r, err := w.do(StepScore, func(ctx context.Context, progress func(string)) (result, error) {
		champion, err := w.champion(ctx)
		if err != nil {
			return result{}, err
		}
		if champion == 0 {
			return result{NoChampion: true, Summary: "the model has no Champion yet"}, nil
		}
		b, err := w.s.d.Batches.Score(ctx, w.in.Model, w.in.Date, progress)
		return result{Subject: b.ID, Summary: b.Summary}, err
	})
	if err != nil {
		return outcome{}, err
	}
	return w.settle(StepScore, func(tx store.Tx) (outcome, error) {
		if r.NoChampion {
			// With a candidate in this chain that is known already; without, somebody expects a batch.
			if w.in.has(StepTrain) || w.in.has(StepValidate) || w.in.has(StepPromote) {
				return outcome{State: Skipped, Message: r.Summary, StartedAt: r.StartedAt}, nil
			}
			r.Error = r.Summary + "; promote a version first"
		}
		return w.plain(tx, StepScore, r)
	})
}

// plain is the outcome of a node that succeeded or failed. It alerts of a failure and resolves that of an earlier one.
func (w *walk) plain(tx store.Tx, step Step, r result) (outcome, error) {
	o := outcome{State: Succeeded, Message: line(r.Summary), Subject: r.Subject, StartedAt: r.StartedAt}
	if r.Error != "" {
		o.State, o.Message = Failed, line(r.Error)
		m, err := tx.Model(w.in.Model)
		if err != nil && !errors.Is(err, store.ErrModelNotFound) {
			return outcome{}, err
		}
		o.Champion = m.Champion
	}
	return o, w.alertNode(tx, step, o)
}
