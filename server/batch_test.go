package server

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// churnDay is one of the two days of the churn feature table, each with churnRows accounts.
const (
	churnDay  = "2026-11-01"
	churnRows = 10000
)

// last collects a sequence of events, checks that they only move forward, and returns the batch of the last one.
func last(t *testing.T, events client.Events) *scoringv1.Batch {
	t.Helper()
	var prev *scoringv1.BatchEvent
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if prev.GetBatch() != nil {
			t.Fatalf("an event after the last one: %v", e)
		}
		if prev != nil && (e.GetPhase() < prev.GetPhase() || e.GetRowsRead() < prev.GetRowsRead() || e.GetRowsWritten() < prev.GetRowsWritten()) {
			t.Errorf("events go back: %v, then %v", prev, e)
		}
		prev = e
	}
	if prev.GetBatch() == nil {
		t.Fatalf("the last event has no batch: %v", prev)
	}
	return prev.GetBatch()
}

func TestBatch(t *testing.T) {
	s := newBatchStack(t)
	ctx, c := t.Context(), s.client
	b := last(t, c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay}))
	if b.GetState() != scoringv1.BatchState_BATCH_STATE_SUCCEEDED || b.GetRows() != churnRows || b.GetAttempt() != 1 || b.GetReplaced() ||
		b.GetLineage().GetModelVersion() != 1 || b.GetOutputTable() != "uat.predictions.churn_scores" || len(b.GetScoreHistogram()) != 100 ||
		len(b.GetOutputDigest()) != 32 || b.GetStartedAt() == nil || b.GetFinishedAt() == nil || len(b.GetTimings()) == 0 ||
		b.GetDecisionThreshold() != 0.5 || b.GetPositiveRate() <= 0 {
		t.Errorf("batch %v", b)
	}
	sum := int64(0)
	for _, n := range b.GetScoreHistogram() {
		sum += n
	}
	if sum != churnRows {
		t.Errorf("the histogram has %d rows", sum)
	}
	again := last(t, c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay}))
	if again.GetScoreBatchId() != b.GetScoreBatchId() || !again.GetReplaced() || again.GetAttempt() != 2 || again.GetOutputDigest() != b.GetOutputDigest() {
		t.Errorf("second run %v", again)
	}
	got, err := c.Batches.GetBatch(ctx, &scoringv1.GetBatchRequest{ScoreBatchId: b.GetScoreBatchId()})
	if err != nil || got.GetBatch().GetAttempt() != 2 {
		t.Errorf("%v, %v", got, err)
	}
	watched := last(t, c.WatchBatch(ctx, b.GetScoreBatchId()))
	if watched.GetScoreBatchId() != b.GetScoreBatchId() {
		t.Errorf("watched %v", watched)
	}
	rows, err := c.Batches.GetBatchRows(ctx, &scoringv1.GetBatchRowsRequest{ScoreBatchId: b.GetScoreBatchId(), Limit: 7})
	if err != nil {
		t.Fatal(err)
	}
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	schema, recs, err := client.DecodeRecords(mem, rows.GetArrowIpc())
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	for _, r := range recs {
		n += r.NumRows()
		r.Release()
	}
	if n != 7 {
		t.Errorf("%d rows, want 7", n)
	}
	for _, col := range []string{"account_id", "churn_probability", "churn_predicted", "model_version", "run_id", "scored_at", "score_batch_id"} {
		if !schema.HasField(col) {
			t.Errorf("rows lack %s: %v", col, schema)
		}
	}
}

func TestBatchOfOneDayAndPages(t *testing.T) {
	s := newBatchStack(t)
	ctx, c := t.Context(), s.client
	path := filepath.Join(t.TempDir(), "upload.parquet")
	writeFirstDay(t, path)
	uploaded := last(t, c.UploadBatch(ctx, &scoringv1.UploadBatchStart{Model: churnRef}, path, nil))
	table := last(t, c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay}))
	if uploaded.GetRows() != churnRows || uploaded.GetInputSource() != "upload.parquet" || uploaded.GetOutputDigest() != table.GetOutputDigest() {
		t.Errorf("uploaded %v, want the output of %v", uploaded, table)
	}
	last(t, c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Input: path}))
	var ids []string
	req := &scoringv1.ListBatchesRequest{ModelName: "churn", PageSize: 2}
	for {
		page, err := c.Batches.ListBatches(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range page.GetBatches() {
			ids = append(ids, b.GetScoreBatchId())
		}
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			break
		}
	}
	if len(ids) != 3 || ids[2] != uploaded.GetScoreBatchId() || ids[1] != table.GetScoreBatchId() {
		t.Errorf("listed %v", ids)
	}
}

// writeFirstDay writes the rows of churnDay: the first ones of the feature table.
func writeFirstDay(t *testing.T, path string) {
	t.Helper()
	rec := readParquet(t, churn+"features.parquet")
	defer rec.Release()
	day := rec.NewSlice(0, churnRows)
	defer day.Release()
	w, err := file.Create(path, day.Schema(), file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(day); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBatchRefusals(t *testing.T) {
	s := newBatchStack(t)
	ctx, c := t.Context(), s.client
	for _, tc := range []struct {
		name   string
		err    error
		code   codes.Code
		reason lifecyclev1.ErrorReason
	}{
		{
			"no such file", drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Input: "/nowhere/rows.parquet"})),
			codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_TABLE_NOT_FOUND,
		},
		{
			"a day without rows", drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Date: "1999-01-01"})),
			codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_TABLE_EMPTY,
		},
		{
			"unknown batch", drainEvents(c.WatchBatch(ctx, someBatch)),
			codes.NotFound, lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_FOUND,
		},
		{
			"model without configuration", drainEvents(c.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "other"}})),
			codes.FailedPrecondition, lifecyclev1.ErrorReason_ERROR_REASON_MODEL_NOT_CONFIGURED,
		},
	} {
		d := client.Describe(tc.err)
		if d.Code != tc.code || d.Reason != tc.reason {
			t.Errorf("%s: %v %v %q", tc.name, d.Code, d.Reason, d.Message)
		}
	}
}

// waitForID follows a batch until its id is known.
func waitForID(t *testing.T, stream scoringv1.BatchService_RunBatchClient) string {
	t.Helper()
	for {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if id := r.GetEvent().GetScoreBatchId(); id != "" && r.GetEvent().GetPhase() == scoringv1.BatchPhase_BATCH_PHASE_SCORE {
			return id
		}
	}
}

func TestDroppedCallLeavesTheBatchRunning(t *testing.T) {
	s := newBatchStack(t)
	step, free := s.warehouse.hold()
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := s.client.Batches.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay})
	if err != nil {
		t.Fatal(err)
	}
	id := waitForID(t, stream)
	step(2)
	cancel()
	if err := recvAll(stream.Recv); status.Code(err) != codes.Canceled {
		t.Errorf("the dropped call: %v", err)
	}
	got, err := s.client.Batches.GetBatch(t.Context(), &scoringv1.GetBatchRequest{ScoreBatchId: id})
	if err != nil || got.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_RUNNING {
		t.Errorf("after the call was dropped: %v, %v", got, err)
	}
	free()
	b := last(t, s.client.WatchBatch(t.Context(), id))
	if b.GetState() != scoringv1.BatchState_BATCH_STATE_SUCCEEDED || b.GetRows() != churnRows {
		t.Errorf("batch %v", b)
	}
}

func TestCancelBatch(t *testing.T) {
	s := newBatchStack(t)
	step, free := s.warehouse.hold()
	defer free()
	stream, err := s.client.Batches.RunBatch(t.Context(), &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay})
	if err != nil {
		t.Fatal(err)
	}
	id := waitForID(t, stream)
	step(3)
	cancelled, err := s.client.Batches.CancelBatch(t.Context(), &scoringv1.CancelBatchRequest{ScoreBatchId: id})
	if err != nil || cancelled.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_CANCELLED {
		t.Fatalf("%v, %v", cancelled, err)
	}
	d := client.Describe(recvAll(stream.Recv))
	if d.Code != codes.Canceled || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_BATCH_CANCELLED {
		t.Errorf("the call that ran it: %v %v %q", d.Code, d.Reason, d.Message)
	}
	// Watching a cancelled batch is no error: its state says it.
	if b := last(t, s.client.WatchBatch(t.Context(), id)); b.GetState() != scoringv1.BatchState_BATCH_STATE_CANCELLED {
		t.Errorf("watched %v", b)
	}
	_, err = s.client.Batches.CancelBatch(t.Context(), &scoringv1.CancelBatchRequest{ScoreBatchId: id})
	if d := client.Describe(err); d.Code != codes.FailedPrecondition || d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_RUNNING {
		t.Errorf("cancelling again: %v %v", d.Code, d.Reason)
	}
}

// TestSlowWatcherDoesNotSlowTheBatch opens a watcher that never reads while the batch runs, then reads its end.
func TestSlowWatcherDoesNotSlowTheBatch(t *testing.T) {
	s := newBatchStack(t)
	_, free := s.warehouse.hold()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := s.client.Batches.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay})
	if err != nil {
		t.Fatal(err)
	}
	id := waitForID(t, stream)
	slow, err := s.client.Batches.WatchBatch(ctx, &scoringv1.WatchBatchRequest{ScoreBatchId: id})
	if err != nil {
		t.Fatal(err)
	}
	free()
	if err := recvAll(stream.Recv); err != nil {
		t.Fatal(err)
	}
	var end *scoringv1.BatchEvent
	for {
		r, err := slow.Recv()
		if err != nil {
			break
		}
		end = r.GetEvent()
	}
	if end.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_SUCCEEDED {
		t.Errorf("the slow watcher ended with %v", end)
	}
}

// TestWatchersAreToldOfTheStop: a batch outlives the server's patience.
func TestWatchersAreToldOfTheStop(t *testing.T) {
	s := newBatchStack(t)
	_, free := s.warehouse.hold()
	defer free()
	stream, err := s.client.Batches.RunBatch(t.Context(), &scoringv1.RunBatchRequest{Model: churnRef, Date: churnDay})
	if err != nil {
		t.Fatal(err)
	}
	waitForID(t, stream)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.server.GracefulStop(ctx); err == nil {
		t.Error("the stop waited for nothing")
	}
	if err := recvAll(stream.Recv); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}
