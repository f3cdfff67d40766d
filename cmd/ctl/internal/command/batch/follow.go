package batch

import (
	"context"
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// Follow reports the events of a batch as progress and returns the batch as it ended. The context's end leaves the batch
// running; the error then says how to come back to it.
func Follow(ctx context.Context, c *console.Console, bar *render.Progress, events client.Events) (*scoringv1.Batch, error) {
	var id string
	var phase scoringv1.BatchPhase
	var last *scoringv1.Batch
	for e, err := range events {
		if err != nil {
			if ctx.Err() != nil && id != "" {
				return nil, exit.Hinted(fmt.Errorf("interrupted; batch %s goes on in the daemon", id),
					fmt.Sprintf("ctl batch watch %s, or ctl batch cancel %s", id, id))
			}
			return nil, err
		}
		if id == "" && e.GetScoreBatchId() != "" {
			id = e.GetScoreBatchId()
			if !c.ErrTTY {
				fmt.Fprintf(c.Err, "batch %s\n", id)
			}
		}
		bar.Total(e.GetRowsTotal())
		bar.Set(rowsDone(e))
		if p := e.GetPhase(); p != phase && p != scoringv1.BatchPhase_BATCH_PHASE_DONE {
			phase = p
			bar.Step(render.Enum(p))
		}
		if e.GetBatch() != nil {
			last = e.GetBatch()
		}
	}
	if last == nil {
		return nil, exit.Hinted(errors.New("the daemon ended the stream of events without saying how the batch ended"),
			"see ctl batch list")
	}
	return last, nil
}

// rowsDone is what the phase counts: rows written once the commit has begun, rows scored before.
func rowsDone(e *scoringv1.BatchEvent) int64 {
	if e.GetPhase() >= scoringv1.BatchPhase_BATCH_PHASE_COMMIT {
		return e.GetRowsWritten()
	}
	return e.GetRowsScored()
}

// Outcome is nil for a batch that succeeded or still runs, else an error that says how it ended and what to do.
func Outcome(b *scoringv1.Batch) error {
	id := b.GetScoreBatchId()
	switch b.GetState() {
	case scoringv1.BatchState_BATCH_STATE_FAILED:
		return exit.Hinted(fmt.Errorf("batch %s failed: %s", id, render.OrDash(b.GetError())),
			"nothing was committed; correct the cause and run the same command again")
	case scoringv1.BatchState_BATCH_STATE_CANCELLED:
		return exit.Hinted(fmt.Errorf("batch %s was cancelled", id), "nothing was committed; run the same command again to score it")
	case scoringv1.BatchState_BATCH_STATE_INTERRUPTED:
		return exit.Hinted(fmt.Errorf("batch %s was interrupted by the daemon's stop", id), "run the same command again to complete it")
	}
	return nil
}
