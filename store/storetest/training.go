package storetest

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// newTraining is a training of version n with every field set.
func newTraining(model string, n int64, state string) store.Training {
	return store.Training{
		ID: fmt.Sprintf("%s-%d", model, n), Model: model, Version: n, State: state, Attempt: 2,
		IdempotencyKey: fmt.Sprintf("key-%s-%d", model, n), Trigger: "drift", Reason: "be\"cause\n", Actor: actor,
		ComputeDate: "2026-03-01", GitSHA: "abc", TrainerClass: "treeline.training.RandomForestTrainer", ConfigDigest: "sha256:c",
		InputVersion: "sha256:i", InputRows: 1 << 40, Handle: `{"pid":1}`, RunID: "run", RunName: "churn-20260301-120000",
		RegistryVersion: "7", Metrics: map[string]float64{"auc": .875, "ö": math.Inf(1), "no": math.NaN(), "x": -1e-300},
		Step: "train", CreatedAt: t0.Add(time.Duration(n) * time.Second), StartedAt: t0.Add(time.Minute),
		FinishedAt: t0.Add(time.Hour), HeartbeatAt: t0.Add(2 * time.Minute), ExitCode: -9, UserCPU: time.Hour + 3,
		SystemCPU: 5, MaxRSS: 1 << 33, Error: "killed", Hint: "more memory",
	}
}

// train adds a version without an artifact and its training.
func train(tx store.Tx, v store.Training) error {
	created := store.Version{Model: v.Model, Version: v.Version, Stage: "created", StageAt: t0, TrainingID: v.ID}
	return errors.Join(insert(tx, created), tx.InsertTraining(v))
}

func testTrainings(t *testing.T, open Open) {
	s := start(t, open)
	one := newTraining(model, 1, store.TrainingRunning)
	bare := store.Training{ID: "bare", Model: "other", Version: 1, State: store.TrainingQueued, CreatedAt: t0.Add(time.Hour)}
	update(t, s, func(tx store.Tx) error { return errors.Join(train(tx, one), train(tx, bare)) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Training(one.ID)
		same(t, got, one)
		active, err2 := r.ActiveTraining(model)
		same(t, active, one)
		keyed, err3 := r.TrainingByKey(one.IdempotencyKey)
		same(t, keyed, one)
		empty, err4 := r.Training("bare")
		same(t, empty, bare)
		for _, missing := range []func() (store.Training, error){
			func() (store.Training, error) { return r.Training("x") },
			func() (store.Training, error) { return r.ActiveTraining("x") },
			func() (store.Training, error) { return r.TrainingByKey("x") },
			func() (store.Training, error) { return r.TrainingByKey("") },
		} {
			_, err := missing()
			wantErr(t, err, store.ErrTrainingNotFound)
		}
		return errors.Join(err, err2, err3, err4)
	})

	// One active training a model; a key and an id once.
	second := newTraining(model, 2, store.TrainingQueued)
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return train(tx, second) }), store.ErrConflict)
	second.State = store.TrainingFailed
	for what, change := range map[string]func(v *store.Training){
		"key": func(v *store.Training) { v.IdempotencyKey = one.IdempotencyKey },
		"id":  func(v *store.Training) { v.ID = one.ID },
		"no such version": func(v *store.Training) {
			v.ID, v.Version = "y", 9
		},
		"state": func(v *store.Training) { v.State = "asleep" },
	} {
		bad := second
		change(&bad)
		err := s.Update(t.Context(), func(tx store.Tx) error {
			v := store.Version{Model: model, Version: 2, Stage: "created"}
			return errors.Join(insert(tx, v), tx.InsertTraining(bad))
		})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: error is %v, want %v", what, err, store.ErrConflict)
		}
	}

	// What changes and what does not; what ended stays ended.
	ended := one
	ended.State, ended.Metrics, ended.Error, ended.Hint = store.TrainingSucceeded, map[string]float64{"auc": .9}, "", ""
	fixed := ended
	fixed.Model, fixed.Version, fixed.IdempotencyKey, fixed.Reason, fixed.CreatedAt = "z", 5, "z", "z", t0
	update(t, s, func(tx store.Tx) error { return tx.UpdateTraining(fixed) })
	back := ended
	back.State = store.TrainingRunning
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateTraining(back) }), store.ErrConflict)
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateTraining(store.Training{ID: "x", State: "failed"}) }),
		store.ErrTrainingNotFound)
	update(t, s, func(tx store.Tx) error { return train(tx, second) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Training(one.ID)
		same(t, got, ended)
		_, missing := r.ActiveTraining(model)
		wantErr(t, missing, store.ErrTrainingNotFound)
		return err
	})
}

func testTrainingPages(t *testing.T, open Open) {
	s := start(t, open)
	var want []store.Training
	update(t, s, func(tx store.Tx) error {
		for n := int64(1); n <= 5; n++ {
			v := newTraining(model, n, store.TrainingFailed)
			if n >= 4 {
				v.CreatedAt = t0 // the same moment, and before the others
			}
			if err := train(tx, v); err != nil {
				return err
			}
			want = append([]store.Training{v}, want...)
		}
		return train(tx, newTraining("other", 1, store.TrainingRunning))
	})
	want = append(want[2:], want[:2]...)
	view(t, s, func(r store.Reader) error {
		got := pages(t, func(token string) ([]store.Training, string, error) {
			return r.Trainings(store.TrainingQuery{Model: model, PageSize: 2, PageToken: token})
		})
		same(t, got, want)
		all, _, err := r.Trainings(store.TrainingQuery{})
		same(t, len(all), 6)
		running, _, err2 := r.Trainings(store.TrainingQuery{State: store.TrainingRunning})
		same(t, len(running), 1)
		return errors.Join(err, err2)
	})
}

// pages reads a listing to its end.
func pages[T any](t *testing.T, read func(token string) ([]T, string, error)) (out []T) {
	t.Helper()
	for token, n := "", 0; n < 100; n++ {
		rows, next, err := read(token)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rows...)
		if token = next; next == "" {
			return out
		}
	}
	t.Fatal("the pages do not end")
	return nil
}

// testCreated: a version from the acceptance of its training to its artifact.
func testCreated(t *testing.T, open Open) {
	s := start(t, open)
	v := newTraining(model, 1, store.TrainingRunning)
	update(t, s, func(tx store.Tx) error { return train(tx, v) })
	full := newVersion(model, 1)
	full.Stage, full.TrainingID, full.HoldoutFile, full.RegistryVersion = "created", v.ID, "holdout.parquet", "3"
	full.Metrics = map[string]float64{"auc": .75, "nan": math.NaN()}
	sent := full
	sent.TrainingID, sent.Stage = "another", "champion" // neither is changed
	update(t, s, func(tx store.Tx) error { return tx.UpdateCreated(sent) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Version(model, 1)
		same(t, got, full)
		return err
	})
	for what, c := range map[string]struct {
		change func(v *store.Version)
		want   error
	}{
		"again":         {func(*store.Version) {}, store.ErrConflict},
		"unknown":       {func(v *store.Version) { v.Version = 8 }, store.ErrVersionNotFound},
		"unknown model": {func(v *store.Version) { v.Model = "x" }, store.ErrModelNotFound},
	} {
		bad := full
		c.change(&bad)
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateCreated(bad) }); !errors.Is(err, c.want) {
			t.Errorf("%s: error is %v, want %v", what, err, c.want)
		}
	}

	// Only a version that is being trained, or whose training failed, has no artifact; no two usable ones have the same.
	for _, stage := range []string{"trained", "validated", "champion", "archived", "rejected", "quarantined", "retired"} {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return insert(tx, store.Version{Model: model, Version: 2, Stage: stage})
		})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s without a digest: error is %v", stage, err)
		}
	}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(insert(tx, store.Version{Model: model, Version: 2, Stage: "created", StageAt: t0}),
			insert(tx, store.Version{Model: model, Version: 3, Stage: "created", StageAt: t0}))
	})
	same2 := full
	same2.Version = 2
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateCreated(same2) }), store.ErrConflict)
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.SetStage(model, 2, "created", "trained", t0) }),
		store.ErrConflict)
	update(t, s, func(tx store.Tx) error { return tx.SetStage(model, 2, "created", "failed", t0) })

	update(t, s, func(tx store.Tx) error {
		wantErr(t, tx.SetRegistryVersion(model, 8, "9"), store.ErrVersionNotFound)
		wantErr(t, tx.SetRegistryVersion("x", 1, "9"), store.ErrModelNotFound)
		return errors.Join(tx.SetStage(model, 1, "created", "trained", t0), tx.SetRegistryVersion(model, 1, "9"))
	})
	view(t, s, func(r store.Reader) error {
		got, err := r.Version(model, 1)
		same(t, []string{got.Stage, got.RegistryVersion}, []string{"trained", "9"})
		return err
	})
}
