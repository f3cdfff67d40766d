package scoring

import (
	"context"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// State is where a batch stands. The names are those of the ledger.
type State string

// The states.
const (
	StateRunning     State = "running"
	StateSucceeded   State = "succeeded"
	StateFailed      State = "failed"
	StateCancelled   State = "cancelled"
	StateInterrupted State = "interrupted"
)

// Phase is the step that a running batch is in, or the last one that an ended batch reached.
type Phase string

// The phases, in order.
const (
	PhaseResolve  Phase = "resolve"
	PhaseSnapshot Phase = "snapshot"
	PhaseScore    Phase = "score"
	PhaseCommit   Phase = "commit"
	PhaseVerify   Phase = "verify"
	PhaseDone     Phase = "done"
)

// Batch is the ledger row of a batch: the receipt of its predictions.
type Batch struct {
	ID           warehouse.BatchID
	State        State
	Phase        Phase
	Lineage      Lineage
	InputSource  string
	InputVersion string
	InputDate    string // YYYY-MM-DD or empty
	Output       warehouse.Output
	ConfigDigest string // of the settings that decide about scores and where they go; part of the id
	Rows         int64  // that this attempt committed: 0 unless it succeeded; Event.RowsTotal is what it wanted
	RowsRefused  int64  // of them, with null scores, as the training library would refuse them; 0 unless Options.RowErrors is RowsNull
	StartedAt    time.Time
	FinishedAt   time.Time // zero while running
	ScoredAt     time.Time // the value of scored_at in every row of the batch
	Timings      []Timing
	Profile      Profile
	Threshold    float64
	OutputDigest string // 32 hex digits; docs/format/output-digest.md
	Replaced     bool   // rows of an earlier run of the same batch were replaced
	Error        string // why it did not succeed
	Attempt      int
	// PostProcessor is the inference_class that changed the scores, PostProcessorDigest that of its source when it is known;
	// empty when the scores are the engine's own.
	PostProcessor       string
	PostProcessorDigest string
}

// Timing is the time that one step took: wall time of resolve, snapshot, commit and total; of read, bind, score, profile (where statistics are kept), stamp
// and write, which overlap, busy time summed over the workers; and wall time of post_process (where there is one), which overlaps them.
type Timing struct {
	Step     string
	Duration time.Duration
}

// Profile describes the scores of a batch. Rows without a score (null, Batch.RowsRefused of them) and rows whose score is
// not finite are in none of its counts.
type Profile struct {
	// Histogram has HistogramBins equal bins over [0,1] for probabilities, over [Min,Max] otherwise. Multiclass models
	// are profiled by the probability of the likeliest class.
	Histogram []int64
	Min, Max  float64 // 0 when no row has a score
	Mean      float64
	// PositiveRate is the share of scored rows at or above the threshold; binary models only, 0 otherwise.
	PositiveRate float64
}

// Event is one progress report. Watchers see the latest one, not each one.
type Event struct {
	ID          warehouse.BatchID // empty until the input is pinned
	Phase       Phase
	RowsRead    int64
	RowsScored  int64
	RowsWritten int64
	RowsTotal   int64 // to be scored; 0 until the input is pinned. Of a batch that ended before it was watched: Batch.Rows
	At          time.Time
	// Batch is set on the last event.
	Batch *Batch
	// Err is set on the last event of a batch that did not succeed, with the sentinels of the packages it came from.
	// A batch that ended in an earlier process has only Batch.Error.
	Err error
}

// Last reports whether no event follows.
func (e Event) Last() bool { return e.Batch != nil || e.Err != nil }

// Ledger keeps the batch rows. Implementations must survive a crash at any point.
type Ledger interface {
	// Begin inserts or replaces the row of b.ID and returns its attempt number, 1 for the first.
	Begin(ctx context.Context, b Batch) (attempt int, err error)
	// Phase records that a running batch entered a phase.
	Phase(ctx context.Context, id warehouse.BatchID, p Phase) error
	// Finish stores the final row.
	Finish(ctx context.Context, b Batch) error
	// Get fails with ErrBatchNotFound.
	Get(ctx context.Context, id warehouse.BatchID) (Batch, error)
	// List returns the newest first; an empty model means all, an empty next token means the end.
	List(ctx context.Context, model string, pageSize int, pageToken string) (batches []Batch, next string, err error)
}

// Request asks for a batch.
type Request struct {
	Model   string
	Version int64  // 0: the Champion
	Date    string // YYYY-MM-DD restricts the input to this day; empty: all of it
	// InputFiles is a path or glob to read instead of the configured features table.
	InputFiles string
	// InputName stands for InputFiles in lineage and batch id when the path itself means nothing (an uploaded file).
	InputName string
	// OutputTable is catalog.schema.table to write instead of the configured output.
	OutputTable string
	// OutputFile is the absolute path of a .parquet file to write instead; at most one of both may be set.
	OutputFile string
	// Release, when set, is called once as soon as the batch reads InputFiles no more, whatever became of it.
	Release func()
}
