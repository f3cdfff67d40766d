package monitor

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/stat"
)

func normals(rng *rand.Rand, n int, mean float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = rng.NormFloat64() + mean
	}
	return out
}

// compared detects on one numeric column.
func compared(t *testing.T, ref, cur []float64, o Options) (Report, FeatureDrift) {
	t.Helper()
	a := profileOf(t, nil, numbers(ref))
	b := profileOf(t, a.FrozenBins(), numbers(cur))
	r, err := Detect(a, b, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, r.Features[0]
}

// M4: equal distributions, at sizes from few to many rows, with nulls, ties and categories: at most one alarm in a hundred
// over 1000 seeds; also with many features at once.
func TestNullFalseAlarms(t *testing.T) {
	alarms, features, warned := 0, 0, 0
	names := []string{"normal", "nulls", "nan", "integer", "text", "boolean", "infinite"}
	sizes := [][2]int{{60, 60}, {200, 200}, {1000, 300}, {300, 2000}}
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 33))
		size := sizes[seed%4]
		name := []string{names[rng.IntN(len(names))], names[rng.IntN(len(names))]}
		if name[0] == name[1] {
			name = name[:1]
		}
		a := profileOf(t, nil, frame(rng, name, size[0], nil))
		b := profileOf(t, a.FrozenBins(), frame(rng, name, size[1], nil))
		r, err := Detect(a, b, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		switch r.Verdict {
		case Drift:
			alarms++
		case Warn:
			warned++
		case None, Inconclusive:
		}
		features += len(r.Features)
	}
	t.Logf("%d alarms and %d warnings in 1000 comparisons of %d features", alarms, warned, features)
	if alarms+warned > 10 {
		t.Errorf("%d alarms and %d warnings in 1000 comparisons of equal distributions", alarms, warned)
	}
}

// What must be found is found.
func TestDriftIsFound(t *testing.T) {
	missed := 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 34))
		if r, _ := compared(t, normals(rng, 2000, 0), normals(rng, 2000, 1), Options{}); r.Verdict != Drift || !r.OverallDrift {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%d of 200 shifts by a standard deviation are missed", missed)
	}
}

// Trap: PSI with 20 bins and 200 rows exceeds .1 in nearly all null cases. Ten bins of 200 rows often do as well; the noise
// floor keeps quiet, and says why.
func TestTrapFewRows(t *testing.T) {
	over, alarms := 0, 0
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 35))
		_, f := compared(t, normals(rng, 120, 0), normals(rng, 120, 0), Options{})
		if f.PSI > WarnPSI {
			over++
			if f.Verdict == None && !strings.Contains(f.Reason, "noise floor") {
				t.Errorf("reason is %q", f.Reason)
			}
		}
		if f.Verdict != None {
			alarms++
		}
	}
	if over < 100 || alarms > 4 {
		t.Errorf("%d of 200 exceed .1, %d alarms", over, alarms)
	}
}

// Trap: a one-sample chi-square takes the reference's shares for the truth and gives false alarms in a third of the cases.
func TestTrapOneSampleChiSquare(t *testing.T) {
	one, two := 0, 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 36))
		a := profileOf(t, nil, frame(rng, []string{"text"}, 200, nil))
		b := profileOf(t, a.FrozenBins(), frame(rng, []string{"text"}, 1000, nil))
		r, err := Detect(a, b, Options{Mode: ModePValue}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OverallDrift {
			two++
		}
		x, y := a.Features[0].counts(), b.Features[0].counts()
		table := [][]int64{make([]int64, len(x)), make([]int64, len(x))}
		var statistic float64
		used := 0
		for i := range x {
			if x[i] == 0 {
				continue
			}
			used++
			expected := float64(x[i]) / 200 * 1000
			statistic += (float64(y[i]) - expected) * (float64(y[i]) - expected) / expected
			table[0][i], table[1][i] = x[i], y[i]
		}
		// The .95 quantile of chi-square with so many degrees of freedom, by Wilson and Hilferty.
		k := float64(used - 1)
		z := 1 - 2/(9*k) + stat.Quantile(0.95)*math.Sqrt(2/(9*k))
		if statistic > k*z*z*z {
			one++
		}
	}
	if one < 120 {
		t.Errorf("the one-sample test alarms in %d of 400 null cases: the trap is gone", one)
	}
	if two > 40 { // 20 are expected at .05; 40 would be 4.5 standard deviations
		t.Errorf("the two-sample test alarms in %d of 400 null cases", two)
	}
}

// Trap: bins of equal width over both samples hide a shift behind one outlier; frozen quantile bins do not.
func TestTrapOutlier(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 37))
	ref, cur := normals(rng, 5000, 0), normals(rng, 5000, 1)
	_, clean := compared(t, ref, cur, Options{})
	cur[17] = 1e6
	_, f := compared(t, ref, cur, Options{})
	if f.Verdict != Drift || math.Abs(f.PSI-clean.PSI) > 0.01 {
		t.Errorf("PSI %v with an outlier, %v without", f.PSI, clean.PSI)
	}
	// The trap itself.
	low, high := slices.Min(ref), 1e6
	a, b := make([]int64, 10), make([]int64, 10)
	for i := range ref {
		a[min(9, int((ref[i]-low)/(high-low)*10))]++
		b[max(0, min(9, int((cur[i]-low)/(high-low)*10)))]++
	}
	if psi, _, err := stat.PSI(a, b); err != nil || psi > 0.01 {
		t.Errorf("bins of equal width see PSI %v (%v): the trap is gone", psi, err)
	}
}

// Trap: dropping NaN hides a feature that turned 40 % null.
func TestTrapNulls(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 38))
	ref, cur := normals(rng, 2000, 0), normals(rng, 2000, 0)
	for i := range cur {
		if i%5 < 2 {
			cur[i] = math.NaN()
		}
	}
	r, f := compared(t, ref, cur, Options{})
	if r.Verdict != Drift || f.NullRateCur != 0.4 || f.PSI < ActPSI {
		t.Errorf("%+v", f)
	}
	// The test that leaves them out sees nothing.
	if f.PValue < 0.001 {
		t.Errorf("Kolmogorov-Smirnov without the nulls has p %v: the trap is gone", f.PValue)
	}
	// A few points more are an alarm by their own rule, though the PSI is small.
	for i := range cur {
		cur[i] = rng.NormFloat64()
		if i%25 == 0 && i < 1500 {
			cur[i] = math.NaN()
		}
	}
	if _, f := compared(t, ref, cur, Options{}); f.Verdict != Drift || !strings.Contains(f.Reason, "nulls rose from 0.0 % to 3.0 %") {
		t.Errorf("%+v", f)
	}
}

// With 50 features and no drift the p-value mode alarms nearly always, the default mode does not.
func TestModesOnManyFeatures(t *testing.T) {
	p, psi, flagged := 0, 0, 0
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 39))
		make50 := func() arrow.Record {
			var fields []arrow.Field
			var columns []arrow.Array
			for i := range 50 {
				fields = append(fields, arrow.Field{Name: fmt.Sprint("f", i), Type: arrow.PrimitiveTypes.Float64, Nullable: true})
				columns = append(columns, numbers(normals(rng, 500, 0)).Column(0))
			}
			return array.NewRecord(arrow.NewSchema(fields, nil), columns, 500)
		}
		ref, cur := make50(), make50()
		a := profileOf(t, nil, ref)
		r, err := Detect(a, profileOf(t, a.FrozenBins(), cur), Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.OverallDrift {
			psi++
		}
		for _, f := range r.Features {
			if f.Verdict != None {
				flagged++
			}
		}
		all, err := DriftDetector{}.Detect([]arrow.Record{ref}, []arrow.Record{cur})
		if err != nil {
			t.Fatal(err)
		}
		if all.OverallDrift {
			p++
		}
	}
	// 37 are expected: 1 - .95^50.
	if p < 30 || psi > 0 {
		t.Errorf("of 40 null cases with 50 features any p < .05 alarms in %d, the default mode in %d", p, psi)
	}
	if flagged > 10 { // of 2000
		t.Errorf("%d of 2000 features are flagged without any drift", flagged)
	}
}

func TestWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 40))
	names := []string{"normal", "integer", "text", "single"}
	a := profileOf(t, nil, frame(rng, names, 2000, nil))
	cur := frame(rng, names, 2000, []bool{false, true, false, false})
	b := profileOf(t, a.FrozenBins(), cur)
	for _, c := range []struct {
		importance map[string]float64
		share      float64
		want       Verdict
	}{
		{nil, 0.25, Warn}, // one feature of four
		{map[string]float64{"normal": 7, "integer": 3}, 0.3, Drift},
		{map[string]float64{"normal": 70, "integer": 29}, 29.0 / 99, Warn},
		{map[string]float64{"integer": 0, "text": 1}, 0, Warn},
		{map[string]float64{"integer": math.NaN(), "text": math.Inf(1)}, 0.25, Warn},
	} {
		r, err := Detect(a, b, Options{}, c.importance)
		if err != nil || r.Verdict != c.want || math.Abs(r.Share-c.share) > 1e-12 || r.OverallDrift != (c.want == Drift) {
			t.Errorf("%v: verdict %s, share %v, want %s and %v (%v)", c.importance, r.Verdict, r.Share, c.want, c.share, err)
		}
		if r.Features[0].Feature != "integer" || !strings.Contains(r.Summary, "integer") {
			t.Errorf("the first feature is %s; %s", r.Features[0].Feature, r.Summary)
		}
	}
	for _, o := range []Options{{Mode: "luck"}, {PThreshold: 2}, {Share: -1}, {Share: math.NaN()}} {
		if _, err := Detect(a, b, o, nil); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestUnseenCategories(t *testing.T) {
	var ref, cur []string
	for i := range 2000 {
		ref = append(ref, fmt.Sprint("k", i%40))
		cur = append(cur, fmt.Sprint("k", i%40))
		if i%25 == 0 {
			cur[i] = "new"
		}
	}
	a := profileOf(t, nil, texts(ref))
	b := profileOf(t, a.FrozenBins(), texts(cur))
	r, err := Detect(a, b, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f := r.Features[0]; f.Verdict != Drift || f.UnseenRate != 0.04 || !strings.Contains(f.Reason, "4.0 % of the rows are in categories") {
		t.Errorf("%+v", f)
	}
	// A key has a new value in every row, in training as in production: no drift.
	ref, cur = nil, nil
	for i := range 1000 {
		ref, cur = append(ref, fmt.Sprint("a", i)), append(cur, fmt.Sprint("b", i))
	}
	a = profileOf(t, nil, texts(ref))
	b = profileOf(t, a.FrozenBins(), texts(cur))
	if r, err = Detect(a, b, Options{}, nil); err != nil || strings.Contains(r.Features[0].Reason, "categories that") {
		t.Errorf("%+v (%v)", r.Features[0], err)
	}
}

func TestNothingToCompare(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 41))
	a := profileOf(t, nil, numbers(normals(rng, 100, 0)))
	few := profileOf(t, a.FrozenBins(), numbers(normals(rng, 20, 0)))
	other := profileOf(t, nil, numbers(normals(rng, 100, 0)))
	lacking := profileOf(t, nil, texts([]string{"a"}))
	for text, cur := range map[string]Profile{"want 50 on both sides": few, "other bins": other, "lack it": lacking} {
		r, err := Detect(a, cur, Options{}, nil)
		if err != nil || r.Verdict != Inconclusive || r.OverallDrift || !strings.Contains(r.Summary, text) {
			t.Errorf("%+v (%v), want %q", r, err, text)
		}
	}
	if r, err := Detect(Profile{}, a, Options{}, nil); err != nil || r.Verdict != Inconclusive {
		t.Errorf("%+v (%v)", r, err)
	}
	// So few rows that chance alone reaches the threshold.
	thin := profileOf(t, a.FrozenBins(), numbers(normals(rng, 60, 0)))
	if r, err := Detect(a, thin, Options{}, nil); err != nil || r.Verdict != Inconclusive || !strings.Contains(r.Summary, "Too few rows") {
		t.Errorf("%+v (%v)", r, err)
	}
}

func TestGainShares(t *testing.T) {
	m := &forest.Model{Features: []forest.Feature{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	if GainShares(m) != nil {
		t.Error("a model without gains has shares")
	}
	m.Trees = []forest.Tree{
		{Nodes: []forest.Node{{Feature: 0}, {Feature: 1}}, Gain: []float64{3, 1}},
		{Nodes: []forest.Node{{Feature: 0}}, Gain: []float64{4}},
	}
	if got := fmt.Sprint(GainShares(m)); got != "map[a:0.875 b:0.125 c:0]" {
		t.Error(got)
	}
}
