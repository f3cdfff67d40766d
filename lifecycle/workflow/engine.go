// Package workflow runs functions that survive the daemon: what a function did so far is in a journal, and after a crash
// it runs again from the beginning, gets the journaled outcomes instead of doing those steps again, and goes on where it
// was.
//
//	Begin --> row "running" --> the function --Step, Step, Sleep, Await--> row "succeeded" | "failed" | "cancelled"
//	             ^                    |  each outcome is a row of the journal
//	             +--- next Start -----+  crash, Stop
//
// The function must ask for the same steps in the same order whenever it gets the same outcomes; what differs from run to
// run (time, chance, the state of the world) belongs into steps. docs/design/0006-durable-work.md says why the journal is
// ours.
//
// # Invariants
//
//	W1  A step's outcome is journaled once and never changes. Its body runs at least once: a crash between the end of the
//	    body and the journal runs it again, so work outside goes by an idempotency key.
//	W2  The effect of a StepTx and its journal row commit in one transaction: it happens once.
//	W3  Of a kind and a key, one workflow runs; beginning another joins it.
//	W4  A function whose steps are not those of the journal fails; it never gets the outcome of another step.
//	W5  Only the attempt that took the workflow up last writes.
//
// # Concurrency
//
// An Engine serves any number of goroutines. A Context belongs to the goroutine of its function; Parallel makes others.
package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/store"
)

// Sentinel errors.
var (
	// ErrCancelled: somebody cancelled the workflow; the message has the reason. The function cleans up and returns it.
	ErrCancelled = errors.New("workflow: cancelled")
	// ErrStopped: the engine stops; the next start goes on. The function returns it.
	ErrStopped = errors.New("workflow: engine stopped")
	// ErrJournal: the function asks for other steps than those it did before. Its code changed; begin a new workflow.
	ErrJournal = errors.New("workflow: steps do not match the journal")
	// ErrKind: no function is registered for this kind.
	ErrKind = errors.New("workflow: unknown kind")
	// ErrEnded: the workflow has ended.
	ErrEnded = errors.New("workflow: ended already")
	// ErrPayload: an input, outcome or signal is not JSON or has more than MaxPayload bytes.
	ErrPayload = errors.New("workflow: payload not valid")
)

// MaxPayload bounds the JSON of an input, an outcome and a signal, in bytes.
const MaxPayload = 1 << 20

// Func is the function of a kind of workflow. What it returns becomes the workflow's Output.
type Func = func(c *Context, input json.RawMessage) (any, error)

// Deps are what an Engine needs.
type Deps struct {
	Store  store.Store
	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
	Retry  Policy           // of steps that have none of their own; the zero Policy tries once
}

// Engine runs workflows.
type Engine struct {
	d     Deps
	loop  *service.Loop
	wake  chan struct{} // of capacity 1
	kinds map[string]Func
	bad   error // of Register, returned by Start
	done  sync.WaitGroup

	mu       sync.Mutex
	runs     map[string]*run // nil for those of an unknown kind
	watchers map[string][]chan struct{}
}

// New returns an Engine that is not running.
func New(d Deps) *Engine {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	e := &Engine{
		d: d, wake: make(chan struct{}, 1), kinds: map[string]Func{}, runs: map[string]*run{}, watchers: map[string][]chan struct{}{},
	}
	e.loop = service.NewLoop(e.dispatch)
	return e
}

// Register names the function of a kind, before Start. A second one for a kind is an error of Start.
func (e *Engine) Register(kind string, f Func) {
	if e.kinds[kind] != nil || kind == "" {
		e.bad = fmt.Errorf("kind %q is registered twice or empty: %w", kind, ErrKind)
	}
	e.kinds[kind] = f
}

// Start takes up what is running in the store and then what Begin adds.
func (e *Engine) Start(ctx context.Context) error {
	if e.bad != nil {
		return e.bad
	}
	return e.loop.Start(ctx)
}

// Stop interrupts the running functions and waits for them; their workflows stay running in the store.
func (e *Engine) Stop(ctx context.Context) error { return e.loop.Stop(ctx) }

// Wake looks for workflows that were begun with BeginTx. It does not block.
func (e *Engine) Wake() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// dispatch launches what runs in the store and not here, until ctx ends.
func (e *Engine) dispatch(ctx context.Context, started func()) error {
	defer e.done.Wait()
	retry := time.NewTimer(minWait)
	defer retry.Stop()
	for {
		retry.Stop()
		if err := e.launch(ctx); err != nil && ctx.Err() == nil {
			e.d.Logger.ErrorContext(ctx, "workflows not read", "error", err, "retry_in", maxWait)
			retry.Reset(maxWait)
		}
		started()
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-retry.C:
		}
	}
}

func (e *Engine) launch(ctx context.Context) error {
	for q := (store.WorkflowQuery{State: store.WorkflowRunning, PageSize: store.MaxPageSize}); ; {
		rows, next, err := e.List(ctx, q)
		if err != nil {
			return err
		}
		e.mu.Lock()
		for _, w := range slices.Backward(rows) {
			if _, here := e.runs[w.ID]; here {
				continue
			}
			if e.kinds[w.Kind] == nil {
				e.runs[w.ID] = nil
				e.d.Logger.ErrorContext(ctx, "workflow of an unknown kind stays where it is", "kind", w.Kind, "workflow", w.ID)
				continue
			}
			r := newRun(ctx, e, w.ID)
			e.runs[w.ID] = r
			e.done.Go(r.main)
		}
		e.mu.Unlock()
		if next == "" {
			return nil
		}
		q.PageToken = next
	}
}

// Begin begins a workflow and returns its id. If one of this kind runs under this key, it joins that one; an empty key
// joins nothing. It fails with ErrKind or ErrPayload.
func (e *Engine) Begin(ctx context.Context, kind, key string, input any) (id string, joined bool, err error) {
	err = e.d.Store.Update(ctx, func(tx store.Tx) (err error) {
		id, joined, err = e.BeginTx(tx, kind, key, input)
		return err
	})
	e.Wake()
	return id, joined, err
}

// BeginTx is Begin inside the caller's transaction; call Wake after its commit.
func (e *Engine) BeginTx(tx store.Tx, kind, key string, input any) (id string, joined bool, err error) {
	if e.kinds[kind] == nil {
		return "", false, fmt.Errorf("%q: %w", kind, ErrKind)
	}
	if w, err := tx.WorkflowByKey(kind, key); !errors.Is(err, store.ErrWorkflowNotFound) {
		return w.ID, err == nil, err
	}
	body, err := encode("input", input)
	if err != nil {
		return "", false, err
	}
	u, err := uuid.NewV7() // ids sort by time
	if err != nil {
		return "", false, err
	}
	now := e.d.Now()
	return u.String(), false, tx.InsertWorkflow(store.Workflow{
		ID: u.String(), Kind: kind, Key: key, State: store.WorkflowRunning, Input: body, CreatedAt: now, UpdatedAt: now,
	})
}

// Signal sends a message to a running workflow, which gets it from Await. It is kept until then. It fails with
// store.ErrWorkflowNotFound, ErrEnded or ErrPayload.
func (e *Engine) Signal(ctx context.Context, id, name string, payload any) error {
	body, err := encode("signal "+name, payload)
	if err != nil {
		return err
	}
	err = e.d.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := running(tx, id); err != nil {
			return err
		}
		_, err := tx.PutSignal(store.WorkflowSignal{WorkflowID: id, Name: name, Payload: body, At: e.d.Now()})
		return err
	})
	e.notify(id)
	return err
}

// Cancel asks a workflow to end. Its step under way gets a cancelled context, and no further step begins. It fails with
// store.ErrWorkflowNotFound or ErrEnded.
func (e *Engine) Cancel(ctx context.Context, id, reason string) error {
	if reason == "" {
		reason = "no reason given"
	}
	err := e.d.Store.Update(ctx, func(tx store.Tx) error {
		w, err := running(tx, id)
		if err != nil || w.CancelRequested != "" {
			return err
		}
		w.CancelRequested, w.UpdatedAt = reason, e.d.Now()
		if e.kinds[w.Kind] == nil { // nobody would notice
			w.State, w.Error, w.FinishedAt = store.WorkflowCancelled, reason, w.UpdatedAt
		}
		return tx.UpdateWorkflow(w)
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	r := e.runs[id]
	e.mu.Unlock()
	if r != nil {
		r.cancel(fmt.Errorf("%w: %s", ErrCancelled, reason))
	}
	e.notify(id)
	return nil
}

func running(r store.Reader, id string) (store.Workflow, error) {
	w, err := r.Workflow(id)
	if err == nil && w.State != store.WorkflowRunning {
		err = fmt.Errorf("workflow %s is %s: %w", id, w.State, ErrEnded)
	}
	return w, err
}

func encode(what string, v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %w", what, ErrPayload, err)
	case len(b) > MaxPayload:
		return nil, fmt.Errorf("%s has %d bytes, at most %d: %w", what, len(b), MaxPayload, ErrPayload)
	default:
		return b, nil
	}
}
