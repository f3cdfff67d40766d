package store

import (
	"context"
	"time"
)

// The states of a batch.
const (
	BatchRunning     = "running"
	BatchSucceeded   = "succeeded"
	BatchFailed      = "failed"
	BatchCancelled   = "cancelled"
	BatchInterrupted = "interrupted" // the daemon stopped while the batch ran
)

// The phases of a batch, in order.
const (
	PhaseResolve  = "resolve"
	PhaseSnapshot = "snapshot"
	PhaseScore    = "score"
	PhaseCommit   = "commit"
	PhaseVerify   = "verify"
	PhaseDone     = "done"
)

// HistogramBins is the number of bins of BatchRow.Histogram.
const HistogramBins = 100

// BatchRow is the ledger row of a batch: the receipt of its predictions.
type BatchRow struct {
	ID      string // score_batch_id
	State   string
	Phase   string
	Lineage Lineage

	InputSource, InputVersion, InputDate string
	OutputTable                          string
	ConfigDigest                         string
	Rows                                 int64 // that this attempt committed: 0 unless it succeeded
	RowsRefused                          int64 // of them, with null scores, as the training library would refuse them
	StartedAt, FinishedAt, ScoredAt      time.Time
	Timings                              []StepTiming
	// Histogram has HistogramBins equal bins over [0,1] for probabilities, over [ScoreMin, ScoreMax] otherwise; nil
	// before the batch is scored.
	Histogram                       []int64
	ScoreMin, ScoreMax, ScoreMean   float64 // NaN is kept; -0 comes back as 0
	PositiveRate, DecisionThreshold float64
	OutputDigest                    string
	Replaced                        bool
	Error                           string
	Attempt                         int
	// PostProcessor is the class that changed the scores, PostProcessorDigest that of its source; empty when none did.
	PostProcessor, PostProcessorDigest string
}

// Lineage names what produced a score. Fields are those of the wire message.
type Lineage struct {
	ModelName         string
	ModelVersion      int64
	RunID             string
	ModelDigest       string
	Generation        int64
	GitSHA            string
	TrainedAt         time.Time // zero when unknown
	FeatureSchemaHash string
	EngineBuild       string
}

// StepTiming is the time that one step took: wall time of resolve, snapshot, commit and total; of read, bind, score, stamp
// and write, which overlap, busy time summed over the workers.
type StepTiming struct {
	Step     string
	Duration time.Duration
}

// BatchQuery selects batches. Zero fields do not restrict.
type BatchQuery struct {
	Model string
	State string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// Ledger is the batch part of a Store, one transaction a call. It is safe for concurrent use.
type Ledger struct{ s Store }

// NewLedger returns the ledger in s.
func NewLedger(s Store) *Ledger { return &Ledger{s: s} }

// BeginBatch is Tx.BeginBatch.
func (l *Ledger) BeginBatch(ctx context.Context, b BatchRow) (BatchRow, error) {
	var out BatchRow
	err := l.s.Update(ctx, func(tx Tx) (err error) {
		out, err = tx.BeginBatch(b)
		return err
	})
	return out, err
}

// UpdateBatchPhase is Tx.UpdateBatchPhase.
func (l *Ledger) UpdateBatchPhase(ctx context.Context, id, phase string) error {
	return l.s.Update(ctx, func(tx Tx) error { return tx.UpdateBatchPhase(id, phase) })
}

// FinishBatch is Tx.FinishBatch.
func (l *Ledger) FinishBatch(ctx context.Context, b BatchRow) error {
	return l.s.Update(ctx, func(tx Tx) error { return tx.FinishBatch(b) })
}

// MarkRunningInterrupted is Tx.MarkRunningInterrupted.
func (l *Ledger) MarkRunningInterrupted(ctx context.Context, at time.Time) ([]string, error) {
	var ids []string
	err := l.s.Update(ctx, func(tx Tx) (err error) {
		ids, err = tx.MarkRunningInterrupted(at)
		return err
	})
	return ids, err
}

// GetBatch is Reader.Batch.
func (l *Ledger) GetBatch(ctx context.Context, id string) (BatchRow, error) {
	var out BatchRow
	err := l.s.View(ctx, func(r Reader) (err error) {
		out, err = r.Batch(id)
		return err
	})
	return out, err
}

// ListBatches is Reader.Batches.
func (l *Ledger) ListBatches(ctx context.Context, q BatchQuery) (rows []BatchRow, next string, err error) {
	err = l.s.View(ctx, func(r Reader) (err error) {
		rows, next, err = r.Batches(q)
		return err
	})
	return rows, next, err
}
