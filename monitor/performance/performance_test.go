package performance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/monitor/performance"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const batchRows = 4000

var day0 = time.Date(2026, 11, 1, 6, 0, 0, 0, time.UTC)

// office is a real store and a real warehouse with batches of a Champion, and what will become of their rows.
type office struct {
	t         *testing.T
	store     *sqlite.Store
	warehouse *duckdb.Warehouse
	source    *performance.Source
	set       performance.Settings
	now       time.Time

	scores map[string][]float64 // by batch
	truth  map[string][]bool
	tables int
}

func open(t *testing.T) *office {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w, err := duckdb.Open(t.Context(), duckdb.Config{Dir: filepath.Join(t.TempDir(), "w"), MemoryLimit: "256MB", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &office{
		t: t, store: s, warehouse: w, now: day0.AddDate(0, 3, 0), scores: map[string][]float64{}, truth: map[string][]bool{},
		set: performance.Settings{
			Key: "churn", Keys: []string{"id"}, Threshold: 0.5, Label: "churned", DateColumn: "day",
			MinRows: 3000, MinMaturity: 0.8,
		},
	}
	o.source = performance.New(performance.Deps{
		Store: s, Warehouse: w, Now: func() time.Time { return o.now },
		Settings: func(model string) (performance.Settings, bool) { return o.set, model == "churn" },
	})
	return o
}

func (o *office) update(f func(tx store.Tx) error) {
	o.t.Helper()
	if err := o.store.Update(o.t.Context(), f); err != nil {
		o.t.Fatal(err)
	}
}

// promote makes a version the Champion, with this AUC in its evidence unless it is 0.
func (o *office) promote(version int64, auc float64) {
	o.t.Helper()
	o.update(func(tx store.Tx) error {
		if err := tx.EnsureModel("churn", day0); err != nil {
			return err
		}
		v := store.Version{
			Model: "churn", Version: version, Stage: "champion", StageAt: day0, Digest: fmt.Sprintf("sha256:%064d", version), ModelFile: "m",
			RegisteredAt: day0, RegisteredBy: "test", Metrics: map[string]float64{"auc": 0.999, "precision": 0.6},
		}
		if version > 1 {
			if err := tx.EndPeriod("churn", day0); err != nil {
				return err
			}
			if err := tx.SetStage("churn", version-1, "champion", "archived", day0); err != nil {
				return err
			}
		}
		if err := tx.InsertVersion(v); err != nil {
			return err
		}
		if auc > 0 {
			report := fmt.Sprintf(`{"gates":[{"gate":"parity"},{"gate":"auc_floor","evidence":{"auc":"%g","threshold":"0.75"}}]}`, auc)
			err := tx.PutEvidence(store.Evidence{Model: "churn", Version: version, Outcome: "pass", Digest: "sha256:e", Report: []byte(report), At: day0, Actor: "test"})
			if err != nil {
				return err
			}
		}
		err := tx.AppendAudit(store.AuditRow{
			Seq: version, At: day0, Actor: "test", Action: "promote", Model: "churn", Version: version, FromStage: "validated", ToStage: "champion",
			PrevHash: fmt.Sprintf("%064d", version-1), Hash: fmt.Sprintf("%064d", version),
		})
		if err != nil {
			return err
		}
		return tx.BeginPeriod(store.Period{
			Model: "churn", Generation: version, Version: version, Since: day0, Action: "promote", Actor: "test", AuditSeq: version,
		})
	})
}

// batch scores the rows of day n modulo 100. The scores tell their labels as well as skill says: 0 not at all.
func (o *office) batch(n int, version int64, skill float64) string {
	o.t.Helper()
	id := fmt.Sprintf("6ba7b810-9dad-51d1-80b4-%012d", n)
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	scores, truth := make([]float64, batchRows), make([]bool, batchRows)
	for i := range scores {
		scores[i] = math.Round(1000/(1+math.Exp(-rng.NormFloat64()))) / 1000 // with ties
		p := 1 / (1 + math.Exp(-skill*(scores[i]-0.5)))
		truth[i] = rng.Float64() < p
	}
	o.scores[id], o.truth[id] = scores, truth

	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "churn_probability", Type: arrow.PrimitiveTypes.Float64},
		{Name: "score_batch_id", Type: arrow.BinaryTypes.String},
		{Name: "scored_at", Type: &arrow.TimestampType{Unit: arrow.Microsecond}},
	}, nil)
	table := warehouse.TableName{Catalog: "uat", Schema: "predictions", Table: "churn"}
	at := day0.AddDate(0, 0, n%100)
	w, err := o.warehouse.Begin(o.t.Context(), warehouse.BatchID(id), warehouse.Target{
		Table: table, Schema: schema, Required: []string{"id"}, BatchColumn: "score_batch_id", Keys: []string{"id"}, OrderColumn: "scored_at",
	})
	if err != nil {
		o.t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i, v := range scores {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.Float64Builder).Append(v)
		b.Field(2).(*array.StringBuilder).Append(id)
		b.Field(3).(*array.TimestampBuilder).Append(arrow.Timestamp(at.UnixMicro()))
	}
	rec := b.NewRecord()
	defer rec.Release()
	if err := w.Write(o.t.Context(), rec); err != nil {
		o.t.Fatal(err)
	}
	if _, err := w.Commit(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	o.update(func(tx store.Tx) error {
		row, err := tx.BeginBatch(store.BatchRow{
			ID: id, InputSource: "uat.features.churn", InputVersion: "v", InputDate: at.Format(time.DateOnly), OutputTable: table.String(),
			StartedAt: at, Lineage: store.Lineage{ModelName: "churn", ModelVersion: version},
		})
		if err != nil {
			return err
		}
		row.State, row.Phase, row.Rows, row.FinishedAt = store.BatchSucceeded, store.PhaseDone, batchRows, at
		return tx.FinishBatch(row)
	})
	return id
}

// arrive makes a label table in which these shares of the batches' rows have labels, and uses it.
func (o *office) arrive(shares map[string]float64) (scores []float64, truth []bool) {
	o.t.Helper()
	var csv strings.Builder
	csv.WriteString("id,day,churned,known_at\n")
	for id, share := range shares {
		var n int
		if _, err := fmt.Sscanf(id[24:], "%d", &n); err != nil {
			o.t.Fatal(err)
		}
		day := day0.AddDate(0, 0, n%100)
		for i := range batchRows {
			if i >= int(share*batchRows) {
				if i%2 == 0 {
					fmt.Fprintf(&csv, "%d,%s,,\n", i, day.Format(time.DateOnly))
				}
				continue
			}
			label := 0
			if o.truth[id][i] {
				label = 1
			}
			fmt.Fprintf(&csv, "%d,%s,%d,%s\n", i, day.Format(time.DateOnly), label, day.AddDate(0, 1, 0).Format("2006-01-02 15:04:05"))
			scores, truth = append(scores, o.scores[id][i]), append(truth, o.truth[id][i])
		}
	}
	o.tables++
	path := filepath.Join(o.t.TempDir(), "labels.csv")
	if err := os.WriteFile(path, []byte(csv.String()), 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.set.Labels = warehouse.TableName{Catalog: "crm", Schema: "labels", Table: fmt.Sprintf("churn_%d", o.tables)}
	if _, _, err := o.warehouse.ImportFile(o.t.Context(), o.set.Labels, path); err != nil {
		o.t.Fatal(err)
	}
	return scores, truth
}

func (o *office) measure() performance.Measurement {
	o.t.Helper()
	m, err := o.source.Matured(o.t.Context(), "churn")
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Logf("%s %.4f [%.4f, %.4f] on %d rows, baseline %.4f: %s", m.Metric, m.Value, m.Lower, m.Upper, m.Rows, m.Baseline, m.Detail)
	return m
}

// claim is a figure that scikit-learn must confirm.
type claim struct {
	Metric string    `json:"metric"`
	Scores []float64 `json:"scores"`
	Truth  []bool    `json:"truth"`
	got    float64
}

// confirm asks scikit-learn, once for all claims of a test.
func confirm(t *testing.T, claims []claim) {
	t.Helper()
	in, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), mlflowtest.Python(t), "-c", `
import json, sys
import numpy as np
from sklearn.metrics import precision_score, recall_score, roc_auc_score
out = []
for c in json.load(sys.stdin):
    s, y = np.array(c["scores"]), np.array(c["truth"])
    metric = {"auc": lambda: roc_auc_score(y, s), "precision": lambda: precision_score(y, s >= 0.5), "recall": lambda: recall_score(y, s >= 0.5)}
    out.append(metric[c["metric"]]())
print(json.dumps(out))
`)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []float64
	if err := json.Unmarshal(out, &want); err != nil || len(want) != len(claims) {
		t.Fatalf("%d answers, %v", len(want), err)
	}
	for i, c := range claims {
		if math.Abs(c.got-want[i]) > 1e-9 {
			t.Errorf("claim %d: %s is %v, scikit-learn says %v", i, c.Metric, c.got, want[i])
		}
	}
}

func says(t *testing.T, m performance.Measurement, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(m.Detail, w) {
			t.Errorf("does not say %q: %s", w, m.Detail)
		}
	}
}

// Labels arrive in stages: none, too early, too few, enough and good, enough and bad.
func TestLabelsArriveInStages(t *testing.T) {
	o := open(t)
	o.set.Labels = warehouse.TableName{Catalog: "crm", Schema: "labels", Table: "none"}
	if m := o.measure(); m.Rows != 0 || !math.IsNaN(m.Value) {
		t.Errorf("without a Champion: %+v", m)
	} else {
		says(t, m, "no Champion")
	}
	o.promote(1, 0.81)
	if m := o.measure(); m.Rows != 0 {
		t.Errorf("without labels: %+v", m)
	} else {
		says(t, m, "crm")
	}
	first := o.batch(1, 1, 6)

	o.arrive(map[string]float64{first: 0.4}) // some rows of the table have no label
	if m := o.measure(); m.Rows != 0 {
		t.Errorf("immature labels count: %+v", m)
	} else {
		says(t, m, first, "of 2026-11-02", "labels for 40.0 %", "80 % are needed")
	}

	o.set.MinRows = 5000
	o.arrive(map[string]float64{first: 0.9})
	if m := o.measure(); m.Rows != 3600 || !math.IsNaN(m.Upper) || m.Baseline != 0.81 {
		t.Errorf("too few: %+v", m)
	}

	second := o.batch(2, 1, 6)
	scores, truth := o.arrive(map[string]float64{first: 0.9, second: 1})
	m := o.measure()
	claims := []claim{{"auc", scores, truth, m.Value}}
	if m.Rows != 7600 || !(m.Lower < m.Value && m.Value < m.Upper) || m.Upper-m.Lower > 0.05 || m.Upper < m.Baseline-0.2 {
		t.Errorf("good: %+v", m)
	}
	says(t, m, first, second, "the baseline is what version 1 had on its holdout")
	o.set.Baseline = m.Value
	if again := o.measure(); again.Baseline != m.Value || again.Upper < again.Baseline {
		t.Errorf("a Champion as good as it was is below its baseline: %+v", again)
	}

	// The newest batches are enough; the degraded one alone decides.
	o.set.MinRows = 3000
	third := o.batch(3, 1, 0.5)
	scores, truth = o.arrive(map[string]float64{third: 0.8})
	all, allTruth := o.arrive(map[string]float64{first: 0.9, second: 1, third: 0.8})
	m = o.measure()
	claims = append(claims, claim{"auc", scores, truth, m.Value})
	if m.Rows != 3200 || m.Upper >= m.Baseline {
		t.Errorf("degraded: %+v", m)
	}
	if strings.Contains(m.Detail, first) {
		t.Errorf("older batches are counted though the newest is enough: %s", m.Detail)
	}
	o.set.MinRows = 10_000
	m = o.measure()
	claims = append(claims, claim{"auc", all, allTruth, m.Value})

	// Labels count from when they are available.
	o.set.Available = "known_at"
	o.now = day0.AddDate(0, 1, 2) // the labels of the third are a day away
	if m := o.measure(); m.Rows != 7600 {
		t.Errorf("with labels from the future: %+v", m)
	} else {
		says(t, m, third, "labels for 0.0 %")
	}
	o.set.Available, o.now = "", day0.AddDate(0, 3, 0)

	o.set.Metric, o.set.Baseline = performance.Precision, 0
	m = o.measure()
	claims = append(claims, claim{"precision", all, allTruth, m.Value})
	if m.Baseline != 0.6 || !(m.Lower < m.Value && m.Value < m.Upper) {
		t.Errorf("precision: %+v", m)
	}
	o.set.Metric = performance.Recall
	m = o.measure()
	claims = append(claims, claim{"recall", all, allTruth, m.Value})
	if !math.IsNaN(m.Baseline) {
		t.Errorf("recall that nobody measured has a baseline: %+v", m)
	}
	says(t, m, "set triggers.performance.baseline")
	o.set.Metric = performance.AUC

	// Another Champion begins anew.
	o.promote(2, 0)
	if m := o.measure(); m.Rows != 0 {
		t.Errorf("batches of the former Champion count: %+v", m)
	}
	fourth := o.batch(4, 2, 6)
	o.arrive(map[string]float64{first: 1, fourth: 1})
	o.set.MinRows = 100
	if m := o.measure(); m.Rows != batchRows || m.Baseline != 0.999 {
		t.Errorf("the new Champion: %+v", m)
	} else {
		says(t, m, "the trainer of version 2 reported")
	}
	confirm(t, claims)
}

func TestWhatCannotBeMeasured(t *testing.T) {
	o := open(t)
	o.promote(1, 0.8)
	id := o.batch(1, 1, 6)
	for i := range o.truth[id] {
		o.truth[id][i] = false
	}
	o.arrive(map[string]float64{id: 1})
	if m := o.measure(); m.Rows != batchRows || !math.IsNaN(m.Upper) {
		t.Errorf("one class alone: %+v", m)
	}
	for name, c := range map[string]struct {
		change func(*performance.Settings)
		says   string
	}{
		"label": {func(s *performance.Settings) { s.Label = "gone" }, "gone"},
		"key":   {func(s *performance.Settings) { s.Keys = []string{"account"} }, "account"},
		"text":  {func(s *performance.Settings) { s.Label = "day" }, "a label is a number"},
		"task":  {func(s *performance.Settings) { s.Key = "price" }, "price_probability"},
		"other": {func(s *performance.Settings) { s.Label = "id" }, "other than 0 and 1"},
		"table": {func(s *performance.Settings) { s.Labels.Table = "nothing" }, "nothing"},
	} {
		before := o.set
		c.change(&o.set)
		if m := o.measure(); m.Rows != 0 || !strings.Contains(m.Detail, c.says) {
			t.Errorf("%s: %+v", name, m)
		}
		o.set = before
	}
	m, err := o.source.Matured(t.Context(), "other")
	if err != nil || m.Rows != 0 || m.Detail == "" {
		t.Errorf("a model that is not configured: %+v, %v", m, err)
	}
	// Of two batches of one day the newer counts: the rows would count twice.
	again := o.batch(101, 1, 6)
	o.arrive(map[string]float64{again: 1})
	o.set.MinRows = 2 * batchRows
	if m := o.measure(); m.Rows != batchRows {
		t.Errorf("two batches of one day: %+v", m)
	} else {
		says(t, m, again)
	}
	if err := o.warehouse.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := o.source.Matured(t.Context(), "churn"); err == nil {
		t.Error("a closed warehouse measures")
	}
}
