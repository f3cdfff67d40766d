package scoring

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// DefaultModels is the number of compiled models that a cache keeps unless told otherwise.
const DefaultModels = 32

// Loaded is a compiled model. It is immutable and may be used after the cache has dropped it.
type Loaded struct {
	Model   *forest.Model
	Program *engine.Program
}

// Opener reads the model that an artifact digest names.
type Opener func(ctx context.Context, digest string) (*forest.Model, error)

// Models caches compiled models by artifact digest: bytes that are equal compile once, concurrent callers share one
// compilation, and the least recently used model is dropped when the cache is full (the garbage collector frees it once
// no batch or session uses it). Failures are not cached.
type Models struct {
	open     Opener
	capacity int

	mu      sync.Mutex
	entries map[string]*list.Element // of *modelEntry
	recent  *list.List               // front: most recently used; only finished loads
	loading map[string]*modelEntry
	loads   sync.WaitGroup
}

type modelEntry struct {
	digest string
	done   chan struct{} // closed when loaded and err are set
	loaded *Loaded
	err    error
}

// NewModels returns a cache of at most capacity compiled models; 0 means DefaultModels.
func NewModels(open Opener, capacity int) *Models {
	if capacity <= 0 {
		capacity = DefaultModels
	}
	return &Models{
		open:     open,
		capacity: capacity,
		entries:  make(map[string]*list.Element),
		recent:   list.New(),
		loading:  make(map[string]*modelEntry),
	}
}

// Load returns the compiled model of an artifact. A caller whose ctx ends stops waiting; the compilation that others may
// wait for goes on.
func (c *Models) Load(ctx context.Context, digest string) (*Loaded, error) {
	c.mu.Lock()
	if el, ok := c.entries[digest]; ok {
		c.recent.MoveToFront(el)
		c.mu.Unlock()
		return el.Value.(*modelEntry).loaded, nil
	}
	e, ok := c.loading[digest]
	if !ok {
		e = &modelEntry{digest: digest, done: make(chan struct{})}
		c.loading[digest] = e
		// The load outlives its first caller, and ends by itself: reading and compiling are bounded by the artifact.
		c.loads.Add(1)
		go c.load(context.WithoutCancel(ctx), e)
	}
	c.mu.Unlock()
	select {
	case <-e.done:
		return e.loaded, e.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Len returns the number of compiled models in the cache.
func (c *Models) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len()
}

// Wait returns when no compilation is running. It is for shutting down, after the last Load.
func (c *Models) Wait() { c.loads.Wait() }

func (c *Models) load(ctx context.Context, e *modelEntry) {
	defer c.loads.Done()
	e.loaded, e.err = c.compile(ctx, e.digest)
	c.mu.Lock()
	delete(c.loading, e.digest)
	if e.err == nil {
		c.entries[e.digest] = c.recent.PushFront(e)
		for c.recent.Len() > c.capacity {
			last := c.recent.Back()
			c.recent.Remove(last)
			delete(c.entries, last.Value.(*modelEntry).digest)
		}
	}
	c.mu.Unlock()
	close(e.done)
}

func (c *Models) compile(ctx context.Context, digest string) (*Loaded, error) {
	m, err := c.open(ctx, digest)
	if err != nil {
		return nil, err
	}
	p, err := engine.Compile(m, engine.Options{})
	if err != nil {
		return nil, fmt.Errorf("compiling model %s: %w", digest, err)
	}
	return &Loaded{Model: m, Program: p}, nil
}
