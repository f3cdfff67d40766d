package orchestration

import (
	"errors"
	"time"
)

// Step is a kind of node.
type Step string

// The steps of a model, in their order.
const (
	StepFeatures Step = "features"
	StepTrain    Step = "train"
	StepValidate Step = "validate"
	StepPromote  Step = "promote"
	StepScore    Step = "score"
)

// Steps are all steps in their order.
func Steps() []Step { return []Step{StepFeatures, StepTrain, StepValidate, StepPromote, StepScore} }

// State is how a run or a node stands.
type State string

// The states. A run is never Skipped or AwaitingApproval.
const (
	Pending   State = "pending"
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
	// Skipped: a node that it needs did not succeed, or a policy left it out; the message says which.
	Skipped State = "skipped"
	// AwaitingApproval: validated; the policy leaves the promotion to a person.
	AwaitingApproval State = "awaiting_approval"
)

// Ended reports whether the state is final.
func (s State) Ended() bool { return s != Pending && s != Running }

// The policies of promotion.
const (
	PolicyAuto    = "auto"    // a version that passes is promoted
	PolicyPropose = "propose" // a person promotes it
)

// Model is a configured model.
type Model struct {
	Name string
	// DependsOn are models whose last node comes before this one's first, in runs that have both.
	DependsOn []string
	Policy    string // PolicyAuto when empty
	Owner     string // named in alerts
	// Trainable models have a trainer. The others have the steps features and score only.
	Trainable bool
}

// Request asks for a run.
type Request struct {
	Models []string
	All    bool   // every configured model; Models must be empty
	Steps  []Step // nil means every step
	// ComputeDate is YYYY-MM-DD; "" means today in UTC.
	ComputeDate string
	Trigger     string // "manual" when empty
	Reason      string
	Actor       string
	GitSHA      string // of the training code
}

// Run is a run as it stands.
type Run struct {
	ID                     string
	State                  State
	Trigger, Reason, Actor string
	ComputeDate            string
	StartedAt              time.Time
	FinishedAt             time.Time // zero while it runs
	Nodes                  []Node    // in an order of the graph: what a node depends on comes before it
	Error                  string    // why it failed or was cancelled
}

// Node is one step of one model in a run.
type Node struct {
	ID        string // "churn/train"
	Model     string
	Step      Step
	State     State
	DependsOn []string // IDs
	StartedAt time.Time
	// FinishedAt is zero until the node has ended.
	FinishedAt time.Time
	Message    string // one line: progress while running, the outcome afterwards
	Subject    string // the training, version or batch that it is about
	// Refused: of a validation that failed: the gates said no, or could not say. Without it, they could not be run.
	Refused bool
}

// ListQuery selects runs.
type ListQuery struct {
	Model string // runs that have a node of this model; "" lists all
	// PageSize 0 means 100; at most 1000.
	PageSize  int
	PageToken string
}

// Sentinel errors.
var (
	// ErrInvalid: the request or the configured graph is wrong. The message says where.
	ErrInvalid = errors.New("orchestration: run not valid")
	// ErrUnknownModel: no such model is configured. The message has the nearest name.
	ErrUnknownModel = errors.New("orchestration: model not configured")
	// ErrRunNotFound: there is no run with this id.
	ErrRunNotFound = errors.New("orchestration: run not found")
	// ErrNotActive: the run has ended.
	ErrNotActive = errors.New("orchestration: run has ended")
)
