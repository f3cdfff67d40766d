// Package scoring runs batches and online requests: it pins a model version once, binds Arrow records, scores them on all
// cores, stamps lineage on every row and commits a batch atomically. It knows nothing of gRPC.
//
//	Request -> resolve once -> Pinned -> snapshot -> batch id
//	        -> read ─bytes bounded─> bind, score, stamp (one worker a core) ─in input order─> write -> commit -> verify
//
// # Invariants
//
//	S1  A batch is scored by exactly one version, resolved once: everything written about it comes from that Pinned.
//	S2  The batch id is a function of model, model digest, scoring config, input snapshot and date (docs/format/batch-id.md);
//	    the engine build is recorded with the batch and is not part of the id.
//	S3  One run a batch id at a time in a process: a second Run joins the first. Across processes the warehouse decides.
//	S4  A failed, cancelled or interrupted batch leaves no row and no staged file.
//	S5  Profile bins and output digest do not depend on the order of rows, the size of records or the number of threads.
//	S6  At most Options.MemoryBudget bytes of records (plus one record) are in flight, however large the input is. What a
//	    PostProcessor holds back is its own; the batch keeps a byte for each such row only where rows were refused.
//	S7  What is written, digested and profiled are the scores that callers see: those after the PostProcessor.
//
// # Concurrency
//
// Models, Batcher and Online serve any number of goroutines. A Watcher and a Session belong to one goroutine at a time.
//
// # Ownership
//
// Records that a caller hands in are borrowed until the call returns; records that come out are the caller's to Release.
package scoring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// Sentinel errors; the server maps them to status codes.
var (
	// ErrUnknownModel: no configuration for this model name. The operator adds the model's config.yml to the daemon's models.
	ErrUnknownModel = errors.New("scoring: model is not configured")
	// ErrRequest: the request contradicts itself or the model's configuration. The caller changes it.
	ErrRequest = errors.New("scoring: invalid request")
	// ErrRowRefused: the training library itself would refuse a row. errors.As finds *RowError.
	ErrRowRefused = errors.New("scoring: row refused")
	// ErrBatchNotFound: no batch with this id.
	ErrBatchNotFound = errors.New("scoring: batch not found")
	// ErrBatchNotRunning: only a running batch can be cancelled.
	ErrBatchNotRunning = errors.New("scoring: batch is not running")
	// ErrCancelled: someone cancelled the batch. Nothing was written.
	ErrCancelled = errors.New("scoring: batch was cancelled")
	// ErrInterrupted: the daemon stopped before the batch was done. Nothing was written; run it again.
	ErrInterrupted = errors.New("scoring: batch was interrupted")
	// ErrDraining: the daemon is shutting down and starts nothing new.
	ErrDraining = errors.New("scoring: shutting down")
	// ErrInconsistent: the parts of a batch do not add up (rows read, scored and committed differ). Nothing should be trusted.
	ErrInconsistent = errors.New("scoring: batch does not add up")
	// ErrPostProcess: the model's inference_class failed, or gave what no scores are. Nothing was written; its author acts.
	ErrPostProcess = errors.New("scoring: post-processing of scores")
	// ErrBatchOnly: the model has an inference_class, which only batches run; scores without it would not be the model's.
	ErrBatchOnly = errors.New("scoring: model is scored in batches only")
)

// RowError is a row that the training library itself would refuse. Row counts from 0 over the whole input.
type RowError struct {
	Row    int64
	Column string
	Reason string
	// More is the number of further refused rows in the same record.
	More int
}

func (e *RowError) Error() string {
	more := ""
	if e.More > 0 {
		more = fmt.Sprintf(" (and %d more in the same record)", e.More)
	}
	return fmt.Sprintf("row %d, column %q: %s%s: %v", e.Row, e.Column, e.Reason, more, ErrRowRefused)
}

// Unwrap makes errors.Is(err, ErrRowRefused) true.
func (e *RowError) Unwrap() error { return ErrRowRefused }

// Pinned is one version of a model, as it stood when it was resolved. Nothing of it is ever looked up again.
type Pinned struct {
	Model      string
	Version    int64
	Generation int64 // the model's promotion generation; 0 when the version was named and there is no champion
	RunID      string
	Digest     string // "sha256:<hex>" of the artifact
	GitSHA     string
	TrainedAt  time.Time // zero when unknown
}

// Resolver turns a model name and a version into a pinned version; version 0 is the Champion.
type Resolver interface {
	Resolve(ctx context.Context, model string, version int64) (Pinned, error)
}

// Lineage names what produced a score.
type Lineage struct {
	Pinned
	// FeatureSchemaHash is a hash over the names, order and types of the features that were bound.
	FeatureSchemaHash string
	// EngineBuild is the version and kernel tier of the engine that ran.
	EngineBuild string
}

// ModelConfig is what the batch pipeline needs of a model's config.yml.
type ModelConfig struct {
	Key           string // model_key: prefix of the output columns
	Name          string // registered_model_name
	FeaturesTable string // catalog.schema.table
	Label         string // never read
	Keys          []string
	DateColumn    string   // empty when the table has no date
	Exclude       []string // columns that are no features though the table has them
	// Output is where batches go. In the path of a file, {date} stands for the day of the batch, or "all".
	Output    warehouse.Output
	Threshold float64 // a row is predicted positive at or above it
	// PostProcessor changes the scores of batches; nil leaves them as the engine made them.
	PostProcessor PostProcessor
}

// RowPolicy says what becomes of rows that the training library would refuse.
type RowPolicy uint8

// The row policies.
const (
	// RowsFail fails the batch and names the row and column.
	RowsFail RowPolicy = iota
	// RowsNull writes the row with null scores.
	RowsNull
)

func (p RowPolicy) String() string {
	if p == RowsNull {
		return "null"
	}
	return "fail"
}
