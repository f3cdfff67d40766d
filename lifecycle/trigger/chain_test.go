package trigger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

// factory is what a run's nodes do, decided by the test.
type factory struct {
	store store.Store

	mu        sync.Mutex
	trainings map[string]int64 // versions by key
	failing   bool             // trainings fail
	verdict   orchestration.Verdict
	hold      map[orchestration.Step]chan struct{} // a node that waits, until it is closed
	reached   chan orchestration.Step
}

func (f *factory) wait(ctx context.Context, s orchestration.Step) error {
	f.mu.Lock()
	hold := f.hold[s]
	f.mu.Unlock()
	if hold == nil {
		return nil
	}
	f.reached <- s
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *factory) Compute(context.Context, string, string) (string, error) { return "", nil }

func (f *factory) Trigger(ctx context.Context, r orchestration.TrainingRequest) (orchestration.TrainingRef, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trainings[r.Key] != 0 {
		return orchestration.TrainingRef{ID: r.Key}, nil
	}
	return orchestration.TrainingRef{ID: r.Key}, f.store.Update(ctx, func(tx store.Tx) error {
		if err := tx.EnsureModel(r.Model, start); err != nil {
			return err
		}
		n, err := tx.NextVersion(r.Model)
		if err != nil {
			return err
		}
		f.trainings[r.Key] = n
		return tx.InsertVersion(store.Version{
			Model: r.Model, Version: n, Stage: "trained", StageAt: start, RegisteredAt: start, Digest: fmt.Sprint("sha256:", n), ModelFile: "model.txt",
		})
	})
}

func (f *factory) Wait(ctx context.Context, id string, _ func(string)) (orchestration.TrainingResult, error) {
	if err := f.wait(ctx, orchestration.StepTrain); err != nil {
		return orchestration.TrainingResult{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return orchestration.TrainingResult{Version: f.trainings[id], Succeeded: !f.failing, Summary: "trained"}, nil
}

func (f *factory) Cancel(context.Context, string, string, string) error { return nil }

func (f *factory) Validate(context.Context, string, int64, string, func(string)) (orchestration.Verdict, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.verdict, nil
}

func (f *factory) Report(context.Context, string, int64) (orchestration.Verdict, error) {
	return orchestration.Verdict{}, errors.New("nothing crashed")
}

func (f *factory) Promote(context.Context, orchestration.PromotionRequest) (string, error) {
	return "promoted", nil
}

func (f *factory) Score(ctx context.Context, _, _ string, _ func(string)) (orchestration.BatchResult, error) {
	return orchestration.BatchResult{ID: "batch"}, f.wait(ctx, orchestration.StepScore)
}

// TestChain fires real runs on a real engine: what became of them moves the cooldown.
func TestChain(t *testing.T) {
	ctx := t.Context()
	s, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := &factory{store: s, trainings: map[string]int64{}, hold: map[orchestration.Step]chan struct{}{}, reached: make(chan orchestration.Step)}
	engine := workflow.New(workflow.Deps{Store: s})
	clock := start
	now := func() time.Time { return clock }
	runs := orchestration.New(orchestration.Deps{
		Engine: engine, Store: s, Features: f, Trainings: f, Gates: f, Promotions: f, Batches: f,
		Models: []orchestration.Model{{Name: "churn", Trainable: true}, {Name: "manual"}},
	})
	if err := engine.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer engine.Stop(context.Background())
	w := &world{t: t, store: s, sources: &sources{change: DataChange{Rows: 9, Known: true}}, clock: start}
	manual := always(Policy{})
	manual.Model = "manual"
	w.Service = New(Deps{Store: s, Policies: []Policy{always(Policy{Cooldown: day}), manual}, Chain: Runs{runs}, Data: w.sources, Now: now})

	finish := func(d Decision) orchestration.Run {
		t.Helper()
		var last orchestration.Run
		if err := runs.Watch(ctx, d.RunID, func(r orchestration.Run) error { last = r; return nil }); err != nil {
			t.Fatal(err)
		}
		return last
	}
	outcome := func(d Decision) (o Outcome) {
		t.Helper()
		err := s.View(ctx, func(r store.Reader) (err error) {
			o, err = Runs{runs}.Outcome(r, d.RunID, "churn")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}

	// Of many at once one begins a run, the others join it.
	f.hold[orchestration.StepTrain] = make(chan struct{})
	f.verdict = orchestration.Verdict{Passed: true, Conclusive: true}
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		fired []Decision
	)
	for range 8 {
		all.Go(func() {
			d, err := w.Evaluate(ctx, "churn", "", false)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch d[0].Outcome {
			case Fired:
				fired = append(fired, d[0])
			case Coalesced:
			default:
				t.Errorf("%+v", d)
			}
		})
	}
	all.Wait()
	if len(fired) != 1 {
		t.Fatalf("%d fired", len(fired))
	}
	<-f.reached
	if o := outcome(fired[0]); o.Result != ResultRunning {
		t.Error(o)
	}
	if d := w.evaluate(Coalesced); d.RunID != fired[0].RunID {
		t.Error(d)
	}
	close(f.hold[orchestration.StepTrain])
	f.mu.Lock()
	delete(f.hold, orchestration.StepTrain)
	f.mu.Unlock()
	run := finish(fired[0])
	if run.Trigger != NewData || run.State != orchestration.Succeeded {
		t.Errorf("%+v", run)
	}
	if o := outcome(fired[0]); o.Result != ResultAccepted || o.At.IsZero() {
		t.Error(o)
	}

	// Refused: the next may come two cooldowns later, and not before the batch has resumed in peace.
	f.verdict = orchestration.Verdict{Conclusive: true, Explanation: "worse"}
	clock = start.Add(day)
	refused := w.evaluate(Fired)
	finish(refused)
	o := outcome(refused)
	if o.Result != ResultRefused {
		t.Error(o)
	}
	clock = o.At.Add(2*day - time.Microsecond)
	w.evaluate(Cooldown)
	clock = o.At.Add(2 * day)
	f.failing = true
	failed := w.evaluate(Fired)
	finish(failed)
	if o := outcome(failed); o.Result != ResultFailed {
		t.Error(o)
	}

	// A model without a trainer cannot be retrained, and says so.
	if _, err := w.Fire(ctx, Request{Model: "manual"}); !errors.Is(err, orchestration.ErrInvalid) {
		t.Error(err)
	}
	if _, err := w.Fire(ctx, Request{Model: "churn", IgnoreCooldown: true, Actor: "ann"}); err != nil {
		t.Error(err)
	}
}
