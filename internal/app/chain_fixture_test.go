package app_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "modernc.org/sqlite" // looks at the state without the daemon

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// forest is a small model that a real trainer trains: five trees on 900 rows. Its trainer_class notes every start.
type forest struct {
	name  string
	extra string // lines of its config.yml
}

const forestDay = "2026-11-02"

const forestRows = 900

// countingTrainer is the product's trainer, and leaves a line for each process that imported it.
const countingTrainer = `import os

from treeline.training import RandomForestTrainer

with open(os.path.join(os.path.dirname(__file__), "starts"), "a", encoding="utf-8") as f:
    f.write(os.environ["TREELINE_WORK"] + "\n")


class CountingForest(RandomForestTrainer):
    """A random forest."""
`

// newForests writes the configuration of a daemon that trains models, and returns its path and a data directory.
func newForests(t *testing.T, daemon string, models ...forest) (config, dir string) {
	t.Helper()
	root := t.TempDir()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The label is one feature, mostly.
	_, err = db.ExecContext(t.Context(), fmt.Sprintf(`COPY (SELECT range AS account_id, DATE '%s' AS compute_date,
		(hash(range) %% 1000) / 1000.0 AS x, (hash(range + 10000) %% 1000) / 1000.0 AS y,
		CAST((hash(range) %% 1000) / 1000.0 + (hash(range + 20000) %% 1000) / 4000.0 > 0.6 AS INTEGER) AS churn FROM range(%d))
		TO '%s' (FORMAT parquet)`, forestDay, forestRows, filepath.Join(root, "raw.parquet")))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("counting.py", countingTrainer)
	var b strings.Builder
	b.WriteString("warehouse:\n  memory_limit: 256MiB\n  seed: [{table: uat.features.raw, file: raw.parquet}]\nmodels:\n")
	for _, m := range models {
		fmt.Fprintf(&b, "  - %s.yml\n", m.name)
		write(m.name+".yml", fmt.Sprintf(`model_key: churn
registered_model_name: %s
trainer_class: counting.CountingForest
data:
  features_table: uat.features.%s
  features_sql: SELECT account_id, compute_date, x, x + y AS xy, y, churn FROM uat.features.raw WHERE compute_date = :compute_date
  label_col: churn
  key_cols: [account_id]
  date_col: compute_date
hyperparameters: {n_estimators: 5, max_depth: 4}
metrics: {auc_threshold: 0.7}
output: {catalog: %s, schema: predictions, table: scores}
gates: {calibration: {mode: report}, feature_stability: {mode: report}}
%s`, m.name, m.name, m.name, m.extra))
	}
	write("scorer.yml", b.String()+daemon)
	return filepath.Join(root, "scorer.yml"), filepath.Join(root, "data")
}

// withPython is the part of a daemon's configuration that lets it train.
func withPython(t *testing.T) string {
	t.Helper()
	python := os.Getenv("TREELINE_PYTHON")
	if python == "" {
		python = "../../.venv/bin/python"
	}
	python, err := filepath.Abs(python)
	if err == nil {
		_, err = os.Stat(python)
	}
	if err != nil {
		t.Fatalf("%v: make the Python environment with tools/python/env.sh, or set TREELINE_PYTHON", err)
	}
	pkg, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("training: {python: %q, package_path: %q}\n", python, pkg)
}

// admin are the services of the daemon that the other tests do not use.
type admin struct {
	runs      lifecyclev1.OrchestrationServiceClient
	trainings lifecyclev1.TrainingServiceClient
	schedules lifecyclev1.ScheduleServiceClient
}

func (d *daemon) adminServices(t *testing.T) admin {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+d.admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	d.conns = append(d.conns, c)
	return admin{
		lifecyclev1.NewOrchestrationServiceClient(c), lifecyclev1.NewTrainingServiceClient(c), lifecyclev1.NewScheduleServiceClient(c),
	}
}

// startRun begins all steps of models.
func (a admin) startRun(t *testing.T, models ...string) string {
	t.Helper()
	got, err := a.runs.StartRun(t.Context(), &lifecyclev1.StartRunRequest{
		ModelNames: models, ComputeDate: forestDay, Reason: "test", Actor: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetRun().GetRunId()
}

// follow watches a run until it has ended, stop says so, or the daemon is gone. It returns the last state that got out; before
// is the one that is known already.
func (a admin) follow(t *testing.T, id string, before *lifecyclev1.Run, stop func(*lifecyclev1.Run) bool) *lifecyclev1.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	last := before
	stream, err := a.runs.WatchRun(ctx, &lifecyclev1.WatchRunRequest{RunId: id})
	for err == nil {
		var got *lifecyclev1.WatchRunResponse
		if got, err = stream.Recv(); err == nil {
			if last = got.GetRun(); stop != nil && stop(last) {
				return last
			}
		}
	}
	if ctx.Err() != nil || last == nil {
		t.Fatalf("run %s: %v; last seen as %v", id, err, last)
	}
	return last
}

// marked lists the processes whose environment names dir or something below it: trainers, and what they started.
func marked(dir string) []int {
	var out []int
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		mark := "TREELINE_WORK=" + dir
		if err == nil && (strings.Contains(string(b), mark+"/") || strings.Contains(string(b), mark+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p)))
			out = append(out, pid)
		}
	}
	return out
}

// starts counts the processes that began to train, by directory.
func starts(t *testing.T, config string) map[string]int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(config), "starts"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for line := range strings.Lines(string(b)) {
		out[strings.TrimSuffix(line, "\n")]++
	}
	return out
}

// state opens the state of a daemon that has stopped.
func state(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "state.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// table returns a query's rows as text, fields joined by blanks.
func table(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintln(values...), "\n"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// execState changes the state of a daemon that has stopped.
func execState(t *testing.T, dir, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	res, err := db.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed %d rows: %v", query, n, err)
	}
}

// eventually waits for what the daemon does by itself.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-limit.C:
			t.Fatalf("%s did not come within a minute", what)
		}
	}
}
