package stat

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"testing"
)

// goldens is testdata/goldens.json, made by testdata/generate.py with scipy and scikit-learn.
type goldens struct {
	Binary []struct {
		A, B   []float64
		Labels []bool
		DeLong struct {
			A, B, Delta, SE, Lower, Upper, P float64
			SEA                              float64 `json:"se_a"`
			LowerA                           float64 `json:"lower_a"`
			UpperA                           float64 `json:"upper_a"`
		}
		AUC              float64
		AveragePrecision float64 `json:"average_precision"`
		Brier            float64
		LogLoss          float64 `json:"log_loss"`
		ECE              map[string]float64
		Line             []float64
		Thresholds       []struct{ At, Precision, Recall, F1 float64 }
	}
	Samples []struct {
		A, B              []float64
		D, P, Wasserstein float64
	}
	Tails  [][3]float64
	Tables []struct {
		Table     [][]int64
		Statistic float64
		DOF       int
		P         float64
	}
	Distributions []struct {
		Ref, Cur       []int64
		PSI, Floor, JS float64
		Bins           int
	}
	Corrected []struct{ P, BH []float64 }
	Ranks     []struct {
		A, B []float64
		Rho  float64
	}
}

func load(t *testing.T) goldens {
	t.Helper()
	b, err := os.ReadFile("testdata/goldens.json")
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(b, &g); err != nil { //nolint:musttag // the fields that differ from their keys have tags
		t.Fatal(err)
	}
	if len(g.Binary) == 0 || len(g.Samples) == 0 || len(g.Tails) == 0 || len(g.Tables) == 0 || len(g.Distributions) == 0 ||
		len(g.Corrected) == 0 || len(g.Ranks) == 0 {
		t.Fatal("goldens are missing; run testdata/generate.py")
	}
	return g
}

// check collects the largest errors by figure, to be held against docs/format/statistics.md.
type check struct {
	t     *testing.T
	worst map[string]float64
}

func newCheck(t *testing.T) *check { return &check{t, map[string]float64{}} }

// absolute and relative compare a figure with its oracle.
func (c *check) absolute(figure string, got, want, tolerance float64, where string) {
	c.t.Helper()
	c.worst[figure] = max(c.worst[figure], math.Abs(got-want))
	if !(math.Abs(got-want) <= tolerance) {
		c.t.Errorf("%s, %s: %v, want %v (off by %g)", where, figure, got, want, got-want)
	}
}

func (c *check) relative(figure string, got, want, tolerance float64, where string) {
	c.t.Helper()
	if want == 0 || math.Abs(want) < 1e-300 {
		c.absolute(figure, got, want, 1e-300, where)
		return
	}
	c.absolute(figure, got/want, 1, tolerance, where)
}

func (c *check) done() {
	for f, e := range c.worst {
		c.t.Logf("%s: largest error %.2g", f, e)
	}
}

func TestBinary(t *testing.T) {
	c := newCheck(t)
	for i, g := range load(t).Binary {
		where := fmt.Sprintf("case %d", i)
		must := func(v float64, err error) float64 {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			return v
		}
		c.absolute("auc", must(AUC(g.A, g.Labels)), g.AUC, 1e-12, where)
		iv, err := AUCInterval(g.A, g.Labels, Level)
		must(0, err)
		c.absolute("auc", iv.Value, g.AUC, 1e-12, where)
		c.absolute("auc se", iv.SE, g.DeLong.SEA, 1e-9, where)
		c.absolute("auc bounds", iv.Lower, g.DeLong.LowerA, 1e-9, where)
		c.absolute("auc bounds", iv.Upper, g.DeLong.UpperA, 1e-9, where)
		d, err := DeLong(g.A, g.B, g.Labels, Level)
		must(0, err)
		c.absolute("auc", d.B, g.DeLong.B, 1e-12, where)
		c.absolute("delong delta", d.Delta, g.DeLong.Delta, 1e-9, where)
		c.absolute("delong se", d.SE, g.DeLong.SE, 1e-9, where)
		c.absolute("delong bounds", d.Lower, g.DeLong.Lower, 1e-9, where)
		c.absolute("delong bounds", d.Upper, g.DeLong.Upper, 1e-9, where)
		c.absolute("delong p", d.P, g.DeLong.P, 1e-9, where)
		c.absolute("average precision", must(AveragePrecision(g.A, g.Labels)), g.AveragePrecision, 1e-12, where)
		c.absolute("brier", must(Brier(g.A, g.Labels)), g.Brier, 1e-12, where)
		c.absolute("log loss", must(LogLoss(g.A, g.Labels)), g.LogLoss, 1e-12, where)
		for bins, want := range g.ECE {
			n, _ := strconv.Atoi(bins)
			c.absolute("ece", must(ECE(g.A, g.Labels, n)), want, 1e-12, where+", "+bins+" bins")
		}
		if g.Line != nil {
			l, err := CalibrationLine(g.A, g.Labels)
			must(0, err)
			c.absolute("calibration line", l.Intercept, g.Line[0], 1e-6, where)
			c.absolute("calibration line", l.Slope, g.Line[1], 1e-6, where)
		}
		for _, th := range g.Thresholds {
			m, err := At(g.A, g.Labels, th.At)
			must(0, err)
			c.absolute("precision, recall, f1", m.Precision(), th.Precision, 1e-15, where)
			c.absolute("precision, recall, f1", m.Recall(), th.Recall, 1e-15, where)
			c.absolute("precision, recall, f1", m.F1(), th.F1, 1e-15, where)
		}
	}
	c.done()
}

func TestSamples(t *testing.T) {
	c := newCheck(t)
	g := load(t)
	for i, s := range g.Samples {
		where := fmt.Sprintf("case %d", i)
		d, p, err := KS2(s.A, s.B)
		if err != nil {
			t.Fatal(err)
		}
		c.absolute("ks d", d, s.D, 1e-15, where)
		c.relative("ks p", p, s.P, 1e-9, where)
		w, err := Wasserstein1(s.A, s.B)
		if err != nil {
			t.Fatal(err)
		}
		c.absolute("wasserstein", w, s.Wasserstein, 1e-12, where)
	}
	for _, s := range g.Tails {
		c.relative("kolmogorov tail", KolmogorovTail(int64(s[0]), s[1]), s[2], 1e-9, fmt.Sprint(s))
	}
	c.done()
}

func TestTables(t *testing.T) {
	c := newCheck(t)
	for i, g := range load(t).Tables {
		where := fmt.Sprintf("case %d", i)
		s, dof, p, err := ChiSquare(g.Table)
		if err != nil || dof != g.DOF {
			t.Fatalf("%s: %d degrees of freedom, want %d (%v)", where, dof, g.DOF, err)
		}
		if g.Statistic < 1e-9 {
			c.absolute("chi-square of independent", s, g.Statistic, 1e-12, where)
		} else {
			c.relative("chi-square", s, g.Statistic, 1e-12, where)
		}
		c.relative("chi-square p", p, g.P, 1e-9, where)
	}
	c.done()
}

func TestDistributions(t *testing.T) {
	c := newCheck(t)
	g := load(t)
	for i, d := range g.Distributions {
		where := fmt.Sprintf("case %d", i)
		psi, bins, err := PSI(d.Ref, d.Cur)
		if err != nil || bins != d.Bins {
			t.Fatalf("%s: %d bins, want %d (%v)", where, bins, d.Bins, err)
		}
		c.absolute("psi", psi, d.PSI, 1e-12, where)
		var n, m int64
		a, b := make([]float64, len(d.Ref)), make([]float64, len(d.Ref))
		for j := range a {
			n, m, a[j], b[j] = n+d.Ref[j], m+d.Cur[j], float64(d.Ref[j]), float64(d.Cur[j])
		}
		c.relative("psi noise floor", PSINoiseFloor(n, m, bins), d.Floor, 1e-9, where)
		js, err := JensenShannon(a, b)
		if err != nil {
			t.Fatal(err)
		}
		c.absolute("jensen-shannon", js, d.JS, 1e-12, where)
	}
	for i, b := range g.Corrected {
		got, err := BH(b.P)
		if err != nil {
			t.Fatal(err)
		}
		for j := range got {
			c.absolute("benjamini-hochberg", got[j], b.BH[j], 1e-12, fmt.Sprintf("case %d, p %d", i, j))
		}
	}
	for i, r := range g.Ranks {
		rho, err := Spearman(r.A, r.B)
		if err != nil {
			t.Fatal(err)
		}
		c.absolute("spearman", rho, r.Rho, 1e-12, fmt.Sprintf("case %d", i))
	}
	c.done()
}
