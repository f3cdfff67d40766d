package training_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	registrylocal "github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("TREELINE_PYTHON"); p != "" {
		return p
	}
	return absolute(t, "../../.venv/bin/python")
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// world is one daemon's worth of parts on disk; boot starts the ones that run.
type world struct {
	*training.Service

	t        *testing.T
	dir      string
	store    store.Store
	registry *registrylocal.Registry
	versions *version.Service
	label    string // that the features must have
	features *feature.Service
	trainer  *local.Trainer
	engine   *workflow.Engine
	spec     training.ModelSpec
	options  local.Options

	mu    sync.Mutex
	ended []store.Training
}

func (w *world) source(model string) (feature.Source, bool) {
	return feature.Source{
		Model: model, Table: warehouse.TableName{Catalog: "uat", Schema: "features", Table: "churn"}, DateColumn: "day", Keys: []string{"id"},
		SQL: "SELECT i AS id, :compute_date AS day, i % 7 AS calls, i % 5 AS tickets, (hash(i) % 100) / 100.0::DOUBLE AS noise," +
			" CAST(i % 7 + i % 5 + hash(i) % 4 > 7 AS INTEGER) AS churned FROM range(4000) t(i)",
		Label: w.label,
	}, model == "churn"
}

// newWorld trains with the trainer_class in the package below pythonPath.
func newWorld(t *testing.T, pythonPath string, spec training.ModelSpec) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), spec: spec}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := sqlite.Open(t.Context(), filepath.Join(w.dir, "state.db"))
	must(err)
	t.Cleanup(func() { s.Close() })
	w.store = s
	w.registry, err = registrylocal.Open(filepath.Join(w.dir, "artifacts"), registrylocal.Options{})
	must(err)
	d, err := duckdb.Open(t.Context(), duckdb.Config{Dir: filepath.Join(w.dir, "warehouse"), Threads: 2})
	must(err)
	t.Cleanup(func() { d.Close() })
	w.label = "churned"
	w.features, err = feature.New(feature.Deps{Warehouse: d, Sources: w.source, Dir: filepath.Join(w.dir, "exports")})
	must(err)
	w.versions = version.New(version.Deps{Store: s, Registry: w.registry})
	w.options = local.Options{
		Process: local.Process{Python: python(t), PythonPath: []string{pythonPath}}, Dir: filepath.Join(w.dir, "trainings"),
		Limits: local.Limits{Timeout: time.Minute, FirstBeat: time.Minute, Misses: 1000, Grace: 200 * time.Millisecond},
	}
	w.boot()
	t.Cleanup(w.halt)
	t.Cleanup(func() {
		for _, pid := range w.processes() {
			t.Errorf("process %s is left", pid)
		}
	})
	return w
}

// boot is the start of a daemon, halt its end: trainers stay.
func (w *world) boot() {
	w.t.Helper()
	var err error
	if w.trainer, err = local.New(w.options); err != nil {
		w.t.Fatal(err)
	}
	w.engine = workflow.New(workflow.Deps{Store: w.store})
	w.Service = training.New(training.Deps{
		Store: w.store, Engine: w.engine, Versions: w.versions, Registry: w.registry, Features: w.features, Trainer: w.trainer,
		Specs: func(model string) (training.ModelSpec, bool) { return w.spec, model == "churn" || model == "manual" },
		Dir:   w.options.Dir, Poll: 50 * time.Millisecond, Backoff: time.Millisecond,
		OnEnd: func(_ store.Tx, t store.Training) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ended = append(w.ended, t)
			return nil
		},
	})
	if err := errors.Join(w.Recover(w.t.Context()), w.engine.Start(w.t.Context())); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) halt() {
	if err := w.engine.Stop(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// processes lists what runs with a directory of this world in its environment.
func (w *world) processes() (pids []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), w.dir) {
			pids = append(pids, filepath.Base(filepath.Dir(p)))
		}
	}
	return pids
}

func (w *world) trigger(r training.Request) (store.Training, bool) {
	w.t.Helper()
	if r.Model == "" {
		r.Model = "churn"
	}
	if r.ComputeDate == "" {
		r.ComputeDate = "2026-11-02"
	}
	r.Actor, r.AuthMethod = "ann", "none"
	t, joined, err := w.Trigger(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return t, joined
}

func (w *world) wait(id string) store.Training {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	t, err := w.Wait(ctx, id, nil)
	if err != nil {
		w.t.Fatalf("%v\n%+v", err, t)
	}
	return t
}

// until waits for a training to get there.
func (w *world) until(id string, there func(store.Training) bool) store.Training {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var last store.Training
	errThere := errors.New("there")
	err := w.Watch(ctx, id, 0, func(e training.Event) error {
		if e.Training != nil {
			last = *e.Training
			if there(last) {
				return errThere
			}
		}
		return nil
	})
	if !errors.Is(err, errThere) {
		w.t.Fatalf("%v: %+v", err, last)
	}
	return last
}

func (w *world) wantStage(n int64, want stage.Stage) version.Version {
	w.t.Helper()
	v, err := w.versions.Get(w.t.Context(), "churn", n)
	if err != nil || v.Stage != want {
		w.t.Errorf("version %d is %s, want %s (%v)", n, v.Stage, want, err)
	}
	return v
}

// wantAudit compares the actions of the log, oldest first.
func (w *world) wantAudit(actions ...string) []audit.Entry {
	w.t.Helper()
	entries, _, err := audit.New(audit.Deps{Store: w.store}).List(w.t.Context(), audit.Filter{})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(entries)
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%s %d", e.Action, e.Version))
	}
	if !slices.Equal(got, actions) {
		w.t.Errorf("the audit log has %q, want %q", got, actions)
	}
	return entries
}

// fakeSpec is a model of the misbehaving package.
func fakeSpec(t *testing.T, class string, arg map[string]any) training.ModelSpec {
	t.Helper()
	if arg == nil {
		arg = map[string]any{}
	}
	if class == "model" && arg["model"] == nil {
		arg["model"] = absolute(t, "../../examples/churn/v1/model.txt")
	}
	return training.ModelSpec{
		ModelKey: "churn", TrainerClass: class, FeaturesTable: "uat.features.churn", LabelCol: "churned", KeyCols: []string{"id"}, DateCol: "day",
		Hyperparameters: arg, Split: training.Split{Method: "key_hash", HoldoutFraction: 0.2, Seed: 7}, Seed: 7, ConfigDigest: "c1",
		HeartbeatSeconds: 0.05,
	}
}

func fakeWorld(t *testing.T, class string, arg map[string]any) *world {
	t.Helper()
	return newWorld(t, absolute(t, "local/testdata/fake"), fakeSpec(t, class, arg))
}

func TestTraining(t *testing.T) {
	w := fakeWorld(t, "model", nil)
	tr, joined := w.trigger(training.Request{Trigger: "drift", Reason: "three features", GitSHA: "abc", IdempotencyKey: "k1"})
	if joined || tr.State != store.TrainingQueued || tr.Version != 1 || tr.TrainerClass != "model" || tr.ConfigDigest != "c1" {
		t.Fatalf("accepted %v %+v", joined, tr)
	}
	end := w.wait(tr.ID)
	if end.State != store.TrainingSucceeded || end.Attempt != 1 || end.InputRows != 4000 || end.InputVersion == "" || end.RunID != "run-1" ||
		end.RegistryVersion != "3" || end.Metrics["auc"] != 0.8 || end.Error != "" || end.MaxRSS == 0 || end.FinishedAt.IsZero() {
		t.Errorf("ended as %+v", end)
	}
	v := w.wantStage(1, stage.Trained)
	if v.TrainingID != tr.ID || v.Trees == 0 || v.ModelFile != "model/model.txt" || v.GoldenFile != "golden.parquet" ||
		v.HoldoutFile != "holdout.parquet" || v.GitSHA != "abc" || v.Metrics["auc"] != 0.8 || v.RegistryVersion != "3" ||
		v.Tags["trigger"] != "drift" || v.Tags["trainer_class"] != "model" || v.Tags["compute_date"] != "2026-11-02" {
		t.Errorf("version is %+v", v)
	}
	_, a, err := w.versions.Artifact(t.Context(), v)
	var names []string
	for _, f := range a.Files {
		names = append(names, f.Name)
	}
	want := "golden.parquet holdout.parquet importance.json model/MLmodel model/model.txt result.json spec.json"
	if got := strings.Join(names, " "); got != want || err != nil {
		t.Errorf("the artifact has %s (%v), want %s", got, err, want)
	}
	w.wantAudit("create 1", "register 1")
	if len(w.ended) != 1 || w.ended[0].State != store.TrainingSucceeded {
		t.Errorf("told %+v", w.ended)
	}
	// The same key is the same training for good; another one is a new version.
	if again, joined := w.trigger(training.Request{IdempotencyKey: "k1"}); !joined || again.ID != tr.ID {
		t.Errorf("joined %v %+v", joined, again)
	}
	next, joined := w.trigger(training.Request{IdempotencyKey: "k2"})
	if joined || next.Version != 2 {
		t.Errorf("joined %v %+v", joined, next)
	}
	w.wait(next.ID)
	w.wantStage(2, stage.Trained)
	w.until(next.ID, func(tr store.Training) bool { return tr.State == store.TrainingSucceeded })
	rows, _, err := w.List(t.Context(), store.TrainingQuery{Model: "churn"})
	if err != nil || len(rows) != 2 || rows[0].ID != next.ID {
		t.Errorf("list: %+v, %v", rows, err)
	}
	if by, err := w.ByKey(t.Context(), "k1"); err != nil || by.ID != tr.ID {
		t.Errorf("by key: %+v, %v", by, err)
	}
	w.halt() // its workflow has cleaned up then
	w.boot()
	for _, sub := range []string{tr.ID + "/features.parquet", tr.ID + "/1/output"} {
		if _, err := os.Stat(filepath.Join(w.options.Dir, sub)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", sub, err)
		}
	}
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		class   string
		arg     map[string]any
		change  func(w *world)
		error   string
		hint    string
		attempt int
		code    int
	}{
		"bad data":    {"exit", map[string]any{"code": 10, "message": "label has one class"}, nil, "label has one class", "config.yml", 1, 10},
		"crash":       {"exit", map[string]any{"code": 3, "message": "boom"}, nil, "boom", "traceback", 1, 3},
		"transient":   {"exit", map[string]any{"code": 75, "message": "no MLflow"}, nil, "no MLflow (after 3 attempts)", "MLflow", 3, 75},
		"killed":      {"killed", nil, nil, "SIGKILL", "memory", 3, 137},
		"hangs":       {"silent", nil, func(w *world) { w.options.Limits.FirstBeat = 200 * time.Millisecond }, "no sign of life", "limit", 3, 143},
		"too long":    {"beats", nil, func(w *world) { w.spec.Timeout = 300 * time.Millisecond }, "at most 300ms", "limit", 1, 143},
		"no result":   {"no_result", nil, nil, "no result.json", "correct the trainer", 1, 0},
		"path escape": {"ok", map[string]any{"golden": "../spec.json"}, nil, "golden", "correct the trainer", 1, 0},
		"no model":    {"ok", nil, nil, "registering the version", "docs/format/models.md", 1, 0},
		"unknown":     {"nothing", nil, nil, "no such trainer nothing", "config.yml", 1, 10},
		"no features": {"model", nil, func(w *world) { w.label = "nothing" }, "pinning the features", "table", 0, 0},
		"bad python":  {"model", nil, func(w *world) { w.options.PythonPath = nil; w.spec.ModulePath = nil }, "trainer failed", "", 1, 1},
		"damaged":     {"gate", nil, nil, "following the trainer", "directory", 1, 143},
	} {
		t.Run(name, func(t *testing.T) {
			w := fakeWorld(t, c.class, c.arg)
			if c.change != nil {
				w.halt()
				c.change(w)
				w.boot()
			}
			tr, _ := w.trigger(training.Request{})
			if name == "damaged" {
				w.until(tr.ID, func(tr store.Training) bool { return tr.Step == "train" })
				if err := os.Remove(filepath.Join(w.options.Dir, tr.ID, "1", "control", "work.json")); err != nil {
					t.Fatal(err)
				}
			}
			end := w.wait(tr.ID)
			if end.State != store.TrainingFailed || !strings.Contains(end.Error, c.error) || !strings.Contains(end.Hint, c.hint) ||
				end.Attempt != c.attempt || end.ExitCode != c.code {
				t.Errorf("ended as %s, attempt %d, exit code %d: %q; %q", end.State, end.Attempt, end.ExitCode, end.Error, end.Hint)
			}
			w.wantStage(1, stage.Failed)
			entries := w.wantAudit("create 1", "fail 1")
			if last := entries[len(entries)-1]; !strings.Contains(last.Reason, c.error) {
				t.Errorf("the audit log says %q", last.Reason)
			}
			if len(w.ended) != 1 || w.ended[0].State != store.TrainingFailed || w.ended[0].Error != end.Error {
				t.Errorf("told %+v", w.ended)
			}
		})
	}
}

// A retry is another process and the same run: it has its own key and directory, and the training's idempotency key.
func TestRetry(t *testing.T) {
	runs := filepath.Join(t.TempDir(), "runs")
	w := fakeWorld(t, "model", map[string]any{"runs": runs, "fails": 2})
	tr, _ := w.trigger(training.Request{})
	end := w.wait(tr.ID)
	if end.State != store.TrainingSucceeded || end.Attempt != 3 || end.ExitCode != 0 || end.Error != "" {
		t.Errorf("ended as %+v", end)
	}
	b, err := os.ReadFile(runs)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(b))
	for n := range 3 {
		dir := filepath.Join(w.options.Dir, tr.ID, fmt.Sprint(n+1))
		if len(lines) != 6 || lines[2*n+1] != dir {
			t.Errorf("ran %q, want the third in %s", lines, dir)
		}
		spec, err := os.ReadFile(filepath.Join(dir, "spec.json"))
		if err != nil || !strings.Contains(string(spec), `"idempotency_key": "`+tr.ID+`"`) {
			t.Errorf("attempt %d: %s %v", n+1, spec, err)
		}
	}
	w.wantStage(1, stage.Trained)
}

func TestOneActiveTraining(t *testing.T) {
	stop := filepath.Join(t.TempDir(), "stop")
	w := fakeWorld(t, "model", map[string]any{"wait": stop})
	type answer struct {
		t      store.Training
		joined bool
		err    error
	}
	answers := make(chan answer, 8)
	for i := range cap(answers) {
		go func() {
			tr, joined, err := w.Trigger(t.Context(), training.Request{Model: "churn", ComputeDate: "2026-11-02", IdempotencyKey: fmt.Sprint(i)})
			answers <- answer{tr, joined, err}
		}()
	}
	var id string
	first := 0
	for range cap(answers) {
		a := <-answers
		if a.err != nil || id != "" && a.t.ID != id {
			t.Errorf("%v: %+v", a.err, a.t)
		}
		id = a.t.ID
		if !a.joined {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d trainings were accepted, want 1", first)
	}
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.wait(id)
	w.wantStage(1, stage.Trained)
	w.wantAudit("create 1", "register 1")
}

func TestCancel(t *testing.T) {
	w := fakeWorld(t, "ignores_term", nil)
	tr, _ := w.trigger(training.Request{})
	w.until(tr.ID, func(tr store.Training) bool { return tr.Step == "train" })
	if _, err := w.Cancel(t.Context(), tr.ID, "wrong table", "bob"); err != nil {
		t.Fatal(err)
	}
	end := w.wait(tr.ID)
	if end.State != store.TrainingCancelled || end.Error != "cancelled by bob: wrong table" {
		t.Errorf("ended as %+v", end)
	}
	w.wantStage(1, stage.Failed)
	if _, err := w.Cancel(t.Context(), tr.ID, "again", "bob"); !errors.Is(err, training.ErrEnded) {
		t.Errorf("cancelling again: %v", err)
	}
	if _, err := w.Cancel(t.Context(), "x", "", ""); !errors.Is(err, store.ErrTrainingNotFound) {
		t.Errorf("no such training: %v", err)
	}
	// A new one may begin at once.
	next, joined := w.trigger(training.Request{})
	if joined || next.Version != 2 {
		t.Errorf("%v %+v", joined, next)
	}
	if _, err := w.Cancel(t.Context(), next.ID, "enough", ""); err != nil {
		t.Fatal(err)
	}
	if end := w.wait(next.ID); end.State != store.TrainingCancelled {
		t.Errorf("ended as %+v", end)
	}
}

// A daemon that stops leaves its trainer to the next one, which goes on with it.
func TestRestart(t *testing.T) {
	stop, runs := filepath.Join(t.TempDir(), "stop"), filepath.Join(t.TempDir(), "runs")
	w := fakeWorld(t, "model", map[string]any{"wait": stop, "runs": runs})
	tr, _ := w.trigger(training.Request{})
	w.until(tr.ID, func(tr store.Training) bool { return tr.Step == "train" })
	for range 2 {
		w.halt()
		if n := len(w.processes()); n != 2 {
			t.Fatalf("%d processes without the daemon, want 2", n)
		}
		w.boot()
	}
	w.halt()
	w.spec.TrainerClass = "nothing" // R4
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.boot()
	if end := w.wait(tr.ID); end.State != store.TrainingSucceeded || end.Attempt != 1 || end.TrainerClass != "model" {
		t.Errorf("ended as %+v", end)
	}
	if b, err := os.ReadFile(runs); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("ran %q, want once (%v)", b, err)
	}
	w.wantStage(1, stage.Trained)
}

// A cancellation that arrives while the daemon is down ends the trainer that survived it.
func TestCancelledWhileDown(t *testing.T) {
	w := fakeWorld(t, "gate", nil)
	tr, _ := w.trigger(training.Request{})
	w.until(tr.ID, func(tr store.Training) bool { return tr.Step == "train" })
	w.halt()
	if _, err := w.Cancel(t.Context(), tr.ID, "no longer wanted", "ann"); err != nil {
		t.Fatal(err)
	}
	// As after a crash between starting the process and writing down its handle.
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		row, err := tx.Training(tr.ID)
		row.Handle = ""
		return errors.Join(err, tx.UpdateTraining(row))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.boot()
	if end := w.wait(tr.ID); end.State != store.TrainingCancelled {
		t.Errorf("ended as %+v", end)
	}
	w.wantStage(1, stage.Failed)
}

// A training without its workflow does not stay active.
func TestRecover(t *testing.T) {
	w := fakeWorld(t, "gate", nil)
	tr, _ := w.trigger(training.Request{})
	w.until(tr.ID, func(tr store.Training) bool { return tr.Step == "train" })
	w.halt()
	err := w.store.Update(t.Context(), func(tx store.Tx) error {
		row, err := tx.WorkflowByKey(training.Kind, tr.ID)
		row.State, row.Error, row.FinishedAt = store.WorkflowFailed, "steps do not match the journal", time.Now()
		return errors.Join(err, tx.UpdateWorkflow(row))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.boot()
	if end := w.wait(tr.ID); end.State != store.TrainingFailed || !strings.Contains(end.Error, "given up") || end.Hint == "" {
		t.Errorf("ended as %+v", end)
	}
	w.wantStage(1, stage.Failed)
	if len(w.ended) != 1 {
		t.Errorf("told %+v", w.ended)
	}
}

func TestWatch(t *testing.T) {
	stop := filepath.Join(t.TempDir(), "stop")
	w := fakeWorld(t, "model", map[string]any{"wait": stop})
	tr, _ := w.trigger(training.Request{})
	var states []string
	var text strings.Builder
	err := w.Watch(t.Context(), tr.ID, 0, func(e training.Event) error {
		switch {
		case e.Training != nil:
			if n := len(states); n == 0 || states[n-1] != e.Training.State {
				states = append(states, e.Training.State)
			}
		case e.Log.Offset != int64(text.Len()):
			t.Errorf("chunk at %d, want %d", e.Log.Offset, text.Len())
			fallthrough
		default:
			text.WriteString(e.Log.Text)
			return os.WriteFile(stop, nil, 0o600) // it goes on when it was heard
		}
		return nil
	})
	if err != nil || text.String() != "training churn\n" {
		t.Errorf("%q, %v", text.String(), err)
	}
	if last := len(states) - 1; states[last] != store.TrainingSucceeded || !slices.Contains(states, store.TrainingRunning) {
		t.Errorf("states are %q", states)
	}
	text.Reset()
	err = w.Watch(t.Context(), tr.ID, 9, func(e training.Event) error { // afterwards, from the middle
		if e.Log != nil {
			text.WriteString(e.Log.Text)
		}
		return nil
	})
	if err != nil || text.String() != "churn\n" {
		t.Errorf("%q, %v", text.String(), err)
	}
	boom := errors.New("boom")
	if err := w.Watch(t.Context(), tr.ID, 0, func(training.Event) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("error is %v", err)
	}
	if err := w.Watch(t.Context(), "x", 0, nil); !errors.Is(err, store.ErrTrainingNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestTriggerRefuses(t *testing.T) {
	w := fakeWorld(t, "model", nil)
	for _, c := range []struct {
		r    training.Request
		want error
		text string
	}{
		{training.Request{Model: "other"}, training.ErrModel, "other"},
		{training.Request{Model: "churn", ComputeDate: "02.11.2026"}, training.ErrInvalid, "YYYY-MM-DD"},
	} {
		if _, _, err := w.Trigger(t.Context(), c.r); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	w.spec.TrainerClass = ""
	if _, _, err := w.Trigger(t.Context(), training.Request{Model: "churn"}); !errors.Is(err, training.ErrModel) || !strings.Contains(err.Error(), "trainer_class") {
		t.Errorf("no trainer_class: %v", err)
	}
	w.wantAudit()
}
