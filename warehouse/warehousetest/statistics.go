package warehousetest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// statistics of a batch with n metrics.
func statistics(id string, version int64, n int) warehouse.Statistics {
	nan := math.NaN()
	s := warehouse.Statistics{
		Model: "churn", Version: version,
		Batch: &warehouse.MonitoredBatch{
			ID: id, RunID: "run-7", ModelDigest: "sha256:ab", InputSource: "uat.features.churn", InputVersion: "t1-1", InputDate: "2026-11-02",
			OutputTable: scores().String(), OutputDigest: "00ff", Rows: 10_000, RowsRefused: 3, StartedAt: day(1), FinishedAt: day(1).Add(1500 * time.Millisecond),
			Threshold: 0.5, ScoreMin: 0.01, ScoreMax: 0.99, ScoreMean: 1.0 / 3, PositiveRate: nan, Attempt: 2,
		},
		Bins: []warehouse.Bin{
			{Kind: warehouse.BinScore, Index: 99, Lower: 0.99, Upper: 1, Count: math.MaxInt64},
			{Column: "tenure", Kind: warehouse.BinRange, Lower: nan, Upper: -0.5, Count: 7},
			{Column: "plan", Kind: warehouse.BinCategory, Index: 1, Lower: nan, Upper: nan, Category: "", Count: 1},
			{Column: "plan", Kind: warehouse.BinNull, Lower: nan, Upper: nan, Count: 0},
		},
	}
	for i := range n {
		s.Metrics = append(s.Metrics, warehouse.Metric{Column: fmt.Sprint("f'", i), Name: "mean", Value: float64(i) / 7})
	}
	s.Metrics = append(s.Metrics, warehouse.Metric{Name: "seconds_total", Value: nan}, warehouse.Metric{Column: "tenure", Slice: "eu", Name: "max", Value: math.Inf(1)})
	return s
}

func statisticsCases() []testCase {
	return []testCase{
		{"shows batches and trainings to SQL", monitoringTables},
		{"replaces a subject as a whole", replacedStatistics},
		{"all or none", func(t *testing.T, f Fixture) {
			bad := statistics("two", 2, 1)
			bad.Batch.InputDate = "the second"
			if err := f.Warehouse.MirrorStatistics(t.Context(), []warehouse.Statistics{statistics("one", 1, 1), bad}); err == nil {
				t.Fatal("a date that is none was taken")
			}
			dead, cancel := context.WithCancel(t.Context())
			cancel()
			wantCancelled(t, "statistics", f.Warehouse.MirrorStatistics(dead, []warehouse.Statistics{statistics("one", 1, 1)}))
			if got := f.query(t, "SELECT count(*) FROM mlflow.monitoring.batch"); got[0][0] != int64(0) {
				t.Errorf("%v rows of a transaction that failed", got[0][0])
			}
		}},
	}
}

func monitoringTables(t *testing.T, f Fixture) {
	for _, table := range []string{"batch", "batch_metric", "batch_hist", "profile_baseline"} {
		if got := f.query(t, "SELECT count(*) FROM mlflow.monitoring."+table); got[0][0] != int64(0) {
			t.Errorf("%s is not empty at first", table)
		}
	}
	training := warehouse.Statistics{
		Model: "churn", Version: 1, Metrics: []warehouse.Metric{{Column: "tenure", Name: "mean", Value: 30.25}},
		Bins: []warehouse.Bin{{Column: "tenure", Kind: warehouse.BinRange, Index: 1, Lower: 1, Upper: 2, Count: 40}},
	}
	if err := f.Warehouse.MirrorStatistics(t.Context(), []warehouse.Statistics{statistics("one", 1, 0), training}); err != nil {
		t.Fatal(err)
	}
	if err := f.Warehouse.MirrorStatistics(t.Context(), nil); err != nil {
		t.Error(err)
	}
	for query, want := range map[string][][]any{
		`SELECT score_batch_id, model_name, model_version, run_id, CAST(input_date AS VARCHAR), post_processor, "rows", rows_refused,
			date_diff('millisecond', started_at, finished_at), scored_at, score_mean, positive_rate, attempt FROM mlflow.monitoring.batch`: {
			{"one", "churn", int64(1), "run-7", "2026-11-02", nil, int64(10_000), int64(3), int64(1500), nil, 1.0 / 3, nil, int64(2)},
		},
		`SELECT "column", slice, metric, value FROM mlflow.monitoring.batch_metric WHERE model_name = 'churn' ORDER BY metric`: {
			{"tenure", "eu", "max", math.Inf(1)}, {"", "", "seconds_total", nil},
		},
		`SELECT "column", kind, bin, lower, upper, category, count FROM mlflow.monitoring.batch_hist WHERE score_batch_id = 'one' ORDER BY ALL`: {
			{"", "score", int64(99), 0.99, 1.0, nil, int64(math.MaxInt64)},
			{"plan", "category", int64(1), nil, nil, "", int64(1)},
			{"plan", "null", int64(0), nil, nil, nil, int64(0)},
			{"tenure", "range", int64(0), nil, -0.5, nil, int64(7)},
		},
		`SELECT model_name, model_version, "column", metric, kind, bin, lower, upper, category, value FROM mlflow.monitoring.profile_baseline ORDER BY metric`: {
			{"churn", int64(1), "tenure", "count", "range", int64(1), 1.0, 2.0, nil, 40.0},
			{"churn", int64(1), "tenure", "mean", nil, nil, nil, nil, nil, 30.25},
		},
	} {
		if got := f.query(t, query); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", strings.Join(strings.Fields(query), " "), got, want)
		}
	}
}

func replacedStatistics(t *testing.T, f Fixture) {
	put := func(s ...warehouse.Statistics) {
		t.Helper()
		if err := f.Warehouse.MirrorStatistics(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	training := func(version int64, n int) warehouse.Statistics {
		s := statistics("", version, n)
		s.Batch = nil
		return s
	}
	put(statistics("one", 1, 1000), statistics("two", 1, 3), training(1, 500), training(2, 5))
	put(statistics("one", 1, 10), statistics("one", 1, 20), training(1, 7))
	put(statistics("one", 1, 20)) // told twice
	want := "one 22 4 two 5 4 1: 13 2: 11 batches 2"
	var got []string
	for _, r := range f.query(t, `SELECT score_batch_id || ' ' || count(*) || ' ' || any_value(h.n) FROM mlflow.monitoring.batch_metric m
			JOIN (SELECT score_batch_id, count(*) AS n FROM mlflow.monitoring.batch_hist GROUP BY 1) h USING (score_batch_id)
			GROUP BY score_batch_id ORDER BY 1`) {
		got = append(got, fmt.Sprint(r[0]))
	}
	for _, r := range f.query(t, `SELECT model_version || ': ' || count(*) FROM mlflow.monitoring.profile_baseline GROUP BY model_version ORDER BY 1`) {
		got = append(got, fmt.Sprint(r[0]))
	}
	for _, r := range f.query(t, `SELECT 'batches ' || count(*) FROM mlflow.monitoring.batch`) {
		got = append(got, fmt.Sprint(r[0]))
	}
	if strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", strings.Join(got, " "), want)
	}
	w := f.Reopen(t)
	if err := w.MirrorStatistics(t.Context(), []warehouse.Statistics{statistics("three", 1, 1)}); err != nil {
		t.Fatal(err)
	}
}
