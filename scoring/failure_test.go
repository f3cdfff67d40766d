package scoring

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/warehouse"
)

// Cancelling works in every step after the id is known, and leaves nothing (newShelf checks that).
func TestCancelAtEveryStep(t *testing.T) {
	for _, step := range []string{"begin", "open", "read", "write", "commit"} {
		t.Run(step, func(t *testing.T) {
			s := newShelf(t, features(2000))
			reached := make(chan struct{})
			s.at = func(ctx context.Context, at string, n int) error {
				if at == step && (n == 3 || step != "read" && step != "write") {
					close(reached)
					<-ctx.Done()
				}
				return nil
			}
			b, ledger := newTestBatcher(t, s, nil)
			w, err := b.Start(t.Context(), Request{Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			<-reached
			var id warehouse.BatchID
			for id == "" {
				e, err := w.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				id = e.ID
			}
			batch, err := b.Cancel(t.Context(), id)
			if err != nil || batch.State != StateCancelled {
				t.Fatalf("%+v, %v", batch, err)
			}
			if len(s.output) != 0 {
				t.Error("a cancelled batch has rows")
			}
			if ledger.rows[id].State != StateCancelled || ledger.rows[id].Error == "" || ledger.rows[id].Rows != 0 || batch.Rows != 0 {
				t.Errorf("ledger %+v", ledger.rows[id])
			}
			for {
				e, err := w.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if e.Last() {
					if !errors.Is(e.Err, ErrCancelled) || e.RowsTotal != 2000 || e.Batch.Rows != 0 {
						t.Errorf("last event %+v", e)
					}
					break
				}
			}
			if _, err := b.Cancel(t.Context(), id); !errors.Is(err, ErrBatchNotRunning) {
				t.Errorf("second Cancel: %v", err)
			}
			s.at = nil
			if again := mustRun(t, b, Request{Model: "m"}); again.ID != id || again.Attempt != 2 || again.Rows != 2000 || len(s.rows(id)) != 2000 {
				t.Errorf("re-run %+v", again)
			}
		})
	}
}

// The id is known to watchers a moment before the ledger has the batch.
func TestCancelBeforeTheLedgerKnows(t *testing.T) {
	s := newShelf(t, features(100))
	b, ledger := newTestBatcher(t, s, nil)
	id := make(chan warehouse.BatchID, 1)
	ledger.broken = func(op string) error {
		if op == "begin" {
			b.lookup(<-id).cancel(ErrCancelled)
		}
		return nil
	}
	w, err := b.Start(t.Context(), Request{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for told := false; ; {
		e, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !told && e.ID != "" {
			told = true
			id <- e.ID
		}
		if !e.Last() {
			continue
		}
		if e.Err != ErrCancelled || ledger.rows[e.ID].State != StateCancelled || ledger.rows[e.ID].Attempt != 1 { //nolint:errorlint // nothing may be joined to it
			t.Errorf("last event %+v, ledger %+v", e, ledger.rows[e.ID])
		}
		return
	}
}

var errBroken = errors.New("broken")

// Whatever breaks, the batch fails with that error, leaves nothing, and a re-run completes it.
func TestFailureAtEveryStep(t *testing.T) {
	for _, step := range []string{"describe", "snapshot", "begin", "open", "read", "write", "commit"} {
		t.Run(step, func(t *testing.T) {
			s := newShelf(t, features(2000))
			s.at = func(_ context.Context, at string, n int) error {
				if at == step && (n == 5 || step != "read" && step != "write") {
					return fmt.Errorf("%s %d: %w", at, n, errBroken)
				}
				return nil
			}
			b, ledger := newTestBatcher(t, s, nil)
			batch, err := b.Run(t.Context(), Request{Model: "m"}, nil)
			if !errors.Is(err, errBroken) {
				t.Fatalf("got %v", err)
			}
			early := step == "describe" || step == "snapshot"
			if early != (batch.ID == "") || early != (len(ledger.rows) == 0) {
				t.Errorf("batch %+v, ledger %+v", batch, ledger.rows)
			}
			if !early && (batch.State != StateFailed || !strings.Contains(ledger.rows[batch.ID].Error, "broken") || ledger.rows[batch.ID].Rows != 0) {
				t.Errorf("ledger %+v", ledger.rows[batch.ID])
			}
			if len(s.output) != 0 {
				t.Error("a failed batch has rows")
			}
			s.at = nil
			if again := mustRun(t, b, Request{Model: "m"}); len(s.rows(again.ID)) != 2000 {
				t.Errorf("re-run %+v", again)
			}
		})
	}
}

func TestLedgerFailures(t *testing.T) {
	for _, op := range []string{"begin", "phase", "finish"} {
		t.Run(op, func(t *testing.T) {
			s := newShelf(t, features(200))
			b, ledger := newTestBatcher(t, s, nil)
			ledger.broken = func(at string) error {
				if at == op {
					return errBroken
				}
				return nil
			}
			batch, err := b.Run(t.Context(), Request{Model: "m"}, nil)
			if !errors.Is(err, errBroken) || errors.Is(err, ErrBatchNotFound) {
				t.Fatalf("got %v", err)
			}
			ledger.broken = nil
			if op == "finish" {
				// The rows are there; only the ledger does not say so. It must not claim that the batch still runs.
				got, err := b.Get(t.Context(), batch.ID)
				if err != nil || got.State != StateInterrupted {
					t.Errorf("%+v, %v", got, err)
				}
				list, _, err := b.List(t.Context(), "", 0, "")
				if err != nil || list[0].State != StateInterrupted {
					t.Errorf("%+v, %v", list, err)
				}
			}
			if again := mustRun(t, b, Request{Model: "m"}); len(s.rows(again.ID)) != 200 || again.Replaced != (op == "finish") {
				t.Errorf("re-run %+v", again)
			}
		})
	}
}

func TestRowsThatDoNotAddUp(t *testing.T) {
	s := newShelf(t, features(1000))
	s.short = 1
	b, _ := newTestBatcher(t, s, nil)
	if _, err := b.Run(t.Context(), Request{Model: "m"}, nil); !errors.Is(err, ErrInconsistent) || !strings.Contains(err.Error(), "999 rows") {
		t.Errorf("short commit: %v", err)
	}
	// A stream that ends early without an error must never be committed.
	s.short, s.table.rows = 0, 1000
	s.at = func(_ context.Context, step string, n int) error {
		if step == "open" {
			s.table.rows = 900
		}
		return nil
	}
	s.table.version = "v2"
	batch, err := b.Run(t.Context(), Request{Model: "m"}, nil)
	if !errors.Is(err, ErrInconsistent) || !strings.Contains(err.Error(), "900 rows, its snapshot has 1000") {
		t.Errorf("short stream: %v", err)
	}
	if s.output[batch.ID] != nil {
		t.Error("was committed")
	}
}
