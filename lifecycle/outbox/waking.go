package outbox

import (
	"context"

	"github.com/treeline-ml/treeline/store"
)

// Waking returns s with wake called after each committed Update that added outbox rows, so that nobody who adds one has
// to know the Relay. wake must not block.
func Waking(s store.Store, wake func()) store.Store { return &waking{s, wake} }

type waking struct {
	store.Store

	wake func()
}

// Update runs f and wakes when it committed rows.
func (w *waking) Update(ctx context.Context, f func(store.Tx) error) error {
	added := false
	err := w.Store.Update(ctx, func(tx store.Tx) error { return f(&noticing{tx, &added}) })
	if err == nil && added {
		w.wake()
	}
	return err
}

type noticing struct {
	store.Tx

	added *bool
}

// Enqueue adds a row.
func (n *noticing) Enqueue(r store.OutboxRow) (int64, error) {
	*n.added = true
	return n.Tx.Enqueue(r)
}
