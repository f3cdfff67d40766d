// Package trigger decides when a model is trained again.
package trigger

import (
	"context"
	"errors"
	"time"

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

// Decision is what a policy decided at one moment, and why.
type Decision = store.Decision

// Policy says when a model is trained again. A condition that is nil is off.
type Policy struct {
	Model string
	Owner string // named in alerts
	// Cooldown is the least time between two retrainings.
	Cooldown time.Duration
	// MaxCooldown caps the cooldown, which doubles with each refused candidate in a row. 30 days when 0, and never less
	// than Cooldown.
	MaxCooldown time.Duration
	MaxPerWeek  int // in seven days; 0 means no bound
	ProposeOnly bool
	Blackout    []Blackout

	// Schedule: the model has a training schedule.
	Schedule bool
	// LimitSchedule holds the schedule to Cooldown and MaxPerWeek, too.
	LimitSchedule bool

	Drift       *DriftPolicy
	NewData     *NewDataPolicy
	Performance *PerformancePolicy
	MaxAge      time.Duration // of the Champion's training; 0 is off
}

// Blackout is a time without retraining, From included, Until not.
type Blackout struct {
	From, Until time.Time
	Reason      string
}

// DriftPolicy is due when Agree of the latest Windows drift reports of the present Champion, the latest among them, have
// a drift share of at least Share.
type DriftPolicy struct {
	Windows, Agree int
	Share          float64
}

// NewDataPolicy is due when the feature table has moved by at least MinRows rows since the Champion's training.
type NewDataPolicy struct{ MinRows int64 }

// PerformancePolicy is due when the whole interval of the metric is below the baseline, on at least MinRows labelled rows.
type PerformancePolicy struct{ MinRows int64 }

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
	// ErrUnknownModel: the model has no trigger policy. The message has the nearest name.
	ErrUnknownModel = errors.New("trigger: model not configured")
	// ErrInvalid: the request is wrong. The message says where.
	ErrInvalid = errors.New("trigger: request not valid")
)

// Service decides.
type Service struct{}

// Fire asks for a retraining in somebody's name, or the schedule's.
func (s *Service) Fire(ctx context.Context, r Request) (Decision, error) { return Decision{}, nil }

// Evaluate looks at every condition of a model now.
func (s *Service) Evaluate(ctx context.Context, model, actor string, dryRun bool) ([]Decision, error) {
	return nil, nil
}

// List lists the triggers of a model, or of all.
func (s *Service) List(ctx context.Context, model string) ([]State, error) { return nil, nil }

// Decisions lists decisions, the newest first, and the token of the next page ("" at the end).
func (s *Service) Decisions(ctx context.Context, q store.DecisionQuery) ([]Decision, string, error) {
	return nil, "", nil
}

// Wake evaluates a model soon.
func (s *Service) Wake(model string) {}
