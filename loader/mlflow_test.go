package loader_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
)

func inCorpus(parts ...string) string {
	return filepath.Join(append([]string{"..", "internal", "testmodels", "corpus"}, parts...)...)
}

func open(t *testing.T, path string) *forest.Model {
	t.Helper()
	m, err := loader.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// directory copies an MLflow directory of the corpus, so that it can be changed.
func directory(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(dir, os.DirFS(inCorpus(parts...))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func change(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(from)) {
		t.Fatalf("%s does not hold %q", path, from)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(b, []byte(from), []byte(to)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestMLflowPaths: the directory and its MLmodel are the same model, that of the file in it.
func TestMLflowPaths(t *testing.T) {
	dir := inCorpus("scikit-learn-1.9.1", "formats", "mlflow-skops")
	a, b := open(t, dir), open(t, filepath.Join(dir, "MLmodel"))
	if !reflect.DeepEqual(a, b) {
		t.Error("the directory and its MLmodel differ")
	}
	inside := open(t, filepath.Join(dir, "model.skops"))
	if !reflect.DeepEqual(a.Trees, inside.Trees) || !reflect.DeepEqual(a.Features, inside.Features) || inside.Provenance.Files != nil {
		t.Error("the directory and the file in it differ")
	}
	text, err := os.ReadFile(filepath.Join(dir, "MLmodel"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	p := a.Provenance
	if p.Digest != "sha256:"+hex.EncodeToString(sum[:]) || p.Format != "mlflow-sklearn-skops" ||
		!reflect.DeepEqual(p.Files, []forest.File{{Name: "MLmodel", Digest: p.Digest}, {Name: "model.skops", Digest: inside.Provenance.Digest}}) {
		t.Errorf("provenance %+v", p)
	}
	want := []string{"with space", "a=b", "größe µ", "100%+(x)", "\u65e5\u672c"}
	for i, in := range p.Inputs {
		if in.Name != want[i] || in.Type == "" || !in.Required {
			t.Errorf("input %+v, want %q", in, want[i])
		}
	}
	if len(p.Inputs) != len(want) {
		t.Errorf("%d inputs", len(p.Inputs))
	}
}

// TestMLflowNames: a nameless model takes the columns of the signature.
func TestMLflowNames(t *testing.T) {
	for path, want := range map[string]string{
		"scikit-learn-1.9.1/formats-nameless/mlflow-skops":       "c0 µ",
		"scikit-learn-1.9.1/formats-nameless/mlflow-cloudpickle": "c0 µ",
		"lightgbm-4.7.0/booster-mlflow-nameless/mlflow":          "c0 µ",
		"lightgbm-4.7.0/booster-mlflow-nameless/mlflow-plain":    "Column_0",
		"lightgbm-4.7.0/booster-mlflow/mlflow":                   "with space", // the model's file has an underscore
		"xgboost-3.4.1/booster-mlflow/mlflow":                    "c0 µ",
	} {
		if got := open(t, inCorpus(filepath.FromSlash(path))).Features[0].Name; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// TestMLflowOldBinary: MLflow 2.9 wrote XGBoost's old binary; a wrapper stops at the best round in it, too.
func TestMLflowOldBinary(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile(inCorpus("xgboost-1.7.6", "early-stopping", "model.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.xgb"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	text := "flavors:\n  python_function:\n    data: model.xgb\n    loader_module: mlflow.xgboost\n  xgboost:\n    code: null\n    data: model.xgb\n" +
		"    model_class: xgboost.core.Booster\n    model_format: xgb\n    xgb_version: 1.7.6\nmlflow_version: 2.9.2\n"
	if err := os.WriteFile(filepath.Join(dir, "MLmodel"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := open(t, dir)
	if m.Provenance.Format != "mlflow-xgboost-binary" || m.Stop != 0 || m.Classes != nil {
		t.Errorf("%+v, stop %d, classes %v", m.Provenance, m.Stop, m.Classes)
	}
}

// TestMLflowWrapper: the class of the MLmodel decides how a plain model file predicts.
func TestMLflowWrapper(t *testing.T) {
	dir := directory(t, "xgboost-3.4.1", "wrapper-early", "mlflow")
	wrapped := open(t, dir)
	best := wrapped.Provenance.BestIteration
	if best == nil || wrapped.Stop != *best+1 || wrapped.Stop >= wrapped.Iterations || len(wrapped.Classes) != 2 ||
		wrapped.Provenance.Estimator != "xgboost.sklearn.XGBClassifier" {
		t.Errorf("stop %d of %d, classes %v, %+v", wrapped.Stop, wrapped.Iterations, wrapped.Classes, wrapped.Provenance)
	}
	change(t, filepath.Join(dir, "MLmodel"), "xgboost.sklearn.XGBClassifier", "xgboost.core.Booster")
	plain := open(t, dir)
	if plain.Stop != 0 || plain.Classes != nil || len(plain.Trees) != len(wrapped.Trees) {
		t.Errorf("stop %d, classes %v", plain.Stop, plain.Classes)
	}
}

// TestMLflowErrors: what is wrong is placed at the file that is at fault.
func TestMLflowErrors(t *testing.T) {
	parts := []string{"scikit-learn-1.9.1", "formats", "mlflow-cloudpickle"}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		kind   error
		path   string // ends Error.Path
		text   string
	}{
		{"model gone", func(t *testing.T, dir string) { remove(t, dir, "model.pkl") }, loader.ErrMalformed, "MLmodel", "model.pkl"},
		{"MLmodel gone", func(t *testing.T, dir string) { remove(t, dir, "MLmodel") }, loader.ErrUnknown, "model", "without a file MLmodel"},
		{"another MLmodel", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "MLmodel"), "model.pkl", "other")
			text, err := os.ReadFile(filepath.Join(dir, "MLmodel"))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "other"), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}, loader.ErrMalformed, "MLmodel", "another MLmodel file"},
		{"link out", func(t *testing.T, dir string) {
			remove(t, dir, "model.pkl")
			if err := os.Symlink("/etc/hostname", filepath.Join(dir, "model.pkl")); err != nil {
				t.Fatal(err)
			}
		}, loader.ErrMalformed, "MLmodel", "model.pkl"},
		{"MLmodel is a link out", func(t *testing.T, dir string) {
			if err := os.Rename(filepath.Join(dir, "MLmodel"), dir+".yaml"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(dir+".yaml", filepath.Join(dir, "MLmodel")); err != nil {
				t.Fatal(err)
			}
		}, nil, "MLmodel", "escapes"},
		{"another library", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "MLmodel"), "  sklearn:\n", "  lightgbm:\n")
			change(t, filepath.Join(dir, "MLmodel"), "pickled_model:", "data:")
		}, loader.ErrMalformed, "MLmodel", "the file holds a model of scikit-learn"},
		{"damaged model", func(t *testing.T, dir string) {
			change(t, filepath.Join(dir, "model.pkl"), "left_child", "lost_child")
		}, loader.ErrMalformed, "model.pkl", "left_child"},
		{"hostile model", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "model.pkl"), []byte("\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R."), 0o600); err != nil {
				t.Fatal(err)
			}
		}, loader.ErrNotSupported, "model.pkl", "not supported: posix.system"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := directory(t, parts...)
			c.damage(t, dir)
			_, err := loader.Open(dir)
			var placed *loader.Error
			if !errors.As(err, &placed) || c.kind != nil && !errors.Is(err, c.kind) || !strings.HasSuffix(placed.Path, c.path) ||
				placed.Hint == "" || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%#v: %v", placed, err)
			}
		})
	}
	b, err := os.ReadFile(inCorpus(append(parts, "MLmodel")...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decode(b, loader.Limits{}); !errors.Is(err, loader.ErrUnknown) || !strings.Contains(err.Error(), "an MLmodel file alone") {
		t.Errorf("MLmodel without its directory: %v", err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// TestCompressions: the corpus has what joblib itself writes; lz4, which needs another Python package, is written here,
// and files that are compressed but no pickle are told to be unpacked.
func TestCompressions(t *testing.T) {
	pack := func(b []byte) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	plain, err := os.ReadFile(inCorpus("scikit-learn-1.9.1", "formats", "model.joblib"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := decode(plain, loader.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(pack(plain), loader.Limits{})
	if err != nil || !reflect.DeepEqual(got.Trees, want.Trees) {
		t.Errorf("lz4: %v", err)
	}
	_, err = decode(pack(tiny(t)["lightgbm-4.7.0/tiny/model.txt"]), loader.Limits{})
	var placed *loader.Error
	if !errors.As(err, &placed) || !errors.Is(err, loader.ErrUnknown) || !strings.Contains(placed.Hint, "unpack it first") {
		t.Errorf("a compressed text: %v", err)
	}
}
