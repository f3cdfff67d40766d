// Package store is the seam to lifecycle state: models and their versions, who was Champion when, the hash-chained audit
// log, validation evidence, trainings, durable workflows, what triggers decided, statistics and drift, the outbox of
// things to tell others, and the ledger of batches.
//
// The store decides nothing. It keeps rows, refuses those that would break an invariant, and makes a group of changes
// atomic; the rules are in lifecycle. Implementations live below (sqlite); storetest is the suite that each of them
// passes.
//
// # Invariants
//
//	S1  Everything that one Update wrote is visible together or not at all, also after a kill -9 at any moment.
//	S2  A model has at most one version in stage "champion" and at most one open champion period.
//	S3  Audit rows are numbered 1, 2, 3, ...; a stored row never changes and never goes.
//	S4  Version numbers of a model are never reused.
//	S5  Times come back in UTC, rounded down to the microsecond. A zero time is "unset".
//	S6  A model has at most one active training, a kind of workflow at most one running under a key, an alert key at
//	    most one unresolved alert. An idempotency key names one training for ever.
//	S7  What ended stays as it ended: a training, a workflow. A journaled step, a decision and a drift report never
//	    change and never go.
//
// # Concurrency
//
// A Store serves any number of goroutines: Updates run one after the other, Views run beside them on a snapshot of their
// own. A Reader or Tx belongs to the goroutine of the function that it was given to and ends with it. An Update inside
// an Update or View of the same goroutine deadlocks; use the Tx at hand.
package store

import (
	"context"
	"errors"
	"time"
)

// Sentinel errors; the server maps them to status codes.
var (
	// ErrModelNotFound: no version of this name was registered. The caller fixes the name.
	ErrModelNotFound = errors.New("store: model not found")
	// ErrVersionNotFound: the model has no such version, or none in the wanted stage.
	ErrVersionNotFound = errors.New("store: version not found")
	// ErrNoChampion: nothing was promoted yet.
	ErrNoChampion = errors.New("store: model has no champion")
	// ErrNoEvidence: the version was not validated yet.
	ErrNoEvidence = errors.New("store: no validation report")
	// ErrBatchNotFound: no batch with this id was ever started.
	ErrBatchNotFound = errors.New("store: batch not found")
	// ErrTrainingNotFound: no training with this id or key, or the model has none that is active.
	ErrTrainingNotFound = errors.New("store: training not found")
	// ErrWorkflowNotFound: no workflow with this id, or none that runs under this key.
	ErrWorkflowNotFound = errors.New("store: workflow not found")
	// ErrStatisticsNotFound: no statistics were kept of this batch or version.
	ErrStatisticsNotFound = errors.New("store: statistics not found")
	// ErrDeliveryNotFound: no outbox row with this id.
	ErrDeliveryNotFound = errors.New("store: delivery not found")
	// ErrAlertNotFound: no unresolved alert has this key.
	ErrAlertNotFound = errors.New("store: alert not found")
	// ErrConflict: a compare-and-set found another value, or a row would break an invariant. Nothing was written.
	ErrConflict = errors.New("store: conflicting change")
	// ErrPageToken: the page token is not one that this listing handed out.
	ErrPageToken = errors.New("store: page token not valid")
	// ErrLocked: another process holds the database.
	ErrLocked = errors.New("store: database is in use by another process")
	// ErrCorrupt: the file is not a database of ours or is damaged. Restore it from a backup.
	ErrCorrupt = errors.New("store: database is damaged")
	// ErrNewerSchema: a newer release wrote the database. Run that release.
	ErrNewerSchema = errors.New("store: database was written by a newer release")
	// ErrFull: the disk is full. Nothing was written.
	ErrFull = errors.New("store: no space left")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
)

// Store keeps lifecycle state.
type Store interface {
	// View runs f on a consistent snapshot.
	View(ctx context.Context, f func(Reader) error) error
	// Update runs f in a write transaction. It commits when f returns nil; any error, and a panic, rolls back.
	Update(ctx context.Context, f func(Tx) error) error
	// Close waits for running transactions.
	Close() error
}

// Reader reads within one transaction.
type Reader interface {
	TrainingReader
	WorkflowReader
	TriggerReader
	MonitorReader
	OutboxReader

	// Models lists all models by name.
	Models() ([]Model, error)
	// Model fails with ErrModelNotFound.
	Model(name string) (Model, error)

	// Version fails with ErrModelNotFound or ErrVersionNotFound.
	Version(model string, version int64) (Version, error)
	// Versions lists a model's versions, newest first; ErrModelNotFound when there is no such model.
	Versions(model string) ([]Version, error)
	// VersionByDigest returns the newest version with this artifact digest whose stage is not one of except, or
	// ErrVersionNotFound.
	VersionByDigest(model, digest string, except ...string) (Version, error)
	// ModelFile names the model file of an artifact: that of the first version, of any model, with this digest. It fails
	// with ErrVersionNotFound.
	ModelFile(digest string) (string, error)
	// NewestVersion returns the newest version in a stage, or ErrModelNotFound, or ErrVersionNotFound.
	NewestVersion(model, stage string) (Version, error)

	// Periods lists a model's champion history, newest first; empty before the first promotion.
	Periods(model string) ([]Period, error)
	// OpenPeriod returns the period of the present Champion, or ErrModelNotFound, or ErrNoChampion.
	OpenPeriod(model string) (Period, error)

	// AuditHead returns the recorded end of the chain; the zero AuditHead when nothing was appended.
	AuditHead() (AuditHead, error)
	// Audit lists audit rows, newest first, and the token of the next page ("" at the end).
	Audit(q AuditQuery) ([]AuditRow, string, error)
	// WalkAudit calls f for each row in ascending order of seq until f returns an error, which it returns.
	WalkAudit(f func(AuditRow) error) error

	// Evidence returns the latest evidence of a version; version 0 means the newest version that has any. It fails with
	// ErrModelNotFound, ErrVersionNotFound or ErrNoEvidence.
	Evidence(model string, version int64) (Evidence, error)

	// Batch fails with ErrBatchNotFound.
	Batch(id string) (BatchRow, error)
	// Batches lists batches, the latest started first, and the token of the next page ("" at the end).
	Batches(q BatchQuery) ([]BatchRow, string, error)
	// BatchesOf returns the ids of the batches that a version scored and that may have rows in their output table:
	// those pinned at generation or later, or started at since or later. Oldest first.
	BatchesOf(model string, version, generation int64, since time.Time) ([]string, error)
}

// Tx reads and writes within one transaction.
type Tx interface {
	Reader
	TrainingTx
	WorkflowTx
	TriggerTx
	MonitorTx
	OutboxTx

	// EnsureModel creates the model with generation 0 unless it exists.
	EnsureModel(name string, at time.Time) error
	// NextVersion returns the number that the model's next version gets.
	NextVersion(model string) (int64, error)
	// InsertVersion adds a version under the number from NextVersion; ErrConflict when the number is another one.
	InsertVersion(v Version) error
	// UpdateCreated fills in what a Created version got by its training: every field of v but Model, Version, Stage,
	// StageAt and TrainingID. ErrConflict when it is in another stage, has a digest already, or another usable version
	// has this digest; ErrModelNotFound, ErrVersionNotFound.
	UpdateCreated(v Version) error
	// SetRegistryVersion notes the version's number in the external registry. ErrModelNotFound, ErrVersionNotFound.
	SetRegistryVersion(model string, version int64, registryVersion string) error
	// SetStage moves a version from one stage to another; ErrConflict when it is not in from, ErrVersionNotFound.
	SetStage(model string, version int64, from, to string, at time.Time) error
	// SetGeneration moves a model's generation; ErrConflict when it is not from.
	SetGeneration(model string, from, to int64) error

	// BeginPeriod adds an open period. The previous one must be closed (ErrConflict).
	BeginPeriod(p Period) error
	// EndPeriod closes the open period of a model; ErrNoChampion when there is none.
	EndPeriod(model string, until time.Time) error

	// AppendAudit adds the row after the head and moves the head. ErrConflict when seq or prev_hash do not continue it.
	AppendAudit(r AuditRow) error
	// PutEvidence adds evidence; earlier evidence of the version stays.
	PutEvidence(e Evidence) error

	// BeginBatch inserts the row in state running, or takes up an existing row of the same id: attempt is one more, the
	// results of the earlier attempt are cleared. It returns the stored row.
	BeginBatch(b BatchRow) (BatchRow, error)
	// UpdateBatchPhase moves a running batch to a phase; ErrBatchNotFound, ErrConflict when it is not running.
	UpdateBatchPhase(id, phase string) error
	// FinishBatch stores the results of a running batch: all fields of b but its attempt, which must be the current one
	// (ErrConflict: another attempt took over).
	FinishBatch(b BatchRow) error
	// MarkRunningInterrupted moves every running batch to interrupted (at the start of the daemon) and returns their ids,
	// the earliest started first. They committed nothing that the ledger knows of, so their rows become 0.
	MarkRunningInterrupted(at time.Time) ([]string, error)
}
