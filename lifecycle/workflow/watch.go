package workflow

import (
	"context"
	"slices"

	"github.com/treeline-ml/treeline/store"
)

// Get returns a workflow or store.ErrWorkflowNotFound.
func (e *Engine) Get(ctx context.Context, id string) (w store.Workflow, err error) {
	err = e.d.Store.View(ctx, func(r store.Reader) (err error) {
		w, err = r.Workflow(id)
		return err
	})
	return w, err
}

// Steps lists the journal of a workflow.
func (e *Engine) Steps(ctx context.Context, id string) (steps []store.WorkflowStep, err error) {
	err = e.d.Store.View(ctx, func(r store.Reader) (err error) {
		steps, err = r.WorkflowSteps(id)
		return err
	})
	return steps, err
}

// List lists workflows, newest first, and the token of the next page ("" at the end).
func (e *Engine) List(ctx context.Context, q store.WorkflowQuery) (rows []store.Workflow, next string, err error) {
	err = e.d.Store.View(ctx, func(r store.Reader) (err error) {
		rows, next, err = r.Workflows(q)
		return err
	})
	return rows, next, err
}

// Watch calls f with the workflow as it is now and after each change until it has ended. It fails with
// store.ErrWorkflowNotFound, ErrStopped, or when ctx ends.
func (e *Engine) Watch(ctx context.Context, id string, f func(store.Workflow)) error {
	changed, stop := e.subscribe(id)
	defer stop()
	for stopped := false; ; {
		w, err := e.Get(ctx, id)
		if err != nil {
			return err
		}
		f(w)
		switch {
		case w.State != store.WorkflowRunning:
			return nil
		case stopped:
			return ErrStopped
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-e.loop.Done():
			stopped = true // one last look
		}
	}
}

// Wait returns the workflow when it has ended. It fails like Watch.
func (e *Engine) Wait(ctx context.Context, id string) (last store.Workflow, err error) {
	err = e.Watch(ctx, id, func(w store.Workflow) { last = w })
	return last, err
}

// subscribe returns a channel that gets a value after changes of a workflow, one for any number of them.
func (e *Engine) subscribe(id string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watchers[id] = append(e.watchers[id], ch)
	return ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		left := slices.DeleteFunc(e.watchers[id], func(c chan struct{}) bool { return c == ch })
		if e.watchers[id] = left; len(left) == 0 {
			delete(e.watchers, id)
		}
	}
}

func (e *Engine) notify(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ch := range e.watchers[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
