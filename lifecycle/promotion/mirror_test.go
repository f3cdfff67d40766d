package promotion_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// table is the promotions table of a warehouse that may be down.
type table struct {
	mu    sync.Mutex
	rows  []warehouse.PromotionRow
	calls []time.Time
	down  error
	hang  chan struct{} // when set, a call waits for it or for its context
}

func (p *table) MirrorPromotions(ctx context.Context, rows []warehouse.PromotionRow) error {
	p.mu.Lock()
	p.calls = append(p.calls, time.Now())
	down, hang := p.down, p.hang
	p.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if down != nil {
		return down
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range rows {
		if !slices.ContainsFunc(p.rows, func(x warehouse.PromotionRow) bool { return x.Seq == r.Seq }) {
			p.rows = append(p.rows, r)
		}
	}
	return nil
}

func (p *table) set(down error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

func (p *table) state() (rows int, calls []time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rows), slices.Clone(p.calls)
}

// mirror is the outbox with a Mirror into p, and with nothing else.
func mirror(s store.Store, p promotion.Target) *outbox.Relay {
	return outbox.New(outbox.Deps{
		Store: s, Handlers: map[string]outbox.Handler{promotion.OutboxKind: promotion.NewMirror(p)}, MinRetry: time.Second,
		MaxRetry: 8 * time.Second, Jitter: func() float64 { return 1 },
	})
}

func TestMirror(t *testing.T) {
	w := setup(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.now = func() time.Time { return at }
	w.champions(t, 2)
	if _, _, err := w.Rollback(t.Context(), promotion.RollbackRequest{Model: "churn", Reason: "x", Actor: "bob"}); err != nil {
		t.Fatal(err)
	}
	p := &table{}
	m := mirror(w.store, p)
	p.set(errors.New("warehouse is closed"))
	if err := m.Drain(t.Context()); err == nil {
		t.Fatal("a failed delivery was not reported")
	}
	err := w.store.View(t.Context(), func(r store.Reader) error {
		rows, err := r.Outbox(promotion.OutboxKind, time.Time{}, 10)
		if len(rows) != 5 || rows[0].Attempts != 1 || rows[0].LastError == "" {
			t.Errorf("outbox is %+v", rows)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.set(nil)
	for range 2 {
		if err := m.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	row := func(seq, v int64, by, from, to string) warehouse.PromotionRow {
		return warehouse.PromotionRow{Seq: seq, Model: "churn", Version: v, Timestamp: at, PromotedBy: by, FromStage: from, ToStage: to}
	}
	want := []warehouse.PromotionRow{
		row(3, 1, "ann", "Validated", "Champion"),
		row(6, 1, "ann", "Champion", "Archived"), row(7, 2, "ann", "Validated", "Champion"),
		row(8, 2, "bob", "Champion", "Quarantined"), row(9, 1, "bob", "Archived", "Champion"),
	}
	if d := cmp.Diff(want, p.rows); d != "" {
		t.Error(d)
	}
	if _, calls := p.state(); len(calls) != 2 {
		t.Errorf("%d calls, want 2: nothing is told twice", len(calls))
	}
}

func TestMirrorManyRows(t *testing.T) {
	w := setup(t)
	const rows = 600 // more than two deliveries
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		for i := range rows {
			_, err := tx.Enqueue(store.OutboxRow{Kind: "promotion", Key: int64(i), Payload: []byte(`{}`), CreatedAt: time.Now()})
			if err != nil {
				return err
			}
		}
		_, err := tx.Enqueue(store.OutboxRow{Kind: "alert", Key: 1, Payload: []byte(`not ours`), CreatedAt: time.Now()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &table{}
	if err := mirror(w.store, p).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range p.rows {
		if r.Seq != int64(i) {
			t.Fatalf("row %d has seq %d", i, r.Seq)
		}
	}
	if len(p.rows) != rows {
		t.Errorf("%d rows, want %d", len(p.rows), rows)
	}
}

// A row that cannot be read holds up those behind it: the table never shows a later change before an earlier one.
func TestMirrorKeepsOrder(t *testing.T) {
	w := setup(t)
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		for i, payload := range []string{`{}`, `not JSON`, `{}`} {
			_, err := tx.Enqueue(store.OutboxRow{Kind: "promotion", Key: int64(i), Payload: []byte(payload), CreatedAt: time.Now()})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &table{}
	m := mirror(w.store, p)
	if err := m.Drain(t.Context()); !outbox.IsPermanent(err) {
		t.Fatalf("error is %v", err)
	}
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(p.rows) != 1 || p.rows[0].Seq != 0 {
		t.Errorf("told %+v, want the first row only", p.rows)
	}
	dead, _, err := m.List(t.Context(), store.DeliveryQuery{State: store.DeliveryDead})
	if err != nil || len(dead) != 1 || dead[0].Key != 1 {
		t.Errorf("dead letters are %+v (%v)", dead, err)
	}
}

// Stop does not wait for a warehouse that hangs, and loses nothing.
func TestMirrorStops(t *testing.T) {
	w := setup(t)
	w.champions(t, 1)
	p := &table{hang: make(chan struct{})}
	for range 2 {
		m := mirror(w.store, p)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rows, _ := p.state(); rows != 0 {
		t.Fatalf("%d rows", rows)
	}
	close(p.hang)
	if err := mirror(w.store, p).Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows, _ := p.state(); rows != 1 {
		t.Errorf("%d rows, want 1", rows)
	}
}

// TestMirrorWithPromotions wires both as the daemon does.
func TestMirrorWithPromotions(t *testing.T) {
	w := setup(t)
	p := &table{}
	m := mirror(w.store, p)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	svc := promotion.New(promotion.Deps{Store: w.store, Registry: w.registry, Committed: m.Wake})
	for i := range 5 {
		w.validated(t)
		if _, err := svc.Promote(t.Context(), promotion.Request{Model: "churn", Reason: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(m.Stop(t.Context()), m.Drain(t.Context())); err != nil {
		t.Fatal(err)
	}
	if rows, _ := p.state(); rows != 9 {
		t.Errorf("%d rows, want 9", rows)
	}
	if !slices.IsSortedFunc(p.rows, func(a, b warehouse.PromotionRow) int { return int(a.Seq - b.Seq) }) {
		t.Errorf("out of order: %v", p.rows)
	}
}
