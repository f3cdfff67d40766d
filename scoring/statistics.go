package scoring

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
)

// Profiles keeps the statistics of the rows that batches score. It observes: whatever it does, a batch goes on.
type Profiles interface {
	// Begin is called once the input of a batch is pinned, with the columns that its features are read from, in the order
	// of the model's features. It returns nil to leave the batch out.
	Begin(ctx context.Context, b Batch, input warehouse.Ref, columns []string) Recorder
}

// Recorder takes the rows of one batch.
type Recorder interface {
	// Add is called once with each record, by several goroutines at a time and in any order; first is the index of its
	// first row in the input. The record is borrowed until Add returns.
	Add(first int64, rec arrow.Record)
	// Finish is called once, after the last Add, when the batch is committed; a batch that does not get there only drops
	// its recorder. An error is logged.
	Finish(ctx context.Context, b Batch) error
}

// record begins the statistics of a batch whose ledger row stands.
func (j *job) record(ctx context.Context) {
	if j.b.deps.Profiles != nil {
		j.recorder = j.b.deps.Profiles.Begin(ctx, j.batch, j.ref, j.bind.Columns())
	}
}

// recorded stores the statistics of a committed batch.
func (j *job) recorded(ctx context.Context) {
	if j.recorder == nil {
		return
	}
	if err := j.recorder.Finish(context.WithoutCancel(ctx), j.batch); err != nil {
		j.b.log.WarnContext(ctx, "a batch has no statistics", "score_batch_id", j.batch.ID, "error", err)
	}
}
