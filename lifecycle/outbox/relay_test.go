package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a system that is told of rows and may be unwilling.
type receiver struct {
	blocking bool
	answer   func(rows []store.OutboxRow) error // nil takes all

	mu    sync.Mutex
	calls []string // "<time since the beginning> <keys>"
	begin time.Time
}

func (r *receiver) Blocking() bool { return r.blocking }

func (r *receiver) Deliver(_ context.Context, rows []store.OutboxRow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []int64
	for _, row := range rows {
		keys = append(keys, row.Key)
	}
	r.calls = append(r.calls, fmt.Sprintf("%v%v", time.Since(r.begin), keys))
	if r.answer == nil {
		return nil
	}
	return r.answer(rows)
}

func (r *receiver) set(answer func(rows []store.OutboxRow) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// want compares the calls since the last look.
func (r *receiver) want(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.calls, want) {
		t.Errorf("calls %q, want %q", r.calls, want)
	}
	r.calls = nil
}

// world is a relay on a fake clock.
type world struct {
	t     *testing.T
	store store.Store
	relay *outbox.Relay
}

func onClock(t *testing.T, d outbox.Deps, f func(t *testing.T, w *world)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, h := range d.Handlers {
			h.(*receiver).begin = time.Now()
		}
		d.Store, d.MinRetry, d.MaxRetry = s, time.Second, 8*time.Second
		if d.Jitter == nil {
			d.Jitter = func() float64 { return 1 }
		}
		w := &world{t: t, relay: outbox.New(d)}
		w.store = outbox.Waking(s, w.relay.Wake)
		f(t, w)
		if err := w.relay.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) start() {
	w.t.Helper()
	if err := w.relay.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
}

func (w *world) enqueue(kind string, keys ...int64) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		for _, key := range keys {
			if _, err := tx.Enqueue(store.OutboxRow{Kind: kind, Key: key, Payload: []byte(`{}`), CreatedAt: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d) // of the fake clock
	synctest.Wait()
}

// state is "key:state" of each row of a kind, oldest first.
func (w *world) state(kind string) (out []string) {
	w.t.Helper()
	rows, _, err := w.relay.List(w.t.Context(), store.DeliveryQuery{Kind: kind})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range slices.Backward(rows) {
		out = append(out, fmt.Sprintf("%d:%s", r.Key, r.State()))
	}
	return out
}

func (w *world) wantState(kind string, want ...string) {
	w.t.Helper()
	if got := w.state(kind); !slices.Equal(got, want) {
		w.t.Errorf("%s rows are %q, want %q", kind, got, want)
	}
}

func down([]store.OutboxRow) error { return errors.New("down") }

// The waits double up to the maximum, an idle relay does nothing at all, a row goes out in the transaction's wake.
func TestRetries(t *testing.T) {
	r := &receiver{answer: down}
	onClock(t, outbox.Deps{Handlers: map[string]outbox.Handler{"k": r}}, func(t *testing.T, w *world) {
		w.enqueue("k", 1)
		w.start()
		if err := w.relay.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
		w.pass(32 * time.Second)
		r.want(t, "0s[1]", "1s[1]", "3s[1]", "7s[1]", "15s[1]", "23s[1]", "31s[1]")
		w.enqueue("k", 2) // does not wait for the first
		synctest.Wait()
		r.want(t, "32s[2]")
		r.set(nil)
		w.pass(time.Hour)
		r.want(t, "33s[2]", "39s[1]")
		w.wantState("k", "1:delivered", "2:delivered")
		w.enqueue("k", 3)
		synctest.Wait()
		r.want(t, "1h0m32s[3]")
	})
}

// Jitter shortens a wait to between its half and its whole.
func TestJitter(t *testing.T) {
	r := &receiver{answer: down}
	onClock(t, outbox.Deps{Handlers: map[string]outbox.Handler{"k": r}, Jitter: func() float64 { return .5 }}, func(t *testing.T, w *world) {
		w.enqueue("k", 1)
		w.start()
		w.pass(10 * time.Second)
		r.want(t, "0s[1]", "750ms[1]", "2.25s[1]", "5.25s[1]")
	})
}

// A row that failed too often or for good is given up, passed by the others, and replayed when asked for.
func TestDeadLetters(t *testing.T) {
	poison := func(rows []store.OutboxRow) error {
		for _, r := range rows {
			if r.Key == 2 {
				return outbox.Permanent(errors.New("row 2 makes no sense"))
			}
		}
		return nil
	}
	r, other := &receiver{answer: poison}, &receiver{answer: down}
	d := outbox.Deps{Handlers: map[string]outbox.Handler{"k": r, "other": other}, MaxAttempts: 3}
	onClock(t, d, func(t *testing.T, w *world) {
		w.enqueue("k", 1, 2, 3)
		w.enqueue("other", 9)
		w.start()
		r.want(t, "0s[1 2 3]", "0s[1]", "0s[2]", "0s[3]")
		w.wantState("k", "1:delivered", "2:dead", "3:delivered")
		w.pass(time.Hour)
		r.want(t)
		other.want(t, "0s[9]", "1s[9]", "3s[9]")
		w.wantState("other", "9:dead")

		dead, _, err := w.relay.List(t.Context(), store.DeliveryQuery{Kind: "k", State: store.DeliveryDead})
		if err != nil || len(dead) != 1 || dead[0].LastError != "row 2 makes no sense" || dead[0].Attempts != 1 {
			t.Fatalf("dead letters %+v (%v)", dead, err)
		}
		r.set(nil)
		if _, err := w.relay.Replay(t.Context(), "other", []int64{dead[0].ID}); !errors.Is(err, store.ErrDeliveryNotFound) {
			t.Errorf("replay under another kind: %v", err)
		}
		if _, err := w.relay.Replay(t.Context(), "", []int64{dead[0].ID - 1}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("replay of a delivered row: %v", err)
		}
		if n, err := w.relay.Replay(t.Context(), "k", []int64{dead[0].ID}); n != 1 || err != nil {
			t.Errorf("replayed %d (%v)", n, err)
		}
		synctest.Wait()
		r.want(t, "1h0m0s[2]")
		other.set(nil)
		if n, err := w.relay.Replay(t.Context(), "", nil); n != 1 || err != nil {
			t.Errorf("replayed %d (%v)", n, err)
		}
		synctest.Wait()
		other.want(t, "1h0m0s[9]")
		w.wantState("other", "9:delivered")
	})
}

// A handler may say which rows it told.
func TestPartial(t *testing.T) {
	r := &receiver{answer: func(rows []store.OutboxRow) error {
		failed := map[int64]error{}
		for _, r := range rows {
			switch r.Key {
			case 2:
				failed[r.ID] = errors.New("later")
			case 3:
				failed[r.ID] = outbox.Permanent(errors.New("never"))
			}
		}
		if len(failed) == 0 {
			return nil
		}
		return fmt.Errorf("some: %w", &outbox.Partial{Failed: failed})
	}}
	onClock(t, outbox.Deps{Handlers: map[string]outbox.Handler{"k": r}}, func(t *testing.T, w *world) {
		w.enqueue("k", 1, 2, 3, 4)
		w.start()
		w.wantState("k", "1:delivered", "2:pending", "3:dead", "4:delivered")
		w.pass(time.Second)
		r.want(t, "0s[1 2 3 4]", "1s[2]")
	})
}

// Of a blocking kind nothing passes a row that waits or was given up, however often it failed.
func TestBlocking(t *testing.T) {
	r := &receiver{answer: down, blocking: true}
	onClock(t, outbox.Deps{Handlers: map[string]outbox.Handler{"k": r}, MaxAttempts: 2}, func(t *testing.T, w *world) {
		w.enqueue("k", 1, 2)
		w.start()
		w.enqueue("k", 3)
		w.pass(20 * time.Second)
		r.want(t, "0s[1 2]", "1s[1 2 3]", "3s[1 2 3]", "7s[1 2 3]", "15s[1 2 3]")
		r.set(func(rows []store.OutboxRow) error {
			for _, row := range rows {
				if row.Key == 2 {
					return outbox.Permanent(errors.New("never"))
				}
			}
			return nil
		})
		w.pass(time.Hour)
		r.want(t, "23s[1 2 3]", "23s[1]", "23s[2]")
		w.wantState("k", "1:delivered", "2:dead", "3:pending")
		r.set(nil)
		if n, err := w.relay.Replay(t.Context(), "k", nil); n != 1 || err != nil {
			t.Fatalf("replayed %d (%v)", n, err)
		}
		synctest.Wait()
		r.want(t, "1h0m20s[2 3]")
		w.wantState("k", "1:delivered", "2:delivered", "3:delivered")
	})
}

// slow is a handler that waits for its context.
type slow struct{ *receiver }

func (s slow) Deliver(ctx context.Context, rows []store.OutboxRow) error {
	_ = s.receiver.Deliver(ctx, rows)
	<-ctx.Done()
	return ctx.Err()
}

// A kind that hangs holds up neither another kind nor Stop, and what it was at stays as it was.
func TestSlowKind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		hung, quick := &receiver{begin: time.Now()}, &receiver{begin: time.Now()}
		w := &world{t: t, store: s, relay: outbox.New(outbox.Deps{
			Store: s, Handlers: map[string]outbox.Handler{"slow": slow{hung}, "quick": quick},
		})}
		w.enqueue("slow", 1)
		w.enqueue("quick", 2)
		w.start()
		hung.want(t, "0s[1]")
		quick.want(t, "0s[2]")
		if err := w.relay.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wantState("slow", "1:pending")
		rows, _, err := w.relay.List(t.Context(), store.DeliveryQuery{Kind: "slow"})
		if err != nil || rows[0].Attempts != 0 {
			t.Errorf("stopped delivery counts as %d attempts (%v)", rows[0].Attempts, err)
		}
	})
}

// Rows that nobody takes do not pile up, and say so.
func TestNobody(t *testing.T) {
	r := &receiver{}
	onClock(t, outbox.Deps{Handlers: map[string]outbox.Handler{"k": r}}, func(t *testing.T, w *world) {
		w.enqueue("other", 1, 2)
		w.enqueue("third", 1)
		w.start()
		w.enqueue("other", 3)
		synctest.Wait()
		w.wantState("other", "1:delivered", "2:delivered", "3:delivered")
		w.wantState("third", "1:delivered")
		rows, _, err := w.relay.List(t.Context(), store.DeliveryQuery{Kind: "third"})
		if err != nil || rows[0].Attempts != 0 || rows[0].LastError == "" {
			t.Errorf("row is %+v (%v)", rows, err)
		}
		r.want(t)
	})
}

// Drain tries what waits, once, and reports what fails.
func TestDrain(t *testing.T) {
	bad, good := &receiver{answer: down}, &receiver{}
	onClock(t, outbox.Deps{Handlers: map[string]outbox.Handler{"bad": bad, "good": good}}, func(t *testing.T, w *world) {
		w.enqueue("bad", 1)
		w.enqueue("good", 2)
		w.enqueue("nobody", 3)
		for range 2 {
			if err := w.relay.Drain(t.Context()); err == nil {
				t.Error("a failure was not reported")
			}
		}
		bad.want(t, "0s[1]", "0s[1]")
		good.want(t, "0s[2]")
		w.wantState("nobody", "3:delivered")
		bad.set(nil)
		if err := w.relay.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		w.wantState("bad", "1:delivered")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		w.enqueue("good", 4)
		if err := w.relay.Drain(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("drain in an ended context: %v", err)
		}
	})
}

// An Update that fails, or adds no row, wakes nobody.
func TestWaking(t *testing.T) {
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wakes := 0
	w := outbox.Waking(s, func() { wakes++ })
	undone := errors.New("undone")
	add := func(key int64, fails error) func(store.Tx) error {
		return func(tx store.Tx) error {
			_, err := tx.Enqueue(store.OutboxRow{Kind: "k", Key: key, CreatedAt: time.Now()})
			return errors.Join(err, fails)
		}
	}
	if err := w.Update(t.Context(), add(1, undone)); !errors.Is(err, undone) || wakes != 0 {
		t.Errorf("%d wakes after a failure (%v)", wakes, err)
	}
	if err := w.Update(t.Context(), func(tx store.Tx) error { return tx.EnsureModel("m", time.Now()) }); err != nil || wakes != 0 {
		t.Errorf("%d wakes after a change without a row (%v)", wakes, err)
	}
	if err := w.Update(t.Context(), add(1, nil)); err != nil || wakes != 1 {
		t.Errorf("%d wakes after a row, want 1 (%v)", wakes, err)
	}
}
