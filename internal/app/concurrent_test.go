package app_test

import (
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

func TestConcurrentRunsOfOneBatch(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	r := &scoringv1.RunBatchRequest{Model: ref("churn"), OutputTable: "twice.predictions.scores"}
	const callers = 4
	batches, errs := make([]*scoringv1.Batch, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { batches[i], errs[i] = d.runBatch(t.Context(), r) })
	}
	all.Wait()
	for i, b := range batches {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if b.GetScoreBatchId() != batches[0].GetScoreBatchId() || b.GetOutputDigest() != batches[0].GetOutputDigest() {
			t.Errorf("callers have different batches: %v and %v", b, batches[0])
		}
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	got := contents(t, dir, "twice", "predictions.scores")
	if c := got[batches[0].GetScoreBatchId()]; len(got) != 1 || c.Rows != bigRows || c.Keys != bigRows {
		t.Errorf("the table has %+v", got)
	}
}

// 64 operators look at the same generation and promote: one wins, the others learn that they lost.
func TestConcurrentPromotions(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	generation := int64(1)
	const operators = 64
	errs := make([]error, operators)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range operators {
		all.Go(func() {
			<-begin
			_, errs[i] = d.promotion.Promote(t.Context(), &lifecyclev1.PromoteRequest{
				ModelName: "churn", Version: 2, ExpectedGeneration: &generation, Reason: "better", Actor: "test",
			})
		})
	}
	close(begin)
	all.Wait()
	won, lost := 0, 0
	for _, err := range errs {
		switch status.Code(err) {
		case codes.OK:
			won++
		case codes.Aborted:
			lost++
		default:
			t.Errorf("unexpected: %v", err)
		}
	}
	if won != 1 || lost != operators-1 {
		t.Errorf("%d won, %d lost", won, lost)
	}
	history, err := d.promotion.GetHistory(t.Context(), &lifecyclev1.GetHistoryRequest{ModelName: "churn"})
	if err != nil {
		t.Fatal(err)
	}
	if p := history.GetPeriods(); len(p) != 2 || p[0].GetVersion() != 2 || p[0].GetGeneration() != 2 || p[0].GetUntil() != nil || p[1].GetUntil() == nil {
		t.Errorf("history %v", p)
	}
	chain, err := d.audit.VerifyChain(t.Context(), &lifecyclev1.VerifyChainRequest{})
	if err != nil || !chain.GetValid() {
		t.Errorf("audit chain %v, %v", chain, err)
	}
	// A batch scores with the new Champion, in full.
	if b := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn")}); b.GetLineage().GetModelVersion() != 2 || b.GetLineage().GetGeneration() != 2 {
		t.Errorf("batch %v", b)
	}
}

func TestCancelABatch(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	r := &scoringv1.RunBatchRequest{Model: ref("churn"), OutputTable: "cancelled.predictions.scores"}
	stream, err := d.batches.RunBatch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for cancelled := false; ; {
		got, err := stream.Recv()
		if err != nil {
			refused(t, err, codes.Canceled)
			break
		}
		if e := got.GetEvent(); !cancelled && e.GetScoreBatchId() != "" {
			cancelled = true
			b, err := d.batches.CancelBatch(t.Context(), &scoringv1.CancelBatchRequest{ScoreBatchId: e.GetScoreBatchId()})
			if err != nil || b.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_CANCELLED {
				t.Fatalf("%v, %v", b, err)
			}
		}
	}
	if left := staged(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	b := d.succeed(t, r)
	if b.GetReplaced() || b.GetAttempt() != 2 {
		t.Errorf("re-run %v", b)
	}
}
