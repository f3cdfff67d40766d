// Package trigger decides when a model is trained again.
//
//	condition (drift, new data, performance, max age) --due-->  limits  --may--> the retraining chain begins
//	schedule, a person  --------------------------------------->   |
//	                                                               +-- may not: cooldown, weekly limit, blackout, propose
//
// # Invariants
//
//	T1  A decision and what it begins are one transaction: a fired decision has its run, and a run that a trigger began
//	    has its decision.
//	T2  Of any number of evaluations at once one begins a retraining of a model. The others join it and say so.
//	T3  What was decided is kept with its figures. A condition that is looked at again and again with the same outcome
//	    is kept once: not_due, cooldown, weekly_limit and inconclusive are stored when the outcome of that model and kind
//	    is another one than before, coalesced when it is another run that was joined. fired and proposed, and whatever a
//	    person or the schedule asked for, are always stored. So the table grows with what happens, not with time.
//	T4  A retraining that somebody asked for by hand is held to the cooldown, too, unless it is to be ignored.
//
// # Limits
//
// The cooldown counts from the latest retraining that any trigger of the model fired. It doubles for each refused
// candidate in a row (a validation that said no, or could not say), up to MaxCooldown, and then counts from when the
// latest of them was refused. A promoted candidate, or one that a person decides on, ends the row; so does a training that
// failed, since there was no candidate. The week of MaxPerWeek is the 168 hours before now. All of this is in durations
// of UTC.
//
// A schedule has its spacing in its expression. It counts for the limits of the others and is itself held to blackouts
// and, after refused candidates, to the doubled cooldown, counted from the firing before and less a tenth of Cooldown,
// so that a daily schedule with a cooldown of a day leaves out one day after one refusal. LimitSchedule holds it to
// Cooldown and MaxPerWeek as well.
//
// # Concurrency
//
// A Service serves any number of goroutines. Start and Stop own one goroutine.
package trigger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/store"
)

// The kinds of triggers.
const (
	Manual      = "manual"
	Scheduled   = "schedule"
	Drift       = "drift"
	NewData     = "new_data"
	Performance = "performance"
	MaxAge      = "max_age"
)

// The outcomes of a decision.
const (
	Fired        = "fired"
	Coalesced    = "coalesced"    // joined a retraining that was under way
	Cooldown     = "cooldown"     // too soon, or a blackout
	WeeklyLimit  = "weekly_limit" // often enough
	NotDue       = "not_due"      // the condition does not hold
	Proposed     = "proposed"     // alerted for a person to start
	Inconclusive = "inconclusive" // the condition could not be judged
)

// Decision is what a policy decided at one moment, and why. Its ID is 0 when it was not stored (T3, or a dry run).
type Decision = store.Decision

// Request asks for a retraining.
type Request struct {
	Model string
	Kind  string // Manual (when empty) or Scheduled
	// ComputeDate is YYYY-MM-DD; "" means today in UTC.
	ComputeDate           string
	Reason, Actor, GitSHA string
	// IgnoreCooldown fires in spite of a cooldown, a weekly limit or a blackout.
	IgnoreCooldown bool
}

// State is a trigger as it stands.
type State struct {
	Model, Kind   string
	Enabled       bool
	Description   string    // the policy in words, with its figures
	LastFiredAt   time.Time // zero when it never fired
	CooldownUntil time.Time // zero when it may fire now
	FiredThisWeek int       // by any trigger of the model
	MaxPerWeek    int       // 0 means no bound
	ProposeOnly   bool
}

// Sentinel errors.
var (
	// ErrUnknownModel: the model has no trigger policy. The message names those that have.
	ErrUnknownModel = errors.New("trigger: model not configured")
	// ErrInvalid: the request is wrong. The message says where.
	ErrInvalid = errors.New("trigger: request not valid")
)

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Policies []Policy // at most one a model
	Chain    Chain
	// Alert raises and resolves alerts in a transaction; alert.Put. Nil alerts nobody.
	Alert func(tx store.Tx, a alert.Alert) error

	// The conditions' sources. A condition whose source is nil is inconclusive.
	Drift       DriftSource
	Data        DataSource
	Performance PerformanceSource

	// Day is the day to train through when a condition fires, "" for today in UTC; LatestDay, for one. Nil is today.
	Day func(r store.Reader, model string) (string, error)

	Interval time.Duration    // between evaluations in the background; 5 min when 0
	Now      func() time.Time // time.Now when nil
	Logger   *slog.Logger     // discards when nil
}

// DefaultInterval is the time between evaluations.
const DefaultInterval = 5 * time.Minute

// Service decides.
type Service struct {
	d    Deps
	wake chan struct{} // of capacity 1

	mu    sync.Mutex
	woken []string           // models to look at, each once
	stop  context.CancelFunc // nil when not running
	done  chan struct{}
}

// New returns a Service whose background evaluation does not run.
func New(d Deps) *Service {
	if d.Interval <= 0 {
		d.Interval = DefaultInterval
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	d.Policies = slices.Clone(d.Policies)
	for i := range d.Policies {
		p := &d.Policies[i]
		if p.MaxCooldown <= 0 {
			p.MaxCooldown = DefaultMaxCooldown
		}
		p.MaxCooldown = max(p.MaxCooldown, p.Cooldown)
	}
	return &Service{d: d, wake: make(chan struct{}, 1)}
}

func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) policy(model string) (Policy, error) {
	names := make([]string, len(s.d.Policies))
	for i, p := range s.d.Policies {
		if p.Model == model {
			return p, nil
		}
		names[i] = p.Model
	}
	known := "none has"
	if len(names) > 0 {
		known = "those with one: " + strings.Join(names[:min(len(names), 20)], ", ")
	}
	return Policy{}, fmt.Errorf("%w: %q has no trigger policy; %s", ErrUnknownModel, model, known)
}

// Fire asks for a retraining in somebody's name, or the schedule's. That it may not fire is a decision, not an error. It
// fails with ErrUnknownModel, ErrInvalid, or what Chain.Begin fails with.
func (s *Service) Fire(ctx context.Context, r Request) (Decision, error) {
	p, err := s.policy(r.Model)
	if err != nil {
		return Decision{}, err
	}
	if r.Kind == "" {
		r.Kind = Manual
	}
	if r.Kind != Manual && r.Kind != Scheduled {
		return Decision{}, fmt.Errorf("kind %q is neither %s nor %s: %w", r.Kind, Manual, Scheduled, ErrInvalid)
	}
	if r.ComputeDate != "" {
		if _, err := time.Parse(time.DateOnly, r.ComputeDate); err != nil {
			return Decision{}, fmt.Errorf("compute date %q is not a day such as 2026-11-02: %w", r.ComputeDate, ErrInvalid)
		}
	}
	if err := orchestration.CheckTexts(r.Reason, r.Actor, r.GitSHA); err != nil {
		return Decision{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	reason := "asked for by " + orUnknown(r.Actor)
	if r.Kind == Scheduled {
		reason = "the schedule is due"
	}
	if r.Reason != "" {
		reason += ": " + r.Reason
	}
	return s.settle(ctx, p, r, finding{due: true, reason: reason}, false)
}

func orUnknown(actor string) string {
	if actor == "" {
		return "unknown"
	}
	return actor
}

// Evaluate looks at every condition of a model's policy now, and begins what is due. A dry run says what would happen,
// begins nothing and stores nothing. It fails with ErrUnknownModel, or what the store or Chain.Begin fails with; a source
// that fails makes its condition inconclusive.
func (s *Service) Evaluate(ctx context.Context, model, actor string, dryRun bool) ([]Decision, error) {
	p, err := s.policy(model)
	if err != nil {
		return nil, err
	}
	var out []Decision
	fired := false
	for _, kind := range p.conditions() {
		f, err := s.find(ctx, p, kind)
		if err != nil {
			return out, err
		}
		if dryRun && fired && f.due {
			out = append(out, Decision{
				Model: model, Kind: kind, At: s.now(), Outcome: Coalesced, Actor: actor, Evidence: f.evidence,
				Reason: f.reason + "; would join the retraining of the condition before",
			})
			continue
		}
		d, err := s.settle(ctx, p, Request{Model: model, Kind: kind, Actor: actor}, f, dryRun)
		if err != nil {
			return out, err
		}
		fired = fired || d.Outcome == Fired
		out = append(out, d)
	}
	return out, nil
}

// Decisions lists decisions, the newest first, and the token of the next page ("" at the end).
func (s *Service) Decisions(ctx context.Context, q store.DecisionQuery) (out []Decision, next string, err error) {
	err = s.d.Store.View(ctx, func(r store.Reader) (err error) {
		out, next, err = r.Decisions(q)
		return err
	})
	return out, next, err
}
