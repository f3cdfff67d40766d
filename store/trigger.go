package store

import "time"

// Decision is what a trigger policy decided at one moment.
type Decision struct {
	ID       int64 // assigned by the store, ascending
	Model    string
	Kind     string // "manual", "schedule", "drift", "new_data", "performance", "max_age"
	At       time.Time
	Outcome  string // "fired", "coalesced", "cooldown", "weekly_limit", "not_due", "proposed", "inconclusive"
	Reason   string // one sentence with the figures
	Actor    string
	RunID    string // workflow that it started or joined
	Evidence map[string]string
}

// DecisionQuery selects decisions. Zero fields do not restrict.
type DecisionQuery struct {
	Model   string
	Kind    string
	Outcome string
	Since   time.Time
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// Schedule is the state of one configured schedule.
type Schedule struct {
	Model string
	Job   string // "train" or "batch_inference"
	// LastAt is the scheduled time that fired last, not when it was handled; zero before the first.
	LastAt      time.Time
	LastOutcome string
	Paused      bool
	PauseReason string // with who paused it
}

// TriggerReader is the part of Reader about triggers and schedules.
type TriggerReader interface {
	// Decisions lists decisions, newest first, and the token of the next page ("" at the end).
	Decisions(q DecisionQuery) ([]Decision, string, error)
	// Schedules lists the schedules that have a state, by model and job.
	Schedules() ([]Schedule, error)
}

// TriggerTx is the part of Tx about triggers and schedules.
type TriggerTx interface {
	// PutDecision adds a decision and returns its id; that of d is ignored.
	PutDecision(d Decision) (int64, error)
	// PutSchedule adds the state of a schedule or replaces it.
	PutSchedule(s Schedule) error
}
