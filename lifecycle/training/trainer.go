// Package training runs trainings: it pins the features, has a Trainer make a model of them, and registers the model.
//
//	Trigger --one transaction--> training "queued", version Created, workflow
//	  prepare -> features (once a day) -> snapshot (pinned, exported) -> attempt 1..n -> collect -> register -> succeed
//	                                                                       |               files into the registry, every
//	                                                                       |               tree loads, version Trained
//	                                                                       +-- fail: version Failed, OnEnd (alert)
//
// # Invariants
//
//	R1  A model has one active training, and each training one version.
//	R2  A training ends in one transaction with its version's move to Failed; it succeeds after its version is Trained.
//	R3  An attempt is one process, ever: it is submitted under "<training>/<attempt>", also after a crash of the daemon.
//	    All attempts of a training share one run of the tracking server (idempotency_key).
//	R4  A training ends as it began: its configuration is kept with it.
//
// # Concurrency
//
// A Service serves any number of goroutines; the engine that it is registered with runs the trainings.
package training

import (
	"context"
	"time"
)

// Trainer runs one training outside of this process. Implementations live below (local).
type Trainer interface {
	// Submit starts work under key, or returns the handle of the work that was started under it before: one key never
	// runs twice, whatever process asks.
	Submit(ctx context.Context, key string, s Spec) (Handle, error)
	// Find returns the handle of the work that was submitted under key, if any was.
	Find(ctx context.Context, key string) (Handle, bool, error)
	// Poll says how the work stands, and keeps its limits: who submits polls until it has ended.
	Poll(ctx context.Context, h Handle) (Status, error)
	// Logs returns output from a byte offset on, in whole lines.
	Logs(ctx context.Context, h Handle, offset int64) (LogChunk, error)
	// Cancel asks the work to stop. Poll says when it has.
	Cancel(ctx context.Context, h Handle) error
	// Collect returns the checked result of work that ended with exit code 0.
	Collect(ctx context.Context, h Handle) (Result, error)
}

// Handle is what a Trainer needs to find its work again, also after a restart of the daemon. It is JSON.
type Handle string

// State is how work stands.
type State string

// The states of work.
const (
	StateRunning State = "running"
	StateExited  State = "exited"  // by itself; ExitCode says how
	StateStopped State = "stopped" // by us; Reason says why
	StateLost    State = "lost"    // it is gone and left no exit status: the machine restarted, or somebody killed it
)

// Status is how work stands.
type Status struct {
	State    State
	ExitCode int
	// Reason says in words why work was stopped or is lost.
	Reason string
	// Retry: the reason may be a passing one, so the same work may be submitted again under another key.
	Retry bool
	// LastError is the text after "error: " of the last such line that the trainer wrote, "" when there is none.
	LastError string
	Heartbeat Heartbeat
	StartedAt time.Time
	Usage     Usage
}

// Heartbeat is a trainer's last sign of life.
type Heartbeat struct {
	At       time.Time // zero before the first
	Step     string
	Fraction float64 // of the whole training, 0 to 1
}

// Usage is what work has used.
type Usage struct {
	User, System time.Duration
	MaxRSS       int64 // bytes
}

// LogChunk is a piece of the captured output.
type LogChunk struct {
	Offset int64  // of the first byte
	Next   int64  // where the next chunk begins
	Text   string // UTF-8; other bytes are replaced
	// Truncated: output before this chunk was dropped, because it was over the limit.
	Truncated bool
	// End: the work has ended and there is no more output after this chunk.
	End bool
}

// Result is what a trainer made. Paths are absolute and inside the work's directory.
type Result struct {
	Dir             string // holds all files
	Files           []File // of the artifact
	ModelFile       string // name in the artifact, as are the next ones
	Golden, Holdout string
	Importance      string // "" when there is none

	RunID, RunName  string
	RegistryVersion string // "" when nothing was registered
	Metrics         map[string]float64
	Params          map[string]string
	Library, Python string
	TrainRows       int64
	HoldoutRows     int64
	Features        []string
	TrainedAt       time.Time
	Seconds         map[string]float64
}

// File is one file of the artifact.
type File struct {
	Name string // in the artifact, slash-separated
	Path string // where its bytes are now
	Size int64
}
