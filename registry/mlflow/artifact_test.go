package mlflow_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/registry/mlflow"
	"github.com/treeline-ml/treeline/registry/registrytest"
)

// logged is what Python logged, and where it says the files are.
type logged struct {
	RunID   string `json:"run_id"`
	ModelID string `json:"model_id"`
	Dir     string `json:"dir"` // where Python downloaded the same version to
	Version string `json:"version"`
	// Rows are some rows and Scores what Python predicts for them: the probability of the positive class.
	Rows   [][]float64 `json:"rows"`
	Scores []float64   `json:"scores"`
}

// logModel lets Python train a small model, log it, register it, set its alias and download it again.
func logModel(t *testing.T, flavour, name string) logged {
	t.Helper()
	var out logged
	shared.Peer(t).Do(t, &out, `
		import numpy as np, mlflow.lightgbm, mlflow.sklearn
		flavour, name, dst = args
		rng = np.random.default_rng(7)
		x = rng.normal(size=(200, 3)); y = (x[:, 0] + x[:, 1] ** 2 > 1).astype(int)
		with mlflow.start_run() as run: # requirements are named so that they need not be inferred, which takes seconds
		    mlflow.log_param("max_depth", 3); mlflow.log_metric("auc", 0.75)
		    if flavour == "lightgbm":
		        import lightgbm as lgb
		        m = lgb.train({"objective": "binary", "num_leaves": 7, "verbose": -1, "num_threads": 1}, lgb.Dataset(x, y), 3)
		        info = mlflow.lightgbm.log_model(m, name="model", registered_model_name=name, pip_requirements=["lightgbm"])
		    else:
		        from sklearn.ensemble import RandomForestClassifier
		        m = RandomForestClassifier(n_estimators=4, max_depth=3, random_state=7).fit(x, y)
		        trusted = ["sklearn.tree._tree.Tree"]
		        info = mlflow.sklearn.log_model(m, name="model", registered_model_name=name, serialization_format="skops", skops_trusted_types=trusted, pip_requirements=["scikit-learn"])
		v = max(client.search_model_versions(f"name='{name}'"), key=lambda v: int(v.version))
		client.set_registered_model_alias(name, "Champion", v.version)
		os.makedirs(dst, exist_ok=True)
		got = mlflow.artifacts.download_artifacts(f"models:/{name}@Champion", dst_path=dst)
		rows = rng.normal(size=(50, 3))
		scores = m.predict(rows) if flavour == "lightgbm" else m.predict_proba(rows)[:, 1]
		out = {"run_id": run.info.run_id, "model_id": info.model_id, "dir": got, "version": v.version, "rows": rows.tolist(), "scores": scores.tolist()}`, flavour, name, t.TempDir())
	return out
}

// TestFetchWhatPythonLogged: the Champion is resolved and fetched, by each kind of source, with the bytes that MLflow's
// own client downloads.
func TestFetchWhatPythonLogged(t *testing.T) {
	c, ctx := live(t), t.Context()
	for flavour, native := range map[string]string{"lightgbm": "model.lgb", "sklearn": "model.skops"} {
		t.Run(flavour, func(t *testing.T) {
			name := unique(t, flavour)
			l := logModel(t, flavour, name)
			want := readDir(t, l.Dir)
			delete(want, "registered_model_meta") // Python's client writes it beside what it downloads
			if len(want[native]) == 0 || len(want["MLmodel"]) == 0 {
				t.Fatalf("Python downloaded %v", slices.Sorted(maps.Keys(want)))
			}
			v, err := c.Resolve(ctx, name, "Champion")
			if err != nil || v.Version != l.Version || v.RunID != l.RunID || v.Source != "models:/"+l.ModelID || !slices.Equal(v.Aliases, []string{"Champion"}) {
				t.Fatalf("resolved %+v (%v), want %+v", v, err, l)
			}
			byRun, err := c.CreateVersion(ctx, mlflow.NewVersion{Name: name, Source: "runs:/" + l.RunID + "/model", RunID: l.RunID})
			if err != nil {
				t.Fatal(err)
			}
			fetches := map[string]func(string) (registry.Artifact, error){
				"alias":   func(dir string) (registry.Artifact, error) { return c.Fetch(ctx, v, dir) },
				"runs:/":  func(dir string) (registry.Artifact, error) { return c.Fetch(ctx, byRun, dir) },
				"models:": func(dir string) (registry.Artifact, error) { return c.FetchURI(ctx, "models:/"+l.ModelID, dir) },
				"run URI": func(dir string) (registry.Artifact, error) { return c.FetchURI(ctx, "runs:/"+l.RunID+"/model", dir) },
			}
			for how, fetch := range fetches {
				dir := filepath.Join(t.TempDir(), "model")
				a, err := fetch(dir)
				if err != nil {
					t.Errorf("%s: %v", how, err)
					continue
				}
				got := readDir(t, dir)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: files (-Python's +ours)\n%s", how, d)
				}
				checkArtifact(t, a, got)
				if scores := score(t, dir, l.Rows); !slices.Equal(scores, l.Scores) {
					t.Errorf("%s: scores are %v, Python's are %v", how, scores[:3], l.Scores[:3])
				}
			}
			if _, err := c.FetchURI(ctx, "runs:/"+l.RunID+"/other", filepath.Join(t.TempDir(), "x")); !errors.Is(err, mlflow.ErrNotFound) {
				t.Errorf("another name of the run: %v", err)
			}
		})
	}
}

// score is the last prediction of each row, by the model that was fetched to dir.
func score(t *testing.T, dir string, rows [][]float64) []float64 {
	t.Helper()
	m, err := loader.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := p.NewBlock()
	b.Reset(len(rows))
	for f := range p.Features() {
		column := make([]float64, len(rows))
		for r := range rows {
			column[r] = rows[r][f]
		}
		if err := b.Set(f, engine.Float64s(column)); err != nil {
			t.Fatal(err)
		}
	}
	margins, predicted := make([]float64, len(rows)*p.Outputs()), make([]float64, len(rows)*p.Width())
	if err := errors.Join(p.Score(margins, b), p.Predict(predicted, margins)); err != nil {
		t.Fatal(err)
	}
	var out []float64
	for row := range slices.Chunk(predicted, p.Width()) {
		out = append(out, row[len(row)-1])
	}
	return out
}

// checkArtifact holds the digests to those that the local registry gives the same files.
func checkArtifact(t *testing.T, a registry.Artifact, files map[string][]byte) {
	t.Helper()
	r, err := local.Open(t.TempDir(), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := registrytest.Put(t.Context(), r, slices.Sorted(maps.Keys(files)), files)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, a); d != "" {
		t.Errorf("artifact (-local registry's +fetched)\n%s", d)
	}
}

// TestFetchEarlierLayout: releases before 3 kept models among the run's artifacts.
func TestFetchEarlierLayout(t *testing.T) {
	c, ctx, peer := live(t), t.Context(), shared.Peer(t)
	name := unique(t, "old")
	var run string
	peer.Do(t, &run, `
		import tempfile
		d = tempfile.mkdtemp()
		for path, text in {"model/MLmodel": "flavors: {}", "model/deep/er/a b.txt": "x" * 100000, "model/empty": "", "other": "no"}.items():
		    os.makedirs(os.path.dirname(os.path.join(d, path)), exist_ok=True)
		    open(os.path.join(d, path), "w").write(text)
		with mlflow.start_run() as r:
		    mlflow.log_artifacts(d)
		client.create_registered_model(args[0])
		client.create_model_version(args[0], f"runs:/{r.info.run_id}/model", r.info.run_id)
		client.create_model_version(args[0], f"{r.info.artifact_uri}/model", r.info.run_id)
		out = r.info.run_id`, name)
	want := map[string][]byte{
		"MLmodel": []byte("flavors: {}"), "deep/er/a b.txt": bytes.Repeat([]byte("x"), 100000), "empty": {},
	}
	for _, version := range []string{"1", "2"} {
		v, err := c.Resolve(ctx, name, version)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "model")
		a, err := c.Fetch(ctx, v, dir)
		if err != nil {
			t.Errorf("%s: %v", v.Source, err)
			continue
		}
		if d := cmp.Diff(want, readDir(t, dir)); d != "" {
			t.Errorf("%s (-logged +fetched)\n%s", v.Source, d)
		}
		checkArtifact(t, a, want)
		if _, err := c.Fetch(ctx, v, dir); err == nil {
			t.Error("fetched over files")
		}
	}
}

// TestPublish: what is published is there for Python, files and all, and publishing again changes nothing.
func TestPublish(t *testing.T) {
	c, ctx, peer := live(t), t.Context(), shared.Peer(t)
	model, err := os.ReadFile("../../examples/churn/v2/model.txt")
	if err != nil {
		t.Fatal(err)
	}
	corpus := "../../internal/testmodels/corpus/xgboost-3.4.1/cox/"
	ubj, err := os.ReadFile(corpus + "model.ubj")
	if err != nil {
		t.Fatal(err)
	}
	json, err := os.ReadFile(corpus + "model.json")
	if err != nil {
		t.Fatal(err)
	}
	for format, x := range map[string]struct {
		files       map[string][]byte
		modelFile   string
		flavour     string // "" when MLflow cannot load it
		wantMLmodel string
	}{
		"lightgbm-text":  {map[string][]byte{"model.txt": model, "golden.parquet": []byte("rows"), "empty": {}}, "model.txt", "lightgbm", "MLmodel"},
		"xgboost-json":   {map[string][]byte{"m/model.json": json, "notes.md": []byte("n")}, "m/model.json", "xgboost", "MLmodel"},
		"xgboost-ubjson": {map[string][]byte{"model.ubj": ubj}, "model.ubj", "xgboost", "MLmodel"},
		"xgboost-binary": {map[string][]byte{"model.bin": ubj[:10]}, "model.bin", "", ""},
	} {
		t.Run(format, func(t *testing.T) {
			name, exp := unique(t, "churn"), unique(t, "e")
			dir, a := writeDir(t, x.files)
			p := registry.Publication{
				Name: name, Key: "churn/3/sha256:00", Experiment: exp, RunName: "churn-3", Description: "registered by hand", Dir: dir,
				Artifact: a, ModelFile: x.modelFile, Format: format, LibraryVersion: "4.7.0", Params: map[string]string{"trees": "20"},
				Metrics: map[string]float64{"auc": 0.8125}, Tags: map[string]string{"git_sha": "abc"},
			}
			for range 2 {
				if v, err := c.Publish(ctx, p); err != nil || v != "1" {
					t.Fatalf("published as %q (%v)", v, err)
				}
			}
			v, err := c.Resolve(ctx, name, "1")
			if err != nil || v.Tags["git_sha"] != "abc" || v.Description != "registered by hand" {
				t.Fatalf("version %+v (%v)", v, err)
			}
			r, err := c.Run(ctx, v.RunID)
			if err != nil || r.Status != mlflow.RunFinished || r.Params["trees"] != "20" || r.Metrics["auc"] != 0.8125 || r.Tags["git_sha"] != "abc" || r.Name != "churn-3" {
				t.Errorf("run %+v (%v)", r, err)
			}
			out := filepath.Join(t.TempDir(), "model")
			if _, err := c.Fetch(ctx, v, out); err != nil {
				t.Fatal(err)
			}
			got := readDir(t, out)
			if x.wantMLmodel != "" && len(got[x.wantMLmodel]) == 0 || x.wantMLmodel == "" && got["MLmodel"] != nil {
				t.Errorf("files are %v", slices.Sorted(maps.Keys(got)))
			}
			native := filepath.Base(x.modelFile)
			if !bytes.Equal(got[native], x.files[x.modelFile]) {
				t.Errorf("the model file has other bytes: %d, want %d", len(got[native]), len(x.files[x.modelFile]))
			}
			var runs int
			peer.Do(t, &runs, `out = len(client.search_runs([client.get_experiment_by_name(args[0]).experiment_id]))`, exp)
			if runs != 1 {
				t.Errorf("%d runs, want 1", runs)
			}
			if x.flavour == "" {
				return
			}
			// MLflow's own loaders read it, as the flavour and as a Python function.
			var trees, again int
			peer.Do(t, &trees, `
				import mlflow.lightgbm, mlflow.xgboost, mlflow.pyfunc
				m = getattr(mlflow, args[0]).load_model(f"models:/{args[1]}/1")
				p = mlflow.pyfunc.load_model(f"models:/{args[1]}/1")
				out = m.num_trees() if args[0] == "lightgbm" else m.num_boosted_rounds()`, x.flavour, name)
			peer.Do(t, &again, `
				m = p.get_raw_model()
				out = m.num_trees() if args[0] == "lightgbm" else m.num_boosted_rounds()`, x.flavour)
			if trees == 0 || again != trees {
				t.Errorf("MLflow loads %d trees, as a function %d", trees, again)
			}
		})
	}
}

// TestPublishKeepsMLmodel: an artifact that has an MLmodel keeps its layout, and its own MLmodel.
func TestPublishKeepsMLmodel(t *testing.T) {
	c, ctx := live(t), t.Context()
	files := map[string][]byte{"model/MLmodel": []byte("flavors: {x: {}}\n"), "model/model.lgb": []byte("tree"), "model/d/a b+c=ü@,&.txt": []byte("odd"), "holdout.parquet": []byte("h")}
	dir, a := writeDir(t, files)
	p := registry.Publication{Name: unique(t, "m"), Key: "k", Dir: dir, Artifact: a, ModelFile: "model/MLmodel", Format: "lightgbm-text"}
	version, err := c.Publish(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Version(ctx, p.Name, version)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "model")
	if _, err := c.Fetch(ctx, v, out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]byte{"MLmodel": files["model/MLmodel"], "model.lgb": []byte("tree"), "d/a b+c=ü@,&.txt": []byte("odd")}, readDir(t, out)); d != "" {
		t.Errorf("model's directory (-sent +fetched)\n%s", d)
	}
	all := filepath.Join(t.TempDir(), "all")
	if _, err := c.FetchURI(ctx, strings.TrimSuffix(v.Source, "/model"), all); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(files, readDir(t, all)); d != "" {
		t.Errorf("run's artifacts (-sent +fetched)\n%s", d)
	}
}

func TestCompare(t *testing.T) {
	c, ctx := live(t), t.Context()
	name := unique(t, "m")
	dir, a := writeDir(t, map[string][]byte{"model.bin": []byte("x")})
	for i, auc := range []float64{0.75, 0.8} {
		p := registry.Publication{
			Name: name, Key: string(rune('a' + i)), Dir: dir, Artifact: a, ModelFile: "model.bin",
			Metrics: map[string]float64{"auc": auc}, Params: map[string]string{"depth": "3"}, Tags: map[string]string{"git_sha": "abc"},
		}
		if i == 1 {
			p.Params["lr"] = "0.1"
		}
		if _, err := c.Publish(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.SetAlias(ctx, name, "Champion", "1"); err != nil {
		t.Fatal(err)
	}
	got, err := c.Compare(ctx, name, "Champion", "2")
	if err != nil {
		t.Fatal(err)
	}
	want := []mlflow.Difference{
		{Field: "metrics.auc", A: "0.75", B: "0.8"},
		{Field: "params.depth", A: "3", B: "3", Equal: true},
		{Field: "params.lr", B: "0.1"},
		{Field: "tags.git_sha", A: "abc", B: "abc", Equal: true},
		{Field: "tags.treeline.publication", A: "a", B: "b"},
	}
	if d := cmp.Diff(want, got.Differences); d != "" || got.A.Version != "1" || got.RunB.Metrics["auc"] != 0.8 {
		t.Errorf("versions %s and %s, differences (-want +got)\n%s", got.A.Version, got.B.Version, d)
	}
	// A deleted run leaves the version's own tags.
	shared.Peer(t).Do(t, nil, `client.delete_model_version(args[0], "1")`, name)
	if _, err := c.Compare(ctx, name, "1", "2"); !errors.Is(err, mlflow.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}
