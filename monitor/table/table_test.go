package table_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/monitor/table"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)

// board keeps what it is told; internal/app has the real tables.
type board struct {
	told []warehouse.Statistics
	err  error
}

func (b *board) MirrorStatistics(_ context.Context, s []warehouse.Statistics) error {
	b.told = s
	return b.err
}

func (b *board) metrics(i int) map[string]float64 {
	out := map[string]float64{}
	for _, m := range b.told[i].Metrics {
		out[m.Column+"/"+m.Name] = m.Value
	}
	return out
}

type bench struct {
	t      *testing.T
	store  *sqlite.Store
	board  *board
	writer *table.Writer
}

func open(t *testing.T) *bench {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	b := &bench{t: t, store: s, board: &board{}}
	b.writer = table.New(table.Deps{Store: s, Target: b.board, Seconds: func(_ context.Context, _ string, v int64) (map[string]float64, error) {
		if v == 2 {
			return nil, errors.New("the artifact is gone")
		}
		return map[string]float64{"fit": 1.5, "load": 0.25}, nil
	}})
	return b
}

func (b *bench) update(f func(tx store.Tx) error) {
	b.t.Helper()
	if err := b.store.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
}

// deliver hands over what is in the outbox and notes that it was delivered.
func (b *bench) deliver() error {
	b.t.Helper()
	var rows []store.OutboxRow
	b.update(func(tx store.Tx) (err error) {
		rows, err = tx.Outbox(monitor.OutboxKind, time.Time{}, 1000)
		return err
	})
	b.board.told = nil
	if err := b.writer.Deliver(b.t.Context(), rows); err != nil {
		return err
	}
	b.update(func(tx store.Tx) error {
		for _, r := range rows {
			if err := tx.Delivered([]int64{r.ID}, t0); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

func (b *bench) must() {
	b.t.Helper()
	if err := b.deliver(); err != nil {
		b.t.Fatal(err)
	}
}

// batch begins a batch and ends it in a state.
func (b *bench) batch(id, state string, change func(*store.BatchRow)) {
	b.update(func(tx store.Tx) error {
		row, err := tx.BeginBatch(store.BatchRow{
			ID: id, InputSource: "uat.features.churn", InputDate: "2026-11-02", OutputTable: "uat.predictions.churn", StartedAt: t0,
			Lineage: store.Lineage{ModelName: "churn", ModelVersion: 3, RunID: "run"}, DecisionThreshold: 0.5,
		})
		if err != nil {
			return err
		}
		row.State, row.FinishedAt = state, t0.Add(time.Second)
		row.Histogram = make([]int64, store.HistogramBins)
		if change != nil {
			change(&row)
		}
		return tx.FinishBatch(row)
	})
}

func (b *bench) announce(s monitor.Subject) {
	s.At = t0
	b.update(func(tx store.Tx) error { return monitor.Announce(tx, s) })
}

func profile() monitor.Profile {
	return monitor.Profile{Format: 1, Rows: 10, Seen: 10, Binned: 10, Features: []monitor.FeatureProfile{
		{
			Field: monitor.Field{Name: "tenure"}, Count: 10, Nulls: 2, Mean: 3, SD: 1, Min: 1, Max: 5, NullBin: 2, PosInf: 1,
			Edges: []float64{0.5, 5}, Bins: []int64{0, 6, 1},
		},
		{
			Field: monitor.Field{Name: "plan", Categorical: true}, Count: 10, Other: 1, Unseen: 2,
			Categories: []monitor.CategoryCount{{Value: "pro", Count: 4}, {Value: "", Count: 3}},
		},
		{Field: monitor.Field{Name: "gone"}, Count: 10, Nulls: 10, NullBin: 10, Bins: []int64{0}},
	}}
}

func TestABatch(t *testing.T) {
	b := open(t)
	b.batch("one", store.BatchSucceeded, func(r *store.BatchRow) {
		r.Rows, r.RowsRefused, r.PositiveRate = 10, 1, 0.25
		r.Histogram[10], r.Histogram[99] = 6, 3
		r.ScoreMin, r.ScoreMax, r.ScoreMean = 0.105, 0.995, 0.5
		r.Timings = []store.StepTiming{{Step: "read", Duration: 250 * time.Millisecond}, {Step: "total", Duration: time.Second}}
	})
	monitoring := monitor.New(monitor.Deps{Store: b.store, Now: func() time.Time { return t0 }})
	for range 2 { // at the same instant
		if err := monitoring.Record(t.Context(), monitor.BatchOf("churn", 3, "one"), profile()); err != nil {
			t.Fatal(err)
		}
	}
	b.announce(monitor.BatchOf("churn", 3, "one"))
	b.must()
	if len(b.board.told) != 1 {
		t.Fatalf("%d subjects, want one: it was announced three times", len(b.board.told))
	}
	s := b.board.told[0]
	if s.Model != "churn" || s.Version != 3 || s.Batch.ID != "one" || s.Batch.InputDate != "2026-11-02" || s.Batch.Attempt != 1 || s.Batch.ScoreMax != 0.995 {
		t.Errorf("batch %+v", s.Batch)
	}
	got := b.board.metrics(0)
	for _, name := range []string{"gone/mean", "gone/sd", "gone/min", "gone/max"} {
		if v, ok := got[name]; !ok || !math.IsNaN(v) {
			t.Errorf("%s is %v of no values", name, v)
		}
		delete(got, name)
	}
	want := map[string]float64{
		"/rows": 10, "/rows_refused": 1, "/score_min": 0.105, "/score_max": 0.995, "/score_mean": 0.5, "/positive_rate": 0.25,
		"/seconds_read": 0.25, "/seconds_total": 1, "/profiled_rows": 10, "/binned_rows": 10,
		"tenure/count": 10, "tenure/nulls": 2, "tenure/null_rate": 0.2, "tenure/mean": 3, "tenure/sd": 1, "tenure/min": 1, "tenure/max": 5,
		"plan/count": 10, "plan/nulls": 0, "plan/null_rate": 0, "gone/count": 10, "gone/nulls": 10, "gone/null_rate": 1,
	}
	if !maps.Equal(got, want) {
		t.Errorf("metrics\n%v, want\n%v", got, want)
	}
	rows := map[string]int64{}
	for _, x := range s.Bins {
		rows[x.Column] += x.Count
	}
	if !maps.Equal(rows, map[string]int64{"": 9, "tenure": 10, "plan": 10, "gone": 10}) {
		t.Errorf("rows in bins: %v", rows)
	}
	if x := s.Bins[0]; x.Kind != warehouse.BinScore || x.Index != 10 || x.Lower != 0.1 || x.Upper != 0.11 || x.Count != 6 {
		t.Errorf("first bin %+v", x)
	}
	var ranges []warehouse.Bin
	for _, x := range s.Bins {
		if x.Column == "tenure" && x.Kind == warehouse.BinRange {
			ranges = append(ranges, x)
		}
	}
	if len(ranges) != 3 || !math.IsNaN(ranges[0].Lower) || ranges[0].Upper != 0.5 || ranges[1].Lower != 0.5 || ranges[1].Upper != 5 ||
		ranges[2].Lower != 5 || !math.IsNaN(ranges[2].Upper) || ranges[1].Count != 6 {
		t.Errorf("ranges %+v", ranges)
	}
}

// Scores that are no probabilities have bins over their own range, also when that lies within [0,1].
func TestBinsOfScores(t *testing.T) {
	b := open(t)
	for id, c := range map[string]struct {
		least, most float64
		bins        []int
		lower       float64
	}{
		"a": {-5, 15, []int{0, 50, 99}, -5},
		"b": {0.2, 0.4, []int{0, 50, 99}, 0.2},
		"c": {0.2, 0.4, []int{20, 40}, 0.2}, // probabilities
		"d": {0, 1, []int{0, 99}, 0},
	} {
		b.batch(id, store.BatchSucceeded, func(r *store.BatchRow) {
			r.ScoreMin, r.ScoreMax = c.least, c.most
			for _, i := range c.bins {
				r.Histogram[i] = 1
			}
		})
		b.announce(monitor.BatchOf("churn", 3, id))
		b.must()
		bins := b.board.told[0].Bins
		if len(bins) != len(c.bins) || math.Abs(bins[0].Lower-c.lower) > 1e-12 || bins[len(bins)-1].Upper < c.most {
			t.Errorf("%s: %+v", id, bins)
		}
	}
}

func TestBatchesThatHaveNothingToShow(t *testing.T) {
	b := open(t)
	b.batch("empty", store.BatchSucceeded, nil)
	b.announce(monitor.BatchOf("churn", 3, "empty"))
	b.must()
	if s := b.board.told[0]; !math.IsNaN(s.Batch.ScoreMean) || len(s.Bins) != 0 {
		t.Errorf("a batch without scores has some: %+v", s)
	}
	b.batch("failed", store.BatchFailed, nil)
	b.announce(monitor.BatchOf("churn", 3, "failed"))
	b.announce(monitor.BatchOf("churn", 3, "never"))
	b.announce(monitor.TrainingOf("churn", 99))
	b.must()
	if len(b.board.told) != 0 {
		t.Errorf("told of %+v", b.board.told)
	}
}

func TestATraining(t *testing.T) {
	b := open(t)
	b.update(func(tx store.Tx) error {
		if err := tx.EnsureModel("churn", t0); err != nil {
			return err
		}
		for v := int64(1); v <= 2; v++ {
			id := "training-" + strconv.FormatInt(v, 10)
			err := tx.InsertVersion(store.Version{
				TrainingID: id, Model: "churn", Version: v, Stage: "trained", StageAt: t0, Digest: "sha256:" + string(rune('a'+v)), ModelFile: "m", RegisteredAt: t0,
				RegisteredBy: "test", Metrics: map[string]float64{"auc": 0.8},
			})
			if err != nil {
				return err
			}
			trained := store.Training{
				ID: id, Model: "churn", Version: v, State: store.TrainingSucceeded, Attempt: 1, InputRows: 5000, CreatedAt: t0,
				StartedAt: t0, FinishedAt: t0.Add(90 * time.Second), ComputeDate: "2026-11-02",
			}
			if err := tx.InsertTraining(trained); err != nil {
				return err
			}
		}
		return nil
	})
	monitoring := monitor.New(monitor.Deps{Store: b.store})
	if err := monitoring.Record(t.Context(), monitor.TrainingOf("churn", 1), profile()); err != nil {
		t.Fatal(err)
	}
	b.announce(monitor.TrainingOf("churn", 2))
	b.must()
	if len(b.board.told) != 2 || b.board.told[0].Batch != nil || b.board.told[0].Version != 1 {
		t.Fatalf("told of %+v", b.board.told)
	}
	if got := b.board.metrics(0); got["/rows"] != 5000 || got["/seconds_fit"] != 1.5 || got["/holdout_auc"] != 0.8 || got["tenure/mean"] != 3 || len(b.board.told[0].Bins) == 0 {
		t.Errorf("version 1: %v", got)
	}
	if got := b.board.metrics(1); !reflect.DeepEqual(got, map[string]float64{"/rows": 5000, "/seconds_total": 90, "/holdout_auc": 0.8}) {
		t.Errorf("version 2: %v", got)
	}
}

// What the warehouse does not take now stays in the outbox.
func TestAWarehouseThatIsBusy(t *testing.T) {
	b := open(t)
	b.batch("one", store.BatchSucceeded, nil)
	b.announce(monitor.BatchOf("churn", 3, "one"))
	b.board.err = warehouse.ErrFull
	if err := b.deliver(); !errors.Is(err, warehouse.ErrFull) {
		t.Errorf("error is %v", err)
	}
	b.board.err = nil
	b.must()
	if len(b.board.told) != 1 {
		t.Error("the batch was lost")
	}
	if err := b.writer.Deliver(t.Context(), []store.OutboxRow{{ID: 7, Payload: []byte("{")}}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a payload that is none: %v", err)
	}
	if err := b.writer.Deliver(t.Context(), []store.OutboxRow{{ID: 8, Payload: []byte(`{"kind":"moon"}`)}}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a kind that is none: %v", err)
	}
}
