package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/treeline-ml/treeline/warehouse"
)

const (
	tracerName       = "github.com/treeline-ml/treeline/scoring"
	defaultBatchRows = 16384
)

// DefaultMemoryBudget bounds the bytes of records that all steps of one batch hold together.
const DefaultMemoryBudget = 512 << 20

// Options tune the batch pipeline. The zero value is usable.
type Options struct {
	Threads      int   // scoring workers; 0 means GOMAXPROCS
	MemoryBudget int64 // bytes of records in flight in one batch; 0 means DefaultMemoryBudget
	BatchRows    int   // rows a record; 0 means 16384
	RowErrors    RowPolicy
}

// Deps are what a Batcher works with. Tracer, Logger, Alloc and Now may be nil.
type Deps struct {
	Resolver  Resolver
	Models    *Models
	Warehouse warehouse.Warehouse
	Ledger    Ledger
	Configs   []ModelConfig
	Profiles  Profiles // nil keeps no statistics of the rows
	Options   Options
	Tracer    trace.TracerProvider
	Logger    *slog.Logger
	Alloc     memory.Allocator
	Now       func() time.Time
}

// Batcher runs batches. Batches outlive the calls that start them: they end by themselves, by Cancel or by Drain.
type Batcher struct {
	deps    Deps
	configs map[string]ModelConfig // by registered model name
	tracer  trace.Tracer
	log     *slog.Logger

	mu       sync.Mutex
	running  map[warehouse.BatchID]*run // from the moment that their id is known
	active   map[*run]struct{}          // runs that have not ended, with or without an id
	idle     chan struct{}              // closed when draining and nothing is active
	draining bool
}

// run is one batch in progress.
type run struct {
	board  *board
	cancel context.CancelCauseFunc
}

// NewBatcher checks the configuration and returns a Batcher without batches.
func NewBatcher(d Deps) (*Batcher, error) {
	d = d.withDefaults()
	configs := make(map[string]ModelConfig, len(d.Configs))
	for _, c := range d.Configs {
		if err := c.check(); err != nil {
			return nil, err
		}
		if _, ok := configs[c.Name]; ok {
			return nil, fmt.Errorf("model %q is configured twice: %w", c.Name, ErrRequest)
		}
		configs[c.Name] = c
	}
	return &Batcher{
		deps:    d,
		configs: configs,
		tracer:  d.Tracer.Tracer(tracerName),
		log:     d.Logger,
		running: make(map[warehouse.BatchID]*run),
		active:  make(map[*run]struct{}),
		idle:    make(chan struct{}),
	}, nil
}

func (d Deps) withDefaults() Deps {
	if d.Options.Threads <= 0 {
		d.Options.Threads = runtime.GOMAXPROCS(0)
	}
	if d.Options.MemoryBudget <= 0 {
		d.Options.MemoryBudget = DefaultMemoryBudget
	}
	if d.Options.BatchRows <= 0 {
		d.Options.BatchRows = defaultBatchRows
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider()
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Alloc == nil {
		d.Alloc = memory.DefaultAllocator
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d
}

// Run starts a batch, or joins it when the same batch is running, and waits for its end. progress, which may be nil, gets
// the latest event each time that it is ready for one. When ctx ends, Run returns and the batch goes on.
// A batch that got an id is returned with any error.
func (b *Batcher) Run(ctx context.Context, req Request, progress func(Event)) (Batch, error) {
	w, err := b.Start(ctx, req)
	if err != nil {
		return Batch{}, err
	}
	for {
		e, err := w.Next(ctx)
		if err != nil {
			return Batch{}, err
		}
		if progress != nil {
			progress(e)
		}
		if e.Last() {
			if e.Batch == nil {
				return Batch{}, e.Err
			}
			return *e.Batch, e.Err
		}
	}
}

// Start starts a batch, or joins it when the same batch is running, and returns a Watcher that follows it. The request
// is checked before it returns; whatever needs the model or the input is reported by the last event.
func (b *Batcher) Start(ctx context.Context, req Request) (*Watcher, error) {
	p, err := b.plan(req)
	if err != nil {
		req.release()
		return nil, err
	}
	// The batch is part of the caller's trace, but does not end with the call.
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &run{board: newBoard(), cancel: cancel}
	b.mu.Lock()
	if b.draining {
		b.mu.Unlock()
		cancel(nil)
		req.release()
		return nil, ErrDraining
	}
	b.active[r] = struct{}{}
	b.mu.Unlock()
	go func() {
		defer b.leave(r)
		defer cancel(nil)
		b.execute(life, r, p)
	}()
	return &Watcher{board: r.board}, nil
}

// leave notes the end of a run.
func (b *Batcher) leave(r *run) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.active, r)
	if b.draining && len(b.active) == 0 {
		close(b.idle)
	}
}

// Watch follows a batch from its present state; of a batch that has ended it gives the last event only.
func (b *Batcher) Watch(ctx context.Context, id warehouse.BatchID) (*Watcher, error) {
	if r := b.lookup(id); r != nil {
		return &Watcher{board: r.board}, nil
	}
	batch, err := b.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if r := b.lookup(id); r != nil && batch.State == StateRunning {
		return &Watcher{board: r.board}, nil
	}
	return &Watcher{board: ended(Event{
		ID: id, Phase: batch.Phase, RowsTotal: batch.Rows, At: batch.FinishedAt, Batch: &batch,
	})}, nil
}

// Get returns the ledger row of a batch.
func (b *Batcher) Get(ctx context.Context, id warehouse.BatchID) (Batch, error) {
	live := b.lookup(id) != nil
	batch, err := b.deps.Ledger.Get(ctx, id)
	if err != nil {
		return Batch{}, err
	}
	if batch.State != StateRunning || live || b.lookup(id) != nil {
		return batch, nil
	}
	// It ended between two looks, or its end could not be recorded.
	if batch, err = b.deps.Ledger.Get(ctx, id); err != nil {
		return Batch{}, err
	}
	return b.honest(batch, false), nil
}

// List returns ledger rows, newest first. An empty model lists all models, an empty next token means the end.
func (b *Batcher) List(ctx context.Context, model string, pageSize int, pageToken string) ([]Batch, string, error) {
	before := b.ids()
	batches, next, err := b.deps.Ledger.List(ctx, model, pageSize, pageToken)
	if err != nil {
		return nil, "", err
	}
	for i := range batches {
		_, live := before[batches[i].ID]
		batches[i] = b.honest(batches[i], live)
	}
	return batches, next, nil
}

// honest reports a batch whose row says running though nothing runs it (its last write failed) as interrupted.
func (b *Batcher) honest(batch Batch, live bool) Batch {
	if batch.State == StateRunning && !live && b.lookup(batch.ID) == nil {
		batch.State = StateInterrupted
		batch.Error = "its end could not be recorded; run it again"
	}
	return batch
}

// Cancel stops a running batch, waits until nothing of it is left, and returns its ledger row. It fails with
// ErrBatchNotFound or, when the batch has ended already, ErrBatchNotRunning.
func (b *Batcher) Cancel(ctx context.Context, id warehouse.BatchID) (Batch, error) {
	r := b.lookup(id)
	if r == nil {
		batch, err := b.Get(ctx, id)
		if err != nil {
			return Batch{}, err
		}
		return batch, fmt.Errorf("batch %s is %s: %w", id, batch.State, ErrBatchNotRunning)
	}
	r.cancel(ErrCancelled)
	w := &Watcher{board: r.board}
	for {
		e, err := w.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return b.Get(ctx, id)
		case err != nil:
			return Batch{}, err
		case e.Batch != nil && e.Batch.State != StateCancelled:
			return *e.Batch, fmt.Errorf("batch %s is %s: %w", id, e.Batch.State, ErrBatchNotRunning)
		case e.Batch != nil:
			return *e.Batch, nil
		}
	}
}

// Rows returns up to limit rows that a batch wrote, as they stand in its output.
func (b *Batcher) Rows(ctx context.Context, id warehouse.BatchID, limit int) (warehouse.RecordStream, error) {
	batch, err := b.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return b.deps.Warehouse.Rows(ctx, id, batch.Output, limit)
}

// Config returns the configuration of a registered model name.
func (b *Batcher) Config(model string) (ModelConfig, bool) {
	c, ok := b.configs[model]
	return c, ok
}

// Drain starts no further batch and waits for the running ones. When ctx ends first, it interrupts them, waits until
// they have cleaned up after themselves, and returns ErrInterrupted with their number.
func (b *Batcher) Drain(ctx context.Context) error {
	b.mu.Lock()
	if !b.draining {
		b.draining = true
		if len(b.active) == 0 {
			close(b.idle)
		}
	}
	b.mu.Unlock()
	select {
	case <-b.idle:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	n := len(b.active)
	for r := range b.active {
		r.cancel(ErrInterrupted)
	}
	b.mu.Unlock()
	<-b.idle
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d batches did not end in time: %w", n, ErrInterrupted)
}

func (b *Batcher) lookup(id warehouse.BatchID) *run {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running[id]
}

func (b *Batcher) ids() map[warehouse.BatchID]struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make(map[warehouse.BatchID]struct{}, len(b.running))
	for id := range b.running {
		ids[id] = struct{}{}
	}
	return ids
}

func (r Request) release() {
	if r.Release != nil {
		r.Release()
	}
}
