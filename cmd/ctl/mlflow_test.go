package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
)

// registered is one MLflow server for the tests of this package.
var registered mlflowtest.Shared

// championRows lets Python train two LightGBM classifiers, log them to MLflow as versions 1 and 2 of "churn" and let the
// alias Champion name the first. It returns a directory with rows.parquet, the features, and expected.parquet, what
// MLflow's own Champion answers for them; version 1's run has golden.parquet and holdout.parquet among its artifacts.
func championRows(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	registered.Peer(t).Do(t, nil, `
		import lightgbm, numpy as np, pandas as pd
		rng = np.random.default_rng(7)
		x = pd.DataFrame(rng.normal(size=(3000, 4)), columns=["age", "income", "tenure", "calls"])
		x.loc[rng.random(3000) < 0.1, "income"] = np.nan
		y = (x["age"] + x["income"].fillna(1) * x["tenure"] + rng.normal(size=3000) > 0).astype(int)
		mlflow.set_experiment("churn")
		for trees in (40, 5):
			booster = lightgbm.train({"objective": "binary", "num_threads": 1, "seed": 1, "verbose": -1}, lightgbm.Dataset(x, y), trees)
			with mlflow.start_run(run_name="churn-20261102-030000") as run:
				mlflow.set_tag("git_sha", "40dcfaf")
				if trees == 40:
					first = run.info.run_id
					golden = x[:1500].assign(raw=booster.predict(x[:1500], raw_score=True), pred=booster.predict(x[:1500]))
					golden.to_parquet(args[0] + "/golden.parquet")
					x[1500:].assign(account_id=np.arange(1500), churn=y[1500:], raw=booster.predict(x[1500:], raw_score=True), pred=booster.predict(x[1500:])).to_parquet(args[0] + "/holdout.parquet")
					mlflow.log_artifact(args[0] + "/golden.parquet")
					mlflow.log_artifact(args[0] + "/holdout.parquet")
				mlflow.lightgbm.log_model(booster, name="model", registered_model_name="churn", pip_requirements=["lightgbm"])
		client.set_registered_model_alias("churn", "Champion", "1")
		x.to_parquet(args[0] + "/rows.parquet")
		champion = mlflow.lightgbm.load_model("models:/churn@Champion")
		pd.DataFrame({"raw": champion.predict(x, raw_score=True), "pred": champion.predict(x)}).to_parquet(args[0] + "/expected.parquet")
		open(args[0] + "/run_id", "w").write(first)
		out = None`, dir)
	return dir
}

// useMLflow gives a script the server, the rows of championRows, and a TMPDIR of its own, in which nothing may be left.
func useMLflow(t *testing.T) func(*testscript.Env) error {
	t.Helper()
	url, rows := registered.Server(t).URL, championRows(t)
	run, err := os.ReadFile(filepath.Join(rows, "run_id"))
	if err != nil {
		t.Fatal(err)
	}
	return func(e *testscript.Env) error {
		e.Setenv("MLFLOW_TRACKING_URI", url)
		e.Setenv("ROWS", rows)
		e.Setenv("RUN", string(run))
		e.Setenv("TMPDIR", filepath.Join(e.WorkDir, "temporary"))
		return os.Mkdir(e.Getenv("TMPDIR"), 0o700)
	}
}

// empty DIRECTORY fails when there is anything in it.
func empty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: empty directory")
	}
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(entries) > 0 {
		ts.Fatalf("%s holds %v", args[0], entries)
	}
}
