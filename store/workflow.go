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
	// Key is unique among the running workflows of a kind: beginning a second one with the same key joins the first. An
	// empty key joins nothing.
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
	Key   string
	State string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// WorkflowReader is the part of Reader about workflows.
type WorkflowReader interface {
	// Workflow fails with ErrWorkflowNotFound.
	Workflow(id string) (Workflow, error)
	// WorkflowByKey returns the running workflow of a kind with this key, or ErrWorkflowNotFound.
	WorkflowByKey(kind, key string) (Workflow, error)
	// Workflows lists workflows, newest first, and the token of the next page ("" at the end).
	Workflows(q WorkflowQuery) ([]Workflow, string, error)
	// WorkflowSteps lists the journaled steps of a workflow in the order of Seq; none for an unknown id.
	WorkflowSteps(id string) ([]WorkflowStep, error)
	// WorkflowSignals lists the signals that a workflow has not consumed, oldest first; none for an unknown id.
	WorkflowSignals(id string) ([]WorkflowSignal, error)
}

// WorkflowTx is the part of Tx about workflows.
type WorkflowTx interface {
	// InsertWorkflow adds a workflow; ErrConflict when its id is taken or its key belongs to a running one of its kind.
	InsertWorkflow(w Workflow) error
	// UpdateWorkflow stores every field but ID, Kind, Key, Input and CreatedAt, which never change. ErrWorkflowNotFound;
	// ErrConflict when it has ended.
	UpdateWorkflow(w Workflow) error
	// AppendStep journals the outcome of a step of a running workflow and returns its Seq; that of s is ignored.
	// ErrConflict when the workflow has ended or has a step of this name; ErrWorkflowNotFound.
	AppendStep(s WorkflowStep) (int, error)
	// PutSignal keeps a message to a running workflow and returns its id; that of s is ignored. ErrConflict when the
	// workflow has ended; ErrWorkflowNotFound.
	PutSignal(s WorkflowSignal) (int64, error)
	// TakeSignal consumes a signal; ErrConflict when it is not there.
	TakeSignal(id int64) error
}
