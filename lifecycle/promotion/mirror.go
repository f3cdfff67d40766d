package promotion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// outboxKind marks the rows of this package. Their key is the seq of the audit entry.
const outboxKind = "promotion"

// drainRows is the number of rows of one delivery.
const drainRows = 256

// outboxRow is the payload of an outbox row, with the public names of the stages.
type outboxRow struct {
	Model      string    `json:"model"`
	Version    int64     `json:"version"`
	Timestamp  time.Time `json:"timestamp"`
	PromotedBy string    `json:"promoted_by"`
	FromStage  string    `json:"from_stage"`
	ToStage    string    `json:"to_stage"`
}

// enqueue puts an audit entry into the outbox.
func enqueue(tx store.Tx, e audit.Entry) error {
	payload, err := json.Marshal(outboxRow{
		Model: e.Model, Version: e.Version, Timestamp: e.At, PromotedBy: e.Actor,
		FromStage: stage.Stage(e.FromStage).Title(), ToStage: stage.Stage(e.ToStage).Title(),
	})
	if err != nil {
		return err
	}
	_, err = tx.Enqueue(store.OutboxRow{Kind: outboxKind, Key: e.Seq, Payload: payload, CreatedAt: e.At})
	return err
}

// Target takes promotion rows and ignores those that it has by Seq; warehouse.Warehouse is one.
type Target interface {
	MirrorPromotions(ctx context.Context, rows []warehouse.PromotionRow) error
}

// MirrorDeps are what a Mirror needs.
type MirrorDeps struct {
	Store  store.Store
	Target Target
	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
	// MinRetry and MaxRetry bound the wait after a failure, which doubles; 500 ms and 1 min when 0.
	MinRetry, MaxRetry time.Duration
}

// Mirror copies changes of Champion from the outbox to the warehouse, in order, each at least once and, because the
// warehouse knows them by Seq, visible once. A row stays in the outbox until it was delivered, whatever dies meanwhile.
//
// Start and Stop may be called from any goroutine, Wake and Drain at any time, also when it is not running.
type Mirror struct {
	d    MirrorDeps
	wake chan struct{} // of capacity 1: any number of wakes before the next look are one
	turn chan struct{} // of capacity 1: held while draining, so that rows go out in order

	mu   sync.Mutex
	stop context.CancelFunc // nil when not running
	done chan struct{}
}

// NewMirror returns a Mirror that is not running.
func NewMirror(d MirrorDeps) *Mirror {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.MinRetry <= 0 {
		d.MinRetry = 500 * time.Millisecond
	}
	if d.MaxRetry < d.MinRetry {
		d.MaxRetry = max(time.Minute, d.MinRetry)
	}
	return &Mirror{d: d, wake: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// errRunning: Start was called twice.
var errRunning = errors.New("promotion: mirror is running already")

// Start begins to deliver in the background, what is in the outbox first. It ends with Stop or with ctx.
func (m *Mirror) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stop != nil {
		return errRunning
	}
	ctx, m.stop = context.WithCancel(ctx)
	m.done = make(chan struct{})
	go m.run(ctx, m.done)
	return nil
}

// Stop ends the background work and waits for it. A delivery under way is cancelled; its rows stay in the outbox.
func (m *Mirror) Stop() {
	m.mu.Lock()
	stop, done := m.stop, m.done
	m.stop = nil
	m.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
}

// Wake asks for a delivery now. It does not block.
func (m *Mirror) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Mirror) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	retry := time.NewTimer(0) // look at once
	defer retry.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		case <-retry.C:
		}
		err := m.Drain(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait := m.wait(failures)
			failures++
			m.d.Logger.WarnContext(ctx, "promotions not mirrored", "error", err, "failures", failures, "retry_in", wait)
			retry.Reset(wait)
		case failures > 0:
			m.d.Logger.InfoContext(ctx, "promotions mirrored again", "failures", failures)
			failures = 0
			retry.Stop() // nothing to retry; the next change wakes
		}
	}
}

// wait doubles from MinRetry to MaxRetry.
func (m *Mirror) wait(failures int) time.Duration {
	d := m.d.MinRetry
	for range failures {
		if d *= 2; d >= m.d.MaxRetry {
			return m.d.MaxRetry
		}
	}
	return d
}

// Drain delivers until the outbox is empty or a delivery fails, and returns that failure. For an orderly shutdown, call
// it after Stop with the time that is left.
func (m *Mirror) Drain(ctx context.Context) error {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		n, err := m.deliver(ctx)
		if err != nil || n < drainRows {
			return err
		}
	}
}

// deliver sends one group of rows and returns their number.
func (m *Mirror) deliver(ctx context.Context) (int, error) {
	var rows []store.OutboxRow
	err := m.d.Store.View(ctx, func(r store.Reader) (err error) {
		rows, err = r.Outbox(outboxKind, m.d.Now(), drainRows)
		return err
	})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	ids := make([]int64, len(rows))
	out := make([]warehouse.PromotionRow, len(rows))
	for i, row := range rows {
		var p outboxRow
		if err := json.Unmarshal(row.Payload, &p); err != nil {
			return 0, fmt.Errorf("outbox row %d: %w", row.ID, err)
		}
		ids[i] = row.ID
		out[i] = warehouse.PromotionRow{
			Seq: row.Key, Model: p.Model, Version: p.Version, Timestamp: p.Timestamp, PromotedBy: p.PromotedBy,
			FromStage: p.FromStage, ToStage: p.ToStage,
		}
	}
	if err := m.d.Target.MirrorPromotions(ctx, out); err != nil {
		err = fmt.Errorf("mirror %d promotions from seq %d: %w", len(out), out[0].Seq, err)
		if ctx.Err() != nil {
			return 0, err // stopped, not refused
		}
		return 0, errors.Join(err, m.d.Store.Update(ctx, func(tx store.Tx) error { return tx.Undelivered(ids, err.Error(), m.d.Now(), false) }))
	}
	// A kill here delivers the rows once more, which the warehouse ignores.
	return len(rows), m.d.Store.Update(ctx, func(tx store.Tx) error { return tx.Delivered(ids, m.d.Now()) })
}
