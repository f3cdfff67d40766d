package loader_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/internal/testmodels"
	"github.com/treeline-ml/treeline/loader"
)

// liveModels is how many models a run trains: about 15 seconds.
const liveModels = 48

// TestLive trains random models with the installed libraries and compares margins and predictions bit for bit. Each run
// draws other models; TREELINE_LIVE_SEED repeats a run.
func TestLive(t *testing.T) {
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
	t.Logf("TREELINE_LIVE_SEED=%d", seed)
	out := t.TempDir()
	train := exec.CommandContext(t.Context(), python(t, dir), filepath.Join(dir, "live.py"), out,
		strconv.FormatInt(seed, 10), strconv.Itoa(liveModels))
	train.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if text, err := train.CombinedOutput(); err != nil {
		t.Fatalf("live.py with seed %d: %v\n%s", seed, err, text)
	}
	cases, err := testmodels.CasesIn(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) != liveModels {
		t.Fatalf("%d models were trained, want %d", len(cases), liveModels)
	}
	for _, c := range cases {
		rows, err := c.Rows()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range c.Models {
			m, err := loader.Open(path)
			if err != nil {
				t.Errorf("%s (%s): %v", c.Name, c.Objective, err)
				continue
			}
			checkScores(t, &c, m, rows)
			if t.Failed() {
				t.Fatalf("%s (%s, %s) differs with TREELINE_LIVE_SEED=%d", c.Name, c.Objective, filepath.Base(path), seed)
			}
		}
	}
}

// python returns the interpreter that has the libraries.
func python(t *testing.T, dir string) string {
	t.Helper()
	path := os.Getenv("TREELINE_PYTHON")
	if path == "" {
		path = filepath.Join(dir, "..", "..", ".venv", "bin", "python")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no Python with LightGBM and XGBoost at %s: run `make test`, which installs it, or set TREELINE_PYTHON",
			path)
	}
	return path
}
