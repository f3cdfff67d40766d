package loader_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/testmodels"
	"github.com/treeline-ml/treeline/loader"
)

// What contributions may be away from a library's own, as a part of the row's largest value. LightGBM computes in double
// precision by unwinding paths, XGBoost in single precision with 8 points for any depth.
const (
	lightgbmContributions = 1e-9
	xgboostContributions  = 1e-5
)

// explainedModels is how many models TestContributionsOfLibraries trains: about 5 seconds.
const explainedModels = 18

// Every model of the corpus with node weights: contributions add up to the margin.
func TestContributionsAddUp(t *testing.T) {
	none := 0
	for _, c := range corpus(t) {
		if c.Refused != "" {
			continue
		}
		m, err := loader.Open(c.Models[0])
		if err != nil {
			t.Fatal(err)
		}
		rows, err := c.Rows()
		if err != nil {
			t.Fatal(err)
		}
		p, err := engine.Compile(m, engine.Options{Contributions: true})
		if errors.Is(err, engine.ErrNoCover) {
			none++
			t.Logf("%s: %v", c.Name, err)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		contributions, _ := explain(t, p, m, rows, false)
		width := len(m.Features) + 1
		tolerance := 1e-12
		if p.Float32() {
			tolerance = 1e-5
		}
		for r := range rows.Len {
			for k, raw := range rows.Raw {
				sum, largest := 0.0, math.Abs(raw[r])
				for _, v := range contributions[(r*m.Outputs+k)*width:][:width] {
					sum += v
					largest = max(largest, math.Abs(v))
				}
				if !(math.Abs(sum-raw[r]) <= tolerance*largest) {
					t.Fatalf("%s, row %d: contributions add up to %v, the library's margin is %v", c.Name, r, sum, raw[r])
				}
			}
		}
	}
	if none > 0 {
		t.Errorf("%d models have no node weights", none)
	}
}

// explain returns the contributions, and with leaves those.
func explain(t *testing.T, p *engine.Program, m *forest.Model, rows *testmodels.Rows, leaves bool) ([]float64, []int32) {
	t.Helper()
	b := p.NewBlock()
	b.Reset(rows.Len)
	for i := range m.Features {
		column, _, err := input(&m.Features[i], &rows.Features[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Set(i, column); err != nil {
			t.Fatal(err)
		}
	}
	contributions := make([]float64, rows.Len*m.Outputs*(len(m.Features)+1))
	if err := p.ContributionsParallel(contributions, b, 2); err != nil {
		t.Fatal(err)
	}
	if !leaves {
		return contributions, nil
	}
	found := make([]int32, rows.Len*p.Trees())
	if err := p.LeavesParallel(found, b, 2); err != nil {
		t.Fatal(err)
	}
	return contributions, found
}

// Random models, trained by the installed libraries: contributions and leaf numbers are the libraries' own. Each run draws
// other models; TREELINE_LIVE_SEED repeats a run.
func TestContributionsOfLibraries(t *testing.T) {
	dir, err := testmodels.Dir()
	if err != nil {
		t.Fatal(err)
	}
	seed := time.Now().UnixNano() % 1e9
	if s := os.Getenv("TREELINE_LIVE_SEED"); s != "" {
		if seed, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatalf("TREELINE_LIVE_SEED: %v", err)
		}
	}
	out := t.TempDir()
	train := exec.CommandContext(t.Context(), python(t, dir), filepath.Join(dir, "explain.py"), out,
		strconv.FormatInt(seed, 10), strconv.Itoa(explainedModels))
	train.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if text, err := train.CombinedOutput(); err != nil {
		t.Fatalf("explain.py with seed %d: %v\n%s", seed, err, text)
	}
	cases, err := testmodels.CasesIn(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != explainedModels {
		t.Fatalf("%d models were trained, want %d", len(cases), explainedModels)
	}
	worst := map[string]float64{}
	for _, c := range cases {
		away := checkExplained(t, &c)
		worst[c.Library] = max(worst[c.Library], away)
		if t.Failed() {
			t.Fatalf("%s (%s) differs with TREELINE_LIVE_SEED=%d", c.Name, c.Objective, seed)
		}
	}
	t.Logf("TREELINE_LIVE_SEED=%d; furthest away: %v", seed, worst)
}

// checkExplained compares with what the library wrote, and returns how far contributions are away.
func checkExplained(t *testing.T, c *testmodels.Case) float64 {
	t.Helper()
	m, err := loader.Open(c.Models[0])
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	rows, err := c.Rows()
	if err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(m, engine.Options{Contributions: true, Leaves: true})
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	contributions, leaves := explain(t, p, m, rows, true)
	wantLeaves := make([]int32, len(leaves))
	readNumbers(t, filepath.Join(c.Dir, "leaves.i32"), wantLeaves)
	for i, want := range wantLeaves {
		if leaves[i] != want {
			t.Fatalf("%s: row %d, tree %d: leaf %d, the library says %d", c.Name, i/p.Trees(), i%p.Trees(), leaves[i], want)
		}
	}
	path := filepath.Join(c.Dir, "contributions.f64")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if c.Library != "scikit-learn" {
			t.Fatalf("%s: no contributions", c.Name)
		}
		return 0
	}
	tolerance := lightgbmContributions
	if c.Library == "xgboost" {
		tolerance = xgboostContributions
	}
	want := make([]float64, len(contributions))
	readNumbers(t, path, want)
	worst := 0.0
	for width := len(m.Features) + 1; len(want) > 0; want, contributions = want[width:], contributions[width:] {
		largest := 0.0
		for _, w := range want[:width] {
			largest = max(largest, math.Abs(w))
		}
		for f, w := range want[:width] {
			away := math.Abs(contributions[f]-w) / largest
			if largest == 0 {
				away = math.Abs(contributions[f])
			}
			worst = max(worst, away)
			if !(away <= tolerance) {
				t.Fatalf("%s: value %d from the end, feature %d: %v, the library says %v", c.Name, len(want), f, contributions[f], w)
			}
		}
	}
	return worst
}

// readNumbers fills to with a file's content.
func readNumbers(t *testing.T, path string, to any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := binary.Size(to); n != len(raw) {
		t.Fatalf("%s has %d bytes, want %d", path, len(raw), n)
	}
	if err := binary.Read(bytes.NewReader(raw), binary.NativeEndian, to); err != nil {
		t.Fatal(err)
	}
}
