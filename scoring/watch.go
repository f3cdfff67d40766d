package scoring

import (
	"context"
	"io"
	"sync"
)

// board holds the latest event of one batch. Publishing never waits for a watcher: each watcher takes the newest event
// when it is ready for one, so a slow watcher sees fewer events and always the last one.
type board struct {
	mu      sync.Mutex
	latest  Event
	seq     uint64
	closed  bool
	moved   *board        // where the events come from now: the batch joined another run
	changed chan struct{} // closed and replaced at each change
}

func newBoard() *board { return &board{changed: make(chan struct{})} }

// publish replaces the latest event; it is a no-op after the last one.
func (b *board) publish(e Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.latest = e
	b.seq++
	b.closed = e.Last()
	close(b.changed)
	b.changed = make(chan struct{})
}

// move sends every watcher, present and future, on to another board.
func (b *board) move(to *board) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved = to
	b.closed = true
	close(b.changed)
	b.changed = make(chan struct{})
}

// Watcher follows one batch from its present state to its end.
type Watcher struct {
	board *board
	seen  uint64
}

// Next returns the newest event that it has not returned yet, waiting for one if need be, and io.EOF after the last.
// It fails when ctx ends; the batch goes on.
func (w *Watcher) Next(ctx context.Context) (Event, error) {
	for {
		w.board.mu.Lock()
		e, seq, closed, moved, changed := w.board.latest, w.board.seq, w.board.closed, w.board.moved, w.board.changed
		w.board.mu.Unlock()
		if moved != nil {
			w.board, w.seen = moved, 0
			continue
		}
		if seq != w.seen {
			w.seen = seq
			return e, nil
		}
		if closed {
			return Event{}, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// ended is a board that holds nothing but a last event.
func ended(e Event) *board {
	b := newBoard()
	b.publish(e)
	return b
}
