package storetest

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/store"
)

func newBatch(id string) store.BatchRow {
	return store.BatchRow{
		ID: id, Phase: store.PhaseSnapshot, InputSource: "uat.features.churn_features", InputVersion: "v-1",
		InputDate: "2026-03-01", OutputTable: "uat.predictions.churn_scores", ConfigDigest: "sha256:c", Rows: 10,
		StartedAt: t0, ScoredAt: t0.Add(time.Second), DecisionThreshold: 0.5,
		Lineage: store.Lineage{
			ModelName: model, ModelVersion: 3, RunID: "run", ModelDigest: "sha256:m", Generation: 5, GitSHA: "abc",
			TrainedAt: t0.Add(-time.Hour), FeatureSchemaHash: "h", EngineBuild: "treeline-engine/1 portable",
		},
	}
}

func results(b store.BatchRow) store.BatchRow {
	b.State, b.Phase, b.Rows = store.BatchSucceeded, store.PhaseDone, 1234
	b.FinishedAt = t0.Add(time.Minute)
	b.Timings = []store.StepTiming{{Step: "read", Duration: 5 * time.Millisecond}, {Step: "score", Duration: 7}}
	b.Histogram = make([]int64, store.HistogramBins)
	b.Histogram[0], b.Histogram[99] = 1000, math.MaxInt64
	b.ScoreMin, b.ScoreMax, b.ScoreMean = 5e-324, math.Inf(1), math.NaN()
	b.PositiveRate, b.OutputDigest, b.Replaced = 0.1, "00ff", true
	b.RowsRefused = 17
	b.PostProcessor, b.PostProcessorDigest = "hooks.Calibrate", "sha256:cd"
	return b
}

func testBatch(t *testing.T, open Open) {
	s := start(t, open)
	l := store.NewLedger(s)
	ctx := t.Context()
	_, err := l.GetBatch(ctx, "b")
	wantErr(t, err, store.ErrBatchNotFound)
	wantErr(t, l.UpdateBatchPhase(ctx, "b", store.PhaseScore), store.ErrBatchNotFound)
	wantErr(t, l.FinishBatch(ctx, results(newBatch("b"))), store.ErrBatchNotFound)

	begun, err := l.BeginBatch(ctx, newBatch("b"))
	if err != nil {
		t.Fatal(err)
	}
	want := newBatch("b")
	want.State, want.Attempt = store.BatchRunning, 1
	same(t, begun, want)
	if err := l.UpdateBatchPhase(ctx, "b", store.PhaseCommit); err != nil {
		t.Fatal(err)
	}
	want.Phase = store.PhaseCommit
	got, err := l.GetBatch(ctx, "b")
	same(t, got, want)
	if err != nil {
		t.Fatal(err)
	}
	done := results(got)
	if err := l.FinishBatch(ctx, done); err != nil {
		t.Fatal(err)
	}
	got, err = l.GetBatch(ctx, "b")
	same(t, got, done)
	if err != nil {
		t.Fatal(err)
	}
	wantErr(t, l.UpdateBatchPhase(ctx, "b", store.PhaseScore), store.ErrConflict)
	wantErr(t, l.FinishBatch(ctx, done), store.ErrConflict)
}

func testBatchAttempts(t *testing.T, open Open) {
	s := start(t, open)
	l := store.NewLedger(s)
	ctx := t.Context()
	first, err := l.BeginBatch(ctx, newBatch("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.FinishBatch(ctx, results(first)); err != nil {
		t.Fatal(err)
	}
	again := newBatch("b")
	again.StartedAt = t0.Add(time.Hour)
	second, err := l.BeginBatch(ctx, again)
	want := again
	want.State, want.Attempt = store.BatchRunning, 2
	same(t, second, want)
	if err != nil {
		t.Fatal(err)
	}
	// The first attempt's runner comes back from the dead: its results are not the batch's any more.
	wantErr(t, l.FinishBatch(ctx, results(first)), store.ErrConflict)
	failed := second
	failed.State, failed.Error, failed.FinishedAt = store.BatchFailed, "disk full", t0.Add(2*time.Hour)
	if err := l.FinishBatch(ctx, failed); err != nil {
		t.Fatal(err)
	}
	got, err := l.GetBatch(ctx, "b")
	same(t, got, failed)
	if err != nil {
		t.Fatal(err)
	}
	running := results(second)
	running.State = store.BatchRunning
	wantErr(t, l.FinishBatch(ctx, running), store.ErrConflict)
}

func testBatchPages(t *testing.T, open Open) {
	s := start(t, open)
	l := store.NewLedger(s)
	var want []string
	for i := range 7 {
		b := newBatch(fmt.Sprintf("b%d", i))
		b.StartedAt = t0.Add(time.Duration(i/2) * time.Minute) // equal times in pairs
		if i == 6 {
			b.Lineage.ModelName = "other"
		} else {
			want = append([]string{b.ID}, want...)
		}
		if _, err := l.BeginBatch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	list := func(q store.BatchQuery) (ids []string) {
		for {
			rows, next, err := l.ListBatches(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				ids = append(ids, r.ID)
			}
			if next == "" {
				return ids
			}
			q.PageToken = next
		}
	}
	for size := range 8 {
		same(t, list(store.BatchQuery{Model: model, PageSize: size}), want)
	}
	same(t, list(store.BatchQuery{PageSize: 3}), append([]string{"b6"}, want...))
	same(t, list(store.BatchQuery{State: store.BatchFailed}), []string(nil))
}

func testBatchesOf(t *testing.T, open Open) {
	s := start(t, open)
	l := store.NewLedger(s)
	since := t0
	add := func(id string, version, generation int64, started time.Time, phase, state string) {
		t.Helper()
		b := newBatch(id)
		b.Lineage.ModelVersion, b.Lineage.Generation, b.StartedAt = version, generation, started
		b, err := l.BeginBatch(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.UpdateBatchPhase(t.Context(), id, phase); err != nil {
			t.Fatal(err)
		}
		if state == "" {
			return
		}
		b.Phase, b.State = phase, state
		if err := l.FinishBatch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	after, before := since.Add(time.Minute), since.Add(-time.Minute)
	add("d-done", 3, 5, after.Add(4), store.PhaseDone, store.BatchSucceeded)
	add("a-failed-in-commit", 3, 5, after.Add(1), store.PhaseCommit, store.BatchFailed)
	add("b-running-in-commit", 3, 5, after.Add(2*time.Second), store.PhaseCommit, "")
	add("x-failed-before", 3, 5, after, store.PhaseScore, store.BatchFailed)
	add("x-other-version", 2, 5, after, store.PhaseDone, store.BatchSucceeded)
	add("x-earlier", 3, 4, before, store.PhaseDone, store.BatchSucceeded)
	add("c-pinned-at-generation", 3, 5, since, store.PhaseDone, store.BatchSucceeded)
	add("e-version-by-number", 3, 0, after.Add(5*time.Second), store.PhaseDone, store.BatchSucceeded)
	// A later attempt that failed early does not take back that the first one wrote rows.
	b := newBatch("d-done")
	b.StartedAt = after.Add(4 * time.Second)
	b, err := l.BeginBatch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	b.State = store.BatchCancelled
	if err := l.FinishBatch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	view(t, s, func(r store.Reader) error {
		got, err := r.BatchesOf(model, 3, 5, since)
		same(t, got, []string{
			"c-pinned-at-generation", "a-failed-in-commit", "b-running-in-commit", "d-done", "e-version-by-number",
		})
		return err
	})
}

func testInterrupted(t *testing.T, open Open) {
	dir := t.TempDir()
	s := open(t, dir)
	l := store.NewLedger(s)
	for _, id := range []string{"a", "b", "c"} {
		b, err := l.BeginBatch(t.Context(), newBatch(id))
		if err != nil {
			t.Fatal(err)
		}
		if id == "c" {
			if err := l.FinishBatch(t.Context(), results(b)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close() //nolint:errcheck // Close is tested elsewhere
	l = store.NewLedger(s)
	ids, err := l.MarkRunningInterrupted(t.Context(), t0.Add(time.Hour))
	same(t, ids, []string{"a", "b"})
	a, err2 := l.GetBatch(t.Context(), "a")
	same(t, a.State, store.BatchInterrupted)
	same(t, a.FinishedAt, t0.Add(time.Hour))
	same(t, a.Rows, int64(0)) // newBatch has 10
	c, err3 := l.GetBatch(t.Context(), "c")
	same(t, c.State, store.BatchSucceeded)
	same(t, c.Rows, int64(1234))
	none, err4 := l.MarkRunningInterrupted(t.Context(), t0.Add(2*time.Hour))
	same(t, len(none), 0)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	again, err := l.BeginBatch(t.Context(), newBatch("a"))
	same(t, again.Attempt, 2)
	same(t, again.Error, "")
	if err != nil {
		t.Fatal(err)
	}
}

func testPageTokens(t *testing.T, open Open) {
	s := start(t, open)
	l := store.NewLedger(s)
	for i := range 3 {
		if _, err := l.BeginBatch(t.Context(), newBatch(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		update(t, s, func(tx store.Tx) error {
			_, err := link(tx, store.AuditRow{At: t0})
			return err
		})
	}
	_, next, err := l.ListBatches(t.Context(), store.BatchQuery{PageSize: 1})
	if err != nil || next == "" {
		t.Fatalf("next is %q, error %v", next, err)
	}
	for _, q := range []store.BatchQuery{
		{PageToken: "x"},
		{PageToken: "!!"},
		{PageToken: "bnVsbA"},
		{PageToken: next[1:]},
		{PageToken: next, Model: model},
		{PageToken: next, State: store.BatchRunning},
	} {
		_, _, err := l.ListBatches(t.Context(), q)
		wantErr(t, err, store.ErrPageToken)
	}
	view(t, s, func(r store.Reader) error {
		_, _, err := r.Audit(store.AuditQuery{PageToken: next})
		wantErr(t, err, store.ErrPageToken)
		_, next, err := r.Audit(store.AuditQuery{PageSize: 1})
		if err != nil || next == "" {
			t.Fatalf("next is %q, error %v", next, err)
		}
		_, _, err = r.Audit(store.AuditQuery{PageToken: next, Model: model})
		wantErr(t, err, store.ErrPageToken)
		for _, token := range []string{"x", "!!", "bnVsbA", next} {
			_, _, err = r.Trainings(store.TrainingQuery{PageToken: token})
			wantErr(t, err, store.ErrPageToken)
			_, _, err = r.Workflows(store.WorkflowQuery{PageToken: token})
			wantErr(t, err, store.ErrPageToken)
			_, _, err = r.Decisions(store.DecisionQuery{PageToken: token})
			wantErr(t, err, store.ErrPageToken)
			_, _, err = r.Drifts(store.DriftQuery{PageToken: token})
			wantErr(t, err, store.ErrPageToken)
			_, _, err = r.Deliveries(store.DeliveryQuery{PageToken: token})
			wantErr(t, err, store.ErrPageToken)
		}
		return nil
	})
	update(t, s, func(tx store.Tx) error {
		for range 2 {
			if _, err := tx.PutDecision(store.Decision{Model: model, Kind: "manual", Outcome: "fired", At: t0}); err != nil {
				return err
			}
		}
		_, next, err := tx.Decisions(store.DecisionQuery{PageSize: 1})
		for _, other := range []store.DecisionQuery{{Model: model}, {Kind: "manual"}, {Outcome: "fired"}, {Since: t0}} {
			other.PageToken = next
			_, _, err := tx.Decisions(other)
			wantErr(t, err, store.ErrPageToken)
		}
		return err
	})
}
