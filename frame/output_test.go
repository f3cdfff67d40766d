package frame

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

func TestScoreColumns(t *testing.T) {
	mem := checked(t)
	m := ladder(numeric("x", "y")...)
	p := compile(t, m)
	if got := names2(ScoreFields(p, true)); got != "raw_0 raw_1 pred_0 pred_1" {
		t.Errorf("fields %s", got)
	}
	if got := names2(ScoreFields(compile(t, ladder(numeric("x")...)), false)); got != "pred" {
		t.Errorf("fields %s", got)
	}
	margins, preds := []float64{1, 2, 3, 4}, []float64{5, 6, 7, 8}
	for _, margin := range []bool{false, true} {
		for _, null := range [][]bool{nil, {false, true}} {
			cols := ScoreColumns(mem, p, margins, preds, margin, null)
			fields := ScoreFields(p, margin)
			if len(cols) != len(fields) {
				t.Fatalf("%d columns, %d fields", len(cols), len(fields))
			}
			rec := array.NewRecord(arrow.NewSchema(fields, nil), cols, 2)
			for _, c := range cols {
				if c.IsNull(1) != (null != nil) || c.IsNull(0) || c.NullN() != len(null)/2 {
					t.Errorf("nulls of %v, asked for %v", c, null)
				}
				c.Release()
			}
			last := rec.Column(int(rec.NumCols()) - 1).(*array.Float64)
			if first := rec.Column(0).(*array.Float64); margin != (first.Value(0) == 1) || last.Value(0) != 6 || null == nil && last.Value(1) != 8 {
				t.Errorf("columns %v", rec)
			}
			rec.Release()
		}
	}
	m.Arithmetic = forest.Arithmetic{Input: forest.Float32, Sum: forest.Float32}
	if p := compile(t, m); p.Float32() {
		cols := ScoreColumns(mem, p, margins, []float64{0.1, 0.2, float64(float32(0.3)), 1}, false, nil)
		if v := cols[0].(*array.Float32).Value(1); v != float32(0.3) {
			t.Errorf("float32 prediction %v", v)
		}
		for _, c := range cols {
			c.Release()
		}
	} else {
		t.Error("the program is not a float32 one")
	}
}

func names2(f []arrow.Field) string {
	var out []string
	for _, x := range f {
		out = append(out, x.Name)
	}
	return strings.Join(out, " ")
}

var stamp = Stamp{
	ModelVersion: 7, RunID: "run", ScoredAt: time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.FixedZone("x", 3600)),
	BatchID: "batch", ModelName: "uat.models.churn", GitSHA: "abc", Digest: "sha256:0",
}

func keyed(t *testing.T, mem memory.Allocator, rows int) ([]arrow.Field, []arrow.Array) {
	b := array.NewStringBuilder(mem)
	defer b.Release()
	for i := range rows {
		b.Append(fmt.Sprintf("id-%d", i))
	}
	a := b.NewArray()
	t.Cleanup(a.Release)
	return []arrow.Field{{Name: "account_id", Type: arrow.BinaryTypes.String}}, []arrow.Array{a}
}

func TestOutputOfABinaryModel(t *testing.T) {
	mem := checked(t)
	fields, keys := keyed(t, mem, 4)
	o := OutputSpec{ModelKey: "churn", Keys: fields, Task: forest.Binary, Width: 1, Threshold: 0.5}
	seven := "account_id churn_probability churn_predicted model_version run_id scored_at score_batch_id"
	if got := strings.Join(o.SevenColumns(), " "); got != seven {
		t.Errorf("seven columns: %s", got)
	}
	if got := names2(o.Schema().Fields()); got != seven+" model_name trained_at git_sha model_digest" {
		t.Errorf("schema: %s", got)
	}
	rec, err := o.Record(mem, keys, []float64{0.49999, 0.5, 0.9, math.NaN()}, 4, stamp)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	row := rec.NewSlice(1, 2)
	defer row.Release()
	b, err := row.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"account_id":"id-1","churn_predicted":1,"churn_probability":0.5,"git_sha":"abc","model_digest":"sha256:0","model_name":"uat.models.churn","model_version":7,"run_id":"run","score_batch_id":"batch","scored_at":"2024-05-06 06:08:09.123456Z","trained_at":null}
]`
	if string(b) != want {
		t.Errorf("row\n%s\nwant\n%s", b, want)
	}
	predicted := rec.Column(2).(*array.Int32)
	if fmt.Sprint(predicted.Int32Values()) != "[0 1 1 0]" {
		t.Errorf("predicted %v", predicted)
	}
	if typ := rec.Schema().Field(4).Type.String(); typ != "dictionary<values=utf8, indices=int8, ordered=false>" {
		t.Errorf("run_id is %s", typ)
	}
	if rec.Column(4).Data().Buffers()[1] != rec.Column(6).Data().Buffers()[1] {
		t.Error("constant columns do not share their indices")
	}
}

func TestOutputLabels(t *testing.T) {
	mem := checked(t)
	fields, keys := keyed(t, mem, 3)
	multi := []float64{0.2, 0.5, 0.3, 0.4, 0.4, 0.2, 0.1, 0.2, 0.7}
	for _, tc := range []struct {
		name    string
		o       OutputSpec
		preds   []float64
		columns string
		labels  string
	}{
		{"binary text", OutputSpec{Task: forest.Binary, Width: 1, Classes: []string{"stay", "leave"}, Threshold: 0.3}, []float64{0.1, 0.3, 0.9}, "m_probability", `["stay" "leave" "leave"]`},
		{"binary numbers", OutputSpec{Task: forest.Binary, Width: 1, Classes: []string{"-1", "1"}, Threshold: 0.3}, []float64{0.1, 0.3, 0.9}, "m_probability", "[-1 1 1]"},
		{"multiclass", OutputSpec{Task: forest.Multiclass, Width: 3}, multi, "m_probability_0 m_probability_1 m_probability_2", "[1 0 2]"},
		{"multiclass text", OutputSpec{Task: forest.Multiclass, Width: 3, Classes: []string{"a b", "a-b", "c"}}, multi, "m_probability_a_b m_probability_a_b_1 m_probability_c", `["a-b" "a b" "c"]`},
		{"class index", OutputSpec{Task: forest.Multiclass, Width: 1, Classes: []string{"x", "y", "z"}}, []float64{2, 0, 1}, "m_score", `["z" "x" "y"]`},
		{"labels that do not fit", OutputSpec{Task: forest.Multiclass, Width: 3, Classes: []string{"a", "b"}}, multi, "m_probability_0 m_probability_1 m_probability_2", "[1 0 2]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.o.ModelKey, tc.o.Keys = "m", fields
			rec, err := tc.o.Record(mem, keys, tc.preds, 3, stamp)
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Release()
			i := rec.Schema().FieldIndices("m_predicted")[0]
			if got := names2(rec.Schema().Fields()[1:i]); got != tc.columns {
				t.Errorf("columns %s, want %s", got, tc.columns)
			}
			var got string
			if d, ok := rec.Column(i).(*array.Dictionary); ok {
				var l []string
				for r := range d.Len() {
					l = append(l, d.ValueStr(r))
				}
				got = fmt.Sprintf("%q", l)
			} else {
				got = fmt.Sprint(rec.Column(i).(*array.Int32).Int32Values())
			}
			if got != tc.labels {
				t.Errorf("labels %s, want %s", got, tc.labels)
			}
		})
	}
}

func TestOutputOfARegression(t *testing.T) {
	mem := checked(t)
	fields, keys := keyed(t, mem, 2)
	s := stamp
	s.TrainedAt = time.Unix(1700000000, 0)
	o := OutputSpec{ModelKey: "price", Keys: fields, Task: forest.Regression, Width: 1}
	if got := strings.Join(o.SevenColumns(), " "); got != "account_id price_score model_version run_id scored_at score_batch_id" {
		t.Errorf("columns %s", got)
	}
	rec, err := o.Record(mem, keys, []float64{1.5, -2}, 2, s)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	at := rec.Column(rec.Schema().FieldIndices("trained_at")[0]).(*array.Dictionary)
	if v := at.Dictionary().(*array.Timestamp).Value(at.GetValueIndex(1)); at.IsNull(1) || v != arrow.Timestamp(1700000000000000) {
		t.Errorf("trained_at %v", at)
	}
	for _, f := range rec.Schema().Fields()[2:] { // a constant costs a byte a row
		if d, ok := f.Type.(*arrow.DictionaryType); !ok || d.IndexType.ID() != arrow.INT8 {
			t.Errorf("%s is %s, want a dictionary", f.Name, f.Type)
		}
	}
	if got := names2((OutputSpec{ModelKey: "p", Task: forest.Regression, Width: 2}).Schema().Fields()[:2]); got != "p_score_0 p_score_1" {
		t.Errorf("columns %s", got)
	}
}

func TestOutputRefusesWrongShapes(t *testing.T) {
	mem := checked(t)
	fields, keys := keyed(t, mem, 2)
	o := OutputSpec{ModelKey: "m", Keys: fields, Task: forest.Multiclass, Width: 1, Classes: []string{"a", "b"}}
	for name, call := range map[string]func() (arrow.Record, error){
		"predictions": func() (arrow.Record, error) { return o.Record(mem, keys, []float64{1}, 2, stamp) },
		"rows":        func() (arrow.Record, error) { return o.Record(mem, keys, []float64{1, 1, 1}, 3, stamp) },
		"keys":        func() (arrow.Record, error) { return o.Record(mem, nil, []float64{1, 1}, 2, stamp) },
		"class":       func() (arrow.Record, error) { return o.Record(mem, keys, []float64{1, 2}, 2, stamp) },
	} {
		if rec, err := call(); !errors.Is(err, engine.ErrShape) {
			t.Errorf("%s: %v, %v, want ErrShape", name, rec, err)
		}
	}
}

func TestOutputOfNoRows(t *testing.T) {
	mem := checked(t)
	fields, keys := keyed(t, mem, 0)
	rec, err := OutputSpec{ModelKey: "m", Keys: fields, Task: forest.Binary, Width: 1, Classes: []string{"a", "b"}}.Record(mem, keys, nil, 0, stamp)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Release()
	if _, err := rec.MarshalJSON(); err != nil || rec.NumRows() != 0 {
		t.Errorf("%v: %v", rec, err)
	}
}
