package warehousetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

func day(d int) time.Time { return time.Date(2026, 1, d, 12, 30, 0, 123000, time.UTC) }

func writeCases() []testCase {
	return []testCase{
		{"makes the table and stores every column", storesColumns},
		{"keeps no record after the commit", borrowsRecords},
		{"W2 shows nothing before the commit", nothingBeforeCommit},
		{"W3 replaces the rows of its id", replacesRows},
		{"many writers of one id leave one copy", oneCopy},
		{"writers of many ids all commit", manyBatches},
		{"abort leaves nothing", abortLeavesNothing},
		{"refuses use after the end", useAfterEnd},
		{"refuses rows of another batch", foreignRows},
		{"refuses records of another shape", otherShape},
		{"an empty batch removes the earlier rows", func(t *testing.T, f Fixture) {
			batch{id: "e", rows: 10, version: 1, at: day(1)}.mustRun(t, f.Warehouse)
			c := batch{id: "e", rows: 0, version: 2, at: day(1)}.mustRun(t, f.Warehouse)
			if c.Rows != 0 || !c.Replaced {
				t.Errorf("commit is %+v", c)
			}
			f.wantCounts(t, "e", 0, 0)
		}},
		{"commits survive a reopen", func(t *testing.T, f Fixture) {
			b := batch{id: "r", rows: 3000, version: 1, at: day(1)}
			b.mustRun(t, f.Warehouse)
			wr, err := f.Warehouse.Begin(t.Context(), "unfinished", target())
			if err != nil {
				t.Fatal(err)
			}
			if err := (batch{id: "unfinished", rows: 100, at: day(1)}).write(t.Context(), wr); err != nil {
				t.Fatal(err)
			}
			w := f.Reopen(t)
			f.wantCounts(t, "r", 3000, 1)
			f.wantCounts(t, "unfinished", 0, 0)
			if err := f.StagingEmpty(); err != nil {
				t.Error(err)
			}
			b.version = 2
			if c := b.mustRun(t, w); !c.Replaced {
				t.Error("the second run replaced nothing")
			}
			f.wantCounts(t, "r", 3000, 1)
		}},
		{"rows of a batch come in key order", rowsInOrder},
		{"the current view shows the newest rows", currentView},
	}
}

func storesColumns(t *testing.T, f Fixture) {
	before := time.Now().Add(-time.Minute)
	c := batch{id: "b-1", rows: 3, version: 4, at: day(2), first: 100}.mustRun(t, f.Warehouse)
	if c.Rows != 3 || c.Replaced || c.CommittedAt.Before(before) || c.CommittedAt.After(time.Now().Add(time.Minute)) {
		t.Errorf("commit is %+v", c)
	}
	got := f.query(t, `SELECT account_id, churn_probability, churn_predicted, model_version, run_id, scored_at, score_batch_id, model_name, git_sha
		FROM `+scores().String()+" ORDER BY account_id")
	if len(got) != 3 {
		t.Fatalf("%d rows, want 3", len(got))
	}
	want := []any{int64(101), 1.01, int64(1), int64(4), "run-7", day(2), "b-1", "churn", "abc123"}
	for i, v := range got[1] {
		if at, ok := v.(time.Time); ok {
			v = at.UTC()
		}
		if v != want[i] {
			t.Errorf("column %d is %v (%T), want %v", i, v, v, want[i])
		}
	}
	if err := f.StagingEmpty(); err != nil {
		t.Error(err)
	}
}

func borrowsRecords(t *testing.T, f Fixture) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	wr, err := f.Warehouse.Begin(t.Context(), "borrow", target())
	if err != nil {
		t.Fatal(err)
	}
	for from := int64(0); from < 3000; from += 1000 {
		rec := (batch{id: "borrow", version: 1, at: day(1)}).record(mem, from, 1000)
		if err := wr.Write(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
	if _, err := wr.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	mem.AssertSize(t, 0)
	f.wantCounts(t, "borrow", 3000, 1)
}

func nothingBeforeCommit(t *testing.T, f Fixture) {
	b := batch{id: "w2", rows: 5000, version: 1, at: day(1)}
	wr, err := f.Warehouse.Begin(t.Context(), b.id, target())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(t.Context(), wr); err != nil {
		t.Fatal(err)
	}
	f.wantCounts(t, b.id, 0, 0)

	// Readers beside the commit see no row or all rows, and never fewer once they saw all.
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		seen := false
		for {
			n, err := f.Query(t.Context(), "SELECT count(*) FROM "+scores().String())
			if err != nil {
				t.Error(err)
				return
			}
			switch rows := n[0][0].(int64); {
			case rows != 0 && rows != b.rows, rows == 0 && seen:
				t.Errorf("a reader saw %d rows, after all: %v", rows, seen)
				return
			default:
				seen = rows == b.rows
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	_, err = wr.Commit(t.Context())
	f.wantCounts(t, b.id, b.rows, 1)
	close(done)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
}

func replacesRows(t *testing.T, f Fixture) {
	keep := batch{id: "keep", rows: 10, version: 1, at: day(1)}
	keep.mustRun(t, f.Warehouse)
	for run := int64(1); run <= 4; run++ {
		b := batch{id: "again", rows: 1000 + 10*run, version: run, at: day(1)}
		c := b.mustRun(t, f.Warehouse)
		if c.Replaced != (run > 1) || c.Rows != b.rows {
			t.Errorf("run %d: commit is %+v", run, c)
		}
		f.wantCounts(t, b.id, b.rows, 1)
		if got := f.query(t, "SELECT max(model_version) FROM "+scores().String()+" WHERE score_batch_id = 'again'"); got[0][0] != run {
			t.Errorf("run %d: rows of run %v", run, got)
		}
	}
	f.wantCounts(t, keep.id, 10, 1)
}

func oneCopy(t *testing.T, f Fixture) {
	const rounds, writers = 25, 2
	for round := range rounds {
		id := warehouse.BatchID(fmt.Sprintf("round-%d", round))
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range writers {
			wr, err := f.Warehouse.Begin(t.Context(), id, target())
			if err != nil {
				t.Fatal(err)
			}
			if err := (batch{id: id, rows: 1000, version: int64(i), at: day(1)}).write(t.Context(), wr); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				<-start
				if _, err := wr.Commit(t.Context()); err != nil {
					// Losing is allowed if it is said, but then nothing of the loser may be visible.
					wantLoss(t, err)
				}
				if err := wr.Abort(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		f.wantCounts(t, id, 1000, 1)
	}
	if err := f.StagingEmpty(); err != nil {
		t.Error(err)
	}
}

func wantLoss(t *testing.T, err error) {
	t.Helper()
	if !isConflict(err) {
		t.Errorf("a concurrent commit failed with %v, want %v", err, warehouse.ErrConflict)
	}
}

func manyBatches(t *testing.T, f Fixture) {
	const n = 8
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			b := batch{id: warehouse.BatchID(fmt.Sprintf("many-%d", i)), rows: 500, version: 1, at: day(1), first: int64(i * 500)}
			if _, err := b.run(t.Context(), f.Warehouse, target()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := f.query(t, "SELECT count(*), count(DISTINCT account_id), count(DISTINCT score_batch_id) FROM "+scores().String())
	if !slices.Equal(got[0], []any{int64(n * 500), int64(n * 500), int64(n)}) {
		t.Errorf("rows, keys, batches: %v", got[0])
	}
}

func abortLeavesNothing(t *testing.T, f Fixture) {
	batch{id: "kept", rows: 10, version: 1, at: day(1)}.mustRun(t, f.Warehouse)
	for _, id := range []warehouse.BatchID{"kept", "new"} {
		wr, err := f.Warehouse.Begin(t.Context(), id, target())
		if err != nil {
			t.Fatal(err)
		}
		if err := (batch{id: id, rows: 2500, version: 2, at: day(2)}).write(t.Context(), wr); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := wr.Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := wr.Commit(t.Context()); err == nil {
			t.Error("commit after abort succeeded")
		}
	}
	f.wantCounts(t, "kept", 10, 1)
	f.wantCounts(t, "new", 0, 0)
	if err := f.StagingEmpty(); err != nil {
		t.Error(err)
	}
}

func useAfterEnd(t *testing.T, f Fixture) {
	b := batch{id: "end", rows: 10, version: 1, at: day(1)}
	wr, err := f.Warehouse.Begin(t.Context(), b.id, target())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(t.Context(), wr); err != nil {
		t.Fatal(err)
	}
	first, err := wr.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := wr.Abort(t.Context()); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	if err := b.write(t.Context(), wr); err == nil {
		t.Error("write after commit succeeded")
	}
	if again, err := wr.Commit(t.Context()); err == nil && again != first {
		t.Errorf("second commit gives %+v, the first gave %+v", again, first)
	}
	f.wantCounts(t, b.id, 10, 1)
}

func foreignRows(t *testing.T, f Fixture) {
	wr, err := f.Warehouse.Begin(t.Context(), "mine", target())
	if err != nil {
		t.Fatal(err)
	}
	if err := (batch{id: "mine", rows: 10, version: 1, at: day(1)}).write(t.Context(), wr); err != nil {
		t.Fatal(err)
	}
	err = (batch{id: "foreign", rows: 10, version: 1, at: day(1)}).write(t.Context(), wr)
	if err == nil {
		_, err = wr.Commit(t.Context())
	}
	if err == nil {
		t.Error("rows of another batch were committed")
	}
	if err := wr.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	f.wantCounts(t, "mine", 0, 0)
	f.wantCounts(t, "foreign", 0, 0)
}

func otherShape(t *testing.T, f Fixture) {
	wr, err := f.Warehouse.Begin(t.Context(), "shape", target())
	if err != nil {
		t.Fatal(err)
	}
	fields := slices.Clone(target().Schema.Fields())
	fields[1].Type = arrow.PrimitiveTypes.Float32
	for _, s := range []*arrow.Schema{
		arrow.NewSchema(fields, nil),
		arrow.NewSchema(target().Schema.Fields()[:3], nil),
	} {
		rb := array.NewRecordBuilder(memory.DefaultAllocator, s)
		rec := rb.NewRecord()
		if err := wr.Write(t.Context(), rec); err == nil {
			t.Errorf("a record of %s was accepted", s)
		}
		rec.Release()
		rb.Release()
	}
	if err := wr.Abort(t.Context()); err != nil {
		t.Error(err)
	}
}

func rowsInOrder(t *testing.T, f Fixture) {
	tg := target()
	wr, err := f.Warehouse.Begin(t.Context(), "o", tg)
	if err != nil {
		t.Fatal(err)
	}
	for _, first := range []int64{500, 0, 250} {
		rec := (batch{id: "o", version: 1, at: day(3), first: first}).record(memory.DefaultAllocator, 0, 250)
		if err := wr.Write(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		rec.Release()
	}
	if _, err := wr.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	batch{id: "later", rows: 100, version: 2, at: day(4)}.mustRun(t, f.Warehouse)
	w := f.Reopen(t) // the order of the keys must be known without the batch
	s, err := w.Rows(t.Context(), "o", warehouse.Output{Table: scores()}, 600)
	if err != nil {
		t.Fatal(err)
	}
	if at := s.Schema().FieldIndices("scored_at"); len(at) != 1 || !arrow.TypeEqual(s.Schema().Field(at[0]).Type, arrow.FixedWidthTypes.Timestamp_us) {
		t.Errorf("schema is %s", s.Schema())
	}
	got := readAll(t, s, nil)
	if len(got) != 600 {
		t.Fatalf("%d rows, want 600", len(got))
	}
	for i, row := range got {
		if !contains(row, fmt.Sprintf("%d|", i)) || !contains(row, "|o|") {
			t.Fatalf("row %d is %q", i, row)
		}
	}
	s, err = w.Rows(t.Context(), "no-such-batch", warehouse.Output{Table: scores()}, 10)
	if got := readAll(t, s, err); len(got) != 0 {
		t.Errorf("an unknown batch has rows %q", got)
	}
	_, err = w.Rows(t.Context(), "o", warehouse.Output{Table: warehouse.TableName{Catalog: "uat", Schema: "predictions", Table: "nothing"}}, 10)
	wantError(t, err, warehouse.ErrTableNotFound)
}

func currentView(t *testing.T, f Fixture) {
	current := func() string {
		t.Helper()
		var out strings.Builder
		for _, r := range f.query(t, "SELECT account_id, score_batch_id FROM "+scores().String()+"_current ORDER BY account_id") {
			fmt.Fprintf(&out, "%v:%v ", r[0], r[1])
		}
		return out.String()
	}
	supersede := func(old, by warehouse.BatchID) {
		t.Helper()
		if err := f.Warehouse.Supersede(t.Context(), scores(), old, by); err != nil {
			t.Fatal(err)
		}
	}
	batch{id: "one", rows: 3, version: 1, at: day(1)}.mustRun(t, f.Warehouse)
	batch{id: "two", rows: 2, version: 2, at: day(2), first: 1}.mustRun(t, f.Warehouse)
	for _, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "0:one 1:two 2:two "},
		{func() { supersede("two", "one") }, "0:one 1:one 2:one "},
		{func() { supersede("two", "one") }, "0:one 1:one 2:one "},
		{func() { batch{id: "two", rows: 2, version: 2, at: day(3), first: 1}.mustRun(t, f.Warehouse) }, "0:one 1:two 2:two "},
		{func() { supersede("one", "two") }, "1:two 2:two "},
	} {
		step.do()
		if got := current(); got != step.want {
			t.Fatalf("current rows are %q, want %q", got, step.want)
		}
	}
	wantError(t, f.Warehouse.Supersede(t.Context(), scores(), "never", "two"), warehouse.ErrBatchNotFound)
	if err := f.Warehouse.Supersede(t.Context(), scores(), "two", "two"); err == nil {
		t.Error("a batch superseded itself")
	}
	f.wantCounts(t, "one", 3, 1)
}
