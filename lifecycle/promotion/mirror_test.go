package promotion_test

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

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
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

func TestDrain(t *testing.T) {
	w := setup(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.now = func() time.Time { return at }
	w.champions(t, 2)
	if _, _, err := w.Rollback(t.Context(), promotion.RollbackRequest{Model: "churn", Reason: "x", Actor: "bob"}); err != nil {
		t.Fatal(err)
	}
	p := &table{}
	m := promotion.NewMirror(promotion.MirrorDeps{Store: w.store, Target: p})
	p.set(errors.New("warehouse is closed"))
	if err := m.Drain(t.Context()); err == nil {
		t.Fatal("a failed delivery was not reported")
	}
	err := w.store.View(t.Context(), func(r store.Reader) error {
		rows, err := r.Outbox("promotion", time.Time{}, 10)
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

func TestDrainManyRows(t *testing.T) {
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
	if err := promotion.NewMirror(promotion.MirrorDeps{Store: w.store, Target: p}).Drain(t.Context()); err != nil {
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

// TestMirrorRetries runs on a fake clock: the waits double up to the maximum, a wake-up does not have to wait, and an
// idle mirror does nothing at all.
func TestMirrorRetries(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(dir, "s.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		key := int64(0)
		enqueue := func() {
			t.Helper()
			key++
			err := s.Update(t.Context(), func(tx store.Tx) error {
				_, err := tx.Enqueue(store.OutboxRow{Kind: "promotion", Key: key, Payload: []byte(`{}`), CreatedAt: time.Now()})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		p := &table{down: errors.New("down")}
		m := promotion.NewMirror(promotion.MirrorDeps{Store: s, Target: p, MinRetry: time.Second, MaxRetry: 8 * time.Second})
		enqueue()
		begin := time.Now()
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Start(t.Context()); err == nil {
			t.Error("started twice")
		}
		time.Sleep(40 * time.Second) // of the fake clock
		synctest.Wait()
		rows, calls := p.state()
		var got []time.Duration
		for _, c := range calls {
			got = append(got, c.Sub(begin))
		}
		want := []time.Duration{0, 1e9, 3e9, 7e9, 15e9, 23e9, 31e9, 39e9}
		if !slices.Equal(got, want) || rows != 0 {
			t.Errorf("calls at %v, want %v", got, want)
		}
		p.set(nil)
		enqueue()
		m.Wake()
		synctest.Wait()
		if rows, _ := p.state(); rows != 2 {
			t.Errorf("%d rows right after the wake-up, want 2", rows)
		}
		_, calls = p.state()
		time.Sleep(time.Hour)
		if _, after := p.state(); len(after) != len(calls) {
			t.Errorf("%d calls while idle", len(after)-len(calls))
		}
		enqueue()
		m.Wake()
		synctest.Wait()
		if rows, _ := p.state(); rows != 3 {
			t.Errorf("%d rows, want 3", rows)
		}
		m.Stop()
		m.Stop()
		// What comes while it is stopped is delivered at the next start.
		enqueue()
		m.Wake()
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if rows, _ := p.state(); rows != 4 {
			t.Errorf("%d rows, want 4", rows)
		}
		m.Stop()
	})
}

// TestMirrorStops: Stop does not wait for a warehouse that hangs, and loses nothing.
func TestMirrorStops(t *testing.T) {
	w := setup(t)
	w.champions(t, 1)
	p := &table{hang: make(chan struct{})}
	m := promotion.NewMirror(promotion.MirrorDeps{Store: w.store, Target: p})
	for range 2 {
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Stop()
	}
	if rows, _ := p.state(); rows != 0 {
		t.Fatalf("%d rows", rows)
	}
	close(p.hang)
	if err := m.Drain(t.Context()); err != nil {
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
	m := promotion.NewMirror(promotion.MirrorDeps{Store: w.store, Target: p})
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
	m.Stop()
	if err := m.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows, _ := p.state(); rows != 9 {
		t.Errorf("%d rows, want 9", rows)
	}
	if !slices.IsSortedFunc(p.rows, func(a, b warehouse.PromotionRow) int { return int(a.Seq - b.Seq) }) {
		t.Errorf("out of order: %v", p.rows)
	}
}
