package gate_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry/registrytest"
	"github.com/treeline-ml/treeline/store"
)

// oracle is testdata/figures.json: what scikit-learn and scipy say, made by testdata/generate.py.
type oracle struct {
	Rows   int                           `json:"rows"`
	Models map[string]map[string]float64 `json:"models"`
	Pairs  map[string]map[string]float64 `json:"pairs"`
	Single map[string]float64            `json:"single"`
	Slices []struct {
		Name         string  `json:"name"`
		Rows         float64 `json:"rows"`
		AUC          float64 `json:"auc"`
		ReferenceAUC float64 `json:"reference_auc"`
		Drop         float64 `json:"drop"`
		P            float64 `json:"p_value"`
		Corrected    float64 `json:"p_value_corrected"`
	} `json:"slices"`
}

func figures(t *testing.T) oracle {
	t.Helper()
	var o oracle
	if err := json.Unmarshal(testdata(t, "figures.json"), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const policyDigest = "sha256:config"

// strict requires every gate that needs nothing from outside.
func strict() gate.Policy {
	return gate.Policy{
		Digest: policyDigest, Label: "churn", Keys: []string{"account_id"},
		Modes: map[string]gate.Mode{
			gate.AUCFloor: gate.Required, gate.ChampionChallenger: gate.Required, gate.Slices: gate.ReportOnly, gate.Calibration: gate.ReportOnly,
		},
		AUCFloor:           gate.AUCFloorPolicy{Threshold: 0.65},
		ChampionChallenger: gate.ChampionPolicy{Delta: 0.002},
		Slices:             gate.SlicesPolicy{Columns: []string{"contract", "region"}, MaxDrop: 0.02, MinRows: 200},
		Calibration:        gate.CalibrationPolicy{MaxECE: 0.05, MaxBrier: 1, MinSlope: 0.5, MaxSlope: 1.5},
		HoldoutBudget:      20,
	}
}

// house is a fixture with a policy that a test may change.
type house struct {
	*fixture

	policy     gate.Policy
	promotions *promotion.Service
}

func govern(t *testing.T, p gate.Policy, change func(*gate.Deps)) *house {
	t.Helper()
	h := &house{fixture: setup(t), policy: p}
	h.deps.Policies = func(string) (gate.Policy, bool) { return h.policy, true }
	if change != nil {
		change(&h.deps)
	}
	h.Service = gate.New(h.deps)
	h.promotions = promotion.New(promotion.Deps{
		Store: h.store, Registry: h.registry, Verifier: h.Service, Policy: func(string) string { return h.policy.Digest },
	})
	return h
}

// enter registers a model of testdata with holdout rows (nil: none) and what else comes along.
func (h *house) enter(t *testing.T, name string, holdout []byte, more map[string]string) version.Version {
	t.Helper()
	files := registrytest.Files{"model.txt": testdata(t, name+".txt"), "golden.parquet": testdata(t, name+".golden.parquet")}
	names := []string{"model.txt", "golden.parquet"}
	r := version.RegisterRequest{Model: "m", ModelFile: "model.txt", GoldenFile: "golden.parquet", Actor: "ann"}
	if holdout != nil {
		files["holdout.parquet"] = holdout
		names, r.HoldoutFile = append(names, "holdout.parquet"), "holdout.parquet"
	}
	for n, text := range more {
		files[n], names = []byte(text), append(names, n)
	}
	a, err := registrytest.Put(t.Context(), h.registry, names, files)
	if err != nil {
		t.Fatal(err)
	}
	r.Artifact = a
	v, _, err := h.versions.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (h *house) promote(t *testing.T, v int64) {
	t.Helper()
	if _, err := h.promotions.Promote(t.Context(), promotion.Request{Model: "m", Version: v, Reason: "test", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
}

func of(r gate.Report, name string) gate.Result {
	for _, g := range r.Gates {
		if g.Gate == name {
			return g
		}
	}
	return gate.Result{}
}

// near holds a figure of the evidence against its oracle.
func near(t *testing.T, g gate.Result, key string, want, tolerance float64) {
	t.Helper()
	got, err := strconv.ParseFloat(g.Evidence[key], 64)
	if err != nil || !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s %s is %q, want %v", g.Gate, key, g.Evidence[key], want)
	}
}

// TestFigures holds every figure of the gates on the holdout against scikit-learn and scipy: docs/format/gates.md.
func TestFigures(t *testing.T) {
	o := figures(t)
	h := govern(t, strict(), nil)
	holdout := testdata(t, "holdout.parquet")
	first := h.validate(t, h.enter(t, "good", holdout, nil))
	if !first.Passed() || first.Version.Stage != stage.Validated || len(first.Gates) != 6 {
		t.Fatalf("report is %+v", first)
	}
	if g := of(first, gate.ChampionChallenger); g.Outcome != gate.Pass || !strings.Contains(g.Summary, "no champion") {
		t.Errorf("%+v", g)
	}
	h.promote(t, 1)
	second := h.validate(t, h.enter(t, "worse", holdout, nil))
	for name, r := range map[string]gate.Report{"good": first, "worse": second} {
		want := o.Models[name]
		floor, cal := of(r, gate.AUCFloor), of(r, gate.Calibration)
		near(t, floor, "rows", float64(o.Rows), 0)
		near(t, floor, "auc", want["auc"], 1e-12)
		near(t, floor, "auc_se", want["se"], 1e-9)
		near(t, floor, "auc_lower", want["lower"], 1e-9)
		near(t, floor, "auc_upper", want["upper"], 1e-9)
		near(t, cal, "ece", want["ece"], 1e-12)
		near(t, cal, "brier", want["brier"], 1e-12)
		near(t, cal, "log_loss", want["log_loss"], 1e-12)
		near(t, cal, "slope", want["slope"], 1e-6)
		near(t, cal, "intercept", want["intercept"], 1e-6)
	}
	pair := o.Pairs["worse against good"]
	g := of(second, gate.ChampionChallenger)
	near(t, g, "difference", pair["delta"], 1e-9)
	near(t, g, "difference_se", pair["se"], 1e-9)
	near(t, g, "difference_lower", pair["lower"], 1e-9)
	near(t, g, "difference_upper", pair["upper"], 1e-9)
	near(t, g, "p_value", pair["p"], 1e-9)
	sliced := of(second, gate.Slices)
	if len(sliced.Details) != len(o.Slices) {
		t.Fatalf("%d slices, want %d", len(sliced.Details), len(o.Slices))
	}
	for _, want := range o.Slices {
		at := slices.IndexFunc(sliced.Details, func(d gate.Detail) bool { return d.Name == want.Name })
		if at < 0 {
			t.Errorf("no slice %s", want.Name)
			continue
		}
		d := sliced.Details[at]
		for key, w := range map[string]float64{
			"rows": want.Rows, "auc": want.AUC, "reference_auc": want.ReferenceAUC, "drop": want.Drop, "p_value": want.P,
			"p_value_corrected": want.Corrected,
		} {
			if !(math.Abs(d.Figures[key]-w) <= 1e-9) {
				t.Errorf("slice %s: %s is %v, want %v", want.Name, key, d.Figures[key], w)
			}
		}
		if failed := want.Drop > 0.02 && want.Corrected < 0.05; failed != (d.Outcome == gate.Fail) {
			t.Errorf("slice %s is %s", want.Name, d.Outcome)
		}
	}
}

// TestWorseIsBlocked: the story of a worse version, from its rejection in plain words to a waiver and back.
func TestWorseIsBlocked(t *testing.T) {
	h := govern(t, strict(), nil)
	holdout := testdata(t, "holdout.parquet")
	h.validate(t, h.enter(t, "good", holdout, nil))
	h.promote(t, 1)
	v := h.enter(t, "worse", holdout, nil)
	r := h.validate(t, v)
	if r.Outcome != gate.Fail || r.Version.Stage != stage.Rejected {
		t.Fatalf("report is %+v", r)
	}
	want := "Version 2 is worse than champion version 1: AUC 0.6936 against 0.7896 on the same 4,000 holdout rows, difference " +
		"-0.0960 (95 % -0.1132 to -0.0788), allowed -0.0020."
	if !strings.HasPrefix(r.Explanation, want) || !strings.Contains(r.Explanation, "What to do: ") {
		t.Errorf("explanation is\n%s\nwant\n%s", r.Explanation, want)
	}
	if _, err := h.promotions.Promote(t.Context(), promotion.Request{Model: "m", Version: 2, Reason: "x"}); !errors.Is(err, stage.ErrWrong) ||
		!strings.Contains(err.Error(), "--waive") {
		t.Errorf("promoting a Rejected version: %v", err)
	}
	waive := gate.WaiveRequest{Model: "m", Reason: "the old one reads a table that goes away", Actor: "eve", RequestID: "w"}
	w, err := h.Waive(t.Context(), waive)
	if err != nil {
		t.Fatal(err)
	}
	g := of(w, gate.ChampionChallenger)
	if !w.Passed() || w.Version.Stage != stage.Validated || g.Outcome != gate.Waived || g.WaivedBy != "eve" ||
		g.WaivedReason != waive.Reason || g.Evidence["waived_outcome"] != "fail" || g.Summary != want {
		t.Errorf("waived report is %+v", w)
	}
	if !strings.Contains(w.Explanation, "Eve waived champion_challenger: The old one reads a table that goes away.") {
		t.Errorf("explanation is %q", w.Explanation)
	}
	entries, _, err := h.audit.List(t.Context(), audit.Filter{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	if e := entries[0]; e.Action != "waive" || e.FromStage != "rejected" || e.ToStage != "validated" || e.Reason != waive.Reason ||
		e.Actor != "eve" || e.EvidenceDigest != w.EvidenceDigest {
		t.Errorf("audit entry is %+v", e)
	}
	if stored, err := h.Report(t.Context(), "m", 2); err != nil || stored.EvidenceDigest != w.EvidenceDigest || stored.Outcome != gate.Pass {
		t.Errorf("stored report is %+v (%v)", stored, err)
	}
	if _, err := h.Waive(t.Context(), waive); !errors.Is(err, stage.ErrWrong) {
		t.Errorf("a Validated version was waived again: %v", err)
	}
	h.promote(t, 2)
	c, _, err := h.promotions.Rollback(t.Context(), promotion.RollbackRequest{Model: "m", Reason: "it was worse"})
	if err != nil || c.ToVersion != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	if res, err := h.audit.Verify(t.Context()); err != nil || !res.Valid {
		t.Error(res, err)
	}
}

func TestWaiveRefusals(t *testing.T) {
	h := govern(t, strict(), nil)
	v := h.enter(t, "good", nil, nil) // no holdout rows: inconclusive
	if r := h.validate(t, v); r.Outcome != gate.Inconclusive || r.Version.Stage != stage.Trained ||
		!strings.Contains(r.Explanation, "could not tell: No holdout rows came with the version.") {
		t.Fatalf("report is %+v", r)
	}
	ok := gate.WaiveRequest{Model: "m", Version: 1, Reason: "demo", Actor: "eve"}
	for name, c := range map[string]struct {
		change func(*gate.WaiveRequest)
		want   error
		text   string
	}{
		"no reason":       {func(r *gate.WaiveRequest) { r.Reason = " " }, gate.ErrInvalid, "reason"},
		"no actor":        {func(r *gate.WaiveRequest) { r.Actor = "" }, gate.ErrInvalid, "name"},
		"long reason":     {func(r *gate.WaiveRequest) { r.Reason = strings.Repeat("x", 1<<20) }, gate.ErrInvalid, "bytes"},
		"parity":          {func(r *gate.WaiveRequest) { r.Gates = []string{gate.Parity} }, gate.ErrNotWaivable, "parity"},
		"artifact":        {func(r *gate.WaiveRequest) { r.Gates = []string{gate.AUCFloor, gate.Artifact} }, gate.ErrNotWaivable, "artifact"},
		"unknown":         {func(r *gate.WaiveRequest) { r.Gates = []string{"luck"} }, gate.ErrNotWaivable, "luck"},
		"reported only":   {func(r *gate.WaiveRequest) { r.Gates = []string{gate.Calibration} }, gate.ErrNotWaivable, "stand in the way"},
		"passed":          {func(r *gate.WaiveRequest) { r.Gates = []string{gate.ChampionChallenger} }, gate.ErrNotWaivable, "(pass)"},
		"unknown version": {func(r *gate.WaiveRequest) { r.Version = 9 }, store.ErrVersionNotFound, ""},
		"unknown model":   {func(r *gate.WaiveRequest) { r.Model = "x" }, store.ErrModelNotFound, ""},
	} {
		r := ok
		c.change(&r)
		if _, err := h.Waive(t.Context(), r); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error is %v, want %v with %q", name, err, c.want, c.text)
		}
	}
	h.policy.Digest = "sha256:other"
	if _, err := h.Waive(t.Context(), ok); !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("evidence of another configuration was waived: %v", err)
	}
	h.policy.Digest = policyDigest
	if w, err := h.Waive(t.Context(), ok); err != nil || w.Version.Stage != stage.Validated {
		t.Errorf("%+v, %v", w, err)
	}
	// A version whose parity fails stays out, whoever vouches for it.
	golden := rewrite(t, testdata(t, "worse.golden.parquet"), 0, func(name string, a arrow.Array) arrow.Array {
		if name == "raw" {
			return flip(a, 3)
		}
		return keep(a)
	})
	files := registrytest.Files{"model.txt": testdata(t, "worse.txt"), "golden.parquet": golden}
	a, err := registrytest.Put(t.Context(), h.registry, []string{"model.txt", "golden.parquet"}, files)
	if err != nil {
		t.Fatal(err)
	}
	bad, _, err := h.versions.Register(t.Context(), version.RegisterRequest{Model: "m", Artifact: a, ModelFile: "model.txt", GoldenFile: "golden.parquet"})
	if err != nil {
		t.Fatal(err)
	}
	h.validate(t, bad)
	for _, gates := range [][]string{nil, {gate.Parity}} {
		_, err := h.Waive(t.Context(), gate.WaiveRequest{Model: "m", Version: bad.Version, Gates: gates, Reason: "x", Actor: "eve"})
		if !errors.Is(err, gate.ErrNotWaivable) || !strings.Contains(err.Error(), "parity") {
			t.Errorf("waiving %v of a version that fails parity: %v", gates, err)
		}
	}
	// Waiving what can be waived does not lift what cannot.
	w, err := h.Waive(t.Context(), gate.WaiveRequest{Model: "m", Version: bad.Version, Gates: []string{gate.AUCFloor}, Reason: "x", Actor: "eve"})
	if err != nil || w.Passed() || w.Version.Stage != stage.Rejected {
		t.Errorf("%+v, %v", w, err)
	}
}

// A rejected version whose files were registered again has made room for the new one.
func TestWaiveOfFilesRegisteredAgain(t *testing.T) {
	p := strict()
	p.AUCFloor.Threshold = 0.99
	h := govern(t, p, nil)
	holdout := testdata(t, "holdout.parquet")
	h.validate(t, h.enter(t, "good", holdout, nil))
	if again := h.enter(t, "good", holdout, nil); again.Version != 2 {
		t.Fatalf("version %d", again.Version)
	}
	_, err := h.Waive(t.Context(), gate.WaiveRequest{Model: "m", Version: 1, Reason: "x", Actor: "eve"})
	if !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), "registered again as another version") {
		t.Errorf("error is %v", err)
	}
	if v, err := h.versions.Get(t.Context(), "m", 1); err != nil || v.Stage != stage.Rejected {
		t.Errorf("version is %s (%v)", v.Stage, err)
	}
}

// Reports of the first format have no explanation and no modes: both gates were required.
func TestFirstFormat(t *testing.T) {
	f := setup(t)
	v := f.register(t, churn1, nil)
	body := fmt.Appendf(nil, `{"format":1,"model":"m","version":1,"digest":%q,"engine":"e","outcome":"fail","gates":[{"gate":"artifact",`+
		`"outcome":"pass","summary":"fine","hint":"","evidence":{}},{"gate":"parity","outcome":"fail","summary":"3 of 9 values differ",`+
		`"hint":"look","evidence":{"rows":"9"}}],"validated_at":"2026-11-01T00:00:00Z","actor":"ann"}`, v.Digest)
	err := f.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutEvidence(store.Evidence{
			Model: "m", Version: 1, Outcome: "fail", Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(body)), Report: body, At: v.RegisteredAt,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Report(t.Context(), "m", 1)
	if err != nil || len(r.Gates) != 2 || !r.Gates[0].Required || !r.Gates[1].Required ||
		r.Explanation != "The parity gate failed: 3 of 9 values differ. What to do: look." {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTwinPasses(t *testing.T) {
	o := figures(t)
	p := strict()
	h := govern(t, p, nil)
	holdout := testdata(t, "holdout.parquet")
	h.validate(t, h.enter(t, "good", holdout, nil))
	h.promote(t, 1)
	r := h.validate(t, h.enter(t, "twin", holdout, nil))
	g := of(r, gate.ChampionChallenger)
	near(t, g, "difference", o.Pairs["twin against good"]["delta"], 1e-9)
	if !r.Passed() || !strings.Contains(g.Summary, "is not worse than champion version 1") {
		t.Errorf("report is %+v", r)
	}
	// Not to be worse is one thing, to be better another.
	h.policy.ChampionChallenger.Test = gate.Superior
	r = h.validate(t, r.Version)
	if g := of(r, gate.ChampionChallenger); g.Outcome != gate.Inconclusive || !strings.Contains(g.Hint, "holdout rows would tell") {
		t.Errorf("%+v", g)
	}
	// A narrow margin cannot be shown with so few rows.
	h.policy.ChampionChallenger = gate.ChampionPolicy{Delta: 1e-6}
	r = h.validate(t, r.Version)
	if g := of(r, gate.ChampionChallenger); g.Outcome != gate.Inconclusive || r.Version.Stage != stage.Validated {
		t.Errorf("%+v, stage %s", g, r.Version.Stage)
	}
	if _, err := h.promotions.Promote(t.Context(), promotion.Request{Model: "m", Reason: "x"}); !errors.Is(err, stage.ErrWrong) {
		t.Errorf("inconclusive evidence was good enough: %v", err)
	}
}

func TestFloor(t *testing.T) {
	auc, lower := figures(t).Models["good"]["auc"], figures(t).Models["good"]["lower"]
	for _, c := range []struct {
		threshold float64
		on        string
		want      gate.Outcome
	}{
		{auc - 1e-9, gate.OnValue, gate.Pass},
		{auc + 1e-9, "", gate.Fail},
		{auc - 1e-9, gate.OnLowerBound, gate.Fail},
		{lower - 1e-6, gate.OnLowerBound, gate.Pass},
	} {
		p := strict()
		p.AUCFloor = gate.AUCFloorPolicy{Threshold: c.threshold, On: c.on}
		h := govern(t, p, nil)
		r := h.validate(t, h.enter(t, "good", testdata(t, "holdout.parquet"), nil))
		g := of(r, gate.AUCFloor)
		if g.Outcome != c.want || r.Outcome != c.want || (g.Hint == "") != (c.want == gate.Pass) {
			t.Errorf("threshold %v on %q: %+v", c.threshold, c.on, g)
		}
		if c.want == gate.Fail && !strings.HasPrefix(r.Explanation, g.Summary) {
			t.Errorf("explanation is %q", r.Explanation)
		}
	}
}

func TestModes(t *testing.T) {
	p := strict()
	p.AUCFloor.Threshold = 0.99
	p.Modes[gate.AUCFloor] = gate.ReportOnly
	p.Modes[gate.Slices] = gate.Off
	h := govern(t, p, nil)
	var told []string
	r, err := h.Validate(t.Context(), gate.Request{Model: "m", Version: h.enter(t, "good", testdata(t, "holdout.parquet"), nil).Version, Progress: func(g string, r *gate.Result) {
		if r != nil {
			g += " " + string(r.Outcome)
		}
		told = append(told, g)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if g := of(r, gate.AUCFloor); g.Outcome != gate.Fail || g.Required || !r.Passed() || of(r, gate.Slices).Gate != "" {
		t.Errorf("report is %+v", r)
	}
	if !strings.Contains(r.Explanation, "Reported only: AUC 0.7896") {
		t.Errorf("explanation is %q", r.Explanation)
	}
	want := []string{
		"artifact", "artifact pass", "parity", "parity pass", "auc_floor", "auc_floor fail", "champion_challenger",
		"champion_challenger pass", "calibration", "calibration pass",
	}
	if !slices.Equal(told, want) {
		t.Errorf("progress was %v", told)
	}
}

// TestEvidenceIsFresh: a promotion refuses evidence about another configuration or another Champion.
func TestEvidenceIsFresh(t *testing.T) {
	h := govern(t, strict(), nil)
	holdout := testdata(t, "holdout.parquet")
	good, twin := h.enter(t, "good", holdout, nil), h.enter(t, "twin", holdout, nil)
	h.validate(t, good)
	h.validate(t, twin)
	promote := func(v int64) error {
		_, err := h.promotions.Promote(t.Context(), promotion.Request{Model: "m", Version: v, Reason: "x"})
		return err
	}
	h.policy.Digest = "sha256:changed"
	if err := promote(1); !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), "configuration changed") ||
		!strings.Contains(err.Error(), "ctl validate m --version 1") {
		t.Errorf("evidence of another configuration: %v", err)
	}
	h.policy.Digest = policyDigest
	if err := promote(1); err != nil {
		t.Fatal(err)
	}
	if err := promote(2); !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), "there was no champion, and version 1 is Champion now") {
		t.Errorf("evidence without a champion: %v", err)
	}
	h.validate(t, twin)
	if err := promote(2); err != nil {
		t.Fatal(err)
	}
	// Evidence about other files can only be a damaged or foreign store; the digest in it decides.
	third := h.enter(t, "twin", holdout, map[string]string{"note": "again"})
	h.validate(t, third)
	err := h.store.Update(t.Context(), func(tx store.Tx) error {
		e, err := tx.Evidence("m", 3)
		e.Report = []byte(strings.Replace(string(e.Report), third.Digest, good.Digest, 1))
		return errors.Join(err, tx.PutEvidence(e))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := promote(3); !errors.Is(err, stage.ErrWrong) || !strings.Contains(err.Error(), "about the files") {
		t.Errorf("evidence about other files: %v", err)
	}
}

func TestHoldoutBudget(t *testing.T) {
	p := strict()
	p.HoldoutBudget = 2
	h := govern(t, p, nil)
	holdout := testdata(t, "holdout.parquet")
	h.validate(t, h.enter(t, "good", holdout, nil))
	h.promote(t, 1)
	// Other bytes of the same rows: the file differs in the predictions of its own version.
	again := func(i int) []byte {
		return rewrite(t, holdout, 0, func(name string, a arrow.Array) arrow.Array {
			if name == "pred" {
				return flip(a, i)
			}
			return keep(a)
		})
	}
	for i, want := range []gate.Outcome{gate.Pass, gate.Pass, gate.Inconclusive} {
		r := h.validate(t, h.enter(t, "twin", again(i), nil))
		g := of(r, gate.ChampionChallenger)
		if g.Outcome != want || g.Evidence["holdout_comparisons"] != strconv.Itoa(i) {
			t.Errorf("comparison %d: %+v", i, g)
		}
	}
	// Fewer rows are another holdout.
	r := h.validate(t, h.enter(t, "twin", rewrite(t, holdout, 3000, func(_ string, a arrow.Array) arrow.Array { return keep(a) }), nil))
	if g := of(r, gate.ChampionChallenger); g.Evidence["holdout_comparisons"] != "0" {
		t.Errorf("%+v", g)
	}
	// Validating a version again on the same rows is no further comparison.
	r = h.validate(t, r.Version)
	if g := of(r, gate.ChampionChallenger); g.Evidence["holdout_comparisons"] != "0" {
		t.Errorf("%+v", g)
	}
}

func TestOtherTasks(t *testing.T) {
	o := figures(t)
	for _, c := range []struct {
		prefix, label, figure string
		floor                 gate.Outcome
	}{
		{"spent", "spent", "rmse", gate.Inconclusive},
		{"kind", "kind", "log_loss", gate.Pass},
	} {
		p := strict()
		p.Label, p.AUCFloor.Threshold = c.label, 0.6
		p.Modes[gate.AUCFloor] = gate.ReportOnly
		h := govern(t, p, nil)
		holdout := testdata(t, c.prefix+".holdout.parquet")
		first := h.validate(t, h.enter(t, c.prefix+"_good", holdout, nil))
		floor := of(first, gate.AUCFloor)
		if floor.Outcome != c.floor {
			t.Errorf("%s: %+v", c.prefix, floor)
		}
		if c.floor == gate.Pass {
			near(t, floor, "auc", o.Models[c.prefix+"_good"]["auc"], 1e-12)
		}
		h.promote(t, 1)
		r := h.validate(t, h.enter(t, c.prefix+"_worse", holdout, nil))
		g := of(r, gate.ChampionChallenger)
		near(t, g, "challenger", o.Models[c.prefix+"_worse"][c.figure], 1e-9)
		near(t, g, "champion", o.Models[c.prefix+"_good"][c.figure], 1e-9)
		near(t, g, "difference", o.Models[c.prefix+"_good"][c.figure]-o.Models[c.prefix+"_worse"][c.figure], 1e-9)
		if g.Outcome != gate.Fail || !strings.Contains(g.Summary, "is worse than champion version 1 by") {
			t.Errorf("%s: %+v", c.prefix, g)
		}
		// The champion against itself: no difference, no width.
		same := h.validate(t, h.enter(t, c.prefix+"_good", holdout, map[string]string{"note": "again"}))
		if g := of(same, gate.ChampionChallenger); g.Outcome != gate.Pass || g.Evidence["difference"] != "0" {
			t.Errorf("%s against itself: %+v", c.prefix, g)
		}
	}
}

func TestUnusableHoldout(t *testing.T) {
	holdout := testdata(t, "holdout.parquet")
	without := func(column string) []byte {
		return rewrite(t, holdout, 0, func(name string, a arrow.Array) arrow.Array {
			if name == column {
				return nil
			}
			return keep(a)
		})
	}
	label := func(f func(i int) (float64, bool)) []byte {
		return rewrite(t, holdout, 100, func(name string, a arrow.Array) arrow.Array {
			if name != "churn" {
				return keep(a)
			}
			b := array.NewFloat64Builder(memory.NewGoAllocator())
			for i := range a.Len() {
				if v, ok := f(i); ok {
					b.Append(v)
				} else {
					b.AppendNull()
				}
			}
			return b.NewArray()
		})
	}
	for name, c := range map[string]struct {
		holdout []byte
		text    string
	}{
		"no Parquet":       {[]byte("rows"), "cannot be used"},
		"cut off":          {holdout[:len(holdout)/2], "cannot be used"},
		"no label":         {without("churn"), `0 columns are named "churn"`},
		"no key":           {without("account_id"), `0 columns are named "account_id"`},
		"no feature":       {without("seats"), "seats"},
		"labels of two":    {label(func(i int) (float64, bool) { return float64(i % 3), true }), "row 2, column \"churn\" holds 2, want 0 or 1"},
		"no labels at all": {label(func(int) (float64, bool) { return 0, false }), "cannot be computed"},
		"one class":        {label(func(int) (float64, bool) { return 1, true }), "0 negative"},
	} {
		h := govern(t, strict(), nil)
		r := h.validate(t, h.enter(t, "good", c.holdout, nil))
		g := of(r, gate.AUCFloor)
		if g.Outcome != gate.Inconclusive || r.Outcome != gate.Inconclusive || r.Version.Stage != stage.Trained || g.Hint == "" ||
			!strings.Contains(g.Summary, c.text) || strings.Contains(g.Summary, "/artifacts/") {
			t.Errorf("%s: %+v, stage %s", name, g, r.Version.Stage)
		}
	}
	// Rows without a label are left out and counted.
	some := label(func(i int) (float64, bool) { return float64(i % 2), i%10 != 0 })
	h := govern(t, strict(), nil)
	r := h.validate(t, h.enter(t, "good", some, nil))
	if g := of(r, gate.AUCFloor); g.Evidence["rows"] != "90" || g.Evidence["rows_without_label"] != "10" {
		t.Errorf("%+v", g)
	}
	// A Champion whose features are not there cannot be compared; "worse" reads fewer features than "good".
	h = govern(t, strict(), nil)
	h.validate(t, h.enter(t, "good", holdout, nil))
	h.promote(t, 1)
	r = h.validate(t, h.enter(t, "worse", without("contract"), nil))
	if g := of(r, gate.ChampionChallenger); g.Outcome != gate.Inconclusive || !strings.Contains(g.Summary, "contract") {
		t.Errorf("%+v", g)
	}
}

func TestTrainersFigure(t *testing.T) {
	auc := figures(t).Models["good"]["auc"]
	for reported, flagged := range map[float64]bool{auc: false, auc + 1e-10: false, auc + 1e-8: true} {
		h := govern(t, strict(), nil)
		v := h.enter(t, "good", testdata(t, "holdout.parquet"), nil)
		err := h.store.Update(t.Context(), func(tx store.Tx) error {
			row, err := tx.Version("m", v.Version)
			if err != nil {
				return err
			}
			if row.Version, err = tx.NextVersion("m"); err != nil {
				return err
			}
			row.Digest, row.Stage = "", "created"
			if err := tx.InsertVersion(row); err != nil {
				return err
			}
			row.Metrics = map[string]float64{"auc": reported}
			row.Digest = v.Digest
			// The files are those of version 1, which makes room for it.
			if err := tx.SetStage("m", 1, "trained", "rejected", row.StageAt); err != nil {
				return err
			}
			if err := tx.UpdateCreated(row); err != nil {
				return err
			}
			return tx.SetStage("m", row.Version, "created", "trained", row.StageAt)
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := h.Validate(t.Context(), gate.Request{Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		g := of(r, gate.AUCFloor)
		if _, ok := g.Evidence["trainer_difference"]; ok != flagged || strings.Contains(g.Summary, "trainer reported") != flagged ||
			g.Evidence["trainer_auc"] != fmt.Sprint(reported) || g.Outcome != gate.Pass {
			t.Errorf("reported %v: %+v", reported, g)
		}
	}
}
