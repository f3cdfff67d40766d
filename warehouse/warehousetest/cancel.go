package warehousetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

func wantCancelled(t *testing.T, step string, err error) {
	t.Helper()
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: error is %v, want the context's", step, err)
	}
}

func cancelCases() []testCase {
	return []testCase{
		{"before each step", cancelBefore},
		{"in the middle of a snapshot", func(t *testing.T, f Fixture) { cancelWithin(t, f, cancelSnapshot) }},
		{"in the middle of a commit", func(t *testing.T, f Fixture) { cancelWithin(t, f, cancelCommit) }},
	}
}

func cancelBefore(t *testing.T, f Fixture) {
	f.createFeatures(t)
	ref := snapshot(t, f.Warehouse, featureInput())
	dead, cancel := context.WithCancel(t.Context())
	cancel()

	_, err := f.Warehouse.Snapshot(dead, featureInput())
	wantCancelled(t, "snapshot", err)
	s, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref, BatchRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Next(dead)
	wantCancelled(t, "next", err)
	if err := s.Close(); err != nil {
		t.Errorf("closing a cancelled stream: %v", err)
	}
	_, err = f.Warehouse.Begin(dead, "c", target())
	wantCancelled(t, "begin", err)

	b := batch{id: "c", rows: 10, version: 1, at: day(1)}
	wr, err := f.Warehouse.Begin(t.Context(), b.id, target())
	if err != nil {
		t.Fatal(err)
	}
	wantCancelled(t, "write", b.write(dead, wr))
	if err := b.write(t.Context(), wr); err != nil {
		t.Fatal(err)
	}
	_, err = wr.Commit(dead)
	wantCancelled(t, "commit", err)
	f.wantCounts(t, b.id, 0, 0)
	if _, err := wr.Commit(t.Context()); err != nil {
		t.Fatalf("commit after a cancelled one: %v", err)
	}
	f.wantCounts(t, b.id, 10, 1)
	_, err = f.Warehouse.Rows(dead, b.id, warehouse.Output{Table: scores()}, 10)
	wantCancelled(t, "rows", err)
	wantCancelled(t, "supersede", f.Warehouse.Supersede(dead, scores(), b.id, "d"))
	wantCancelled(t, "mirror", f.Warehouse.MirrorPromotions(dead, []warehouse.PromotionRow{{Seq: 1, Timestamp: day(1)}}))
	if err := f.Warehouse.Supersede(t.Context(), scores(), b.id, "d"); err != nil {
		t.Errorf("the warehouse is unusable after cancellations: %v", err)
	}
}

// cancelWithin interrupts a step after ever longer times until it succeeds; each time the outcome must be all or nothing.
func cancelWithin(t *testing.T, f Fixture, step func(t *testing.T, f Fixture, after time.Duration, round int) error) {
	if err := f.FillFeatures(t.Context(), features(), 300_000); err != nil {
		t.Fatal(err)
	}
	interrupted := 0
	for round, after := 0, time.Millisecond; round < 60; round, after = round+1, after+after/3 {
		err := step(t, f, after, round)
		if err == nil {
			if interrupted == 0 {
				t.Error("no round was interrupted")
			}
			return
		}
		interrupted++
		wantCancelled(t, "step", err)
	}
	t.Errorf("the step never finished")
}

func cancelSnapshot(t *testing.T, f Fixture, after time.Duration, _ int) error {
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	in := warehouse.Input{Table: features(), Keys: []string{"id"}}
	ref, err := f.Warehouse.Snapshot(ctx, in)
	if err != nil {
		return err
	}
	if rows := readRef(t, f.Warehouse, ref, "id"); len(rows) != 300_000 || rows[0] != "0" || rows[299_999] != "299999" {
		t.Errorf("%d rows", len(rows))
	}
	return nil
}

func cancelCommit(t *testing.T, f Fixture, after time.Duration, round int) error {
	b := batch{id: "cancelled", rows: 60_000, version: int64(round), at: day(1)}
	wr, err := f.Warehouse.Begin(t.Context(), b.id, target())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(t.Context(), wr); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	_, commitErr := wr.Commit(ctx)
	rows, _, runs := f.counts(t, b.id)
	if commitErr != nil {
		if rows != 0 {
			t.Errorf("round %d: %d rows after %v", round, rows, commitErr)
		}
		if err := wr.Abort(t.Context()); err != nil {
			t.Error(err)
		}
	} else if rows != b.rows || runs != 1 {
		t.Errorf("round %d: %d rows of %d runs", round, rows, runs)
	}
	return commitErr
}

func promotionCases() []testCase {
	const users = "SELECT model_name, version, promotion_timestamp, promoted_by, from_stage, to_stage FROM mlflow.model.promotions" +
		" WHERE model_name = 'churn' ORDER BY promotion_timestamp DESC"
	return []testCase{
		{"the user's query runs from the start", func(t *testing.T, f Fixture) {
			if got := f.query(t, users); len(got) != 0 {
				t.Errorf("rows are %v", got)
			}
		}},
		{"mirroring is idempotent", func(t *testing.T, f Fixture) {
			rows := []warehouse.PromotionRow{
				{Seq: 1, Model: "churn", Version: 1, Timestamp: day(1), PromotedBy: "ann", FromStage: "validated", ToStage: "champion"},
				{Seq: 2, Model: "fraud", Version: 9, Timestamp: day(2), PromotedBy: "bob", FromStage: "validated", ToStage: "champion"},
				{Seq: 3, Model: "churn", Version: 2, Timestamp: day(3), PromotedBy: "o'neil", FromStage: "validated", ToStage: "champion"},
			}
			for _, part := range [][]warehouse.PromotionRow{rows[:2], rows, rows[1:], nil} {
				if err := f.Warehouse.MirrorPromotions(t.Context(), part); err != nil {
					t.Fatal(err)
				}
			}
			changed := slices.Clone(rows)
			changed[0].PromotedBy = "mallory"
			if err := f.Warehouse.MirrorPromotions(t.Context(), changed); err != nil {
				t.Fatal(err)
			}
			f.Reopen(t)
			got := f.query(t, users)
			want := [][]any{
				{"churn", int64(2), day(3), "o'neil", "validated", "champion"},
				{"churn", int64(1), day(1), "ann", "validated", "champion"},
			}
			if len(got) != len(want) {
				t.Fatalf("rows are %v", got)
			}
			for i := range want {
				got[i][2] = got[i][2].(time.Time).UTC()
				if !slices.Equal(got[i], want[i]) {
					t.Errorf("row %d is %v, want %v", i, got[i], want[i])
				}
			}
		}},
	}
}
