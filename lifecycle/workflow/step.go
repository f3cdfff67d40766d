package workflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// Context is what a workflow function works with. It ends when the workflow is cancelled or the engine stops.
type Context struct {
	context.Context //nolint:containedctx // the function's own

	run    *run
	branch string // prefix of the step names
}

// ID returns the workflow's id, fit for idempotency keys.
func (c *Context) ID() string { return c.run.id }

// Attempt counts the processes that took the workflow up, this one included: 1 the first time.
func (c *Context) Attempt() int { return c.run.attempt }

// Cleanup returns a Context that a cancelled workflow may still take steps with, to undo what it did. It ends when the
// engine stops.
func (c *Context) Cleanup() *Context {
	return &Context{Context: c.run.life, run: c.run, branch: c.branch}
}

// Policy says how often a step is tried. The wait before the next try is Backoff and doubles up to a minute.
type Policy struct {
	Max     int // tries; less than 1 means 1
	Backoff time.Duration
}

// Option changes how a step is done.
type Option func(*Policy)

// Retry tries a step up to limit times.
func Retry(limit int, backoff time.Duration) Option {
	return func(p *Policy) { *p = Policy{limit, backoff} }
}

type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// Fatal marks an error that trying again would not help.
func Fatal(err error) error { return fatal{err} }

// StepError is what a step failed with for good. It is the same after a crash, so it has the text of the step's error
// and not the error itself; what a function branches on belongs into the step's outcome.
type StepError struct{ Step, Message string }

// Error is the step's name and the text of its error.
func (e *StepError) Error() string { return e.Step + ": " + e.Message }

// Step does a piece of work once and returns its outcome, now and whenever the function runs again. Names are unique
// within a workflow, or within a branch. It fails with a *StepError, ErrCancelled, ErrStopped or ErrJournal. The outcome
// travels through JSON.
func Step[T any](c *Context, name string, f func(ctx context.Context) (T, error), opts ...Option) (T, error) {
	return outcome[T](c.step(name, func(began time.Time) (json.RawMessage, error) {
		p := c.run.e.d.Retry
		for _, o := range opts {
			o(&p)
		}
		v, err := f(c)
		for try, wait := 1, p.Backoff; err != nil && try < p.Max && !errors.As(err, new(fatal)); try, wait = try+1, min(2*wait, time.Minute) {
			c.run.e.d.Logger.WarnContext(c, "workflow step tried again", "workflow", c.ID(), "step", name, "error", err, "retry_in", wait)
			if pause(c, wait) != nil {
				break
			}
			v, err = f(c)
		}
		if err != nil && c.Err() != nil {
			return nil, c.halt()
		}
		var body json.RawMessage
		if err == nil {
			body, err = encode("outcome of step "+name, v)
		}
		if err != nil {
			return nil, failure{err}
		}
		return body, c.run.write(func(tx store.Tx, _ *store.Workflow) error { return c.append(tx, name, body, "", began) })
	}))
}

// StepTx makes a change of the store once: the change and the journal row are one transaction. It fails like Step. f
// must not begin another transaction.
func StepTx[T any](c *Context, name string, f func(tx store.Tx) (T, error)) (T, error) {
	return outcome[T](c.step(name, func(began time.Time) (body json.RawMessage, err error) {
		return body, c.run.write(func(tx store.Tx, _ *store.Workflow) error {
			v, err := f(tx)
			if err == nil {
				body, err = encode("outcome of step "+name, v)
			}
			switch {
			case errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrLocked):
				return err // tried again
			case err != nil:
				return failure{err}
			default:
				return c.append(tx, name, body, "", began)
			}
		})
	}))
}

// Sleep waits until d after it was first asked for, whatever happens meanwhile.
func Sleep(c *Context, name string, d time.Duration) error {
	until, err := StepTx(c, name, func(store.Tx) (time.Time, error) { return c.run.e.d.Now().Add(d), nil })
	if err != nil {
		return err
	}
	if pause(c, until.Sub(c.run.e.d.Now())) != nil {
		return c.halt()
	}
	return nil
}

// Await waits for the next signal of a name, in the order in which they were sent.
func Await[T any](c *Context, name string) (T, error) {
	step := "await " + name
	c.run.mu.Lock()
	c.run.awaits[c.branch+name]++
	if n := c.run.awaits[c.branch+name]; n > 1 {
		step = fmt.Sprintf("%s %d", step, n)
	}
	c.run.mu.Unlock()
	return outcome[T](c.step(step, func(began time.Time) (json.RawMessage, error) {
		changed, stop := c.run.e.subscribe(c.ID())
		defer stop()
		for {
			var first *store.WorkflowSignal
			err := c.run.retry(func(tx store.Tx) error {
				waiting, err := tx.WorkflowSignals(c.ID())
				if i := slices.IndexFunc(waiting, func(s store.WorkflowSignal) bool { return s.Name == name }); i >= 0 {
					first = &waiting[i]
				}
				return err
			})
			if err != nil {
				return nil, err
			}
			if first != nil {
				return first.Payload, c.run.write(func(tx store.Tx, _ *store.Workflow) error {
					return errors.Join(tx.TakeSignal(first.ID), c.append(tx, step, first.Payload, "", began))
				})
			}
			select {
			case <-c.Done():
				return nil, c.halt()
			case <-changed:
			}
		}
	}))
}

// Publish shows what the workflow is at: v is its Output until it ends, also when it fails.
func Publish(c *Context, v any) error {
	body, err := encode("progress", v)
	if err != nil {
		return err
	}
	return c.run.write(func(_ store.Tx, w *store.Workflow) error {
		w.Output = body
		return nil
	})
}

// step returns the outcome of a step from the journal or by doing it. do journals a success itself.
func (c *Context) step(name string, do func(began time.Time) (json.RawMessage, error)) (json.RawMessage, error) {
	s, err := c.run.next(c, c.branch+name)
	switch {
	case err != nil:
		return nil, err
	case s != nil && s.Error != "":
		return nil, &StepError{name, s.Error}
	case s != nil:
		return s.Output, nil
	case c.Err() != nil:
		return nil, c.halt()
	}
	began := c.run.e.d.Now()
	body, err := do(began)
	var own failure
	if !errors.As(err, &own) {
		if err == nil {
			c.run.took(c.branch + name)
		}
		return body, err
	}
	text := cut(own.Error())
	c.run.took(c.branch + name)
	err = c.run.write(func(tx store.Tx, _ *store.Workflow) error { return c.append(tx, name, nil, text, began) })
	if err != nil {
		return nil, err
	}
	return nil, &StepError{name, text}
}

func (c *Context) append(tx store.Tx, name string, body json.RawMessage, text string, began time.Time) error {
	_, err := tx.AppendStep(store.WorkflowStep{
		WorkflowID: c.ID(), Name: c.branch + name, Output: body, Error: text, StartedAt: began, FinishedAt: c.run.e.d.Now(),
	})
	return err
}

// halt is why a Context has ended.
func (c *Context) halt() error {
	if cause := context.Cause(c); errors.Is(cause, ErrCancelled) {
		return cause
	}
	return c.run.stopped()
}

func outcome[T any](body json.RawMessage, err error) (v T, _ error) {
	if err == nil {
		err = json.Unmarshal(body, &v)
	}
	return v, err
}

// cut bounds the text of an error, which is never empty.
func cut(text string) string {
	const most = 16 << 10
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " ..."
	}
	return cmp.Or(text, "failed without a word")
}

// branchMark ends the name of a branch in the names of its steps.
const branchMark = "::"

func branchOf(step string) string {
	if i := strings.LastIndex(step, branchMark); i >= 0 {
		return step[:i+len(branchMark)]
	}
	return ""
}

// Branch is a part of a workflow that runs beside others. Its steps are in order among themselves.
type Branch struct {
	Name string // unique within the workflow
	Run  func(c *Context) error
}

type branchPanic struct {
	value any
	stack []byte
}

// Parallel runs branches at once and returns their errors, in their order, when all have ended. Step names are unique
// within a branch.
func Parallel(c *Context, branches ...Branch) []error {
	errs, panics := make([]error, len(branches)), make([]any, len(branches))
	var all sync.WaitGroup
	for i, b := range branches {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panics[i] = branchPanic{p, debug.Stack()}
				}
			}()
			errs[i] = b.Run(&Context{Context: c.Context, run: c.run, branch: c.branch + b.Name + branchMark})
		})
	}
	all.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	return errs
}
