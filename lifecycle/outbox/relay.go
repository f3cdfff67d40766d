// Package outbox tells other systems what the store says must be told: each row at least once, as soon as it can be.
//
//	a change + Enqueue, one transaction --> row --Deliver--> delivered
//	                                         | ^ wait, twice as long each time
//	                                         v | Replay
//	                                        dead letter
//
// # Invariants
//
//	O1  A row stays until it was delivered or given up, whatever dies meanwhile. A crash after a delivery and before its
//	    note delivers the row once more; the receiver knows it by its key.
//	O2  Rows of a kind go out in the order in which they were committed. Of a Blocking kind none goes out before those
//	    ahead of it were delivered; of any other kind, rows that wait or were given up are passed by the ones behind.
//	O3  A slow or failing kind does not hold up another.
//
// # Concurrency
//
// A Relay serves any number of goroutines.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/store"
)

// Handler tells another system the rows of one kind.
type Handler interface {
	// Deliver tells rows, the oldest first, and returns nil when all were told, a *Partial when some were, and Permanent
	// of an error when trying again would not help.
	Deliver(ctx context.Context, rows []store.OutboxRow) error
}

// Blocking is a Handler whose rows must be told in order. When one fails those behind it wait; none is given up for its
// number of attempts, and one that was given up as Permanent holds up the kind until it is replayed.
type Blocking interface {
	Handler
	Blocking() bool
}

// Deps are what a Relay needs.
type Deps struct {
	Store    store.Store
	Handlers map[string]Handler // by kind; rows of a kind that has none are marked as delivered to nobody
	Logger   *slog.Logger       // discards when nil
	Now      func() time.Time   // time.Now when nil
	// MinRetry and MaxRetry bound the wait after a failure, which doubles; 500 ms and 5 min when 0.
	MinRetry, MaxRetry time.Duration
	// MaxAttempts is the number of failures after which a row is given up; 50 when 0, which is some three hours.
	MaxAttempts int
	// Jitter returns numbers in [0, 1): a wait is between its half, at 0, and its whole. Random when nil.
	Jitter func() float64
}

// Relay delivers the outbox.
type Relay struct {
	d     Deps
	loop  *service.Loop
	kinds map[string]*queue
	idle  *queue // rows that nobody takes
}

// queue is the state of a kind.
type queue struct {
	kind    string
	handler Handler
	blocks  bool
	wake    chan struct{} // of capacity 1: any number of wakes before the next look are one
	turn    chan struct{} // of capacity 1: held while delivering, so that rows go out in order
	failing bool          // guarded by turn
}

// New returns a Relay that is not running.
func New(d Deps) *Relay {
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
		d.MaxRetry = max(5*time.Minute, d.MinRetry)
	}
	if d.MaxAttempts <= 0 {
		d.MaxAttempts = 50
	}
	if d.Jitter == nil {
		d.Jitter = rand.Float64
	}
	r := &Relay{d: d, kinds: map[string]*queue{}, idle: newQueue("", nil)}
	for kind, h := range d.Handlers {
		r.kinds[kind] = newQueue(kind, h)
	}
	r.loop = service.NewLoop(r.run)
	return r
}

func newQueue(kind string, h Handler) *queue {
	b, ok := h.(Blocking)
	return &queue{
		kind: kind, handler: h, blocks: ok && b.Blocking(), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}
}

// Start begins to deliver in the background, what is in the outbox first.
func (r *Relay) Start(ctx context.Context) error { return r.loop.Start(ctx) }

// Stop ends the background work and waits for it. A delivery under way is cancelled; its rows stay.
func (r *Relay) Stop(ctx context.Context) error { return r.loop.Stop(ctx) }

// Wake asks to look at the outbox now. It does not block. Waking calls it where rows are added.
func (r *Relay) Wake() {
	r.idle.signal()
	for _, q := range r.kinds {
		q.signal()
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (r *Relay) run(ctx context.Context, started func()) error {
	started()
	var all sync.WaitGroup
	all.Go(func() { r.serve(ctx, r.idle) })
	for _, q := range r.kinds {
		all.Go(func() { r.serve(ctx, q) })
	}
	all.Wait()
	return nil
}

// serve delivers what is due of a kind whenever it is woken or a row becomes due.
func (r *Relay) serve(ctx context.Context, q *queue) {
	due := time.NewTimer(0) // look at once
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		case <-due.C:
		}
		due.Stop()
		next, err := r.pass(ctx, q)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil: // of the store
			r.d.Logger.ErrorContext(ctx, "outbox not read or written", "kind", q.kind, "error", err, "retry_in", r.d.MaxRetry)
			due.Reset(r.d.MaxRetry)
		case !next.IsZero():
			due.Reset(max(0, next.Sub(r.d.Now())))
		}
	}
}

// pass delivers all that is due of a kind and returns when to look again, zero for when there is nothing to wait for.
func (r *Relay) pass(ctx context.Context, q *queue) (time.Time, error) {
	unlock, err := q.lock(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer unlock()
	for {
		rows, next, err := r.due(ctx, q, r.d.Now())
		if err != nil || len(rows) == 0 {
			return next, err
		}
		if _, err := r.deliver(ctx, q, rows); err != nil {
			return time.Time{}, err
		}
	}
}

func (q *queue) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case q.turn <- struct{}{}:
		return func() { <-q.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// never is after every time at which a row may be due.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// Drain delivers what is in the outbox, also what waits for another try, until it is empty or a delivery fails, kind by
// kind, and returns those failures. For an orderly shutdown, call it after Stop with the time that is left.
func (r *Relay) Drain(ctx context.Context) error {
	var errs []error
	for _, kind := range r.sorted() {
		if err := r.drain(ctx, kind); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", kind.kind, err))
		}
	}
	return errors.Join(append(errs, r.drain(ctx, r.idle))...)
}

func (r *Relay) sorted() []*queue {
	out := make([]*queue, 0, len(r.kinds))
	for _, q := range r.kinds {
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b *queue) int { return slices.Compare([]byte(a.kind), []byte(b.kind)) })
	return out
}

func (r *Relay) drain(ctx context.Context, q *queue) error {
	unlock, err := q.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for {
		rows, _, err := r.due(ctx, q, never)
		if err != nil || len(rows) == 0 {
			return err
		}
		if failed, err := r.deliver(ctx, q, rows); err != nil || failed != nil {
			return errors.Join(failed, err)
		}
	}
}

// List lists rows, newest first, and the token of the next page ("" at the end). It fails with store.ErrPageToken.
func (r *Relay) List(ctx context.Context, q store.DeliveryQuery) (rows []store.OutboxRow, next string, err error) {
	err = r.d.Store.View(ctx, func(s store.Reader) (err error) {
		rows, next, err = s.Deliveries(q)
		return err
	})
	return rows, next, err
}

// Replay puts dead letters back into the queue, as if they were new, and returns their number. No ids means all of the
// kind, an empty kind means any. It fails with store.ErrDeliveryNotFound or, when one is not dead, store.ErrConflict;
// nothing is replayed then.
func (r *Relay) Replay(ctx context.Context, kind string, ids []int64) (int64, error) {
	ids = slices.Clone(ids)
	err := r.d.Store.Update(ctx, func(tx store.Tx) error {
		for _, id := range ids {
			row, err := tx.Delivery(id)
			if err == nil && kind != "" && row.Kind != kind {
				err = fmt.Errorf("%d is of kind %s, not %s: %w", id, row.Kind, kind, store.ErrDeliveryNotFound)
			}
			if err != nil {
				return err
			}
		}
		if len(ids) == 0 {
			for q := (store.DeliveryQuery{Kind: kind, State: store.DeliveryDead, PageSize: store.MaxPageSize}); ; {
				rows, next, err := tx.Deliveries(q)
				if err != nil {
					return err
				}
				for _, row := range rows {
					ids = append(ids, row.ID)
				}
				if q.PageToken = next; next == "" {
					break
				}
			}
		}
		return tx.Replay(ids)
	})
	if err != nil {
		return 0, err
	}
	r.Wake()
	return int64(len(ids)), nil
}
