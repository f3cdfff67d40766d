package workflow_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
)

// steps is a function that takes these steps and then, on its first attempt, waits to be interrupted.
func (b *bench) steps(names ...string) workflow.Func {
	return func(c *workflow.Context, _ json.RawMessage) (any, error) {
		for _, name := range names {
			if err := b.step(c, name); err != nil {
				return nil, err
			}
		}
		if c.Attempt() == 1 {
			<-c.Done()
			return nil, c.Err()
		}
		return nil, nil
	}
}

// Code that changed under a running workflow is found out, never given the outcome of another step.
func TestChangedFunction(t *testing.T) {
	for name, c := range map[string]struct {
		then []string
		want []string // in the error; nil succeeds
	}{
		"same":     {[]string{"load", "train", "score"}, nil},
		"more":     {[]string{"load", "train", "score", "tell"}, nil},
		"renamed":  {[]string{"load", "fit", "score"}, []string{`"fit"`, `"train"`}},
		"swapped":  {[]string{"train", "load", "score"}, []string{`"train"`, `"load"`}},
		"inserted": {[]string{"load", "check", "train", "score"}, []string{`"check"`, `"train"`}},
		"shorter":  {[]string{"load"}, []string{`"train"`, "ended before"}},
		"twice":    {[]string{"load", "load"}, []string{`"load"`, "twice"}},
	} {
		t.Run(name, func(t *testing.T) {
			onBench(t, func(t *testing.T, b *bench) {
				b.start(b.steps("load", "train", "score"))
				id := b.begin("", nil)
				synctest.Wait()
				b.start(b.steps(c.then...))
				if c.want == nil {
					b.ended(id, store.WorkflowSucceeded, "")
					return
				}
				w := b.ended(id, store.WorkflowFailed, workflow.ErrJournal.Error())
				for _, part := range c.want {
					if !strings.Contains(w.Error, part) {
						t.Errorf("error %q lacks %s", w.Error, part)
					}
				}
				b.wantLog("load", "train", "score")
			})
		})
	}
}

// A function that swallows the error about its journal fails all the same.
func TestJournalErrorSticks(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) {
			_ = b.step(c, "one")
			_ = b.step(c, "one")
			_ = b.step(c, "two")
			return "fine", nil
		})
		b.ended(b.begin("", nil), store.WorkflowFailed, "twice")
		b.ended(b.begin("", nil), store.WorkflowFailed, workflow.ErrJournal.Error())
		b.wantLog("one", "one")
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) { return nil, b.step(c, "a::b") })
		b.ended(b.begin("", nil), store.WorkflowFailed, `"::"`)
	})
}

// A panic ends its own workflow, wherever in it, and is logged with its stack.
func TestPanics(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		var logged bytes.Buffer
		e := workflow.New(workflow.Deps{Store: b.s, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		b.e = e
		for kind, f := range map[string]workflow.Func{
			"function": func(*workflow.Context, json.RawMessage) (any, error) { panic("boom function") },
			"step": func(c *workflow.Context, _ json.RawMessage) (any, error) {
				return workflow.Step(c, "s", func(context.Context) (int, error) { panic("boom step") })
			},
			"tx": func(c *workflow.Context, _ json.RawMessage) (any, error) {
				return workflow.StepTx(c, "s", func(tx store.Tx) (int, error) {
					if err := tx.EnsureModel("never", time.Now()); err != nil {
						return 0, err
					}
					panic("boom tx")
				})
			},
			"branch": func(c *workflow.Context, _ json.RawMessage) (any, error) {
				return nil, errors.Join(workflow.Parallel(c, workflow.Branch{Name: "b", Run: func(*workflow.Context) error { panic("boom branch") }})...)
			},
			"fine": func(*workflow.Context, json.RawMessage) (any, error) { return nil, nil },
		} {
			e.Register(kind, f)
		}
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"function", "step", "tx", "branch"} {
			id, _, err := e.Begin(t.Context(), kind, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			b.ended(id, store.WorkflowFailed, "panic: boom "+kind)
			synctest.Wait() // for the last line of the log
			if !strings.Contains(logged.String(), "boom "+kind) || !strings.Contains(logged.String(), "fault_test.go") {
				t.Errorf("the log lacks the panic or its place:\n%s", logged.String())
			}
		}
		id, _, err := e.Begin(t.Context(), "fine", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		b.ended(id, store.WorkflowSucceeded, "")
		err = b.s.View(t.Context(), func(r store.Reader) error {
			_, err := r.Model("never")
			return err
		})
		if !errors.Is(err, store.ErrModelNotFound) {
			t.Errorf("the change of a step that panicked stayed (%v)", err)
		}
	})
}

// fullStore refuses Updates for a while, as a full disk does.
type fullStore struct {
	store.Store

	mu   sync.Mutex
	full bool
}

func (f *fullStore) set(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

func (f *fullStore) Update(ctx context.Context, fn func(store.Tx) error) error {
	f.mu.Lock()
	full := f.full
	f.mu.Unlock()
	if full {
		return fmt.Errorf("writing: %w", store.ErrFull)
	}
	return f.Store.Update(ctx, fn)
}

// While the journal cannot be written a workflow waits; no body runs twice because of it. Stop does not wait for the disk.
func TestFullDisk(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		disk := &fullStore{Store: b.s}
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			_, err := workflow.Step(c, "fill", func(context.Context) (int, error) {
				b.did("fill")
				disk.set(true)
				return 1, nil
			})
			return nil, errors.Join(err, b.step(c, "next"))
		}
		b.startOn(disk, f)
		id := b.begin("", nil)
		time.Sleep(time.Hour) // of the fake clock
		b.wantLog("fill")
		disk.set(false)
		b.ended(id, store.WorkflowSucceeded, "")
		b.wantLog("fill", "next")

		id = b.begin("", nil)
		synctest.Wait()
		b.stop()
		disk.set(false)
		b.start(b.steps("fill", "next"))
		b.ended(id, store.WorkflowSucceeded, "")
		b.wantLog("fill", "next", "fill", "fill", "next")
	})
}

// An attempt that was overtaken writes nothing any more.
func TestOvertaken(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		gate := make(chan struct{})
		old := workflow.New(workflow.Deps{Store: b.s})
		old.Register("k", func(c *workflow.Context, _ json.RawMessage) (any, error) {
			<-gate
			return "old", b.step(c, "one")
		})
		if err := old.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		id, _, err := old.Begin(t.Context(), "k", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) { // as if it were another process
			if _, err := workflow.Await[int](c, "go"); err != nil {
				return nil, err
			}
			return "new", b.step(c, "one")
		})
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if err := b.e.Signal(t.Context(), id, "go", 1); err != nil {
			t.Fatal(err)
		}
		if w := b.ended(id, store.WorkflowSucceeded, ""); string(w.Output) != `"new"` || w.Attempt != 2 {
			t.Errorf("workflow is %+v", w)
		}
		if err := old.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestBeginTx(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		b.start(b.plain("one"))
		undone := errors.New("undone")
		var id string
		begin := func(fails error) error {
			return b.s.Update(t.Context(), func(tx store.Tx) (err error) {
				id, _, err = b.e.BeginTx(tx, "k", "key", nil)
				return errors.Join(err, fails)
			})
		}
		if err := begin(undone); !errors.Is(err, undone) {
			t.Fatal(err)
		}
		b.e.Wake()
		synctest.Wait()
		if _, err := b.e.Get(t.Context(), id); !errors.Is(err, store.ErrWorkflowNotFound) {
			t.Errorf("a workflow of an undone transaction: %v", err)
		}
		if err := begin(nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.wantLog() // nobody said so yet
		b.e.Wake()
		b.ended(id, store.WorkflowSucceeded, "")
		b.wantLog("one")
	})
}

// plain is a function that takes these steps and ends.
func (b *bench) plain(names ...string) workflow.Func {
	return func(c *workflow.Context, _ json.RawMessage) (any, error) {
		for _, name := range names {
			if err := b.step(c, name); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

func TestRegister(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		e := workflow.New(workflow.Deps{Store: b.s})
		e.Register("k", b.plain())
		e.Register("k", b.plain())
		if err := e.Start(t.Context()); !errors.Is(err, workflow.ErrKind) {
			t.Errorf("a kind registered twice: %v", err)
		}
		// Of a kind that is gone the workflows stay; they go on when it is back, or end when cancelled.
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) { return workflow.Await[int](c, "go") })
		stays, goes := b.begin("", nil), b.begin("", nil)
		synctest.Wait()
		b.stop()
		var logged bytes.Buffer
		other := workflow.New(workflow.Deps{Store: b.s, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		other.Register("other", b.plain())
		if err := other.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		other.Wake()
		synctest.Wait()
		if n := strings.Count(logged.String(), "unknown kind"); n != 2 {
			t.Errorf("%d lines about an unknown kind, want one for each workflow:\n%s", n, logged.String())
		}
		if err := other.Cancel(t.Context(), goes, "not needed"); err != nil {
			t.Error(err)
		}
		if w, err := other.Wait(t.Context(), goes); err != nil || w.State != store.WorkflowCancelled || w.Error != "not needed" {
			t.Errorf("cancelled workflow of an unknown kind is %+v (%v)", w, err)
		}
		if err := other.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) { return workflow.Await[int](c, "go") })
		if err := b.e.Signal(t.Context(), stays, "go", 7); err != nil {
			t.Fatal(err)
		}
		b.ended(stays, store.WorkflowSucceeded, "")
	})
}

// What a step did in spite of Stop is journaled, not done again.
func TestStopJournals(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			_, err := workflow.Step(c, "stubborn", func(ctx context.Context) (int, error) {
				b.did("stubborn")
				if c.Attempt() == 1 {
					<-ctx.Done()
				}
				return 1, nil
			})
			return nil, errors.Join(err, b.step(c, "next"))
		}
		b.start(f)
		id := b.begin("", nil)
		synctest.Wait()
		b.start(f)
		b.ended(id, store.WorkflowSucceeded, "")
		b.wantLog("stubborn", "next")
	})
}
