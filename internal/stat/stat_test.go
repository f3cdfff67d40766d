package stat

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// draw makes rows whose scores rise with the label.
func draw(seed uint64, n int, lift float64) (scores []float64, labels []bool) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for range n {
		l := rng.Float64() < 0.3
		s := rng.NormFloat64()
		if l {
			s += lift
		}
		scores, labels = append(scores, s), append(labels, l)
	}
	return scores, labels
}

func TestAUCByHand(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		scores []float64
		labels []bool
		want   float64
	}{
		{[]float64{1, 2}, []bool{no, yes}, 1},
		{[]float64{2, 1}, []bool{no, yes}, 0},
		{[]float64{1, 1}, []bool{no, yes}, 0.5},
		{[]float64{0, math.Copysign(0, -1)}, []bool{no, yes}, 0.5},
		{[]float64{math.Inf(-1), 0, math.Inf(1), 0}, []bool{no, yes, yes, no}, 0.875},
		{[]float64{1, 2, 2, 3}, []bool{no, yes, no, yes}, 0.875},
	} {
		if got, err := AUC(c.scores, c.labels); err != nil || got != c.want {
			t.Errorf("AUC of %v is %v (%v), want %v", c.scores, got, err, c.want)
		}
	}
}

// Only the order of scores counts, and turning it round turns the AUC round.
func TestAUCInvariance(t *testing.T) {
	scores, labels := draw(1, 500, 1)
	want, _ := AUC(scores, labels)
	other, flipped := make([]float64, len(scores)), make([]float64, len(scores))
	for i, s := range scores {
		other[i], flipped[i] = math.Exp(s), -s
	}
	if got, _ := AUC(other, labels); got != want {
		t.Errorf("monotone scores have AUC %v, want %v", got, want)
	}
	if got, _ := AUC(flipped, labels); math.Abs(got-(1-want)) > 1e-15 {
		t.Errorf("negated scores have AUC %v, want %v", got, 1-want)
	}
	d, err := DeLong(scores, other, labels, Level)
	if err != nil || d.Delta != 0 || d.SE != 0 || d.P != 1 || d.Lower != 0 || d.Upper != 0 {
		t.Errorf("scores in the same order differ by %+v (%v)", d, err)
	}
	a, err := AUCInterval([]float64{1, 2, 3, 4}, []bool{false, false, true, true}, Level)
	if err != nil || a.Value != 1 || a.Lower != 1 || a.Upper != 1 {
		t.Errorf("a perfect score has %+v (%v)", a, err)
	}
}

// The 95 % interval of DeLong holds the true AUC in about 95 % of samples, and so does the bootstrap's the true mean.
func TestIntervalsCover(t *testing.T) {
	const lift, samples = 1.0, 400
	truth := 1 - 0.5*math.Erfc(lift/2) // P(N(lift,1) > N(0,1)) = Phi(lift/sqrt 2)
	held, boot := 0, 0
	for i := range uint64(samples) {
		scores, labels := draw(100+i, 300, lift)
		iv, err := AUCInterval(scores, labels, Level)
		if err != nil {
			t.Fatal(err)
		}
		if iv.Lower <= truth && truth <= iv.Upper {
			held++
		}
		rng := rand.New(rand.NewPCG(i, 2))
		a, b := make([]float64, 100), make([]float64, 100)
		for j := range a {
			a[j], b[j] = rng.NormFloat64()+1, rng.NormFloat64()
		}
		iv, err = PairedBootstrap(a, b, func(a, b float64) float64 { return a - b }, Bootstrap{Resamples: 300, Seed: i})
		if err != nil {
			t.Fatal(err)
		}
		if iv.Lower <= 1 && 1 <= iv.Upper {
			boot++
		}
	}
	// Three standard errors of a share of 400.
	for name, n := range map[string]int{"DeLong": held, "bootstrap": boot} {
		if share := float64(n) / samples; share < 0.91 || share > 0.985 {
			t.Errorf("%s: the interval holds the truth in %.3f of samples", name, share)
		}
	}
}

func TestBootstrap(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	n := 3 * bootstrapGroups
	a, b := make([]float64, n), make([]float64, n)
	for i := range a {
		x := rng.NormFloat64()
		a[i], b[i] = x*x+0.1*rng.NormFloat64(), x*x
	}
	before := slices.Clone(a)
	rmse := func(a, b float64) float64 { return math.Sqrt(a) - math.Sqrt(b) }
	x, err := PairedBootstrap(a, b, rmse, Bootstrap{Seed: 7, Resamples: 200})
	if err != nil {
		t.Fatal(err)
	}
	if y, _ := PairedBootstrap(a, b, rmse, Bootstrap{Seed: 7, Resamples: 200}); y != x {
		t.Errorf("the same seed gives %+v and %+v", x, y)
	}
	if !slices.Equal(a, before) {
		t.Error("the bootstrap changed its input")
	}
	// The standard error of the difference of means of independent noise: 0.1/sqrt(n), halved by the root's derivative.
	want := 0.1 / math.Sqrt(float64(n)) / 2
	if x.SE < 0.8*want || x.SE > 1.25*want || x.Lower > x.Value || x.Upper < x.Value {
		t.Errorf("%+v, want a standard error of %v", x, want)
	}
}

func TestRefusals(t *testing.T) {
	nan := math.NaN()
	two := []bool{true, false}
	for name, err := range map[string]error{
		"auc, one class":        second(AUC([]float64{1, 2}, []bool{true, true})),
		"auc, lengths":          second(AUC([]float64{1}, two)),
		"auc, NaN":              second(AUC([]float64{1, nan}, two)),
		"auc, nothing":          second(AUC(nil, nil)),
		"interval, one each":    second(AUCInterval([]float64{1, 2}, two, Level)),
		"delong, lengths":       second(DeLong([]float64{1, 2, 3, 4}, []float64{1}, []bool{true, true, false, false}, Level)),
		"brier, out of range":   second(Brier([]float64{1.1, 0}, two)),
		"log loss, NaN":         second(LogLoss([]float64{nan, 0}, two)),
		"ece, no bins":          second(ECE([]float64{1, 0}, two, 0)),
		"line, separated":       second(CalibrationLine([]float64{0.9, 0.1, 0.8, 0.2}, []bool{true, false, true, false})),
		"line, constant":        second(CalibrationLine([]float64{0.5, 0.5, 0.5}, []bool{true, false, true})),
		"bh, out of range":      second(BH([]float64{0.5, 2})),
		"ks, empty":             third(KS2(nil, []float64{1})),
		"ks, NaN":               third(KS2([]float64{1}, []float64{nan})),
		"psi, lengths":          third(PSI([]int64{1}, []int64{1, 2})),
		"psi, no rows":          third(PSI([]int64{0, 0}, []int64{1, 2})),
		"psi, negative":         third(PSI([]int64{-1, 2}, []int64{1, 2})),
		"js, infinite":          second(JensenShannon([]float64{1}, []float64{math.Inf(1)})),
		"js, nothing":           second(JensenShannon([]float64{0}, []float64{1})),
		"wasserstein, infinite": second(Wasserstein1([]float64{math.Inf(1)}, []float64{1})),
		"spearman, lengths":     second(Spearman([]float64{1}, nil)),
		"bootstrap, one row": second(PairedBootstrap([]float64{1}, []float64{1}, func(a, b float64) float64 { return a - b },
			Bootstrap{})),
		"chi-square, ragged": fourth(ChiSquare([][]int64{{1, 2}, {3}})),
		"chi-square, empty":  fourth(ChiSquare([][]int64{{0}})),
	} {
		if !errors.Is(err, ErrInput) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }
func fourth(_ float64, _ int, _ float64, err error) error {
	return err
}

func TestEdges(t *testing.T) {
	inf := math.Inf(1)
	if d, p, err := KS2([]float64{1}, []float64{2}); d != 1 || p != 1 || err != nil {
		t.Error("one value each says nothing:", d, p, err)
	}
	if d, _, _ := KS2([]float64{-inf, 0, inf}, []float64{-inf, math.Copysign(0, -1), inf}); d != 0 {
		t.Error("equal samples with infinities differ by", d)
	}
	if s, dof, p, err := ChiSquare([][]int64{{5, 0}, {7, 0}}); s != 0 || dof != 0 || p != 1 || err != nil {
		t.Error("one category:", s, dof, p, err)
	}
	if psi, bins, err := PSI([]int64{3, 0, 5}, []int64{3, 0, 5}); psi != 0 || bins != 2 || err != nil {
		t.Error("equal counts:", psi, bins, err)
	}
	if f := PSINoiseFloor(0, 5, 3); !math.IsInf(f, 1) {
		t.Error("no rows have a floor of", f)
	}
	if out, err := BH(nil); len(out) != 0 || err != nil {
		t.Error(out, err)
	}
	if r, err := Spearman([]float64{1, 1}, []float64{1, 2}); !math.IsNaN(r) || err != nil {
		t.Error("a constant correlates with", r, err)
	}
	if q := Quantile(0.975); math.Abs(q-1.959963984540054) > 1e-14 {
		t.Error("the .975 quantile is", q)
	}
}

// At most one in a thousand equal samples exceeds the noise floor: 1000 seeds, so that 6 would be a one-in-a-thousand
// event. The same with 20 bins and 200 rows exceeds the usual .1 nearly always.
func TestNoiseFloorHolds(t *testing.T) {
	over, usual := 0, 0
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 9))
		ref, cur := make([]int64, 20), make([]int64, 20)
		for range 200 {
			ref[rng.IntN(20)]++
			cur[rng.IntN(20)]++
		}
		psi, bins, err := PSI(ref, cur)
		if err != nil {
			t.Fatal(err)
		}
		if psi > PSINoiseFloor(200, 200, bins) {
			over++
		}
		if psi > 0.1 {
			usual++
		}
	}
	if over > 6 {
		t.Errorf("%d of 1000 equal samples exceed the noise floor", over)
	}
	if usual < 900 {
		t.Errorf("%d of 1000 equal samples exceed .1: the trap that the floor is for is gone", usual)
	}
}

func BenchmarkDeLong(b *testing.B) {
	x, labels := draw(1, 1_000_000, 1)
	y, _ := draw(2, 1_000_000, 1)
	for b.Loop() {
		if _, err := DeLong(x, y, labels, Level); err != nil {
			b.Fatal(err)
		}
	}
}
