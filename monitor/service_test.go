package monitor

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
)

var testNames = []string{"normal", "integer", "text"}

// oneRecord is a stream of one record.
type oneRecord struct {
	rec  arrow.Record
	sent bool
}

func (r *oneRecord) Schema() *arrow.Schema { return r.rec.Schema() }
func (r *oneRecord) Close() error          { return nil }

func (r *oneRecord) Next(context.Context) (arrow.Record, error) {
	if r.sent {
		return nil, io.EOF
	}
	r.sent = true
	r.rec.Retain()
	return r.rec, nil
}

type desk struct {
	*Service

	store    store.Store
	training map[int64]arrow.Record
	model    ModelInfo
	options  Options
	now      time.Time
}

func open(t *testing.T) *desk {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	d := &desk{
		store: s, training: map[int64]arrow.Record{}, model: ModelInfo{Columns: testNames}, now: time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC),
	}
	d.Service = New(Deps{
		Store: s, Now: func() time.Time { d.now = d.now.Add(time.Second); return d.now },
		Options: func(string) Options { return d.options },
		Model:   func(context.Context, string, int64) (ModelInfo, error) { return d.model, nil },
		Training: func(_ context.Context, _ string, v int64) (warehouse.RecordStream, error) {
			rec, ok := d.training[v]
			if !ok {
				return nil, ErrNoData
			}
			return &oneRecord{rec: rec}, nil
		},
	})
	return d
}

// batch runs a batch through the ledger and the recorder.
func (d *desk) batch(t *testing.T, id string, version int64, rec arrow.Record, histogram int) {
	t.Helper()
	d.now = d.now.Add(time.Minute)
	row := store.BatchRow{
		ID: id, State: store.BatchRunning, Phase: store.PhaseScore, StartedAt: d.now,
		Lineage: store.Lineage{ModelName: "m", ModelVersion: version},
	}
	ledger := store.NewLedger(d.store)
	row, err := ledger.BeginBatch(t.Context(), row)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.BeginBatch(t.Context(), BatchInput{Model: "m", Version: version, ID: id, Rows: rec.NumRows(), Schema: rec.Schema(), Columns: testNames})
	if err != nil {
		t.Fatal(err)
	}
	r.Add(0, rec)
	if err := r.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	row.State, row.FinishedAt, row.Rows, row.ScoreMax = store.BatchSucceeded, d.now, rec.NumRows(), 1
	row.Histogram = make([]int64, store.HistogramBins)
	row.Histogram[histogram] = rec.NumRows()
	if err := ledger.FinishBatch(t.Context(), row); err != nil {
		t.Fatal(err)
	}
}

func TestService(t *testing.T) {
	d := open(t)
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(1, 50))
	if _, err := d.Check(ctx, Request{Model: "m"}); !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), "score one") {
		t.Errorf("without any batch: %v", err)
	}
	if _, err := d.Check(ctx, Request{Model: "m", BatchID: "b9"}); !errors.Is(err, store.ErrBatchNotFound) {
		t.Errorf("a batch that never was: %v", err)
	}
	if _, err := d.Service.Training(ctx, "m", 1, nil); !errors.Is(err, ErrNoData) {
		t.Errorf("unknown training rows: %v", err)
	}
	d.training[1] = frame(rng, testNames, 3000, nil)
	trained, err := d.Service.Training(ctx, "m", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	// They are recorded, so that the rows are not needed again.
	delete(d.training, 1)
	if again, err := d.Service.Training(ctx, "m", 1, nil); err != nil || string(encoded(t, again)) != string(encoded(t, trained)) {
		t.Errorf("recorded statistics: %v", err)
	}
	subject, _, err := d.Statistics(ctx, "m", store.ProfileOfTraining, "1")
	if err != nil || subject.Version != 1 || subject.At.IsZero() || subject.String() != "training of version 1" {
		t.Errorf("%+v, %v", subject, err)
	}
	if _, _, err := d.Statistics(ctx, "m", store.ProfileOfBatch, "b1"); !errors.Is(err, ErrNoData) {
		t.Error(err)
	}
	d.batch(t, "b1", 1, frame(rng, testNames, 1000, nil), 20)
	d.batch(t, "b2", 1, frame(rng, testNames, 1000, []bool{true, true, true}), 80)
	if p, id, err := d.LatestBatch(ctx, "m"); err != nil || id != "b2" || p.Rows != 1000 {
		t.Errorf("latest batch %s with %d rows (%v)", id, p.Rows, err)
	}
	for _, c := range []struct {
		q         Request
		want      Verdict
		reference string
		score     bool
	}{
		{Request{Model: "m"}, Drift, "training of version 1", false},
		{Request{Model: "m", BatchID: "b1"}, None, "training of version 1", false},
		{Request{Model: "m", BatchID: "b2", ReferenceBatchID: "b1"}, Drift, "batch b1", true},
		{Request{Model: "m", BatchID: "b2", Mode: ModePValue}, Drift, "training of version 1", false},
	} {
		r, err := d.Check(ctx, c.q)
		if err != nil || r.Verdict != c.want || r.Reference != c.reference || (r.ScorePSI > 1) != c.score || r.ID == 0 || r.Version != 1 || r.At.IsZero() {
			t.Errorf("%+v: %+v (%v)", c.q, r, err)
		}
	}
	reports, next, err := d.Reports(ctx, store.DriftQuery{Model: "m", PageSize: 3})
	if err != nil || len(reports) != 3 || next == "" || reports[0].Mode != ModePValue || reports[0].ID <= reports[1].ID || len(reports[0].Features) != 3 {
		t.Fatalf("%+v, %q, %v", reports, next, err)
	}
	rest, next, err := d.Reports(ctx, store.DriftQuery{Model: "m", PageSize: 3, PageToken: next})
	if err != nil || len(rest) != 1 || next != "" || rest[0].BatchID != "b2" || rest[0].Verdict != Drift {
		t.Errorf("%+v, %q, %v", rest, next, err)
	}
	// One report a batch, against the training data, in the configured mode.
	windows, err := d.Windows(ctx, "m", 1, 5)
	if err != nil || len(windows) != 2 || windows[0].BatchID != "b1" || windows[1].BatchID != "b2" || windows[1].Verdict != Drift {
		t.Errorf("%+v, %v", windows, err)
	}
	if windows, err = d.Windows(ctx, "m", 1, 1); err != nil || len(windows) != 1 {
		t.Errorf("%+v, %v", windows, err)
	}
	if windows, err = d.Windows(ctx, "m", 2, 5); err != nil || len(windows) != 0 {
		t.Errorf("%+v, %v", windows, err)
	}
	// As configured: a share that no drift reaches.
	d.model.Importance = map[string]float64{"normal": 1}
	d.options = Options{Share: 0.99}
	if r, err := d.Check(ctx, Request{Model: "m", BatchID: "b1"}); err != nil || r.ShareThreshold != 0.99 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Without training rows the first batch of a version freezes the bins for those that follow.
func TestBatchesWithoutTraining(t *testing.T) {
	d := open(t)
	rng := rand.New(rand.NewPCG(1, 51))
	d.batch(t, "b1", 1, frame(rng, testNames, 1000, nil), 20)
	d.batch(t, "b2", 1, frame(rng, testNames, 1000, []bool{true, true, true}), 20)
	if _, err := d.Check(t.Context(), Request{Model: "m"}); !errors.Is(err, ErrNoData) || !strings.Contains(err.Error(), "training of version 1") {
		t.Errorf("against training rows that nobody knows: %v", err)
	}
	r, err := d.Check(t.Context(), Request{Model: "m", ReferenceBatchID: "b1"})
	if err != nil || r.Verdict != Drift {
		t.Errorf("%+v, %v", r, err)
	}
	// Another version has its own.
	d.batch(t, "b3", 2, frame(rng, testNames, 1000, nil), 20)
	if r, err = d.Check(t.Context(), Request{Model: "m", ReferenceBatchID: "b1"}); err != nil || r.Verdict != Inconclusive || !strings.Contains(r.Summary, "other bins") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDamagedStatistics(t *testing.T) {
	d := open(t)
	err := d.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutProfile(store.Profile{Model: "m", Kind: store.ProfileOfBatch, Subject: "b", At: time.Now(), Body: []byte(`{"format":9}`)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Statistics(t.Context(), "m", store.ProfileOfBatch, "b"); !errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
}
