package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
)

// A sleep ends when it was to end, whatever restarts meanwhile; one whose time passed meanwhile ends at once.
func TestSleepSurvives(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		begin := time.Now()
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			for _, name := range []string{"first", "second"} {
				if err := workflow.Sleep(c, name, time.Hour); err != nil {
					return nil, err
				}
				b.did(name + " " + time.Since(begin).String())
			}
			return nil, nil
		}
		b.start(f)
		id := b.begin("", nil)
		time.Sleep(20 * time.Minute) // of the fake clock
		b.start(f)
		time.Sleep(50 * time.Minute)
		b.stop()
		time.Sleep(5 * time.Hour)
		b.start(f)
		b.ended(id, store.WorkflowSucceeded, "")
		b.wantLog("first 1h0m0s", "first 6h10m0s", "second 6h10m0s")
	})
}

// Signals come in the order in which they were sent, by name, also those that were sent early and across restarts.
func TestAwait(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			var got []string
			for _, name := range []string{"a", "b", "a", "a"} {
				v, err := workflow.Await[string](c, name)
				if err != nil {
					return nil, err
				}
				got = append(got, v)
			}
			return strings.Join(got, " "), nil
		}
		b.start(f)
		id := b.begin("", nil)
		send := func(name, v string) {
			t.Helper()
			if err := b.e.Signal(t.Context(), id, name, v); err != nil {
				t.Fatal(err)
			}
		}
		send("a", "a1")
		send("a", "a2")
		synctest.Wait()
		b.start(f) // it has a1 in its journal now and waits for a b
		synctest.Wait()
		send("b", "b1")
		synctest.Wait()
		b.stop()
		b.e = workflow.New(workflow.Deps{Store: b.s}) // an engine that is not running takes signals too
		send("a", "a3")
		b.start(f)
		if w := b.ended(id, store.WorkflowSucceeded, ""); string(w.Output) != `"a1 b1 a2 a3"` {
			t.Errorf("output %s", w.Output)
		}
		if err := b.e.Signal(t.Context(), id, "a", 1); !errors.Is(err, workflow.ErrEnded) {
			t.Errorf("signal after the end: %v", err)
		}
		if err := b.e.Signal(t.Context(), "x", "a", 1); !errors.Is(err, store.ErrWorkflowNotFound) {
			t.Errorf("signal to nobody: %v", err)
		}
	})
}

// Cancelling ends the step under way and lets no other begin, but for those that clean up.
func TestCancel(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			if err := b.step(c, "before"); err != nil {
				return nil, err
			}
			_, err := workflow.Step(c, "long", func(ctx context.Context) (int, error) {
				b.did("long")
				<-ctx.Done()
				return 0, ctx.Err()
			})
			if !errors.Is(err, workflow.ErrCancelled) {
				return nil, err
			}
			if err := b.step(c, "after"); !errors.Is(err, workflow.ErrCancelled) {
				return nil, fmt.Errorf("a step of a cancelled workflow: %w", err)
			}
			if err := b.step(c.Cleanup(), "undo"); err != nil {
				return nil, err
			}
			return nil, err
		}
		b.start(f)
		id := b.begin("", nil)
		synctest.Wait()
		if err := b.e.Cancel(t.Context(), id, "wrong month"); err != nil {
			t.Fatal(err)
		}
		w := b.ended(id, store.WorkflowCancelled, "wrong month")
		if w.CancelRequested != "wrong month" {
			t.Errorf("workflow is %+v", w)
		}
		b.wantLog("before", "long", "undo")
		if err := b.e.Cancel(t.Context(), id, "again"); !errors.Is(err, workflow.ErrEnded) {
			t.Errorf("second cancellation: %v", err)
		}

		// Cancelled while no engine runs: nothing is begun at the next start.
		b.log = nil
		b.stop()
		idle := workflow.New(workflow.Deps{Store: b.s})
		idle.Register("k", f)
		id, _, err := idle.Begin(t.Context(), "k", "", nil)
		if err := errors.Join(err, idle.Cancel(t.Context(), id, "never mind"), idle.Cancel(t.Context(), id, "the first reason stays")); err != nil {
			t.Fatal(err)
		}
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) { return nil, b.step(c, "before") })
		b.ended(id, store.WorkflowCancelled, "never mind")
		b.wantLog()
	})
}

// A cancellation that meets a crash while cleaning up goes on cleaning up.
func TestCancelSurvives(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		hang := true
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			err := workflow.Sleep(c, "nap", time.Hour)
			clean := c.Cleanup()
			if err := b.step(clean, "undo one"); err != nil {
				return nil, err
			}
			if hang {
				<-clean.Done()
				return nil, clean.Err()
			}
			return nil, errors.Join(b.step(clean, "undo two"), err)
		}
		b.start(f)
		id := b.begin("", nil)
		synctest.Wait()
		if err := b.e.Cancel(t.Context(), id, "stop it"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.stop()
		hang = false
		b.start(f)
		b.ended(id, store.WorkflowCancelled, "stop it")
		b.wantLog("undo one", "undo two")
	})
}

func TestWatch(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		next := make(chan struct{})
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) {
			for i := range 2 {
				<-next
				if err := workflow.Publish(c, i); err != nil {
					return nil, err
				}
			}
			<-next
			return "done", nil
		})
		id := b.begin("", nil)
		var seen []string
		watched := make(chan error)
		go func() {
			watched <- b.e.Watch(t.Context(), id, func(w store.Workflow) { seen = append(seen, w.State+" "+string(w.Output)) })
		}()
		for range 3 {
			synctest.Wait()
			next <- struct{}{}
		}
		if err := <-watched; err != nil {
			t.Fatal(err)
		}
		if got := slices.Compact(seen); !slices.Equal(got, []string{"running ", "running 0", "running 1", `succeeded "done"`}) {
			t.Errorf("watched %q", got)
		}

		id = b.begin("", nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { watched <- b.e.Watch(ctx, id, func(store.Workflow) {}) }()
		synctest.Wait()
		cancel()
		if err := <-watched; !errors.Is(err, context.Canceled) {
			t.Errorf("watching in an ended context: %v", err)
		}
		if err := b.e.Watch(t.Context(), "x", func(store.Workflow) {}); !errors.Is(err, store.ErrWorkflowNotFound) {
			t.Errorf("watching nothing: %v", err)
		}
		waited := make(chan error)
		e := b.e
		go func() {
			_, err := e.Wait(t.Context(), id)
			waited <- err
		}()
		synctest.Wait()
		close(next) // or the function would not end: it does not heed its context
		err := <-waited
		if err != nil {
			t.Error(err)
		}
	})
}

// Whoever waits hears that the engine stops.
func TestWaitStopped(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) { return workflow.Await[int](c, "never") })
		id := b.begin("", nil)
		waited := make(chan error)
		e := b.e
		go func() {
			_, err := e.Wait(t.Context(), id)
			waited <- err
		}()
		synctest.Wait()
		b.stop()
		if err := <-waited; !errors.Is(err, workflow.ErrStopped) {
			t.Errorf("waiting while the engine stops: %v", err)
		}
	})
}
