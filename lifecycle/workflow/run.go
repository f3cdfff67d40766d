package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// The waits while the store cannot be written.
const (
	minWait = 100 * time.Millisecond
	maxWait = 30 * time.Second
)

// run is one attempt at a workflow.
type run struct {
	e       *Engine
	id      string
	attempt int
	life    context.Context //nolint:containedctx // ends when the engine stops
	ctx     context.Context //nolint:containedctx // and when the workflow is cancelled
	cancel  context.CancelCauseFunc

	mu          sync.Mutex
	journal     map[string][]store.WorkflowStep // by branch, what the function did not ask for yet
	seen        map[string]bool                 // the steps that the function has the outcome of
	awaits      map[string]int                  // by branch and signal, how often
	broken      error                           // wraps ErrJournal
	interrupted bool                            // the function was told ErrStopped
}

func newRun(life context.Context, e *Engine, id string) *run {
	r := &run{
		e: e, id: id, life: life, journal: map[string][]store.WorkflowStep{}, seen: map[string]bool{}, awaits: map[string]int{},
	}
	r.ctx, r.cancel = context.WithCancelCause(life)
	return r
}

func (r *run) main() {
	e := r.e
	defer func() {
		r.cancel(nil)
		e.mu.Lock()
		delete(e.runs, r.id)
		e.mu.Unlock()
		e.notify(r.id)
	}()
	w, err := r.takeUp()
	if err == nil {
		log := e.d.Logger.With("kind", w.Kind, "key", w.Key, "workflow", r.id, "attempt", r.attempt)
		log.InfoContext(r.life, "workflow taken up")
		var out any
		if out, err = r.call(e.kinds[w.Kind], w.Input); r.finish(&w, out, err) != nil {
			log.InfoContext(r.life, "workflow interrupted")
			return
		}
		log.InfoContext(r.life, "workflow ended", "state", w.State, "error", w.Error)
		return
	}
	if !errors.Is(err, ErrEnded) && r.life.Err() == nil {
		e.d.Logger.ErrorContext(r.life, "workflow not taken up", "workflow", r.id, "error", err)
	}
}

// takeUp begins the attempt and reads the journal.
func (r *run) takeUp() (w store.Workflow, err error) {
	var steps []store.WorkflowStep
	err = r.retry(func(tx store.Tx) (err error) {
		if w, err = running(tx, r.id); err != nil {
			return err
		}
		w.Attempt, w.UpdatedAt = w.Attempt+1, r.e.d.Now()
		if steps, err = tx.WorkflowSteps(r.id); err != nil {
			return err
		}
		return tx.UpdateWorkflow(w)
	})
	r.attempt = w.Attempt
	for _, s := range steps {
		branch := branchOf(s.Name)
		r.journal[branch] = append(r.journal[branch], s)
	}
	if w.CancelRequested != "" {
		r.cancel(fmt.Errorf("%w: %s", ErrCancelled, w.CancelRequested))
	}
	return w, err
}

// call runs the function. A panic is its error.
func (r *run) call(f Func, input json.RawMessage) (out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			stack := debug.Stack()
			if bp, ok := p.(branchPanic); ok {
				p, stack = bp.value, bp.stack
			}
			r.e.d.Logger.ErrorContext(r.life, "workflow function panicked", "workflow", r.id, "panic", p, "stack", string(stack))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return f(&Context{Context: r.ctx, run: r}, input)
}

// finish stores how the function ended, in w too, or fails when it was interrupted.
func (r *run) finish(w *store.Workflow, out any, err error) error {
	cancelled := errors.Is(context.Cause(r.ctx), ErrCancelled)
	r.mu.Lock()
	broken, interrupted := r.broken, r.interrupted
	r.mu.Unlock()
	switch {
	case broken != nil:
		err = broken
	case interrupted || (err != nil && !errors.Is(err, ErrCancelled) && r.life.Err() != nil):
		return ErrStopped
	case cancelled && err != nil:
	default:
		for _, left := range r.journal {
			if len(left) > 0 && err == nil {
				err = fmt.Errorf("the function ended before step %q, which the journal has: %w", left[0].Name, ErrJournal)
			}
		}
	}
	return r.write(func(_ store.Tx, now *store.Workflow) error {
		now.FinishedAt = r.e.d.Now()
		switch body, bad := encode("output", out); {
		case err != nil && cancelled && broken == nil:
			now.State, now.Error = store.WorkflowCancelled, cut(err.Error())
		case err != nil:
			now.State, now.Error = store.WorkflowFailed, cut(err.Error())
		case bad != nil:
			now.State, now.Error = store.WorkflowFailed, bad.Error()
		default:
			now.State, now.Output = store.WorkflowSucceeded, body
		}
		*w = *now
		return nil
	})
}

// write changes the workflow in one transaction of this attempt, together with what f does.
func (r *run) write(f func(tx store.Tx, w *store.Workflow) error) error {
	err := r.retry(func(tx store.Tx) error {
		w, err := running(tx, r.id)
		if err != nil {
			return err
		}
		if w.Attempt != r.attempt {
			return fmt.Errorf("attempt %d took over from %d: %w", w.Attempt, r.attempt, store.ErrConflict)
		}
		if err := f(tx, &w); err != nil {
			return err
		}
		w.UpdatedAt = r.e.d.Now()
		return tx.UpdateWorkflow(w)
	})
	if err == nil {
		r.e.notify(r.id)
	}
	return err
}

// failure is an error of the caller's part of a transaction, which trying again would not help.
type failure struct{ error }

// retry runs a transaction until it is refused, succeeds, or the engine stops. Stopping does not interrupt it: what was
// done is better journaled than done again.
func (r *run) retry(f func(store.Tx) error) error {
	for wait := minWait; ; wait = min(2*wait, maxWait) {
		err := r.e.d.Store.Update(context.WithoutCancel(r.life), f)
		for _, final := range []error{nil, ErrEnded, store.ErrConflict, store.ErrWorkflowNotFound, store.ErrClosed} {
			if errors.Is(err, final) {
				return err
			}
		}
		if _, own := errors.AsType[failure](err); own {
			return err
		}
		r.e.d.Logger.WarnContext(r.life, "workflow not written", "workflow", r.id, "error", err, "retry_in", wait)
		if pause(r.life, wait) != nil {
			return r.stopped()
		}
	}
}

// stopped notes that the function cannot go on in this process.
func (r *run) stopped() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.interrupted = true
	return ErrStopped
}

// next returns the journaled outcome of the step that the function asks for, nil when it has to be done now.
func (r *run) next(c *Context, name string) (*store.WorkflowStep, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.journal[c.branch]
	switch {
	case r.broken != nil:
		return nil, r.broken
	case r.seen[name] || strings.Contains(strings.TrimPrefix(name, c.branch), branchMark):
		r.broken = fmt.Errorf("step %q was asked for twice or has %q in its name: %w", name, branchMark, ErrJournal)
		return nil, r.broken
	case len(left) > 0 && left[0].Name == name:
		r.journal[c.branch], r.seen[name] = left[1:], true
		return &left[0], nil
	case c.Err() != nil:
		return nil, nil // the caller sees that first
	case len(left) > 0:
		r.broken = fmt.Errorf("the function asks for step %q where the journal has step %q: %w", name, left[0].Name, ErrJournal)
		return nil, r.broken
	default:
		return nil, nil
	}
}

// took notes that the function has the outcome of a step.
func (r *run) took(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[name] = true
}

// pause waits unless ctx ends first, which is its error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
