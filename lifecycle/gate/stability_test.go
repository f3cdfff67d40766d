package gate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/monitor"
)

// shelf keeps training rows by version, and the latest batch.
type shelf struct {
	training map[int64]arrow.Record
	batch    arrow.Record
	bins     *monitor.Bins // of the batch
	err      error
}

var features = []string{
	"tenure_months", "monthly_charges", "total_charges", "support_calls_90d", "days_since_login", "usage_gb_30d", "seats", "contract",
}

func (s *shelf) profile(rec arrow.Record, bins *monitor.Bins) (monitor.Profile, error) {
	p, err := monitor.NewProfiler(monitor.FieldsOf(rec.Schema(), features, nil), bins)
	if err == nil {
		err = p.Add(rec)
	}
	if err != nil {
		return monitor.Profile{}, err
	}
	return p.Profile(), nil
}

func (s *shelf) Training(_ context.Context, _ string, v int64, bins *monitor.Bins) (monitor.Profile, error) {
	rec, ok := s.training[v]
	switch {
	case s.err != nil:
		return monitor.Profile{}, s.err
	case !ok:
		return monitor.Profile{}, fmt.Errorf("version %d: %w", v, monitor.ErrNoData)
	}
	return s.profile(rec, bins)
}

func (s *shelf) LatestBatch(context.Context, string) (monitor.Profile, string, error) {
	if s.batch == nil {
		return monitor.Profile{}, "", monitor.ErrNoData
	}
	p, err := s.profile(s.batch, s.bins)
	return p, "batch-1", err
}

// rowsOf reads a Parquet file, changing its columns.
func rowsOf(t *testing.T, parquet []byte, change func(name string, a arrow.Array) arrow.Array) arrow.Record {
	t.Helper()
	pf, err := file.NewParquetReader(bytes.NewReader(rewrite(t, parquet, 0, change)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := pqarrow.NewFileReader(pf, pqarrow.ArrowReadProperties{}, memory.NewGoAllocator())
	if err != nil {
		t.Fatal(err)
	}
	table, err := r.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tr := array.NewTableReader(table, table.NumRows())
	tr.Next()
	return tr.Record()
}

// mapped changes the numbers of a column; null when the function says so.
func mapped(column string, f func(i int, v float64) (_ float64, null bool)) func(string, arrow.Array) arrow.Array {
	return func(name string, a arrow.Array) arrow.Array {
		if name != column {
			return keep(a)
		}
		b := array.NewFloat64Builder(memory.NewGoAllocator())
		values, err := monitor.Numbers(nil, a)
		if err != nil {
			panic(err)
		}
		for i, v := range values {
			if v, null := f(i, v); null {
				b.AppendNull()
			} else {
				b.Append(v)
			}
		}
		return b.NewArray()
	}
}

func same(_ string, a arrow.Array) arrow.Array { return keep(a) }

func stable() gate.Policy {
	return gate.Policy{
		Digest: policyDigest, Label: "churn", Keys: []string{"account_id"},
		Modes:            map[string]gate.Mode{gate.FeatureStability: gate.Required, gate.NoDrift: gate.Required},
		FeatureStability: gate.StabilityPolicy{MaxPSI: 0.25, MaxNullRise: 0.02, MinRankCorrelation: 0.5, LeakageAUC: 0.99},
		NoDrift:          gate.NoDriftPolicy{Share: 0.3},
	}
}

func TestStability(t *testing.T) {
	holdout := testdata(t, "holdout.parquet")
	shifted := func(column string, by float64) arrow.Record {
		return rowsOf(t, holdout, mapped(column, func(_ int, v float64) (float64, bool) { return v + by, math.IsNaN(v) }))
	}
	base := rowsOf(t, holdout, same)
	for name, c := range map[string]struct {
		training arrow.Record // of the second version
		want     gate.Outcome
		text     string
	}{
		"the same": {base, gate.Pass, "no feature of the training data changed"},
		"shifted":  {shifted("monthly_charges", 60), gate.Fail, "feature monthly_charges: PSI"},
		"nulls": {
			rowsOf(t, holdout, mapped("tenure_months", func(i int, v float64) (float64, bool) { return v, i%25 == 0 })), gate.Fail,
			"feature tenure_months: nulls rose from 0.0 % to 4.0 %",
		},
		"unknown": {nil, gate.Inconclusive, "the training data of version 2 are not known"},
	} {
		s := &shelf{training: map[int64]arrow.Record{1: base}}
		if c.training != nil {
			s.training[2] = c.training
		}
		h := govern(t, stable(), func(d *gate.Deps) { d.Statistics = s })
		first := h.validate(t, h.enter(t, "good", holdout, nil))
		if g := of(first, gate.FeatureStability); g.Outcome != gate.Pass || !strings.Contains(g.Summary, "no champion yet") {
			t.Errorf("%s: first version: %+v", name, g)
		}
		h.promote(t, 1)
		r := h.validate(t, h.enter(t, "twin", holdout, nil))
		g := of(r, gate.FeatureStability)
		if g.Outcome != c.want || !strings.Contains(g.Summary, c.text) {
			t.Errorf("%s: %+v", name, g)
		}
		if c.want == gate.Fail && (r.Version.Stage != stage.Rejected || !strings.Contains(r.Explanation, c.text)) {
			t.Errorf("%s: stage %s, %q", name, r.Version.Stage, r.Explanation)
		}
		if rho := g.Evidence["importance_rank_correlation"]; rho == "" {
			t.Errorf("%s: no rank correlation in %v", name, g.Evidence)
		}
	}
}

func TestImportanceOrder(t *testing.T) {
	holdout := testdata(t, "holdout.parquet")
	p := stable()
	p.FeatureStability.MinRankCorrelation = 0.9999
	base := rowsOf(t, holdout, same)
	h := govern(t, p, func(d *gate.Deps) { d.Statistics = &shelf{training: map[int64]arrow.Record{1: base, 2: base}} })
	h.validate(t, h.enter(t, "good", holdout, nil))
	h.promote(t, 1)
	r := h.validate(t, h.enter(t, "worse", holdout, nil))
	g := of(r, gate.FeatureStability)
	if g.Outcome != gate.Fail || !strings.Contains(g.Summary, "order of importance") || g.Evidence["features_removed"] != "contract, support_calls_90d" {
		t.Errorf("%+v", g)
	}
}

func TestLeakage(t *testing.T) {
	holdout := testdata(t, "holdout.parquet")
	churn, err := monitor.Numbers(nil, rowsOf(t, holdout, same).Column(14))
	if err != nil {
		t.Fatal(err)
	}
	o := figures(t)
	for name, c := range map[string]struct {
		change func(i int, v float64) (float64, bool)
		want   gate.Outcome
	}{
		"none":         {func(_ int, v float64) (float64, bool) { return v, math.IsNaN(v) }, gate.Pass},
		"the label":    {func(i int, _ float64) (float64, bool) { return churn[i] + 0.001*float64(i%7), false }, gate.Fail},
		"reversed":     {func(i int, _ float64) (float64, bool) { return -churn[i], false }, gate.Fail},
		"being null":   {func(i int, v float64) (float64, bool) { return v, churn[i] == 1 }, gate.Fail},
		"a noisy copy": {func(i int, _ float64) (float64, bool) { return churn[i] + float64(i%3), false }, gate.Pass},
	} {
		h := govern(t, stable(), func(d *gate.Deps) { d.Statistics = &shelf{} })
		leaky := rewrite(t, holdout, 0, mapped("seats", c.change))
		g := of(h.validate(t, h.enter(t, "good", leaky, nil)), gate.FeatureStability)
		if g.Outcome != c.want || c.want == gate.Fail && !strings.Contains(g.Summary, "feature seats alone separates the classes") {
			t.Errorf("%s: %+v", name, g)
		}
		if name == "none" {
			strongest := g.Evidence["strongest_feature"]
			near(t, g, "strongest_feature_auc", o.Single[strongest], 1e-12)
			for f, auc := range o.Single {
				if auc > o.Single[strongest] {
					t.Errorf("%s is stronger than %s", f, strongest)
				}
			}
		}
	}
}

func TestNoDrift(t *testing.T) {
	holdout := testdata(t, "holdout.parquet")
	base := rowsOf(t, holdout, same)
	other := rowsOf(t, holdout, func(name string, a arrow.Array) arrow.Array {
		for _, column := range []string{"tenure_months", "monthly_charges", "support_calls_90d", "days_since_login"} {
			a = mapped(column, func(_ int, v float64) (float64, bool) { return v*3 + 50, math.IsNaN(v) })(name, a)
		}
		return a
	})
	for name, c := range map[string]struct {
		s    *shelf
		want gate.Outcome
		text string
	}{
		"no batch":   {&shelf{training: map[int64]arrow.Record{1: base}}, gate.Pass, "No batch with statistics"},
		"alike":      {&shelf{training: map[int64]arrow.Record{1: base}, batch: base}, gate.Pass, "No feature drifts"},
		"drifted":    {&shelf{training: map[int64]arrow.Record{1: base}, batch: other}, gate.Fail, "4 of 8 features drift"},
		"no rows":    {&shelf{batch: base}, gate.Inconclusive, "not known"},
		"unreadable": {&shelf{batch: base, err: errors.New("disk on fire")}, gate.Inconclusive, "disk on fire"},
	} {
		h := govern(t, stable(), func(d *gate.Deps) { d.Statistics = c.s })
		g := of(h.validate(t, h.enter(t, "good", holdout, nil)), gate.NoDrift)
		if g.Outcome != c.want || !strings.Contains(g.Summary, c.text) {
			t.Errorf("%s: %+v", name, g)
		}
	}
	h := govern(t, stable(), nil)
	if g := of(h.validate(t, h.enter(t, "good", holdout, nil)), gate.NoDrift); g.Outcome != gate.Inconclusive || !strings.Contains(g.Summary, "no feature statistics") {
		t.Errorf("%+v", g)
	}
}

// runner is a validator outside.
type runner struct {
	got     gate.ValidatorSpec
	verdict gate.ValidatorResult
	err     error
}

func (r *runner) RunValidator(_ context.Context, s gate.ValidatorSpec) (gate.ValidatorResult, error) {
	r.got = s
	return r.verdict, r.err
}

func TestValidator(t *testing.T) {
	p := gate.Policy{Digest: policyDigest, Label: "churn", Validator: &gate.External{Class: "acme.Judge", ModulePath: []string{"/etc/acme"}}}
	for name, c := range map[string]struct {
		runner  *runner
		holdout []byte
		want    gate.Outcome
		text    string
	}{
		"accepts": {
			&runner{verdict: gate.ValidatorResult{Passed: true, Summary: "lift 3.1", Figures: map[string]any{"lift": 3.1, "who": "x"}}},
			testdata(t, "holdout.parquet"), gate.Pass, "Validator acme.Judge accepts version 1: lift 3.1.",
		},
		"rejects": {&runner{verdict: gate.ValidatorResult{Summary: "lift 1.1"}}, testdata(t, "holdout.parquet"), gate.Fail, "rejects version 1: lift 1.1."},
		"fails": {
			&runner{err: errors.New("ModuleNotFoundError: acme")}, testdata(t, "holdout.parquet"), gate.Inconclusive,
			"Validator acme.Judge gave no verdict: ModuleNotFoundError: acme",
		},
		"no holdout": {&runner{}, nil, gate.Inconclusive, "no holdout rows"},
		"no Python":  {nil, testdata(t, "holdout.parquet"), gate.Inconclusive, "cannot be run"},
	} {
		h := govern(t, p, func(d *gate.Deps) {
			if c.runner != nil {
				d.Runner = c.runner
			}
		})
		r := h.validate(t, h.enter(t, "good", c.holdout, nil))
		g := of(r, gate.Validator)
		if g.Outcome != c.want || !g.Required || r.Outcome != c.want || !strings.Contains(g.Summary, c.text) {
			t.Errorf("%s: %+v", name, g)
		}
		if name == "accepts" {
			if s := c.runner.got; s.Class != "acme.Judge" || s.Label != "churn" || !strings.HasSuffix(s.Holdout, "holdout.parquet") || s.ModelDir == "" ||
				!slices.Equal(s.ModulePath, []string{"/etc/acme"}) || g.Evidence["figure.lift"] != "3.1" || g.Evidence["figure.who"] != "x" {
				t.Errorf("spec %+v, evidence %v", s, g.Evidence)
			}
		}
	}
}
