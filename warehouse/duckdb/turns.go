package duckdb

import (
	"context"
	"sync"
)

// turns is a set of locks by name whose waiters can give up.
type turns struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the holder is done
}

// take waits until nobody holds key, then holds it until release is called.
func (t *turns) take(ctx context.Context, key string) (release func(), err error) {
	for {
		t.mu.Lock()
		busy, ok := t.held[key]
		if !ok {
			if t.held == nil {
				t.held = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			t.held[key] = done
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.held, key)
				t.mu.Unlock()
				close(done)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
