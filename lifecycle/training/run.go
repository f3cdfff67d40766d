package training

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// failure is why a training ends without a model, in words, and what to do.
type failure struct {
	Error, Hint string
	ExitCode    int
}

// snapshot is the outcome of the step of that name.
type snapshot struct {
	Version string `json:"version"`
	Rows    int64  `json:"rows"`
}

// attempt is the outcome of one attempt. Error is set when the trainer could not be started.
type attempt struct {
	Handle Handle `json:"handle"`
	Status Status `json:"status"`
	Error  string `json:"error,omitempty"`
}

// collected is the outcome of the step "collect": the result, its files in the registry.
type collected struct {
	Artifact registry.Artifact `json:"artifact"`
	Result   Result            `json:"result"`
}

// run is the workflow. Each step that has an effect outside goes by the training's id, so doing it again changes nothing.
func (s *Service) run(c *workflow.Context, raw json.RawMessage) (_ any, err error) {
	var in input
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			_ = s.abandon(context.WithoutCancel(c), in.TrainingID, fmt.Errorf("panic: %v", p)) // the panic is told anyway
			panic(p)
		}
	}()
	v, fail, err := s.train(c, in)
	switch {
	case errors.Is(err, workflow.ErrCancelled):
		return nil, s.cancelled(c.Cleanup(), in, err)
	case errors.Is(err, workflow.ErrStopped):
		return nil, err
	case err != nil && fail == nil:
		fail = &failure{Error: err.Error()}
	}
	if fail != nil {
		if _, err := workflow.StepTx(c, "fail", func(tx store.Tx) (bool, error) {
			return true, s.end(tx, in, store.TrainingFailed, *fail)
		}); err != nil {
			if errors.Is(err, workflow.ErrCancelled) {
				return nil, s.cancelled(c.Cleanup(), in, err)
			}
			if !errors.Is(err, workflow.ErrStopped) {
				err = errors.Join(err, s.abandon(context.WithoutCancel(c), in.TrainingID, errors.New(fail.Error)))
			}
			return nil, err
		}
		s.notify(in.TrainingID)
		s.clean(c, in.TrainingID)
		return nil, errors.New(fail.Error)
	}
	return v, nil
}

// train takes the steps. A failure is one of the training, an error one of the workflow.
func (s *Service) train(c *workflow.Context, in input) (v int64, fail *failure, err error) {
	id := in.TrainingID
	t, err := workflow.StepTx(c, "prepare", func(tx store.Tx) (store.Training, error) {
		return s.update(tx, id, func(t *store.Training) {
			t.State, t.Step, t.StartedAt = store.TrainingPreparing, "features", s.now()
		})
	})
	if err != nil {
		return 0, nil, err
	}
	s.notify(id)
	_, err = workflow.Step(c, "features", func(ctx context.Context) (bool, error) {
		m, err := s.d.Features.Compute(ctx, t.Model, t.ComputeDate)
		return m.Computed, err
	})
	if fail, err := stepFailure(err, "computing the features", "correct data.features_sql or the tables that it reads, then train again"); fail != nil || err != nil {
		return 0, fail, err
	}
	snap, err := workflow.Step(c, "snapshot", func(ctx context.Context) (snapshot, error) { return s.snapshot(ctx, t) })
	if fail, err := stepFailure(err, "pinning the features", "correct data.features_table, or the table, then train again"); fail != nil || err != nil {
		return 0, fail, err
	}
	last, fail, err := s.attempts(c, in, t, snap)
	if fail != nil || err != nil {
		return 0, fail, err
	}
	return s.register(c, in, t, last)
}

// stepFailure tells the failure of a step from the end of the workflow.
func stepFailure(err error, doing, hint string) (*failure, error) {
	if step, ok := errors.AsType[*workflow.StepError](err); ok {
		return &failure{Error: doing + ": " + step.Message, Hint: hint}, nil
	}
	return nil, err
}

// snapshot pins and exports the rows to train on.
func (s *Service) snapshot(ctx context.Context, t store.Training) (snapshot, error) {
	ref, err := s.d.Features.Pin(ctx, t.Model, t.ComputeDate)
	if err != nil {
		return snapshot{}, err
	}
	path := s.featuresPath(t.ID)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return snapshot{}, err
	}
	rows, err := s.d.Features.Export(ctx, ref, path)
	if err != nil {
		return snapshot{}, err
	}
	err = s.save(ctx, t.ID, func(t *store.Training) { t.InputVersion, t.InputRows = ref.Version, rows })
	return snapshot{Version: ref.Version, Rows: rows}, err
}

// attempts submits the work until it ends for good.
func (s *Service) attempts(c *workflow.Context, in input, t store.Training, snap snapshot) (attempt, *failure, error) {
	most := in.Spec.Attempts
	if most <= 0 {
		most = 3
	}
	backoff := s.d.Backoff
	for n := 1; ; n++ {
		a, err := workflow.Step(c, fmt.Sprintf("attempt %d", n), func(ctx context.Context) (attempt, error) {
			return s.attempt(ctx, in, t, snap, n)
		})
		fail, err := stepFailure(err, "following the trainer", "its directory was removed or damaged; train again")
		if fail != nil {
			if _, err := workflow.Step(c, "stop", func(ctx context.Context) (bool, error) { return true, s.stop(ctx, t.ID) }); err != nil {
				if _, failed := errors.AsType[*workflow.StepError](err); !failed {
					return a, nil, err
				}
				s.d.Logger.ErrorContext(c, "a trainer that was lost sight of may still run", "training", t.ID, "error", err)
			}
		}
		if fail != nil || err != nil {
			return a, fail, err
		}
		switch {
		case a.Error != "":
			return a, &failure{Error: a.Error, Hint: "correct training.python in the daemon's configuration, then train again"}, nil
		case a.Status.State == StateExited && a.Status.ExitCode == 0:
			return a, nil, nil
		case !a.Status.Retry || n >= most:
			f := explain(a.Status, n)
			return a, &f, nil
		}
		if err := workflow.Sleep(c, fmt.Sprintf("backoff %d", n), backoff); err != nil {
			return a, nil, err
		}
		backoff = min(2*backoff, 5*time.Minute)
	}
}

// spec is what the trainer is told.
func (s *Service) spec(in input, t store.Training, snap snapshot) Spec {
	m := in.Spec
	spec := Spec{
		TrainingID: t.ID, IdempotencyKey: t.ID, ModelKey: m.ModelKey, RegisteredModelName: t.Model, TrainerClass: m.TrainerClass,
		ModulePath: m.ModulePath,
		Features: Features{
			Path: s.featuresPath(t.ID), Rows: snap.Rows, Version: snap.Version, ComputeDate: t.ComputeDate, Table: m.FeaturesTable,
		},
		LabelCol: m.LabelCol, KeyCols: m.KeyCols, DateCol: m.DateCol, ExcludeCols: m.ExcludeCols, Hyperparameters: m.Hyperparameters,
		Metrics: m.Metrics, DecisionThreshold: m.DecisionThreshold, Split: m.Split, Seed: m.Seed, GitSHA: t.GitSHA,
		Environment: m.Environment, Traceparent: in.Traceparent, HeartbeatSeconds: m.HeartbeatSeconds, ParityRows: m.ParityRows,
		Timeout: m.Timeout,
	}
	if spec.HeartbeatSeconds <= 0 {
		spec.HeartbeatSeconds = 5
	}
	if spec.ParityRows <= 0 {
		spec.ParityRows = 2000
	}
	if m.TrackingURI != "" {
		spec.MLflow = &MLflow{
			TrackingURI: m.TrackingURI, Experiment: m.Experiment, RunName: m.ModelKey + "-" + t.CreatedAt.UTC().Format("20060102-150405"),
		}
	}
	return spec
}

// attempt submits the work under its own key and follows it to its end. When the engine stops, the work goes on, and the
// next engine comes here again with the same key.
func (s *Service) attempt(ctx context.Context, in input, t store.Training, snap snapshot, n int) (attempt, error) {
	// Written down first: whoever cancels the training finds the work by its key then.
	err := s.save(ctx, t.ID, func(t *store.Training) {
		if t.State != store.TrainingRunning || t.Attempt != n {
			t.State, t.Attempt, t.Step = store.TrainingRunning, n, "start"
		}
	})
	if err != nil {
		return attempt{}, err
	}
	h, err := s.d.Trainer.Submit(ctx, attemptKey(t.ID, n), s.spec(in, t, snap))
	if ctx.Err() != nil {
		return attempt{}, ctx.Err()
	}
	if err != nil {
		return attempt{Error: err.Error()}, nil //nolint:nilerr // the attempt's outcome
	}
	if err := s.save(ctx, t.ID, func(t *store.Training) { t.Handle = string(h) }); err != nil {
		return attempt{}, err
	}
	status, err := s.follow(ctx, t.ID, h, n)
	return attempt{Handle: h, Status: status}, err
}

func attemptKey(id string, n int) string { return fmt.Sprintf("%s/%d", id, n) }

// follow polls until the work has ended, often at first, and keeps the training's row up to date.
func (s *Service) follow(ctx context.Context, id string, h Handle, n int) (Status, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var shown Status
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, s.d.Poll) {
		select {
		case <-ctx.Done():
			return shown, ctx.Err()
		case <-timer.C:
		}
		st, err := s.d.Trainer.Poll(ctx, h)
		if err != nil {
			return st, err
		}
		if st.State != StateRunning || st.Heartbeat != shown.Heartbeat {
			shown = st
			err := s.save(ctx, id, func(t *store.Training) {
				t.State, t.Attempt, t.Handle, t.HeartbeatAt = store.TrainingRunning, n, string(h), st.Heartbeat.At
				if st.Heartbeat.Step != "" {
					t.Step = st.Heartbeat.Step
				}
				t.ExitCode, t.UserCPU, t.SystemCPU, t.MaxRSS = st.ExitCode, st.Usage.User, st.Usage.System, st.Usage.MaxRSS
			})
			if err != nil {
				return st, err
			}
		}
		if st.State != StateRunning {
			return st, nil
		}
		timer.Reset(wait)
	}
}

// register copies the result into the registry and turns the version into a Trained one.
func (s *Service) register(c *workflow.Context, in input, t store.Training, a attempt) (int64, *failure, error) {
	const badResult = "the trainer ended well but its result is not one; correct the trainer, then train again"
	got, err := workflow.Step(c, "collect", func(ctx context.Context) (collected, error) {
		err := s.save(ctx, t.ID, func(t *store.Training) { t.State, t.Step = store.TrainingRegistering, "collect" })
		if err != nil {
			return collected{}, err
		}
		return s.collect(ctx, a.Handle)
	})
	if fail, err := stepFailure(err, "taking over the result", badResult); fail != nil || err != nil {
		return 0, fail, err
	}
	r := got.Result
	_, err = workflow.Step(c, "register", func(ctx context.Context) (int64, error) {
		v, _, err := s.d.Versions.Register(ctx, version.RegisterRequest{
			Model: t.Model, Artifact: got.Artifact, ModelFile: r.ModelFile, GoldenFile: r.Golden, HoldoutFile: r.Holdout,
			RunID: r.RunID, GitSHA: t.GitSHA, TrainedAt: r.TrainedAt, Tags: tags(in.Spec, Request{ComputeDate: t.ComputeDate, Trigger: t.Trigger}),
			CreatedVersion: t.Version, Metrics: r.Metrics, RegistryVersion: r.RegistryVersion,
			Actor: t.Actor, AuthMethod: in.AuthMethod,
		})
		return v.Version, err
	})
	if fail, err := stepFailure(err, "registering the version", "train a model that is scored here (docs/format/models.md), then train again"); fail != nil || err != nil {
		return 0, fail, err
	}
	_, err = workflow.StepTx(c, "succeed", func(tx store.Tx) (bool, error) {
		now, err := s.update(tx, t.ID, func(t *store.Training) {
			t.State, t.Step, t.FinishedAt, t.Error, t.Hint = store.TrainingSucceeded, "done", s.now(), "", ""
			t.RunID, t.RunName, t.RegistryVersion, t.Metrics = r.RunID, r.RunName, r.RegistryVersion, r.Metrics
		})
		if err == nil && s.d.OnEnd != nil {
			err = s.d.OnEnd(tx, now)
		}
		return true, err
	})
	if err != nil {
		return 0, nil, err
	}
	s.notify(t.ID)
	s.clean(c, t.ID)
	return t.Version, nil, nil
}

// collect checks the result and copies its files.
func (s *Service) collect(ctx context.Context, h Handle) (out collected, err error) {
	if out.Result, err = s.d.Trainer.Collect(ctx, h); err != nil {
		return out, err
	}
	up, err := s.d.Registry.NewUpload(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, up.Abort()) }()
	for _, f := range out.Result.Files {
		if err := copyFile(up, f); err != nil {
			return out, fmt.Errorf("copying %s: %w", f.Name, err)
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
	}
	out.Result.Files = nil // the artifact lists them
	out.Artifact, err = up.Commit(ctx)
	return out, err
}

func copyFile(up registry.Upload, f File) (err error) {
	from, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer closing(&err, from)
	to, err := up.Create(f.Name)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, from)
	if err == nil && n != f.Size {
		err = fmt.Errorf("it has %d bytes, had %d", n, f.Size)
	}
	return errors.Join(err, to.Close())
}

// cancelled stops the work, wherever it is, and ends the training. It returns the cancellation.
func (s *Service) cancelled(c *workflow.Context, in input, cause error) error {
	_, err := workflow.Step(c, "stop cancelled", func(ctx context.Context) (bool, error) { return true, s.stop(ctx, in.TrainingID) })
	if errors.Is(err, workflow.ErrStopped) {
		return err
	}
	reason := strings.TrimPrefix(cause.Error(), workflow.ErrCancelled.Error()+": ")
	if err != nil {
		s.d.Logger.ErrorContext(c, "a cancelled trainer may still run", "training", in.TrainingID, "error", err)
	}
	if _, err := workflow.StepTx(c, "cancel", func(tx store.Tx) (bool, error) {
		return true, s.end(tx, in, store.TrainingCancelled, failure{Error: "cancelled by " + reason})
	}); err != nil {
		return err
	}
	s.notify(in.TrainingID)
	s.clean(c, in.TrainingID)
	return cause
}

// stop cancels the work of a training and waits until it has ended.
func (s *Service) stop(ctx context.Context, id string) error {
	t, err := s.Get(ctx, id)
	if err != nil || t.Attempt == 0 || !store.TrainingActive(t.State) {
		return err
	}
	h, found, err := s.d.Trainer.Find(ctx, attemptKey(id, t.Attempt))
	if err != nil || !found {
		return err
	}
	if err := s.d.Trainer.Cancel(ctx, h); err != nil {
		return err
	}
	_, err = s.follow(ctx, id, h, t.Attempt)
	return err
}

// end ends a training without a model: its row, its version and what OnEnd does are one transaction.
func (s *Service) end(tx store.Tx, in input, state string, f failure) error {
	t, err := tx.Training(in.TrainingID)
	if err != nil || !store.TrainingActive(t.State) {
		return err
	}
	t, err = s.update(tx, t.ID, func(t *store.Training) {
		t.State, t.FinishedAt, t.Error, t.Hint = state, s.now(), f.Error, f.Hint
		if f.ExitCode != 0 {
			t.ExitCode = f.ExitCode
		}
	})
	if err != nil {
		return err
	}
	err = s.d.Versions.Fail(tx, version.FailRequest{
		Model: t.Model, Version: t.Version, Actor: t.Actor, AuthMethod: in.AuthMethod, Reason: cut(f.Error, version.MaxText),
	})
	if errors.Is(err, stage.ErrWrong) { // it was registered before the training could end
		err = nil
	}
	if err == nil && s.d.OnEnd != nil {
		err = s.d.OnEnd(tx, t)
	}
	s.d.Logger.Warn("training ended without a model", "training", t.ID, "model", t.Model, "version", t.Version, "state", state, "error", f.Error)
	return err
}

// abandon ends a training from outside of its workflow, after its work.
func (s *Service) abandon(ctx context.Context, id string, cause error) error {
	if err := s.stop(ctx, id); err != nil {
		s.d.Logger.ErrorContext(ctx, "the trainer of a training that was given up may still run", "training", id, "error", err)
	}
	err := s.d.Store.Update(ctx, func(tx store.Tx) error {
		return s.end(tx, input{TrainingID: id}, store.TrainingFailed, failure{Error: "the training was given up: " + cause.Error(), Hint: "train again"})
	})
	s.notify(id)
	return err
}

// clean removes the files of a training that has ended. They are not needed again, so that is not a step.
func (s *Service) clean(ctx context.Context, id string) {
	err := os.Remove(s.featuresPath(id))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if cleaner, ok := s.d.Trainer.(interface {
		Clean(ctx context.Context, h Handle) error
	}); ok {
		t, gerr := s.Get(ctx, id)
		if gerr == nil && t.Handle != "" {
			gerr = cleaner.Clean(ctx, Handle(t.Handle))
		}
		err = errors.Join(err, gerr)
	}
	if err != nil {
		s.d.Logger.WarnContext(ctx, "files of a training stay", "training", id, "error", err)
	}
}

func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

// update changes a training's row.
func (s *Service) update(tx store.Tx, id string, change func(*store.Training)) (store.Training, error) {
	t, err := tx.Training(id)
	if err != nil {
		return t, err
	}
	change(&t)
	return t, tx.UpdateTraining(t)
}

// save is update in a transaction of its own.
func (s *Service) save(ctx context.Context, id string, change func(*store.Training)) error {
	err := s.d.Store.Update(ctx, func(tx store.Tx) error {
		_, err := s.update(tx, id, change)
		return err
	})
	s.notify(id)
	return err
}
