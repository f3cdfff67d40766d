package store

import "time"

// The states of a workflow.
const (
	WorkflowRunning   = "running"
	WorkflowSucceeded = "succeeded"
	WorkflowFailed    = "failed"
	WorkflowCancelled = "cancelled"
)

// Workflow is a durable piece of work: a function whose finished steps are journaled, so that after a crash it goes on
// where it was.
type Workflow struct {
	ID   string
	Kind string
	// Key is unique among the running workflows of a kind: beginning a second one with the same key joins the first.
	Key             string
	State           string
	Input, Output   []byte // JSON
	Error           string
	CancelRequested string // the reason, "" when nobody asked
	Attempt         int    // how often a process took it up
	CreatedAt       time.Time
	UpdatedAt       time.Time
	FinishedAt      time.Time // zero while running
}

// WorkflowStep is the journaled outcome of one step of a workflow.
type WorkflowStep struct {
	WorkflowID string
	Seq        int    // 1, 2, 3, ... in the order in which the steps ended
	Name       string // unique within the workflow
	Output     []byte // JSON
	Error      string // of a step that failed for good
	StartedAt  time.Time
	FinishedAt time.Time
}

// WorkflowSignal is a message to a running workflow, kept until it is consumed.
type WorkflowSignal struct {
	ID         int64 // assigned by the store, ascending
	WorkflowID string
	Name       string
	Payload    []byte // JSON
	At         time.Time
}

// WorkflowQuery selects workflows. Zero fields do not restrict.
type WorkflowQuery struct {
	Kind  string
	State string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}
