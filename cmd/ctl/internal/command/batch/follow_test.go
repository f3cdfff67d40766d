package batch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e"

// follow runs Follow over events, off a terminal; the sequence ends with an error when end is not nil.
func follow(ctx context.Context, end error, events ...*scoringv1.BatchEvent) (b *scoringv1.Batch, progress string, err error) {
	var errs bytes.Buffer
	bar := render.NewProgress(&errs, false, "rows")
	var sequence client.Events = func(yield func(*scoringv1.BatchEvent, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
		if end != nil {
			yield(nil, end)
		}
	}
	b, err = Follow(ctx, &console.Console{Err: &errs}, bar, sequence)
	bar.Stop()
	return b, errs.String(), err
}

func TestFollow(t *testing.T) {
	score := &scoringv1.BatchEvent{ScoreBatchId: id, Phase: scoringv1.BatchPhase_BATCH_PHASE_SCORE, RowsScored: 500, RowsTotal: 1000}
	commit := &scoringv1.BatchEvent{ScoreBatchId: id, Phase: scoringv1.BatchPhase_BATCH_PHASE_COMMIT, RowsWritten: 1000, RowsTotal: 1000}
	done := &scoringv1.BatchEvent{ScoreBatchId: id, Phase: scoringv1.BatchPhase_BATCH_PHASE_DONE, Batch: &scoringv1.Batch{Rows: 1000}}

	b, progress, err := follow(t.Context(), nil, score, score, commit, done)
	if err != nil || b.GetRows() != 1000 {
		t.Fatalf("batch %v, error %v", b, err)
	}
	want := "batch " + id + "\nscore  50% 500 of 1,000 rows 0s\ncommit 100% 1,000 of 1,000 rows 0s\n"
	if progress != want {
		t.Errorf("progress:\n%s\nwant:\n%s", progress, want)
	}

	// A stream that ends without a verdict is no success.
	if _, _, err := follow(t.Context(), nil, score); err == nil || exit.Code(err) != exit.Failure {
		t.Errorf("a stream without an end: error %v, want a failure", err)
	}
	if _, _, err := follow(t.Context(), io.ErrUnexpectedEOF, score); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a broken stream: error %v", err)
	}

	// Leaving does not stop the batch; the error says how to come back.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = follow(ctx, context.Canceled, score)
	if err == nil || !strings.Contains(err.Error(), id) || !strings.Contains(exit.Hint(err), "ctl batch watch "+id) {
		t.Errorf("interrupted: error %v, hint %q", err, exit.Hint(err))
	}
}

func TestOutcome(t *testing.T) {
	for state, want := range map[scoringv1.BatchState]int{
		scoringv1.BatchState_BATCH_STATE_SUCCEEDED:   exit.OK,
		scoringv1.BatchState_BATCH_STATE_RUNNING:     exit.OK,
		scoringv1.BatchState_BATCH_STATE_FAILED:      exit.Failure,
		scoringv1.BatchState_BATCH_STATE_CANCELLED:   exit.Failure,
		scoringv1.BatchState_BATCH_STATE_INTERRUPTED: exit.Failure,
	} {
		err := Outcome(&scoringv1.Batch{ScoreBatchId: id, State: state})
		if exit.Code(err) != want || err != nil && exit.Hint(err) == "" {
			t.Errorf("%s: error %v with hint %q, want exit code %d", state, err, exit.Hint(err), want)
		}
	}
}
