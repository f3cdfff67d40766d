package gate_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/registry/registrytest"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	*gate.Service

	deps     gate.Deps
	store    store.Store
	registry registry.Registry
	versions *version.Service
	audit    *audit.Service
}

func setup(t *testing.T) *fixture {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r, err := local.Open(filepath.Join(t.TempDir(), "r"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	alloc := memory.NewCheckedAllocator(memory.NewGoAllocator())
	t.Cleanup(func() { alloc.AssertSize(t, 0) })
	versions := version.New(version.Deps{Store: s, Registry: r})
	deps := gate.Deps{Store: s, Versions: versions, Alloc: alloc}
	return &fixture{gate.New(deps), deps, s, r, versions, audit.New(audit.Deps{Store: s})}
}

// example is a model of the examples with its golden rows.
type example struct{ dir, model string }

func (e example) read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../examples", e.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	churn1  = example{"churn/v1", "model.txt"}
	churn2  = example{"churn/v2", "model.txt"}
	flights = example{"flights/lightgbm", "model.txt"}
	boosted = example{"flights/xgboost", "model.ubj"}
)

// register stores a model with golden rows (nil: none) as the next version of "m".
func (f *fixture) register(t *testing.T, e example, golden []byte) version.Version {
	t.Helper()
	files := registrytest.Files{e.model: e.read(t, e.model)}
	names := []string{e.model}
	r := version.RegisterRequest{Model: "m", ModelFile: e.model, Actor: "ann"}
	if golden != nil {
		files["golden.parquet"], r.GoldenFile = golden, "golden.parquet"
		names = append(names, "golden.parquet")
	}
	a, err := registrytest.Put(t.Context(), f.registry, names, files)
	if err != nil {
		t.Fatal(err)
	}
	r.Artifact = a
	v, _, err := f.versions.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (f *fixture) validate(t *testing.T, v version.Version) gate.Report {
	t.Helper()
	r, err := f.Validate(t.Context(), gate.Request{Model: v.Model, Version: v.Version, Actor: "bob", RequestID: "req"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestExamplesPass(t *testing.T) {
	for _, e := range []example{churn1, churn2, flights, boosted} {
		t.Run(e.dir, func(t *testing.T) {
			f := setup(t)
			v := f.register(t, e, e.read(t, "golden.parquet"))
			r, err := f.Validate(t.Context(), gate.Request{Model: "m", Actor: "bob", RequestID: "req"})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Passed() || r.Version.Stage != stage.Validated || r.Version.Version != v.Version || len(r.Gates) != 2 {
				t.Fatalf("report is %+v", r)
			}
			for _, g := range r.Gates {
				if g.Outcome != gate.Pass || g.Summary == "" || g.Hint != "" {
					t.Errorf("gate is %+v", g)
				}
			}
			got := r.Gates[1].Evidence
			if got["rows"] != "2000" || got["values"] != "4000" || got["mismatches"] != "0" {
				t.Errorf("evidence is %v", got)
			}
			for _, hard := range []string{"rows_with_missing", "rows_with_negative_zero", "rows_at_a_threshold", "rows_one_ulp_from_thresholds"} {
				if n := got[hard]; n == "0" || n == "" {
					t.Errorf("%s is %q: these golden rows prove little", hard, n)
				}
			}
			f.recorded(t, r, "validate", stage.Trained)
		})
	}
}

// recorded checks what a validation left in the store: report, evidence under its digest, audit entry.
func (f *fixture) recorded(t *testing.T, r gate.Report, action string, from stage.Stage) {
	t.Helper()
	v := r.Version
	for _, n := range []int64{0, v.Version} {
		stored, err := f.Report(t.Context(), v.Model, n)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, stored); d != "" {
			t.Errorf("report (-returned +stored)\n%s", d)
		}
	}
	err := f.store.View(t.Context(), func(tx store.Reader) error {
		e, err := tx.Evidence(v.Model, v.Version)
		if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(e.Report)); e.Digest != sum || sum != r.EvidenceDigest || e.Outcome != string(r.Outcome) {
			t.Errorf("evidence %s with outcome %s, its bytes have %s", e.Digest, e.Outcome, sum)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	entries, _, err := f.audit.List(t.Context(), audit.Filter{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := audit.Entry{
		Seq: entries[0].Seq, At: r.ValidatedAt, Actor: "bob", AuthMethod: "none", Action: action, Model: v.Model, Version: v.Version,
		FromStage: string(from), ToStage: string(v.Stage), Generation: entries[0].Generation, Reason: entries[0].Reason,
		EvidenceDigest: r.EvidenceDigest, RequestID: "req", PrevHash: entries[0].PrevHash, Hash: entries[0].Hash,
	}
	if d := cmp.Diff(want, entries[0]); d != "" || want.Reason == "" {
		t.Errorf("audit entry\n%s", d)
	}
	if res, err := f.audit.Verify(t.Context()); err != nil || !res.Valid {
		t.Error(res, err)
	}
}

func TestOneBitFails(t *testing.T) {
	for _, c := range []struct {
		e           example
		column      string
		row         int
		ours, width string
	}{
		{churn1, "raw", 1234, "engine 0x", "0x????????????????"},
		{churn1, "pred", 0, "engine 0x", "0x????????????????"},
		{boosted, "raw", 1999, "engine 0x", "0x????????"},
		{boosted, "pred", 7, "engine 0x", "0x????????"},
	} {
		t.Run(c.e.dir+" "+c.column, func(t *testing.T) {
			f := setup(t)
			golden := rewrite(t, c.e.read(t, "golden.parquet"), 0, func(name string, a arrow.Array) arrow.Array {
				if name == c.column {
					return flip(a, c.row)
				}
				return keep(a)
			})
			v := f.register(t, c.e, golden)
			r := f.validate(t, v)
			g := r.Gates[1]
			if r.Outcome != gate.Fail || r.Version.Stage != stage.Rejected || g.Outcome != gate.Fail || g.Hint == "" {
				t.Fatalf("report is %+v", r)
			}
			e := g.Evidence
			if e["mismatches"] != "1" || e["first_row"] != fmt.Sprint(c.row) || e["first_column"] != c.column {
				t.Errorf("evidence is %v", e)
			}
			ours, _, _ := strings.Cut(e["first_engine"], " ")
			theirs, _, _ := strings.Cut(e["first_library"], " ")
			if len(ours) != len(c.width) || len(theirs) != len(c.width) || ours == theirs || ours[:len(ours)-1] != theirs[:len(theirs)-1] {
				t.Errorf("engine %q, library %q: want bit patterns that differ in the last digit", e["first_engine"], e["first_library"])
			}
			if !strings.Contains(g.Summary, "1 of 4000 values") || !strings.Contains(g.Summary, c.ours) {
				t.Errorf("summary is %q", g.Summary)
			}
			f.recorded(t, r, "reject", stage.Trained)
			if _, err := f.Validate(t.Context(), gate.Request{Model: "m", Version: 1}); !errors.Is(err, stage.ErrWrong) {
				t.Errorf("a Rejected version was validated again: %v", err)
			}
		})
	}
}

// TestOtherModelFails: golden rows of another model.
func TestOtherModelFails(t *testing.T) {
	f := setup(t)
	r := f.validate(t, f.register(t, churn1, churn2.read(t, "golden.parquet")))
	if r.Outcome != gate.Fail {
		t.Fatalf("report is %+v", r)
	}
}

func TestInconclusive(t *testing.T) {
	golden := churn1.read(t, "golden.parquet")
	same := func(_ string, a arrow.Array) arrow.Array { return keep(a) }
	without := func(column string) func(string, arrow.Array) arrow.Array {
		return func(name string, a arrow.Array) arrow.Array {
			if name == column {
				return nil
			}
			return keep(a)
		}
	}
	as := func(column string, t arrow.DataType) func(string, arrow.Array) arrow.Array {
		return func(name string, a arrow.Array) arrow.Array {
			if name == column {
				return array.MakeArrayOfNull(memory.NewGoAllocator(), t, a.Len())
			}
			return keep(a)
		}
	}
	for name, c := range map[string]struct {
		golden []byte
		text   string
	}{
		"none":            {nil, "no golden rows"},
		"few":             {rewrite(t, golden, 99, same), "99 golden rows agree"},
		"not Parquet":     {[]byte("rows"), "cannot be used"},
		"cut off":         {golden[:len(golden)/2], "cannot be used"},
		"no raw":          {rewrite(t, golden, 0, without("raw")), `0 columns are named "raw"`},
		"no pred":         {rewrite(t, golden, 0, without("pred")), `0 columns are named "pred"`},
		"no feature":      {rewrite(t, golden, 0, without("seats")), "seats"},
		"raw is single":   {rewrite(t, golden, 0, as("raw", arrow.PrimitiveTypes.Float32)), "float64"},
		"pred is integer": {rewrite(t, golden, 0, as("pred", arrow.PrimitiveTypes.Int64)), "int64"},
		"wrong feature":   {rewrite(t, golden, 0, as("seats", arrow.FixedWidthTypes.Date32)), "seats"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			r := f.validate(t, f.register(t, churn1, c.golden))
			g := r.Gates[1]
			if r.Outcome != gate.Inconclusive || r.Passed() || r.Version.Stage != stage.Trained || r.Gates[0].Outcome != gate.Pass ||
				g.Outcome != gate.Inconclusive || g.Hint == "" || !strings.Contains(g.Summary, c.text) {
				t.Fatalf("report is %+v, want %q", r, c.text)
			}
			if strings.Contains(g.Summary, "/artifacts/") {
				t.Errorf("the summary shows where the daemon keeps its files: %s", g.Summary)
			}
			f.recorded(t, r, "validate", stage.Trained)
		})
	}
}

func TestMinRows(t *testing.T) {
	f := setup(t)
	v := f.register(t, churn1, churn1.read(t, "golden.parquet"))
	for _, c := range []struct {
		min  int64
		want gate.Outcome
	}{{2001, gate.Inconclusive}, {2000, gate.Pass}} {
		f.deps.MinRows = c.min
		r, err := gate.New(f.deps).Validate(t.Context(), gate.Request{Model: "m", Version: v.Version})
		if err != nil || r.Outcome != c.want {
			t.Errorf("of %d rows: outcome %s, want %s (%v)", c.min, r.Outcome, c.want, err)
		}
	}
	// One difference decides, however few the rows.
	golden := rewrite(t, churn2.read(t, "golden.parquet"), 10, func(name string, a arrow.Array) arrow.Array {
		if name == "raw" {
			return flip(a, 3)
		}
		return keep(a)
	})
	if r := f.validate(t, f.register(t, churn2, golden)); r.Outcome != gate.Fail {
		t.Errorf("report is %+v", r)
	}
}

// TestRefusedRows: XGBoost refuses an infinite feature, so it has no value for the row, and neither may the engine.
func TestRefusedRows(t *testing.T) {
	for _, c := range []struct {
		null bool
		want gate.Outcome
	}{{true, gate.Pass}, {false, gate.Fail}} {
		f := setup(t)
		golden := rewrite(t, boosted.read(t, "golden.parquet"), 0, func(name string, a arrow.Array) arrow.Array {
			switch {
			case name == "distance":
				return setInfinite(a, 5)
			case c.null && (name == "raw" || name == "pred"):
				return setNull(a, 5)
			}
			return keep(a)
		})
		r := f.validate(t, f.register(t, boosted, golden))
		g := r.Gates[1]
		if g.Outcome != c.want || g.Evidence["rows_refused"] != "1" || g.Evidence["rows_with_infinite"] != "1" {
			t.Errorf("null %v: %+v", c.null, g)
		}
		if !c.null && (!strings.Contains(g.Evidence["first_engine"], "distance") || g.Evidence["first_row"] != "5") {
			t.Errorf("evidence is %v", g.Evidence)
		}
	}
	// Where the library has no value, a number is a difference.
	f := setup(t)
	golden := rewrite(t, churn1.read(t, "golden.parquet"), 0, func(name string, a arrow.Array) arrow.Array {
		if name == "pred" {
			return setNull(a, 2)
		}
		return keep(a)
	})
	if g := f.validate(t, f.register(t, churn1, golden)).Gates[1]; g.Outcome != gate.Fail || g.Evidence["first_library"] != "null" {
		t.Errorf("%+v", g)
	}
}

func (f *fixture) damage(t *testing.T, v version.Version, name string) {
	t.Helper()
	dir, _, err := f.versions.Artifact(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedArtifactFails(t *testing.T) {
	for _, name := range []string{"model.txt", "golden.parquet"} {
		f := setup(t)
		v := f.register(t, churn1, churn1.read(t, "golden.parquet"))
		f.damage(t, v, name)
		if _, err := f.Verify(t.Context(), "m", 1); !errors.Is(err, gate.ErrNotPassed) {
			t.Errorf("verify: error is %v", err)
		}
		r := f.validate(t, v)
		if r.Version.Stage != stage.Rejected || r.Gates[0].Outcome != gate.Fail || !strings.Contains(r.Gates[0].Summary, name) ||
			r.Gates[1].Outcome != gate.Inconclusive {
			t.Errorf("report is %+v", r)
		}
		// The same files again: the store is repaired, and they get another try as a new version.
		v = f.register(t, churn1, churn1.read(t, "golden.parquet"))
		if r := f.validate(t, v); v.Version != 2 || !r.Passed() {
			t.Errorf("version %d, report %+v", v.Version, r)
		}
	}
}

func TestMissingArtifactIsAnError(t *testing.T) {
	f := setup(t)
	v := f.register(t, churn1, nil)
	dir, _, err := f.versions.Artifact(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Dir(dir), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Validate(t.Context(), gate.Request{Model: "m"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
	if v, err := f.versions.Get(t.Context(), "m", 1); err != nil || v.Stage != stage.Trained {
		t.Errorf("version is %s (%v)", v.Stage, err)
	}
}

type columns func() (gate.FeatureTable, bool, error)

func (c columns) FeatureColumns(context.Context, string) (gate.FeatureTable, bool, error) { return c() }

// churnTable is the feature table of the churn models; change returns another type for a column, or nil to leave it out.
func churnTable(change func(name string) arrow.DataType) columns {
	float, integer, text := arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int32, arrow.BinaryTypes.String
	all := []arrow.Field{
		{Name: "account_id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "compute_date", Type: arrow.FixedWidthTypes.Date32},
		{Name: "churn", Type: text},
		{Name: "comment", Type: text},
		{Name: "tenure_months", Type: integer},
		{Name: "monthly_charges", Type: float},
		{Name: "total_charges", Type: float},
		{Name: "support_calls_90d", Type: integer},
		{Name: "days_since_login", Type: float},
		{Name: "usage_gb_30d", Type: float},
		{Name: "paperless_billing", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "seats", Type: arrow.PrimitiveTypes.Int64},
		{Name: "contract", Type: text},
		{Name: "payment method", Type: text},
		{Name: "internet_service", Type: text},
	}
	var fields []arrow.Field
	for _, f := range all {
		typ := f.Type
		if change != nil {
			if typ = change(f.Name); typ == arrow.Null {
				typ = f.Type
			}
		}
		if typ != nil {
			fields = append(fields, arrow.Field{Name: f.Name, Type: typ, Nullable: true})
		}
	}
	return func() (gate.FeatureTable, bool, error) {
		return gate.FeatureTable{
			Name: "uat.features.churn", Schema: arrow.NewSchema(fields, nil), Keys: []string{"account_id"},
			Allowed: []string{"churn", "compute_date", ""},
		}, true, nil
	}
}

func TestFeatureTable(t *testing.T) {
	changed := func(types map[string]arrow.DataType) columns {
		return churnTable(func(name string) arrow.DataType {
			if typ, ok := types[name]; ok {
				return typ
			}
			return arrow.Null
		})
	}
	for name, c := range map[string]struct {
		columns columns
		want    gate.Outcome
		texts   []string
	}{
		"complete":       {churnTable(nil), gate.Pass, []string{"15 columns"}},
		"not configured": {func() (gate.FeatureTable, bool, error) { return gate.FeatureTable{}, false, nil }, gate.Pass, []string{"match"}},
		"two missing": {
			changed(map[string]arrow.DataType{"tenure_months": nil, "monthly_charges": nil}), gate.Inconclusive,
			[]string{"uat.features.churn", `missing "tenure_months" (want a number), "monthly_charges" (want a number)`},
		},
		"wrong types": {
			changed(map[string]arrow.DataType{
				"tenure_months": arrow.BinaryTypes.String, "usage_gb_30d": arrow.FixedWidthTypes.Timestamp_us, "contract": arrow.PrimitiveTypes.Int32,
			}), gate.Inconclusive,
			[]string{`"tenure_months" is utf8, want a number`, `"usage_gb_30d" is timestamp[us, tz=UTC], want a number`, `"contract" is int32`},
		},
		"missing and wrong": {
			changed(map[string]arrow.DataType{"account_id": nil, "seats": nil, "tenure_months": arrow.BinaryTypes.String}), gate.Inconclusive,
			[]string{`lacks key columns "account_id"`, `missing "seats"`, `"tenure_months" is utf8`},
		},
		"no date and label": {changed(map[string]arrow.DataType{"churn": nil, "compute_date": nil}), gate.Pass, []string{"13 columns"}},
		"unreachable": {func() (gate.FeatureTable, bool, error) {
			return gate.FeatureTable{}, true, errors.New("no table churn")
		}, gate.Inconclusive, []string{"no table churn"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.register(t, churn1, churn1.read(t, "golden.parquet"))
			f.deps.Columns = c.columns
			svc := gate.New(f.deps)
			if _, err := svc.Verify(t.Context(), "m", 1); err != nil {
				t.Errorf("a rollback would hang on the feature table: %v", err)
			}
			r, err := svc.Validate(t.Context(), gate.Request{Model: "m"})
			if err != nil || r.Outcome != c.want || len(r.Gates) != 2 || r.Gates[1].Outcome != gate.Pass {
				t.Fatalf("report is %+v (%v), want %s", r, err, c.want)
			}
			g := r.Gates[0]
			for _, text := range c.texts {
				if !strings.Contains(g.Summary, text) {
					t.Errorf("summary %q does not say %q", g.Summary, text)
				}
			}
			if c.want == gate.Pass {
				if r.Version.Stage != stage.Validated || g.Hint != "" {
					t.Errorf("report is %+v", r)
				}
				return
			}
			if r.Version.Stage != stage.Trained || !strings.Contains(g.Hint, "validate again") {
				t.Errorf("version is %s, hint %q", r.Version.Stage, g.Hint)
			}
			// The same version passes once the table is repaired.
			f.deps.Columns = churnTable(nil)
			if r, err = gate.New(f.deps).Validate(t.Context(), gate.Request{Model: "m", Version: 1}); err != nil || r.Version.Stage != stage.Validated {
				t.Errorf("with a repaired table: %+v (%v)", r, err)
			}
		})
	}
}

func TestStages(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	for _, n := range []int64{0, 1} {
		if _, err := f.Validate(ctx, gate.Request{Model: "m", Version: n}); !errors.Is(err, store.ErrModelNotFound) {
			t.Errorf("error is %v", err)
		}
	}
	v1 := f.register(t, churn1, churn1.read(t, "golden.parquet"))
	if _, err := f.Report(ctx, "m", 0); !errors.Is(err, store.ErrNoEvidence) {
		t.Errorf("error is %v", err)
	}
	if r := f.validate(t, v1); !r.Passed() {
		t.Fatalf("report is %+v", r)
	}
	if r := f.validate(t, v1); !r.Passed() || r.Version.Stage != stage.Validated {
		t.Errorf("again: %+v", r)
	}
	_, err := f.Validate(ctx, gate.Request{Model: "m"})
	if !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), "ctl promote m --version 1") {
		t.Errorf("error is %v", err)
	}
	if _, err := f.Validate(ctx, gate.Request{Model: "m", Version: 2}); !errors.Is(err, store.ErrVersionNotFound) {
		t.Errorf("error is %v", err)
	}

	// Promote both, roll back with the gates as the verifier, and bring the archived version back through the gates.
	v2 := f.register(t, churn2, churn2.read(t, "golden.parquet"))
	if r := f.validate(t, v2); !r.Passed() {
		t.Fatalf("report is %+v", r)
	}
	promotions := promotion.New(promotion.Deps{Store: f.store, Registry: f.registry, Verifier: f.Service})
	for n := int64(1); n <= 2; n++ {
		if _, err := promotions.Promote(ctx, promotion.Request{Model: "m", Version: n, Reason: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Validate(ctx, gate.Request{Model: "m", Version: 2}); !errors.Is(err, stage.ErrWrong) {
		t.Errorf("the Champion was validated: %v", err)
	}
	c, _, err := promotions.Rollback(ctx, promotion.RollbackRequest{Model: "m", Reason: "x", Keep: true})
	if err != nil || c.ToVersion != 1 || !strings.Contains(strings.Join(c.Effects, "\n"), "4000 values of 2000 golden rows agree bit for bit") {
		t.Fatalf("%+v (%v)", c, err)
	}
	r := f.validate(t, v2)
	if !r.Passed() || r.Version.Stage != stage.Validated {
		t.Fatalf("report is %+v", r)
	}
	f.recorded(t, r, "validate", stage.Archived)
	if c, err := promotions.Promote(ctx, promotion.Request{Model: "m", Reason: "better after all"}); err != nil || c.ToVersion != 2 || c.Generation != 4 {
		t.Errorf("%+v (%v)", c, err)
	}
	// Bytes that rot while a version is archived stop the way back.
	f.damage(t, v1, "model.txt")
	if _, _, err := promotions.Rollback(ctx, promotion.RollbackRequest{Model: "m", Reason: "x"}); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("error is %v", err)
	}
}

func TestConcurrentValidations(t *testing.T) {
	f := setup(t)
	f.register(t, churn1, churn1.read(t, "golden.parquet"))
	errs := make(chan error, 6)
	for range cap(errs) {
		go func() {
			r, err := f.Validate(t.Context(), gate.Request{Model: "m", Version: 1})
			if err == nil && !r.Passed() {
				err = fmt.Errorf("report is %+v", r)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if res, err := f.audit.Verify(t.Context()); err != nil || !res.Valid || res.Entries != 7 {
		t.Error(res, err)
	}
}

func TestCancelled(t *testing.T) {
	f := setup(t)
	f.register(t, churn1, churn1.read(t, "golden.parquet"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Validate(ctx, gate.Request{Model: "m"}); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if v, err := f.versions.Get(t.Context(), "m", 1); err != nil || v.Stage != stage.Trained {
		t.Errorf("version is %s (%v)", v.Stage, err)
	}
}

func TestReportOfAlteredEvidence(t *testing.T) {
	f := setup(t)
	f.register(t, churn1, nil)
	err := f.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutEvidence(store.Evidence{
			Model: "m", Version: 1, Outcome: "pass", Digest: "sha256:00", Report: []byte(`{"outcome":"pass"}`), At: time.Now(),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Report(t.Context(), "m", 1); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("error is %v", err)
	}
}
