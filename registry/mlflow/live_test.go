package mlflow_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
)

func TestRuns(t *testing.T) {
	c, ctx, peer := live(t), t.Context(), shared.Peer(t)
	name := unique(t, "exp")
	id, err := c.Experiment(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := c.Experiment(ctx, name); err != nil || same != id {
		t.Fatalf("the experiment is %q now, was %q (%v)", same, id, err)
	}
	start := time.UnixMilli(1700000000123).UTC()
	r, err := c.CreateRun(ctx, mlflow.NewRun{ExperimentID: id, Name: "churn-20261102-030000", Start: start, Tags: map[string]string{"k": "it's"}})
	if err != nil {
		t.Fatal(err)
	}
	// More of each than one request takes.
	want := mlflow.Run{
		ID: r.ID, Name: "churn-20261102-030000", ExperimentID: id, Status: mlflow.RunFinished, ArtifactURI: r.ArtifactURI,
		Start: start, End: start.Add(time.Second), Params: map[string]string{}, Metrics: map[string]float64{"auc": 0.91, "tiny": 5e-324},
		Tags: map[string]string{"k": "it's", "later": "ü", "mlflow.runName": "churn-20261102-030000"},
	}
	for i := range 150 {
		want.Params[fmt.Sprintf("p%d", i)] = strings.Repeat("x", i)
		want.Metrics[fmt.Sprintf("m%d", i)] = float64(i) / 7
	}
	batch := mlflow.Batch{Metrics: maps.Clone(want.Metrics), Params: want.Params, At: start}
	batch.Metrics["nan"] = math.NaN()
	for range 2 { // the second one changes nothing
		if err := c.LogBatch(ctx, r.ID, batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.SetRunTag(ctx, r.ID, "later", "ü"), c.EndRun(ctx, r.ID, mlflow.RunFinished, want.End)); err != nil {
		t.Fatal(err)
	}
	got, err := c.Run(ctx, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !math.IsNaN(got.Metrics["nan"]) {
		t.Errorf("nan is %v", got.Metrics["nan"])
	}
	delete(got.Metrics, "nan")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("run (-want +got)\n%s", d)
	}
	var seen struct {
		Metrics map[string]float64
		Params  map[string]string
		Status  string
		History int
	}
	peer.Do(t, &seen, `
		r = client.get_run(args[0])
		m = {k: v for k, v in r.data.metrics.items() if v == v}
		out = {"Metrics": m, "Params": r.data.params, "Status": r.info.status, "History": len(client.get_metric_history(args[0], "auc"))}`, r.ID)
	if d := cmp.Diff(want.Metrics, seen.Metrics); d != "" {
		t.Errorf("metrics (-sent +Python's)\n%s", d)
	}
	if d := cmp.Diff(want.Params, seen.Params); d != "" || seen.Status != "FINISHED" || seen.History != 1 {
		t.Errorf("status %s, %d entries of auc, params (-sent +Python's)\n%s", seen.Status, seen.History, d)
	}
	if err := c.LogBatch(ctx, r.ID, mlflow.Batch{Params: map[string]string{"p1": "other"}}); !errors.Is(err, mlflow.ErrInvalid) {
		t.Errorf("a changed parameter: %v", err)
	}
	for filter, want := range map[string]int{"tags.k = \"it's\"": 1, "tags.k = 'nope'": 0} {
		if found, err := c.SearchRuns(ctx, []string{id}, filter, 5); err != nil || len(found) != want {
			t.Errorf("%s finds %d runs, want %d (%v)", filter, len(found), want, err)
		}
	}
	if _, err := c.Run(ctx, "nope"); !errors.Is(err, mlflow.ErrNotFound) || !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	peer.Do(t, nil, `client.delete_experiment(args[0])`, id)
	if _, err := c.Experiment(ctx, name); !errors.Is(err, mlflow.ErrInvalid) || !strings.Contains(err.Error(), "restore") {
		t.Errorf("a deleted experiment: %v", err)
	}
}

func TestSearchRunsPages(t *testing.T) {
	c, ctx := live(t), t.Context()
	id, err := c.Experiment(ctx, unique(t, "exp"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := c.CreateRun(ctx, mlflow.NewRun{ExperimentID: id, Name: fmt.Sprint(i), Start: time.Unix(int64(1000+i), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for most, want := range map[int][]string{1: {"2"}, 2: {"2", "1"}, 3: {"2", "1", "0"}, 4: {"2", "1", "0"}} {
		runs, err := c.SearchRuns(ctx, []string{id}, "", most)
		var names []string
		for _, r := range runs {
			names = append(names, r.Name)
		}
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("at most %d: %v, want %v (%v)", most, names, want, err)
		}
	}
}

// versionOf makes a version that has one file.
func versionOf(t *testing.T, c *mlflow.Client, name string, tags map[string]string) mlflow.Version {
	t.Helper()
	ctx := t.Context()
	id, err := c.Experiment(ctx, "Default")
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.CreateRun(ctx, mlflow.NewRun{ExperimentID: id, Start: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.EnsureModel(ctx, name); err != nil {
		t.Fatal(err)
	}
	v, err := c.CreateVersion(ctx, mlflow.NewVersion{
		Name: name, Source: r.ArtifactURI + "/model", RunID: r.ID, Description: "d", Tags: tags,
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestModels(t *testing.T) {
	c, ctx, peer := live(t), t.Context(), shared.Peer(t)
	name := unique(t, "it's a.b c")
	if _, err := c.Model(ctx, name); !errors.Is(err, mlflow.ErrNotFound) {
		t.Fatalf("error is %v", err)
	}
	for range 2 {
		if err := c.EnsureModel(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := c.Versions(ctx, name); err != nil || len(all) != 0 {
		t.Fatalf("%d versions (%v)", len(all), err)
	}
	if _, err := c.Resolve(ctx, name, "latest"); !errors.Is(err, mlflow.ErrNotFound) {
		t.Errorf("latest of none: %v", err)
	}
	for i := range 11 { // 10 is above 9
		v := versionOf(t, c, name, map[string]string{"i": fmt.Sprint(i)})
		if v.Version != fmt.Sprint(i+1) || v.Tags["i"] != fmt.Sprint(i) || v.Status != "READY" || v.RunID == "" || v.Description != "d" {
			t.Fatalf("version %+v", v)
		}
	}
	if err := errors.Join(
		c.SetAlias(ctx, name, "Champion", "3"), c.SetAlias(ctx, name, "Champion", "2"), c.SetAlias(ctx, name, "Champion", "2"),
		c.SetAlias(ctx, name, "gone", "1"), c.DeleteAlias(ctx, name, "gone"), c.DeleteAlias(ctx, name, "gone"),
		c.SetVersionTag(ctx, name, "2", "treeline.stage", "Champion"), c.SetVersionTag(ctx, name, "2", "x", "1"),
		c.DeleteVersionTag(ctx, name, "2", "x"), c.SetModelTag(ctx, name, "treeline.projection", `{"a":1}`),
	); err != nil {
		t.Fatal(err)
	}
	var seen struct {
		Alias string
		Tags  map[string]string
		All   []string
	}
	peer.Do(t, &seen, `
		v = client.get_model_version_by_alias(args[0], "Champion")
		all = client.search_model_versions(f'name="{args[0]}"')
		out = {"Alias": v.version, "Tags": v.tags, "All": sorted((str(x.version) for x in all), key=int)}`, name)
	if seen.Alias != "2" || len(seen.All) != 11 || !maps.Equal(seen.Tags, map[string]string{"i": "1", "treeline.stage": "Champion"}) {
		t.Errorf("Python sees %+v", seen)
	}
	m, err := c.Model(ctx, name)
	if err != nil || m.Name != name || !maps.Equal(m.Aliases, map[string]string{"Champion": "2"}) || m.Tags["treeline.projection"] != `{"a":1}` || m.Created.IsZero() {
		t.Errorf("model %+v (%v)", m, err)
	}
	state, err := c.State(ctx, name)
	if err != nil || len(state.Versions) != 11 || state.Versions["2"]["treeline.stage"] != "Champion" || state.Aliases["Champion"] != "2" {
		t.Errorf("state %+v (%v)", state, err)
	}
	all, err := c.Versions(ctx, name)
	if err != nil || len(all) != 11 || all[0].Version != "11" || all[1].Version != "10" || all[10].Version != "1" {
		t.Errorf("versions %+v (%v)", all, err)
	}
	for ref, want := range map[string]string{"Champion": "2", "@Champion": "2", "7": "7", "latest": "11", "@Latest": "11"} {
		if v, err := c.Resolve(ctx, name, ref); err != nil || v.Version != want || v.Name != name {
			t.Errorf("%s resolves to %q, want %s (%v)", ref, v.Version, want, err)
		}
	}
	for ref, want := range map[string]error{"12": mlflow.ErrNotFound, "nope": mlflow.ErrNotFound, "champion": mlflow.ErrNotFound, "": mlflow.ErrInvalid} {
		if _, err := c.Resolve(ctx, name, ref); !errors.Is(err, want) {
			t.Errorf("%q: error is %v, want %v", ref, err, want)
		}
	}
	if _, err := c.Resolve(ctx, name, "champion"); err == nil || !strings.Contains(err.Error(), `"Champion" (version 2)`) {
		t.Errorf("no hint at the spelling: %v", err)
	}
	models, err := c.Models(ctx)
	if err != nil || !slices.ContainsFunc(models, func(m mlflow.Model) bool { return m.Name == name }) {
		t.Errorf("models %v (%v)", models, err)
	}
}

// TestErrors is the table of registry errors as the server gives them.
func TestErrors(t *testing.T) {
	c, ctx := live(t), t.Context()
	name := unique(t, "m")
	versionOf(t, c, name, nil)
	for what, x := range map[string]struct {
		err  error
		want error
	}{
		"model":               {second(c.Model(ctx, "nope")), mlflow.ErrNotFound},
		"version":             {second(c.Version(ctx, name, "9")), mlflow.ErrNotFound},
		"version no number":   {second(c.Version(ctx, name, "x")), mlflow.ErrInvalid},
		"alias":               {second(c.Alias(ctx, name, "nope")), mlflow.ErrNotFound},
		"alias of no model":   {second(c.Alias(ctx, "nope", "a")), mlflow.ErrNotFound},
		"alias to no version": {c.SetAlias(ctx, name, "a", "9"), mlflow.ErrNotFound},
		"reserved alias":      {c.SetAlias(ctx, name, "latest", "1"), mlflow.ErrInvalid},
		"alias like version":  {c.SetAlias(ctx, name, "v1", "1"), mlflow.ErrInvalid},
		"tag of no version":   {c.SetVersionTag(ctx, name, "9", "a", "b"), mlflow.ErrNotFound},
		"name":                {c.EnsureModel(ctx, "a/b"), mlflow.ErrInvalid},
		"no such model":       {second(c.CreateVersion(ctx, mlflow.NewVersion{Name: "nope", Source: "s3://x/y"})), mlflow.ErrNotFound},
		"foreign source":      {second(c.CreateVersion(ctx, mlflow.NewVersion{Name: name, Source: "file:///etc"})), mlflow.ErrInvalid},
		"filter":              {second(c.SearchVersions(ctx, "nope = 'x'")), mlflow.ErrInvalid},
		"files":               {second(c.Fetch(ctx, mlflow.Version{Name: name, Version: "1"}, t.TempDir())), mlflow.ErrNotFound},
		"files of no version": {second(c.Fetch(ctx, mlflow.Version{Name: name, Version: "9"}, t.TempDir())), mlflow.ErrNotFound},
		"compare":             {second(c.Compare(ctx, name, "1", "9")), mlflow.ErrNotFound},
	} {
		if !errors.Is(x.err, x.want) {
			t.Errorf("%s: error is %v, want %v", what, x.err, x.want)
		}
	}
	var api *mlflow.APIError
	if err := second(c.Alias(ctx, name, "nope")); !errors.As(err, &api) || api.Status != 400 || api.Code != "INVALID_PARAMETER_VALUE" {
		t.Errorf("error is %#v", err)
	}
}

func second[T any](_ T, err error) error { return err }
