package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outside is the world beside the daemon: trainers, tables. It lives on when the daemon dies.
type outside struct {
	mu sync.Mutex
	// fails are the nodes that do not succeed, by id ("churn/train"); of a validation, the gates say no.
	fails map[string]bool
	// hooks are called while a node works, with the node's context.
	hooks map[string]func(ctx context.Context) error

	trainers map[string]int    // how often a trainer was started, by key
	killed   map[string]bool   // trainings that were cancelled, by key
	batches  map[string]int64  // the version that scored, by "model date"
	events   []event           // of nodes
	working  map[string]int    // nodes at work: "train" and "node"
	peak     map[string]int    // the most of them at once
	judged   map[string]int    // how often a version was judged, by "model version"
	promoted map[string]string // reasons, by "model version"
}

// event is that a node began or ended to work.
type event struct {
	node string
	end  bool
}

func newOutside() *outside {
	return &outside{
		fails: map[string]bool{}, hooks: map[string]func(context.Context) error{}, trainers: map[string]int{}, killed: map[string]bool{},
		batches: map[string]int64{}, working: map[string]int{}, peak: map[string]int{}, judged: map[string]int{}, promoted: map[string]string{},
	}
}

// work is the time that a node works. It fails when the node is to fail.
func (o *outside) work(ctx context.Context, model string, step Step) error {
	id := nodeID(model, step)
	kinds := []string{"node"}
	if step == StepTrain {
		kinds = append(kinds, "train")
	}
	o.mu.Lock()
	o.events = append(o.events, event{id, false})
	for _, k := range kinds {
		o.working[k]++
		o.peak[k] = max(o.peak[k], o.working[k])
	}
	hook, fails := o.hooks[id], o.fails[id]
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.events = append(o.events, event{id, true})
		for _, k := range kinds {
			o.working[k]--
		}
	}()
	if hook != nil {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	if fails && step != StepValidate {
		return errors.New(string(step) + " is to fail")
	}
	return nil
}

// ran are the nodes that worked, each once.
func (o *outside) ran() map[string]bool {
	out := map[string]bool{}
	for _, e := range o.events {
		out[e.node] = true
	}
	return out
}

// daemon is the service on a real store and engine, working on the outside.
type daemon struct {
	*Service
	*outside

	t      testing.TB
	store  store.Store
	engine *workflow.Engine
	promo  *promotion.Service
}

// bytesOf is a registry in which every artifact is whole.
type bytesOf struct{ registry.Registry }

func (bytesOf) Fetch(context.Context, string) (string, registry.Artifact, error) {
	return "", registry.Artifact{}, nil
}

type options struct {
	models              []Model
	nodes, trainings    int
	wrap                func(store.Store) store.Store
	doNotStart, noClose bool
}

// empty is the file of an empty store: making one takes longer than most tests.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "orchestration")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "state.db")
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func open(t testing.TB, path string, o *outside, opt options) *daemon {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		b, err := empty()
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, outside: o, store: s}
	if opt.wrap != nil {
		d.store = opt.wrap(s)
	}
	d.promo = promotion.New(promotion.Deps{Store: d.store, Registry: bytesOf{}})
	d.engine = workflow.New(workflow.Deps{Store: d.store})
	d.Service = New(Deps{
		Engine: d.engine, Store: d.store, Models: opt.models, Features: d, Trainings: trainings{d}, Gates: gates{d}, Promotions: d, Batches: batches{d},
		Alert: alert.Put, ParallelNodes: opt.nodes, ParallelTrainings: opt.trainings,
	})
	if !opt.doNotStart {
		if err := d.engine.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !opt.noClose {
		t.Cleanup(func() { d.close() })
	}
	return d
}

// long is n, more when TREELINE_LONG is set (make soak), a third in short tests (under the race detector).
func long(n, more int) int {
	switch {
	case os.Getenv("TREELINE_LONG") != "":
		return more
	case testing.Short():
		return max(1, n/3)
	default:
		return n
	}
}

func setup(t testing.TB, opt options) *daemon {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state.db"), newOutside(), opt)
}

func (d *daemon) close() {
	if err := d.engine.Stop(context.Background()); err != nil {
		d.t.Error(err)
	}
	if err := d.store.Close(); err != nil {
		d.t.Error(err)
	}
}

// alert is the open alert of a key as it was sent, "" when there is none.
func (d *daemon) alert(key string) (text string) {
	d.t.Helper()
	err := d.store.View(context.Background(), func(r store.Reader) error {
		_, err := r.Alert(key)
		if errors.Is(err, store.ErrAlertNotFound) {
			return nil
		}
		sent, err := r.OutboxAll()
		for _, row := range sent {
			var a alert.Alert
			if row.Kind == alert.OutboxKind && json.Unmarshal(row.Payload, &a) == nil && a.Key == key {
				text = a.Title + ": " + a.Text + " [" + a.Command + "]"
				if a.Owner != "team" || a.Model == "" {
					d.t.Errorf("%+v", a)
				}
			}
		}
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return text
}

func (d *daemon) Compute(ctx context.Context, model, date string) (string, error) {
	if err := d.work(ctx, model, StepFeatures); err != nil {
		return "", err
	}
	return "rows of " + date, nil
}

type trainings struct{ *daemon }

func (d trainings) Trigger(ctx context.Context, r TrainingRequest) (ref TrainingRef, err error) {
	err = d.store.Update(ctx, func(tx store.Tx) error {
		t, err := tx.TrainingByKey(r.Key)
		if errors.Is(err, store.ErrTrainingNotFound) {
			t, err = tx.ActiveTraining(r.Model)
		}
		if !errors.Is(err, store.ErrTrainingNotFound) {
			ref = TrainingRef{ID: t.ID, Joined: t.IdempotencyKey != r.Key}
			return err
		}
		now := time.Now()
		if err := tx.EnsureModel(r.Model, now); err != nil {
			return err
		}
		n, err := tx.NextVersion(r.Model)
		if err != nil {
			return err
		}
		ref.ID = fmt.Sprintf("t-%s-%d", r.Model, n)
		return errors.Join(
			tx.InsertVersion(store.Version{Model: r.Model, Version: n, Stage: string(stage.Created), StageAt: now, TrainingID: ref.ID, RegisteredAt: now, RegisteredBy: r.Actor}),
			tx.InsertTraining(store.Training{
				ID: ref.ID, Model: r.Model, Version: n, State: store.TrainingRunning, IdempotencyKey: r.Key, CreatedAt: now,
				Trigger: r.Trigger, Reason: r.Reason, Actor: r.Actor, ComputeDate: r.ComputeDate,
			}),
		)
	})
	return ref, err
}

func (d trainings) get(ctx context.Context, id string) (t store.Training, err error) {
	err = d.store.View(ctx, func(r store.Reader) (err error) {
		t, err = r.Training(id)
		return err
	})
	return t, err
}

// finish ends a training unless it has ended.
func (d trainings) finish(ctx context.Context, id, state, message string) error {
	return d.store.Update(ctx, func(tx store.Tx) error {
		t, err := tx.Training(id)
		if err != nil || !store.TrainingActive(t.State) {
			return err
		}
		t.State, t.Error, t.FinishedAt = state, message, time.Now()
		to := stage.Failed
		if state == store.TrainingSucceeded {
			to = stage.Trained
			v, err := tx.Version(t.Model, t.Version)
			if err != nil {
				return err
			}
			v.Digest = fmt.Sprintf("sha256:%s-%d", t.Model, t.Version)
			v.ModelFile = "model.txt"
			if err := tx.UpdateCreated(v); err != nil {
				return err
			}
		}
		return errors.Join(tx.UpdateTraining(t), tx.SetStage(t.Model, t.Version, string(stage.Created), string(to), time.Now()))
	})
}

func (d trainings) Wait(ctx context.Context, id string, progress func(string)) (TrainingResult, error) {
	t, err := d.get(ctx, id)
	if err != nil {
		return TrainingResult{}, err
	}
	if store.TrainingActive(t.State) {
		d.mu.Lock()
		if d.trainers[t.IdempotencyKey] == 0 { // a trainer starts once a key, whoever asks
			d.trainers[t.IdempotencyKey]++
		}
		d.mu.Unlock()
		progress("training\n  version " + fmt.Sprint(t.Version))
		state, message := store.TrainingSucceeded, ""
		if err := d.work(ctx, t.Model, StepTrain); err != nil {
			if ctx.Err() != nil {
				return TrainingResult{}, ctx.Err()
			}
			state, message = store.TrainingFailed, err.Error()
		}
		if err := d.finish(ctx, id, state, message); err != nil {
			return TrainingResult{}, err
		}
		if t, err = d.get(ctx, id); err != nil {
			return TrainingResult{}, err
		}
	}
	r := TrainingResult{Succeeded: t.State == store.TrainingSucceeded, Version: t.Version, Summary: "auc 0.81"}
	if !r.Succeeded {
		r.Summary = t.Error
	}
	return r, nil
}

func (d trainings) Cancel(ctx context.Context, key, reason, _ string) error {
	var t store.Training
	err := d.store.View(ctx, func(r store.Reader) (err error) {
		t, err = r.TrainingByKey(key)
		return err
	})
	if errors.Is(err, store.ErrTrainingNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.killed[key] = true
	d.mu.Unlock()
	return d.finish(ctx, t.ID, store.TrainingCancelled, reason)
}

type gates struct{ *daemon }

func (d gates) Validate(ctx context.Context, model string, version int64, _ string, progress func(string)) (Verdict, error) {
	progress("gate auc_floor")
	if err := d.work(ctx, model, StepValidate); err != nil {
		return Verdict{}, err
	}
	d.mu.Lock()
	no := d.fails[nodeID(model, StepValidate)]
	d.judged[fmt.Sprint(model, " ", version)]++
	d.mu.Unlock()
	to, verdict := stage.Validated, "pass"
	if no {
		to, verdict = stage.Rejected, "fail"
	}
	err := d.store.Update(ctx, func(tx store.Tx) error {
		v, err := tx.Version(model, version)
		if err != nil {
			return err
		}
		if !stage.Allowed(stage.Stage(v.Stage), to) {
			return fmt.Errorf("%w: version %d is %s", stage.ErrWrong, version, v.Stage)
		}
		if v.Stage != string(to) {
			err = tx.SetStage(model, version, v.Stage, string(to), time.Now())
		}
		return errors.Join(err, tx.PutEvidence(store.Evidence{
			Model: model, Version: version, Outcome: verdict, Digest: "sha256:e", At: time.Now(), Report: fmt.Appendf(nil, `{"digest":%q}`, v.Digest),
		}))
	})
	if err != nil {
		return Verdict{}, err
	}
	return d.Report(ctx, model, version)
}

func (d gates) Report(ctx context.Context, model string, version int64) (v Verdict, err error) {
	err = d.store.View(ctx, func(r store.Reader) error {
		e, err := r.Evidence(model, version)
		v.Passed, v.Conclusive, v.Explanation = e.Outcome == "pass", true, "all gates pass"
		if !v.Passed {
			v.Explanation = "auc_floor: AUC 0.71 is below 0.75"
		}
		return err
	})
	return v, err
}

func (d *daemon) Promote(ctx context.Context, r PromotionRequest) (string, error) {
	if err := d.work(ctx, r.Model, StepPromote); err != nil {
		return "", err
	}
	c, err := d.promo.Promote(ctx, promotion.Request{
		Model: r.Model, Version: r.Version, ExpectedGeneration: &r.ExpectedGeneration, Reason: r.Reason, Actor: r.Actor,
	})
	return strings.Join(c.Effects, "; "), err
}

type batches struct{ *daemon }

func (d batches) Score(ctx context.Context, model, date string, progress func(string)) (BatchResult, error) {
	progress("reading")
	if err := d.work(ctx, model, StepScore); err != nil {
		return BatchResult{}, err
	}
	champion := d.champion(ctx, model)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.batches[model+" "+date] = champion
	return BatchResult{ID: "batch-" + model, Summary: fmt.Sprintf("scored with version %d", champion)}, nil
}

func (d *daemon) champion(ctx context.Context, model string) (n int64) {
	d.t.Helper()
	err := d.store.View(context.WithoutCancel(ctx), func(r store.Reader) error {
		m, err := r.Model(model)
		n = m.Champion
		if errors.Is(err, store.ErrModelNotFound) {
			err = nil
		}
		return err
	})
	if err != nil && !errors.Is(err, store.ErrClosed) {
		d.t.Error(err)
	}
	return n
}

// start begins a run.
func (d *daemon) start(r Request) Run {
	d.t.Helper()
	run, err := d.StartRun(d.t.Context(), r)
	if err != nil {
		d.t.Fatal(err)
	}
	return run
}

// wait waits for a run's end.
func (d *daemon) wait(id string) (last Run) {
	d.t.Helper()
	ctx, stop := context.WithTimeout(d.t.Context(), time.Minute)
	defer stop()
	if err := d.Watch(ctx, id, func(r Run) error { last = r; return nil }); err != nil {
		d.t.Fatalf("%v\n%s", err, tree(last))
	}
	return last
}

// until waits for a state of the run.
func (d *daemon) until(id string, good func(Run) bool) (last Run) {
	d.t.Helper()
	ctx, stop := context.WithTimeout(d.t.Context(), time.Minute)
	defer stop()
	found := errors.New("found")
	err := d.Watch(ctx, id, func(r Run) error {
		if last = r; good(r) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		d.t.Fatalf("%v\n%s", err, tree(last))
	}
	return last
}

func node(r Run, id string) Node {
	i := slices.IndexFunc(r.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Node{}
	}
	return r.Nodes[i]
}

func is(id string, s State) func(Run) bool {
	return func(r Run) bool { return node(r, id).State == s }
}

// tree is a run for people.
func tree(r Run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\n", r.ID, r.State, r.Error)
	for _, n := range r.Nodes {
		fmt.Fprintf(&b, "  %-20s %-18s %s (%s) after %v\n", n.ID, n.State, n.Message, n.Subject, n.DependsOn)
	}
	return b.String()
}

// expect compares the states of a run's nodes with a list such as "churn/train failed".
func expect(t testing.TB, r Run, want ...string) {
	t.Helper()
	var got []string
	for _, n := range r.Nodes {
		got = append(got, n.ID+" "+string(n.State))
		if n.State.Ended() && n.FinishedAt.IsZero() || n.FinishedAt.Before(n.StartedAt) {
			t.Errorf("%s: %s from %s to %s", n.ID, n.State, n.StartedAt, n.FinishedAt)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s\n%s", strings.Join(got, "\n  "), strings.Join(want, "\n  "), tree(r))
	}
}

func trainable(names ...string) (out []Model) {
	for _, n := range names {
		out = append(out, Model{Name: n, Trainable: true, Owner: "team"})
	}
	return out
}

// gateway is a hook that says when it was reached and waits to be opened.
type gateway struct{ reached, open chan struct{} }

func newGateway() *gateway { return &gateway{make(chan struct{}), make(chan struct{})} }

func (g *gateway) hook(ctx context.Context) error {
	close(g.reached)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
