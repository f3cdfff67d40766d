package version_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry/registrytest"
	"github.com/treeline-ml/treeline/store"
)

func (f fixture) create(t *testing.T, training string) version.Version {
	t.Helper()
	var v version.Version
	err := f.store.Update(t.Context(), func(tx store.Tx) (err error) {
		v, err = f.Create(tx, version.CreateRequest{
			Model: "churn", TrainingID: training, GitSHA: "abc", Tags: map[string]string{"trigger": "drift"}, Actor: "scheduler",
			AuthMethod: "internal", Reason: "drift of 3 features", RequestID: "r1",
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (f fixture) fail(t *testing.T, n int64, reason string) error {
	t.Helper()
	return f.store.Update(t.Context(), func(tx store.Tx) error {
		return f.Fail(tx, version.FailRequest{Model: "churn", Version: n, Actor: "trainer", AuthMethod: "internal", Reason: reason})
	})
}

func TestCreatedBecomesTrained(t *testing.T) {
	f := setup(t)
	v := f.create(t, "t-1")
	if v.Version != 1 || v.Stage != stage.Created || v.Digest != "" || v.TrainingID != "t-1" || v.RegisteredBy != "scheduler" {
		t.Fatalf("created %+v", v)
	}
	r := f.request(t, "1")
	r.CreatedVersion, r.Metrics, r.RegistryVersion = 1, map[string]float64{"auc": 0.75}, "17"
	got, already, err := f.Register(t.Context(), r)
	if err != nil || already {
		t.Fatal(already, err)
	}
	if got.Version != 1 || got.Stage != stage.Trained || got.Digest != r.Artifact.Digest || got.TrainingID != "t-1" || got.Trees == 0 ||
		got.Metrics["auc"] != 0.75 || got.RegistryVersion != "17" || got.RunID != "run-1" || got.GoldenFile != "golden.parquet" {
		t.Errorf("registered %+v", got)
	}
	// Again, as after a crash: the same version, nothing new.
	again, already, err := f.Register(t.Context(), r)
	if d := cmp.Diff(got, again); d != "" || !already || err != nil {
		t.Errorf("again: already %v, error %v\n%s", already, err, d)
	}
	entries, _, err := f.audit.List(t.Context(), audit.Filter{})
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, want 2 (%v)", len(entries), err)
	}
	if e := entries[1]; e.Action != "create" || e.FromStage != "" || e.ToStage != "created" || e.Reason != "drift of 3 features" || e.Actor != "scheduler" {
		t.Errorf("first entry is %+v", e)
	}
	if e := entries[0]; e.Action != "register" || e.FromStage != "created" || e.ToStage != "trained" || e.Version != 1 || e.Actor != "ann" {
		t.Errorf("second entry is %+v", e)
	}
	if res, err := f.audit.Verify(t.Context()); err != nil || !res.Valid {
		t.Error(res, err)
	}
	if err := f.fail(t, 1, "late"); !errors.Is(err, stage.ErrWrong) {
		t.Errorf("failing a Trained version: %v", err)
	}
}

func TestCreatedFails(t *testing.T) {
	f := setup(t)
	f.create(t, "t-1")
	for range 2 { // a second time changes nothing
		if err := f.fail(t, 1, "no rows"); err != nil {
			t.Fatal(err)
		}
	}
	v, err := f.Get(t.Context(), "churn", 1)
	if err != nil || v.Stage != stage.Failed || v.Digest != "" {
		t.Errorf("%+v, %v", v, err)
	}
	entries, _, err := f.audit.List(t.Context(), audit.Filter{})
	if err != nil || len(entries) != 2 || entries[0].Action != "fail" || entries[0].Reason != "no rows" || entries[0].ToStage != "failed" {
		t.Errorf("%+v, %v", entries, err)
	}
	r := f.request(t, "1")
	r.CreatedVersion = 1
	if _, _, err := f.Register(t.Context(), r); !errors.Is(err, stage.ErrWrong) {
		t.Errorf("registering a Failed version: %v", err)
	}
	// The next one gets the next number.
	if v := f.create(t, "t-2"); v.Version != 2 {
		t.Errorf("version %d, want 2", v.Version)
	}
}

func TestCreatedRefuses(t *testing.T) {
	f := setup(t)
	if _, _, err := f.Register(t.Context(), f.request(t, "1")); err != nil {
		t.Fatal(err)
	}
	f.create(t, "t-1")
	same := f.request(t, "1") // the files of version 1
	same.CreatedVersion = 2
	if _, _, err := f.Register(t.Context(), same); !errors.Is(err, version.ErrInvalid) || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("the files of another version: %v", err)
	}
	absent := f.request(t, "2")
	absent.CreatedVersion = 9
	if _, _, err := f.Register(t.Context(), absent); !errors.Is(err, store.ErrVersionNotFound) {
		t.Errorf("no such version: %v", err)
	}
	broken := version.RegisterRequest{
		Model: "churn", ModelFile: "a", CreatedVersion: 2, Artifact: f.put(t, registrytest.Files{"a": []byte("hello")}),
	}
	if _, _, err := f.Register(t.Context(), broken); !errors.Is(err, version.ErrModel) {
		t.Errorf("no model: %v", err)
	}
	if v, err := f.Get(t.Context(), "churn", 2); err != nil || v.Stage != stage.Created {
		t.Errorf("after refusals: %+v, %v", v, err)
	}
	for _, r := range []version.CreateRequest{{Model: "a/b", TrainingID: "t"}, {Model: "churn"}} {
		err := f.store.Update(t.Context(), func(tx store.Tx) error {
			_, err := f.Create(tx, r)
			return err
		})
		if !errors.Is(err, version.ErrName) && !errors.Is(err, version.ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
