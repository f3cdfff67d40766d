package version_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/registry/registrytest"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

type fixture struct {
	*version.Service

	store    store.Store
	registry registry.Registry
	audit    *audit.Service
}

func setup(t *testing.T) fixture {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := local.Open(filepath.Join(t.TempDir(), "r"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	svc := version.New(version.Deps{Store: s, Registry: r, Now: func() time.Time { return now }})
	return fixture{svc, s, r, audit.New(audit.Deps{Store: s})}
}

func example(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f fixture) put(t *testing.T, files registrytest.Files) registry.Artifact {
	t.Helper()
	var names []string
	for n := range files {
		names = append(names, n)
	}
	a, err := registrytest.Put(t.Context(), f.registry, names, files)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// request registers churn v1 with a note, which makes another artifact of the same model.
func (f fixture) request(t *testing.T, note string) version.RegisterRequest {
	t.Helper()
	return version.RegisterRequest{
		Model: "churn", ModelFile: "m/model.txt", GoldenFile: "golden.parquet",
		Artifact: f.put(t, registrytest.Files{
			"m/model.txt": example(t, "churn/v1/model.txt"), "golden.parquet": []byte("rows"), "note": []byte(note),
		}),
		RunID: "run-1", GitSHA: "abc", TrainedAt: now.Add(-time.Hour), Tags: map[string]string{"team": "growth"},
		Actor: "ann", AuthMethod: "none", RequestID: "req",
	}
}

func TestRegister(t *testing.T) {
	f := setup(t)
	r := f.request(t, "1")
	v, already, err := f.Register(t.Context(), r)
	if err != nil || already {
		t.Fatal(already, err)
	}
	at := now.Truncate(time.Microsecond)
	want := version.Version{
		Model: "churn", Version: 1, Stage: stage.Trained, StageAt: at, Digest: r.Artifact.Digest,
		ModelFile: "m/model.txt", GoldenFile: "golden.parquet", Format: "lightgbm-text", Library: "lightgbm",
		LibraryVersion: "v4", Objective: v.Objective, Features: 11,
		// Counted here in the text itself.
		Trees: bytes.Count(example(t, "churn/v1/model.txt"), []byte("\nTree=")),
		RunID: "run-1", GitSHA: "abc", TrainedAt: now.Add(-time.Hour).Truncate(time.Microsecond), RegisteredAt: at,
		RegisteredBy: "ann", Tags: map[string]string{"team": "growth"}, Metrics: map[string]float64{},
	}
	if d := cmp.Diff(want, v); d != "" || !strings.HasPrefix(v.Objective, "binary") {
		t.Errorf("objective %q (-want +got)\n%s", v.Objective, d)
	}
	for _, n := range []int64{0, 1} {
		got, err := f.Get(t.Context(), "churn", n)
		if d := cmp.Diff(v, got); d != "" || err != nil {
			t.Errorf("Get(%d): %v\n%s", n, err, d)
		}
	}

	// Equal files are the same version, whoever registers them and whatever they say.
	again := r
	again.RunID, again.Actor = "run-2", "bob"
	v2, already, err := f.Register(t.Context(), again)
	if d := cmp.Diff(v, v2); d != "" || !already || err != nil {
		t.Errorf("again: already %v, error %v\n%s", already, err, d)
	}
	next, already, err := f.Register(t.Context(), f.request(t, "2"))
	if err != nil || already || next.Version != 2 {
		t.Fatal(next.Version, already, err)
	}
	all, err := f.Versions(t.Context(), "churn")
	if d := cmp.Diff([]version.Version{next, v}, all); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	// The same files under another name are that model's own version 1.
	other := r
	other.Model = "churn-eu"
	if v, already, err := f.Register(t.Context(), other); err != nil || already || v.Version != 1 {
		t.Error(v.Version, already, err)
	}
	models, err := f.Models(t.Context())
	wantModels := []version.Model{
		{Name: "churn", Versions: 2, Latest: 2, CreatedAt: at}, {Name: "churn-eu", Versions: 1, Latest: 1, CreatedAt: at},
	}
	if d := cmp.Diff(wantModels, models); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}

	entries, _, err := f.audit.List(t.Context(), audit.Filter{})
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries, want 3 (%v)", len(entries), err)
	}
	wantEntry := audit.Entry{
		Seq: 1, At: at, Actor: "ann", AuthMethod: "none", Action: "register", Model: "churn", Version: 1,
		ToStage: "trained", RequestID: "req", PrevHash: strings.Repeat("0", 64), Hash: entries[2].Hash,
	}
	if d := cmp.Diff(wantEntry, entries[2]); d != "" {
		t.Error(d)
	}
	if res, err := f.audit.Verify(t.Context()); err != nil || !res.Valid {
		t.Error(res, err)
	}
}

func TestRegisterConcurrently(t *testing.T) {
	f := setup(t)
	r := f.request(t, "1")
	type answer struct {
		v       version.Version
		already bool
		err     error
	}
	answers := make(chan answer, 16)
	for range cap(answers) {
		go func() {
			v, already, err := f.Register(t.Context(), r)
			answers <- answer{v, already, err}
		}()
	}
	first := 0
	for range cap(answers) {
		a := <-answers
		if a.err != nil || a.v.Version != 1 {
			t.Error(a.v.Version, a.err)
		}
		if !a.already {
			first++
		}
	}
	if first != 1 {
		t.Errorf("%d calls registered the version, want 1", first)
	}
}

func TestRegisterAgainAfterRejection(t *testing.T) {
	f := setup(t)
	r := f.request(t, "1")
	if _, _, err := f.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	move := func(n int64, from, to stage.Stage) {
		t.Helper()
		err := f.store.Update(t.Context(), func(tx store.Tx) error {
			return tx.SetStage("churn", n, string(from), string(to), now)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	move(1, stage.Trained, stage.Rejected)
	v, already, err := f.Register(t.Context(), r)
	if err != nil || already || v.Version != 2 || v.Stage != stage.Trained {
		t.Fatalf("version %d, already %v, error %v; want a new version", v.Version, already, err)
	}
	move(2, stage.Trained, stage.Quarantined)
	v, already, err = f.Register(t.Context(), r)
	if err != nil || !already || v.Version != 2 || v.Stage != stage.Quarantined {
		t.Fatalf("version %d, already %v, error %v; quarantine was escaped", v.Version, already, err)
	}
}

func TestRegisterRefuses(t *testing.T) {
	f := setup(t)
	model := example(t, "churn/v1/model.txt")
	good := func() version.RegisterRequest { return f.request(t, "x") }
	with := func(change func(*version.RegisterRequest)) version.RegisterRequest {
		r := good()
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		r    version.RegisterRequest
		want error
		text string
	}{
		"name":           {with(func(r *version.RegisterRequest) { r.Model = "a/b" }), version.ErrName, "a/b"},
		"no model file":  {with(func(r *version.RegisterRequest) { r.ModelFile = "" }), version.ErrInvalid, "role of the model"},
		"unknown model":  {with(func(r *version.RegisterRequest) { r.ModelFile = "x" }), version.ErrInvalid, `"x"`},
		"unknown golden": {with(func(r *version.RegisterRequest) { r.GoldenFile = "y" }), version.ErrInvalid, `"y"`},
		"one for both":   {with(func(r *version.RegisterRequest) { r.GoldenFile = r.ModelFile }), version.ErrInvalid, "both"},
		"run id":         {with(func(r *version.RegisterRequest) { r.RunID = "\xff" }), version.ErrInvalid, "run_id"},
		"tag":            {with(func(r *version.RegisterRequest) { r.Tags = map[string]string{"": "x"} }), version.ErrInvalid, "tag"},
		"year": {
			with(func(r *version.RegisterRequest) { r.TrainedAt = time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC) }),
			version.ErrInvalid, "12345",
		},
		"two things": {with(func(r *version.RegisterRequest) { r.RunID, r.GitSHA = "\x00", "\x00" }), version.ErrInvalid, "git_sha"},
		"not stored": {
			with(func(r *version.RegisterRequest) { r.Artifact.Digest = "sha256:" + strings.Repeat("0", 64) }),
			registry.ErrNotFound, "",
		},
		"no model": {
			version.RegisterRequest{Model: "m", ModelFile: "a", Artifact: f.put(t, registrytest.Files{"a": []byte("hello")})},
			loader.ErrUnknown, "",
		},
		"cut model": {
			version.RegisterRequest{Model: "m", ModelFile: "a", Artifact: f.put(t, registrytest.Files{"a": model[:len(model)/2]})},
			version.ErrModel, "",
		},
		"one bad tree": {version.RegisterRequest{Model: "m", ModelFile: "a", Artifact: f.put(t, registrytest.Files{
			"a": spoil(t, model),
		})}, version.ErrModel, "tree"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := f.Register(t.Context(), c.r)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error is %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
	if models, err := f.Models(t.Context()); err != nil || len(models) != 0 {
		t.Errorf("models %v (%v), want none", models, err)
	}
	if entries, _, err := f.audit.List(t.Context(), audit.Filter{}); err != nil || len(entries) != 0 {
		t.Errorf("%d audit entries (%v), want none", len(entries), err)
	}
}

// spoil makes the last tree of a LightGBM model point at a node that is not there.
func spoil(t *testing.T, model []byte) []byte {
	t.Helper()
	at := bytes.LastIndex(model, []byte("\nright_child="))
	if at < 0 {
		t.Fatal("the model has no right_child")
	}
	at += len("\nright_child=")
	end := at + bytes.IndexAny(model[at:], " \n")
	return append(append(bytes.Clone(model[:at]), []byte("9999")...), model[end:]...)
}

func TestOneModelFileForADigest(t *testing.T) {
	f := setup(t)
	a := f.put(t, registrytest.Files{
		"1.txt": example(t, "churn/v1/model.txt"), "2.txt": example(t, "churn/v2/model.txt"), "g1": nil, "g2": nil,
	})
	r := version.RegisterRequest{Model: "churn", Artifact: a, ModelFile: "1.txt", GoldenFile: "g1"}
	if _, _, err := f.Register(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for _, r := range []version.RegisterRequest{
		{Model: "churn", Artifact: a, ModelFile: "2.txt", GoldenFile: "g1"},
		{Model: "other", Artifact: a, ModelFile: "2.txt"},
		{Model: "churn", Artifact: a, ModelFile: "1.txt", GoldenFile: "g2"},
	} {
		if _, _, err := f.Register(t.Context(), r); !errors.Is(err, version.ErrInvalid) {
			t.Errorf("%s as %s with %q: error is %v", r.ModelFile, r.Model, r.GoldenFile, err)
		}
	}
	m, err := f.LoadDigest(t.Context(), a.Digest)
	if err != nil || m.Provenance.Digest != a.Files[0].Digest {
		t.Errorf("loaded %v (%v), want 1.txt", m, err)
	}
	if _, err := f.LoadDigest(t.Context(), "sha256:x"); !errors.Is(err, store.ErrVersionNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestLoadChecksTheBytes(t *testing.T) {
	f := setup(t)
	v, _, err := f.Register(t.Context(), f.request(t, "1"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := f.Load(t.Context(), v)
	if err != nil || len(m.Features) != v.Features || len(m.Trees) != v.Trees {
		t.Fatal(err)
	}
	dir, _, err := f.Artifact(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "m", "model.txt")
	b := example(t, "churn/v1/model.txt")
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(t.Context(), v); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("error is %v, want %v", err, registry.ErrDigest)
	}
	if _, err := f.LoadDigest(t.Context(), v.Digest); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("error is %v, want %v", err, registry.ErrDigest)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"churn", "a", "A.b-c_9", "_x", "9", strings.Repeat("x", 128)} {
		if err := version.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", ".x", "-x", "a b", "a/b", "ä", "a\n", "a\x00", "a:b", strings.Repeat("x", 129)} {
		if err := version.CheckName(name); !errors.Is(err, version.ErrName) {
			t.Errorf("%q: error is %v", name, err)
		}
	}
}

func TestNotFound(t *testing.T) {
	f := setup(t)
	if _, err := f.Get(t.Context(), "churn", 0); !errors.Is(err, store.ErrModelNotFound) {
		t.Error(err)
	}
	if _, err := f.Versions(t.Context(), "churn"); !errors.Is(err, store.ErrModelNotFound) {
		t.Error(err)
	}
	if _, _, err := f.Register(t.Context(), f.request(t, "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), "churn", 2); !errors.Is(err, store.ErrVersionNotFound) {
		t.Error(err)
	}
}
