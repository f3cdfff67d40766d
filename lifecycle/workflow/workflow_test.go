package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a store and the engines that run on it one after the other, as daemons would.
type bench struct {
	t *testing.T
	s store.Store
	e *workflow.Engine

	mu  sync.Mutex
	log []string // what step bodies did, in all engines
}

// onBench runs f on a fake clock.
func onBench(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b := &bench{t: t, s: s}
		defer func() { b.stop() }()
		f(t, b)
	})
}

func (b *bench) did(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, what)
}

func (b *bench) wantLog(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.log, want) {
		b.t.Errorf("bodies ran %q, want %q", b.log, want)
	}
}

// start stops the present engine and starts another with f as the kind "k".
func (b *bench) start(f workflow.Func) {
	b.t.Helper()
	b.startOn(b.s, f)
}

func (b *bench) startOn(s store.Store, f workflow.Func) {
	b.t.Helper()
	b.stop()
	b.e = workflow.New(workflow.Deps{Store: s})
	b.e.Register("k", f)
	if err := b.e.Start(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stop() {
	b.t.Helper()
	if b.e == nil {
		return
	}
	if err := b.e.Stop(context.Background()); err != nil {
		b.t.Error(err)
	}
	b.e = nil
}

func (b *bench) begin(key string, input any) string {
	b.t.Helper()
	id, _, err := b.e.Begin(b.t.Context(), "k", key, input)
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// ended waits for the end of a workflow, which must be this.
func (b *bench) ended(id, state, errorHas string) store.Workflow {
	b.t.Helper()
	w, err := b.e.Wait(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	if w.State != state || !strings.Contains(w.Error, errorHas) || (errorHas == "") != (w.Error == "") {
		b.t.Fatalf("workflow is %s with error %q, want %s with %q", w.State, w.Error, state, errorHas)
	}
	if w.FinishedAt.IsZero() {
		b.t.Error("it has no end")
	}
	return w
}

// step is a step that does nothing but note itself.
func (b *bench) step(c *workflow.Context, name string) error {
	_, err := workflow.Step(c, name, func(context.Context) (string, error) {
		b.did(name)
		return name, nil
	})
	return err
}

func TestRunsAndJoins(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		gate := make(chan struct{})
		b.start(func(c *workflow.Context, input json.RawMessage) (any, error) {
			var n int
			if err := json.Unmarshal(input, &n); err != nil {
				return nil, err
			}
			double, err := workflow.Step(c, "double", func(context.Context) (int, error) {
				<-gate
				return 2 * n, nil
			})
			return map[string]int{"n": double}, err
		})
		id := b.begin("a", 21)
		again, joined, err := b.e.Begin(t.Context(), "k", "a", 1)
		if again != id || !joined || err != nil {
			t.Errorf("second beginning: %s, joined %v (%v), want %s", again, joined, err, id)
		}
		other, joined, err := b.e.Begin(t.Context(), "k", "b", 1)
		if other == id || joined || err != nil {
			t.Errorf("other key: %s, joined %v (%v)", other, joined, err)
		}
		close(gate)
		w := b.ended(id, store.WorkflowSucceeded, "")
		if string(w.Output) != `{"n":42}` || string(w.Input) != "21" || w.Attempt != 1 {
			t.Errorf("workflow is %+v", w)
		}
		b.ended(other, store.WorkflowSucceeded, "")
		if third, joined, err := b.e.Begin(t.Context(), "k", "a", 1); third == id || joined || err != nil {
			t.Errorf("after its end the key joins %s, joined %v (%v)", third, joined, err)
		}
		if _, _, err := b.e.Begin(t.Context(), "unknown", "", 1); !errors.Is(err, workflow.ErrKind) {
			t.Errorf("unknown kind: %v", err)
		}
		if _, _, err := b.e.Begin(t.Context(), "k", "", make(chan int)); !errors.Is(err, workflow.ErrPayload) {
			t.Errorf("input that is no JSON: %v", err)
		}
		if _, _, err := b.e.Begin(t.Context(), "k", "", strings.Repeat("x", workflow.MaxPayload)); !errors.Is(err, workflow.ErrPayload) {
			t.Errorf("input that is too long: %v", err)
		}
		rows, _, err := b.e.List(t.Context(), store.WorkflowQuery{Kind: "k", Key: "a"})
		if err != nil || len(rows) != 2 {
			t.Errorf("%d workflows with key a, want 2 (%v)", len(rows), err)
		}
	})
}

// A workflow that was interrupted goes on in the next engine: journaled steps are not done again, attempts count.
func TestResumes(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		hang := true
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			if err := b.step(c, "one"); err != nil {
				return nil, err
			}
			_, failed := workflow.Step(c, "bad", func(context.Context) (int, error) { b.did("bad"); return 0, errors.New("no luck") })
			var e *workflow.StepError
			if !errors.As(failed, &e) || e.Step != "bad" || e.Message != "no luck" {
				return nil, fmt.Errorf("step failed with %w", failed)
			}
			if hang {
				b.did("hang")
				<-c.Done()
				return "ignored", c.Err()
			}
			err := b.step(c, "two")
			return c.Attempt(), err
		}
		b.start(f)
		id := b.begin("", nil)
		synctest.Wait()
		for range 2 { // the second engine hangs too
			b.start(f)
			synctest.Wait()
		}
		w, err := b.e.Get(t.Context(), id)
		if err != nil || w.State != store.WorkflowRunning || w.Attempt != 3 {
			t.Fatalf("workflow is %+v (%v)", w, err)
		}
		b.stop()
		hang = false
		b.start(f)
		if w := b.ended(id, store.WorkflowSucceeded, ""); string(w.Output) != "4" {
			t.Errorf("output %s, want the number of the attempt", w.Output)
		}
		b.wantLog("one", "bad", "hang", "hang", "hang", "two")
		steps, err := b.e.Steps(t.Context(), id)
		if err != nil || len(steps) != 3 || steps[1].Error != "no luck" || string(steps[2].Output) != `"two"` || steps[2].Seq != 3 {
			t.Errorf("journal is %+v (%v)", steps, err)
		}
	})
}

func TestRetries(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		begin := time.Now()
		b.start(func(c *workflow.Context, _ json.RawMessage) (any, error) {
			tries := 0
			n, err := workflow.Step(c, "third time", func(context.Context) (int, error) {
				b.did(time.Since(begin).String())
				if tries++; tries < 3 {
					return 0, errors.New("not yet")
				}
				return tries, nil
			}, workflow.Retry(5, time.Second))
			if n != 3 || err != nil {
				return nil, fmt.Errorf("%d tries: %w", n, err)
			}
			_, err = workflow.Step(c, "fatal", func(context.Context) (int, error) {
				b.did("fatal")
				return 0, fmt.Errorf("broken: %w", workflow.Fatal(errors.New("bad data")))
			}, workflow.Retry(5, time.Second))
			return nil, err
		})
		b.ended(b.begin("", nil), store.WorkflowFailed, "fatal: broken: bad data")
		b.wantLog("0s", "1s", "3s", "fatal")
	})
}

// The change and the journal row of a StepTx are one transaction: it happens once, also when the workflow is taken up
// again, and not at all when it is refused.
func TestStepTx(t *testing.T) {
	onBench(t, func(t *testing.T, b *bench) {
		hang := true
		f := func(c *workflow.Context, _ json.RawMessage) (any, error) {
			_, err := workflow.StepTx(c, "refused", func(tx store.Tx) (int, error) {
				return 0, errors.Join(tx.EnsureModel("never", time.Now()), store.ErrConflict)
			})
			if err == nil {
				return nil, errors.New("a refused change was journaled as done")
			}
			n, err := workflow.StepTx(c, "decide", func(tx store.Tx) (int64, error) {
				return tx.PutDecision(store.Decision{Model: "m", Kind: "manual", Outcome: "fired", At: time.Now()})
			})
			if err != nil || !hang {
				return n, err
			}
			<-c.Done()
			return nil, c.Err()
		}
		b.start(f)
		id := b.begin("", nil)
		synctest.Wait()
		b.stop()
		hang = false
		b.start(f)
		if w := b.ended(id, store.WorkflowSucceeded, ""); string(w.Output) != "1" {
			t.Errorf("output %s, want the id of the decision", w.Output)
		}
		err := b.s.View(t.Context(), func(r store.Reader) error {
			d, _, err := r.Decisions(store.DecisionQuery{})
			m, err2 := r.Models()
			if len(d) != 1 || len(m) != 0 {
				t.Errorf("%d decisions and %d models, want 1 and 0", len(d), len(m))
			}
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// crashStore loses the process at a write: that Update and all later ones do nothing and fail.
type crashStore struct {
	store.Store

	mu   sync.Mutex
	left int  // Updates until then
	late bool // the crash comes after the commit, before anybody hears of it
}

func (c *crashStore) Update(ctx context.Context, f func(store.Tx) error) error {
	c.mu.Lock()
	c.left--
	left := c.left
	c.mu.Unlock()
	switch {
	case left > 0:
		return c.Store.Update(ctx, f)
	case left == 0 && c.late:
		_ = c.Store.Update(ctx, f)
	}
	return store.ErrClosed
}

// Whichever write a crash comes at, the workflow ends with the same output, each change of the store happened once, and
// each body ran at least once and, but for the one that the crash hit, at most once.
func TestCrashAtEachWrite(t *testing.T) {
	story := func(b *bench) workflow.Func {
		return func(c *workflow.Context, _ json.RawMessage) (any, error) {
			if err := b.step(c, "one"); err != nil {
				return nil, err
			}
			decide := func(c *workflow.Context, name string) error {
				_, err := workflow.StepTx(c, name, func(tx store.Tx) (int64, error) {
					return tx.PutDecision(store.Decision{Model: "m", Kind: name, Outcome: "fired", At: time.Now()})
				})
				return err
			}
			if err := decide(c, "first"); err != nil {
				return nil, err
			}
			if err := workflow.Sleep(c, "nap", time.Minute); err != nil {
				return nil, err
			}
			word, err := workflow.Await[string](c, "go")
			if err != nil {
				return nil, err
			}
			errs := workflow.Parallel(c,
				workflow.Branch{Name: "left", Run: func(c *workflow.Context) error { return errors.Join(b.step(c, "x"), decide(c, "y")) }},
				workflow.Branch{Name: "right", Run: func(c *workflow.Context) error { return b.step(c, "x") }})
			if err := errors.Join(errs...); err != nil {
				return nil, err
			}
			return word, b.step(c, "last")
		}
	}
	for _, late := range []bool{false, true} {
		for n := 1; ; n++ {
			finished := false
			onBench(t, func(t *testing.T, b *bench) {
				crash := &crashStore{Store: b.s, left: n, late: late}
				var id string
				err := b.s.Update(t.Context(), func(tx store.Tx) (err error) {
					e := workflow.New(workflow.Deps{Store: b.s})
					e.Register("k", story(b))
					id, _, err = e.BeginTx(tx, "k", "", nil)
					if err != nil {
						return err
					}
					_, err = tx.PutSignal(store.WorkflowSignal{WorkflowID: id, Name: "go", Payload: []byte(`"word"`), At: time.Now()})
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				b.startOn(crash, story(b))
				time.Sleep(2 * time.Minute) // of the fake clock
				synctest.Wait()
				crash.mu.Lock()
				finished = crash.left > 0
				crash.mu.Unlock()
				b.start(story(b))
				if w := b.ended(id, store.WorkflowSucceeded, ""); string(w.Output) != `"word"` {
					t.Errorf("crash at write %d: output is %s", n, w.Output)
				}
				slices.Sort(b.log)
				if got := slices.Compact(slices.Clone(b.log)); !slices.Equal(got, []string{"last", "one", "x"}) || len(b.log) > 6 { // both branches may be hit
					t.Errorf("crash at write %d: bodies ran %q", n, b.log)
				}
				err = b.s.View(t.Context(), func(r store.Reader) error {
					d, _, err := r.Decisions(store.DecisionQuery{})
					s, err2 := r.WorkflowSteps(id)
					left, err3 := r.WorkflowSignals(id)
					if len(d) != 2 || len(s) != 8 || len(left) != 0 {
						t.Errorf("crash at write %d: %d decisions, %d steps, %d signals left; want 2, 8 and 0", n, len(d), len(s), len(left))
					}
					return errors.Join(err, err2, err3)
				})
				if err != nil {
					t.Fatal(err)
				}
			})
			if finished || t.Failed() {
				if n < 9 {
					t.Errorf("only %d writes", n)
				}
				break
			}
		}
	}
}
