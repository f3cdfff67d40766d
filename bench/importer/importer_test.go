package importer_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/bench/importer"
	"github.com/treeline-ml/treeline/engine"
)

// TestLibraries trains small models with the libraries and compares every row's prediction bit for bit.
func TestLibraries(t *testing.T) {
	dir := t.TempDir()
	train := exec.CommandContext(t.Context(), python(t), "testdata/train.py", dir)
	train.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	if text, err := train.CombinedOutput(); err != nil {
		t.Fatalf("train.py: %v\n%s", err, text)
	}
	for _, c := range []struct {
		name   string
		single bool
	}{{"hist", false}, {"catboost", true}, {"catboost-scaled", true}} {
		t.Run(c.name, func(t *testing.T) {
			m, err := importer.Open(filepath.Join(dir, c.name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			p, err := engine.Compile(m, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			columns, want := floats(t, filepath.Join(dir, "columns")), floats(t, filepath.Join(dir, c.name+".expected"))
			b, n := p.NewBlock(), len(want)
			b.Reset(n)
			for f := range p.Features() {
				if err := b.Set(f, column(columns[f*n:(f+1)*n], c.single)); err != nil {
					t.Fatal(err)
				}
			}
			got := make([]float64, n)
			if err := p.Score(got, b); err != nil {
				t.Fatal(err)
			}
			if err := p.Predict(got, got); err != nil {
				t.Fatal(err)
			}
			for r := range got {
				if math.Float64bits(got[r]) != math.Float64bits(want[r]) {
					t.Fatalf("row %d: %v, the library gives %v", r, got[r], want[r])
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, text := range map[string]string{
		"not JSON":          `tree`,
		"another format":    `{"trees": []}`,
		"short column":      `{"format": "hist-gradient-boosting", "features": 1, "trees": [{"leaf": [1], "value": []}]}`,
		"child out of tree": `{"format": "hist-gradient-boosting", "features": 1, "trees": [{"feature": [0], "threshold": ["1"], "missing_left": [0], "left": [7], "right": [1], "leaf": [0], "value": [0]}]}`,
		"leaves and splits": `{"oblivious_trees": [{"leaf_values": [1, 2, 3], "splits": []}], "scale_and_bias": [1, [0]]}`,
		"unknown split":     `{"oblivious_trees": [{"leaf_values": [1, 2], "splits": [{"split_type": "OneHotFeature"}]}], "scale_and_bias": [1, [0]]}`,
		"no scale":          `{"oblivious_trees": []}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := importer.Open(path); !errors.Is(err, importer.ErrFormat) {
				t.Errorf("error %v, want ErrFormat", err)
			}
		})
	}
	if _, err := importer.Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v of a missing file", err)
	}
}

func column(v []float64, single bool) engine.Column {
	if !single {
		return engine.Float64s(v)
	}
	s := make([]float32, len(v))
	for i := range v {
		s[i] = float32(v[i])
	}
	return engine.Float32s(s)
}

func floats(t *testing.T, path string) []float64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float64, len(data)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return v
}

func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("TREELINE_PYTHON")
	if path == "" {
		path = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no Python with CatBoost and scikit-learn at %s: run `make test`, which installs it, or set TREELINE_PYTHON", path)
	}
	return path
}
