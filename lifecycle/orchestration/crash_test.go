package orchestration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/treeline-ml/treeline/store"
)

// mortal is a store whose process dies at a write: at the n-th Update, before or after it commits. Nothing works after.
type mortal struct {
	store.Store

	mu      sync.Mutex
	n       int // 0: lives for ever
	after   bool
	dead    bool
	crashed chan struct{}
}

var errDied = fmt.Errorf("the process died: %w", store.ErrClosed)

func (m *mortal) arm(n int, after bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n, m.after = n, after
}

func (m *mortal) View(ctx context.Context, f func(store.Reader) error) error {
	m.mu.Lock()
	dead := m.dead
	m.mu.Unlock()
	if dead {
		return errDied
	}
	return m.Store.View(ctx, f)
}

func (m *mortal) Update(ctx context.Context, f func(store.Tx) error) error {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return errDied
	}
	now := false
	if m.n > 0 {
		m.n--
		now = m.n == 0
		m.dead = now
	}
	after := m.after
	m.mu.Unlock()
	if !now {
		return m.Store.Update(ctx, f)
	}
	err := m.Store.Update(ctx, func(tx store.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if !after {
			return errDied
		}
		return nil
	})
	close(m.crashed)
	return errors.Join(errDied, err)
}

// life is a daemon that dies and is started again, on one directory and one outside.
type life struct {
	*daemon

	t     *testing.T
	path  string
	opt   options
	store *mortal
}

func newLife(t *testing.T, o *outside, models []Model) *life {
	l := &life{t: t, path: filepath.Join(t.TempDir(), "state.db"), opt: options{models: models, noClose: true}}
	l.begin(o)
	t.Cleanup(func() { l.close() })
	return l
}

func (l *life) begin(o *outside) {
	l.opt.wrap = func(s store.Store) store.Store {
		l.store = &mortal{Store: s, crashed: make(chan struct{})}
		return l.store
	}
	l.daemon = open(l.t, l.path, o, l.opt)
}

// again lets nothing more happen and starts anew.
func (l *life) again() {
	l.close()
	l.begin(l.outside)
}

// finish waits until every run has ended, or for the crash.
func (l *life) finish() (crashed bool) {
	ctx, stop := context.WithCancel(l.t.Context())
	defer stop()
	death := l.store.crashed
	go func() {
		select {
		case <-death:
			stop()
		case <-ctx.Done():
		}
	}()
	for {
		runs, _, err := l.List(ctx, ListQuery{})
		if err == nil {
			i := slices.IndexFunc(runs, func(r Run) bool { return !r.State.Ended() })
			if i < 0 {
				return false
			}
			err = l.Watch(ctx, runs[i].ID, func(Run) error { return nil })
		}
		if errors.Is(err, store.ErrClosed) || ctx.Err() != nil {
			<-death
			return true
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// begun starts a run unless a crash let an earlier attempt at it through.
func (l *life) begun(r Request) {
	l.t.Helper()
	_, err := l.StartRun(l.t.Context(), r)
	if err != nil && !errors.Is(err, store.ErrClosed) {
		l.t.Fatal(err)
	}
}

func (l *life) runs() []Run {
	l.t.Helper()
	runs, _, err := l.List(l.t.Context(), ListQuery{})
	if err != nil {
		l.t.Fatal(err)
	}
	return runs
}

// facts are what must be the same however often the daemon died: outcomes of nodes, trainings, champions, batches.
func (l *life) facts() string {
	l.t.Helper()
	var b strings.Builder
	run := l.runs()[0]
	fmt.Fprintln(&b, run.State)
	for _, n := range run.Nodes {
		if n.Step == StepPromote && n.State == Succeeded {
			n.Message = "" // found promoted after a crash, it says just that
		}
		fmt.Fprintln(&b, n.ID, n.State, n.Refused, n.Message)
	}
	err := l.daemon.store.View(l.t.Context(), func(r store.Reader) error {
		models, err := r.Models()
		for _, m := range models {
			trainings, _, err1 := r.Trainings(store.TrainingQuery{Model: m.Name})
			periods, err2 := r.Periods(m.Name)
			err = errors.Join(err, err1, err2)
			fmt.Fprintln(&b, m.Name, "champion", m.Champion, "generation", m.Generation, "versions", m.Versions)
			for _, t := range trainings {
				fmt.Fprintln(&b, "  training", t.Version, t.State)
			}
			for _, p := range periods {
				fmt.Fprintln(&b, "  period", p.Version)
			}
		}
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, k := range slices.Sorted(mapKeys(l.batches)) {
		fmt.Fprintln(&b, "batch", k, l.batches[k])
	}
	return strings.ReplaceAll(b.String(), run.ID, "RUN")
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// trainedOnce checks that each training node that worked has one training.
func (l *life) trainedOnce(trained map[string]bool) {
	l.t.Helper()
	for key, n := range l.trainers {
		if n != 1 {
			l.t.Errorf("key %s started %d trainers", key, n)
		}
	}
	for id := range trained {
		keys := 0
		for key := range l.trainers {
			if strings.HasSuffix(key, id) {
				keys++
			}
		}
		if strings.HasSuffix(id, "/train") && keys != 1 {
			l.t.Errorf("%s has %d trainings", id, keys)
		}
	}
}

// TestCrashAtEachWrite kills the daemon at each write of a run, before and after it commits. After a restart everything
// ends as it would have without.
func TestCrashAtEachWrite(t *testing.T) {
	models := trainable("b", "a", "c")[:long(2, 3)] // in short tests b alone, whose candidate is refused
	if len(models) > 1 {
		models[0].DependsOn = []string{"a"}
	}
	if len(models) > 2 {
		models[2].Policy = PolicyPropose
	}
	request := Request{All: true, ComputeDate: "2026-11-02", Reason: "r", Actor: "ann"}
	play := func(n int, after bool) (facts string, crashed bool) {
		o := newOutside()
		o.fails["b/validate"] = true
		l := newLife(t, o, models)
		l.store.arm(n, after)
		l.begun(request)
		if crashed = l.finish(); crashed {
			l.again()
			if len(l.runs()) == 0 {
				l.begun(request)
			}
			if l.finish() {
				t.Fatal("a second crash")
			}
		}
		l.trainedOnce(l.ran())
		return l.facts(), crashed
	}
	want, _ := play(0, false)
	writes, stride := 0, 1
	if testing.Short() {
		stride = 3
	}
	for n := 1; ; n += stride {
		crashed := false
		for _, after := range []bool{false, true} {
			got, died := play(n, after)
			crashed = crashed || died
			if got != want {
				t.Fatalf("crash at write %d (after its commit: %v):\n%s\nwant\n%s", n, after, got, want)
			}
		}
		if !crashed {
			break
		}
		writes = n + stride - 1
	}
	if nodes := 5 * len(models); writes < 3*nodes {
		t.Errorf("a run of %d nodes has %d writes only", nodes, writes)
	}
	t.Logf("%d writes; each time the end was\n%s", writes, want)
}

// TestCrashesAtRandom plays random graphs with random failures, and dies again and again.
func TestCrashesAtRandom(t *testing.T) {
	deaths := 0
	for seed := range uint64(long(9, 200)) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g := randomGraph(rng)
		ids := g.ids()
		play := func(mortality int) string {
			o := newOutside()
			for id := range g.fails {
				o.fails[id] = true
			}
			l := newLife(t, o, g.models)
			if g.champions {
				o.fails = map[string]bool{}
				l.begun(Request{All: true, ComputeDate: "2026-11-01"})
				l.finish()
				o.fails = g.fails
				o.trainers = map[string]int{}
				o.events = nil
			}
			before := len(l.runs())
			for first := true; ; first = false {
				missing := first || len(l.runs()) == before
				if mortality > 0 {
					l.store.arm(1+rng.IntN(mortality), rng.IntN(2) == 0)
				}
				if missing {
					l.begun(g.request)
				}
				if !l.finish() {
					break
				}
				deaths++
				mortality += 2 // in the end it lives
				l.again()
			}
			l.trainedOnce(o.ran())
			l.store.arm(0, false)
			return l.facts()
		}
		want := play(0)
		if got := play(10); got != want {
			t.Fatalf("seed %d, graph %v, failing %v:\n%s\nwant\n%s", seed, ids, g.fails, got, want)
		}
	}
	t.Logf("%d deaths", deaths)
}

// TestCrashWhileCancelling kills the daemon at each write after a cancellation was asked for: the training is cancelled
// and the run ends as cancelled.
func TestCrashWhileCancelling(t *testing.T) {
	for n := 1; ; n++ {
		died := false
		for _, after := range []bool{false, true} {
			o := newOutside()
			g := newGateway()
			o.hooks["churn/train"] = g.hook
			l := newLife(t, o, trainable("churn"))
			run := l.start(churn())
			<-g.reached
			l.store.arm(n, after)
			_, err := l.Cancel(t.Context(), run.ID, "enough", "ann")
			if err != nil && !errors.Is(err, store.ErrClosed) {
				t.Fatal(err)
			}
			if err == nil && l.finish() || err != nil {
				died = true
				o.mu.Lock()
				g = newGateway()
				o.hooks["churn/train"] = g.hook
				o.mu.Unlock()
				l.again()
				if _, err := l.Cancel(t.Context(), run.ID, "enough", "ann"); err != nil && !errors.Is(err, ErrNotActive) {
					t.Fatal(err)
				}
				l.finish()
			}
			got := l.wait(run.ID)
			if got.State != Cancelled || got.Error != "cancelled by ann: enough" || node(got, "churn/train").State != Cancelled {
				t.Errorf("crash at write %d (%v):\n%s", n, after, tree(got))
			}
			err = l.daemon.store.View(t.Context(), func(r store.Reader) error {
				_, err := r.ActiveTraining("churn")
				if !errors.Is(err, store.ErrTrainingNotFound) {
					t.Errorf("crash at write %d (%v): the training goes on (%v)", n, after, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if !died {
			if n < 5 {
				t.Errorf("a cancellation has %d writes only", n-1)
			}
			return
		}
	}
}
