package app_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/mlflowtest"
)

// What a batch leaves behind for SQL, read with Python's own DuckDB after the daemon has stopped.
func TestStatisticsAsTables(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	first := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	again := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	if first.GetScoreBatchId() != again.GetScoreBatchId() {
		t.Fatal("the same batch has two ids")
	}
	d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn")})
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), mlflowtest.Python(t), "-c", `
import json, sys
import duckdb
con = duckdb.connect()
con.execute(f"ATTACH '{sys.argv[1]}/mlflow.duckdb' AS mlflow (READ_ONLY)")
con.execute(f"ATTACH '{sys.argv[1]}/uat.duckdb' AS uat (READ_ONLY)")
con.execute(f"ATTACH '{sys.argv[1]}/small.duckdb' AS small (READ_ONLY)")
batch = sys.argv[2]
one = lambda sql, *args: con.execute(sql, args).fetchall()
out = {
    "batches": one("SELECT model_name, count(*) FROM mlflow.monitoring.batch GROUP BY 1 ORDER BY 1"),
    "batch": one('SELECT "rows", attempt, score_min, score_max, positive_rate, output_digest FROM mlflow.monitoring.batch WHERE score_batch_id = ?', batch)[0],
    "metrics": dict(one("SELECT metric, value FROM mlflow.monitoring.batch_metric WHERE score_batch_id = ? AND \"column\" = ''", batch)),
    "scores": one("SELECT min(churn_probability), max(churn_probability), avg(churn_predicted) FROM small.predictions.scores")[0],
    # each bin of the scores against the scores themselves
    "bins": one("""SELECT count(*), count(*) FILTER (h.count <> (SELECT count(*) FROM small.predictions.scores s
            WHERE least(floor(s.churn_probability * 100), 99) = h.bin)), sum(h.count)
        FROM mlflow.monitoring.batch_hist h WHERE score_batch_id = ? AND "column" = ''""", batch)[0],
    # the statistics of a feature against the feature itself
    "feature": one("""SELECT max(value) FILTER (metric = 'mean'), max(value) FILTER (metric = 'min'), max(value) FILTER (metric = 'max'), max(value) FILTER (metric = 'nulls')
        FROM mlflow.monitoring.batch_metric WHERE score_batch_id = ? AND "column" = 'monthly_charges'""", batch)[0],
    "truth": one("SELECT avg(monthly_charges), min(monthly_charges), max(monthly_charges), count(*) FILTER (monthly_charges IS NULL) FROM uat.features.small")[0],
    "kinds": [r[0] for r in one("SELECT DISTINCT kind FROM mlflow.monitoring.batch_hist WHERE score_batch_id = ? ORDER BY 1", batch)],
    "rows_in_bins": one("""SELECT DISTINCT n FROM (SELECT sum(count) AS n FROM mlflow.monitoring.batch_hist WHERE score_batch_id = ? GROUP BY "column")""", batch),
}
json.dump(out, sys.stdout, default=float)
`, filepath.Join(dir, "warehouse"), first.GetScoreBatchId())
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	var got struct {
		Batches    [][2]any           `json:"batches"`
		Batch      [6]any             `json:"batch"`
		Metrics    map[string]float64 `json:"metrics"`
		Scores     [3]float64         `json:"scores"`
		Bins       [3]float64         `json:"bins"`
		Feature    [4]float64         `json:"feature"`
		Truth      [4]float64         `json:"truth"`
		Kinds      []string           `json:"kinds"`
		RowsInBins [][1]float64       `json:"rows_in_bins"`
	}
	if err := json.Unmarshal(printed, &got); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	t.Logf("%s", printed)
	if len(got.Batches) != 2 || got.Batches[1] != [2]any{"small", 1.0} {
		t.Errorf("batches %v, want one of each model", got.Batches)
	}
	want := [6]any{200.0, 2.0, got.Scores[0], got.Scores[1], got.Scores[2], again.GetOutputDigest()}
	if got.Batch != want {
		t.Errorf("batch %v, want %v", got.Batch, want)
	}
	if got.Bins[0] == 0 || got.Bins[1] != 0 || got.Bins[2] != 200 {
		t.Errorf("%v bins of the scores, %v of them wrong, %v rows", got.Bins[0], got.Bins[1], got.Bins[2])
	}
	for i := range got.Truth {
		if diff := got.Feature[i] - got.Truth[i]; diff > 1e-9 || diff < -1e-9 {
			t.Errorf("monthly_charges: %v, the table says %v", got.Feature, got.Truth)
			break
		}
	}
	if len(got.RowsInBins) != 1 || got.RowsInBins[0][0] != 200 || len(got.Kinds) < 6 {
		t.Errorf("%v rows in the bins of the columns, kinds %v", got.RowsInBins, got.Kinds)
	}
	for _, step := range []string{"resolve", "snapshot", "read", "bind", "score", "stamp", "write", "commit", "profile", "total"} {
		if s, ok := got.Metrics["seconds_"+step]; !ok || s < 0 || s > 600 {
			t.Errorf("step %s took %v s", step, s)
		}
	}
	if got.Metrics["rows"] != 200 || got.Metrics["rows_refused"] != 0 {
		t.Errorf("metrics %v", got.Metrics)
	}
}
