package engine_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// linkModel is a model without trees: its margins are what Predict is given.
func linkModel(kind forest.LinkKind, outputs int, t forest.FloatType, slope, divisor float64) *forest.Model {
	return &forest.Model{
		Outputs: outputs, Base: make([]float64, outputs), Scale: 1, Arithmetic: forest.Arithmetic{Sum: t, Input: t},
		Link: forest.Link{Kind: kind, Slope: slope, Divisor: divisor, Type: t},
	}
}

var linkKinds = map[string]forest.LinkKind{
	"Identity": forest.Identity, "Sigmoid": forest.Sigmoid, "Softmax": forest.Softmax, "OneVsAll": forest.OneVsAll,
	"Exp": forest.Exp, "Log1pExp": forest.Log1pExp, "SignedSquare": forest.SignedSquare, "Hinge": forest.Hinge,
	"ArgMax": forest.ArgMax, "Ascending": forest.Ascending,
}

// The golden file holds what LightGBM and XGBoost themselves made of margins (see testdata/links.py).
func TestLinksAreTheLibraries(t *testing.T) {
	data, err := os.ReadFile("testdata/links.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Library     string    `json:"Library"`
		Link        string    `json:"Link"`
		Outputs     int       `json:"Outputs"`
		Slope       float64   `json:"Slope"`
		Divisor     float64   `json:"Divisor"`
		Margins     []float64 `json:"Margins"`
		Predictions []string  `json:"Predictions"`
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, c := range cases {
		t.Run(c.Library+" "+c.Link, func(t *testing.T) {
			kind, ok := linkKinds[c.Link]
			if !ok || len(c.Margins) < 100 {
				t.Fatalf("golden case %q has %d margins", c.Link, len(c.Margins))
			}
			seen[c.Link] = true
			typ := forest.Float64
			if c.Library == "xgboost" {
				typ = forest.Float32
			}
			p, err := engine.Compile(linkModel(kind, c.Outputs, typ, c.Slope, c.Divisor), engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float64, len(c.Margins)/c.Outputs*p.Width())
			if err := p.Predict(got, c.Margins); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.Predictions) {
				t.Fatalf("%d predictions, the library made %d", len(got), len(c.Predictions))
			}
			bad := 0
			for i, text := range c.Predictions {
				want, err := strconv.ParseFloat(text, 64)
				if err != nil {
					t.Fatal(err)
				}
				if math.Float64bits(got[i]) != math.Float64bits(want) {
					if bad++; bad < 5 {
						t.Errorf("value %d: got %x, the library %x", i, got[i], want)
					}
				}
			}
			if bad > 0 {
				t.Errorf("%d of %d differ", bad, len(got))
			}
		})
	}
	for name := range linkKinds {
		if !seen[name] {
			t.Errorf("no golden case for %s", name)
		}
	}
}

func TestPredictShapes(t *testing.T) {
	p, err := engine.Compile(linkModel(forest.Softmax, 3, forest.Float64, 1, 1), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{{3, 4}, {4, 3}, {0, 3}, {6, 3}} {
		if err := p.Predict(make([]float64, c[0]), make([]float64, c[1])); !errors.Is(err, engine.ErrShape) {
			t.Errorf("dst %d, margins %d: got %v, want ErrShape", c[0], c[1], err)
		}
	}
	if err := p.Predict(nil, nil); err != nil {
		t.Errorf("no rows: %v", err)
	}
}

func TestPredictInPlace(t *testing.T) {
	p, err := engine.Compile(linkModel(forest.Softmax, 3, forest.Float64, 1, 2), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	margins := []float64{1, 2, 3, -4, 0, 800}
	want := make([]float64, 6)
	if err := p.Predict(want, margins); err != nil {
		t.Fatal(err)
	}
	if err := p.Predict(margins, margins); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if margins[i] != want[i] {
			t.Errorf("value %d: in place %v, apart %v", i, margins[i], want[i])
		}
	}
}

func TestArgMaxTakesTheFirstLargest(t *testing.T) {
	p, err := engine.Compile(linkModel(forest.ArgMax, 3, forest.Float32, 1, 1), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, 3)
	if err := p.Predict(got, []float64{1, 2, 2, 5, 5, 5, -1, -3, -2}); err != nil {
		t.Fatal(err)
	}
	if got[0] != 1 || got[1] != 0 || got[2] != 0 {
		t.Errorf("got %v, want [1 0 0]", got)
	}
}

// What XGBoost 3.4.1 returns for these base margins under reg:quantileerror: a NaN stays and is a wall, 0 and -0 keep
// their order.
func TestAscendingStopsAtNaN(t *testing.T) {
	nan, inf, zero := math.NaN(), math.Inf(1), math.Copysign(0, -1)
	margins := []float64{
		nan, nan, nan, nan, nan,
		1, nan, 0, -1, -2,
		nan, 3, 2, 1, 0,
		9, inf, -inf, nan, -9,
		0, zero, 0, zero, -9,
		-9, 9, nan, 1, -9,
	}
	want := []float64{
		nan, nan, nan, nan, nan,
		1, nan, -2, -1, 0,
		nan, 0, 1, 2, 3,
		-inf, 9, inf, nan, -9,
		-9, 0, zero, 0, zero,
		-9, 9, nan, -9, 1,
	}
	p, err := engine.Compile(linkModel(forest.Ascending, 5, forest.Float32, 1, 1), engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]float64, len(margins))
	if allocs := testing.AllocsPerRun(20, func() {
		if err := p.Predict(got, margins); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("Predict allocates %v times", allocs)
	}
	for i := range want {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) && !(math.IsNaN(got[i]) && math.IsNaN(want[i])) {
			t.Errorf("row %d, value %d: got %v, XGBoost %v", i/5, i%5, got[i], want[i])
		}
	}
}

func TestPredictParallel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for name, kind := range linkKinds {
		p := mustCompile(t, linkModel(kind, 3, forest.Float32, 1, 1), engine.Options{})
		for _, rows := range []int{0, 1, 4096, 9001} {
			margins := make([]float64, 3*rows)
			for i := range margins {
				margins[i] = float64(float32(rng.NormFloat64()))
			}
			want, got := make([]float64, rows*p.Width()), make([]float64, rows*p.Width())
			if err := errors.Join(p.Predict(want, margins), p.PredictParallel(got, margins, 3)); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d rows differ", name, rows)
			}
			if rows > 0 && !errors.Is(p.PredictParallel(got[1:], margins, 2), engine.ErrShape) {
				t.Errorf("%s: a short dst is accepted", name)
			}
		}
	}
}
