package loader_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/loader"
)

// TestContentDecides: the name of a file says nothing.
func TestContentDecides(t *testing.T) {
	want := map[string]string{
		".txt": "lightgbm-text", ".json": "xgboost-json", ".ubj": "xgboost-ubjson", ".bin": "xgboost-binary",
		".pkl": "sklearn-pickle", ".joblib": "sklearn-pickle", ".skops": "sklearn-skops",
	}
	for name, b := range tiny(t) {
		for _, wrong := range []string{"model.pkl", "model.json", "model.ubj", "model.txt", "model"} {
			path := filepath.Join(t.TempDir(), wrong)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			m, err := loader.Open(path)
			if err != nil {
				t.Errorf("%s as %s: %v", name, wrong, err)
				continue
			}
			if got := m.Provenance.Format; got != want[filepath.Ext(name)] {
				t.Errorf("%s as %s is %s", name, wrong, got)
			}
			if got, want := m.Provenance.Digest, fmt.Sprintf("sha256:%x", sha256.Sum256(b)); got != want {
				t.Errorf("%s has digest %s, want %s", name, got, want)
			}
		}
	}
}

// TestReaders: how the bytes arrive changes nothing, the digest included.
func TestReaders(t *testing.T) {
	for name, b := range tiny(t) {
		want, err := decode(b, loader.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for how, r := range map[string]io.Reader{
			"one byte at a time": iotest.OneByteReader(bytes.NewReader(b)),
			"half":               iotest.HalfReader(bytes.NewReader(b)),
			"end with data":      iotest.DataErrReader(bytes.NewReader(b)),
		} {
			got, err := loader.Decode(r, -1, loader.Options{})
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: another model", name, how)
			}
		}
	}
}

// TestLeadingSpace: JSON may begin with white space, as an editor leaves it.
func TestLeadingSpace(t *testing.T) {
	b := tiny(t)["xgboost-3.4.1/tiny/model.json"]
	b = append([]byte("\r\n\t "), bytes.Replace(b, []byte(`{"`), []byte("{\n  \""), 1)...)
	if m, err := decode(b, loader.Limits{}); err != nil || m.Provenance.Format != "xgboost-json" {
		t.Errorf("%v", err)
	}
}

// TestSameName: columns are found by name, so no two features may share one.
func TestSameName(t *testing.T) {
	b := bytes.Replace(tiny(t)["lightgbm-4.7.0/tiny/model.txt"], []byte("feature_names=city x"),
		[]byte("feature_names=city city"), 1)
	_, err := decode(b, loader.Limits{})
	checkError(t, "same name", err)
	if !errors.Is(err, loader.ErrMalformed) || !strings.Contains(err.Error(), `features 0 and 1 are both named "city"`) {
		t.Errorf("%v", err)
	}
}

// TestDigestOfAll: what the oldest binary files hold after the model counts for the digest.
func TestDigestOfAll(t *testing.T) {
	b := bytes.Clone(tiny(t)["xgboost-1.7.6/tiny-dart/model.bin"])
	copy(b[4+5*4:], make([]byte, 8)) // version 0
	b = append(b, make([]byte, 1<<17)...)
	m, err := decode(b, loader.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := m.Provenance.Digest, fmt.Sprintf("sha256:%x", sha256.Sum256(b)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		path string
		kind error
		text string
	}{
		{filepath.Join(dir, "none"), fs.ErrNotExist, "no such file"},
		{dir, loader.ErrUnknown, "directory without a file MLmodel"},
	} {
		_, err := loader.Open(c.path)
		var placed *loader.Error
		if !errors.As(err, &placed) || !errors.Is(err, c.kind) || placed.Path != c.path || placed.Hint == "" ||
			!strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}

// TestUnknownNames: the error for a foreign file says what it looks like and what can be read.
func TestUnknownNames(t *testing.T) {
	for head, look := range map[string]string{
		"\x80\x05\x95":                        "ends inside",
		"\x80\x05N.":                          "the file holds None, not a model",
		"\x78\x9c":                            "zlib",
		"BZh9":                                "bzip2",
		"\xfd7zXZ\x00":                        "xz",
		"PK\x03\x04":                          "zip",
		"\x1f\x8b\x08":                        "gzip",
		"CBM1":                                "CatBoost",
		"version https://git-lfs.github.com/": "Git LFS",
		"[{\"nodeid\":0":                      "dump_model",
		"booster[0]:":                         "dump",
		"<!DOCTYPE html>":                     "HTML",
		"\xef\xbb\xbftree\n":                  "byte order mark",
		"PAR1":                                "Parquet",
		"bs64":                                "base64",
		"{\"a\": 1}":                          "no learner",
		"tree":                                "no model format",
	} {
		_, err := decode([]byte(head), loader.Limits{})
		checkError(t, head, err)
		if !strings.Contains(err.Error(), look) {
			t.Errorf("%q: %v, want %q", head, err, look)
		}
	}
	_, err := decode([]byte("nonsense"), loader.Limits{})
	var placed *loader.Error
	if !errors.As(err, &placed) {
		t.Fatal(err)
	}
	for _, format := range []string{"LightGBM text", "JSON", "UBJSON", "binf"} {
		if !strings.Contains(placed.Hint, format) {
			t.Errorf("the hint %q does not name %s", placed.Hint, format)
		}
	}
}

// TestLimits: each limit stops a model that goes beyond it and lets one pass that reaches it.
func TestLimits(t *testing.T) {
	files := tiny(t)
	cat, text := files["xgboost-3.4.1/tiny/model.ubj"], files["lightgbm-4.7.0/tiny/model.txt"]
	rf, skops := files["scikit-learn-1.9.1/formats/zlib.joblib"], files["scikit-learn-1.9.1/dt-stump/model.skops"]
	for _, c := range []struct {
		name   string
		file   []byte
		enough loader.Limits
		less   loader.Limits
	}{
		{"Bytes", cat, loader.Limits{Bytes: int64(len(cat))}, loader.Limits{Bytes: int64(len(cat)) - 1}},
		{"Trees", cat, loader.Limits{Trees: 2}, loader.Limits{Trees: 1}},
		{"Trees", text, loader.Limits{Trees: 2}, loader.Limits{Trees: 1}},
		{"TreeNodes", text, loader.Limits{TreeNodes: 7}, loader.Limits{TreeNodes: 6}},
		{"TotalNodes", text, loader.Limits{TotalNodes: 14}, loader.Limits{TotalNodes: 13}},
		{"Depth", text, loader.Limits{Depth: 3}, loader.Limits{Depth: 1}},
		{"Depth", cat, loader.Limits{Depth: 2}, loader.Limits{Depth: 1}},
		{"Features", text, loader.Limits{Features: 4}, loader.Limits{Features: 3}},
		{"Features", cat, loader.Limits{Features: 4}, loader.Limits{Features: 3}},
		{"Categories", text, loader.Limits{Categories: 32}, loader.Limits{Categories: 2}},
		{"NestingDepth", cat, loader.Limits{NestingDepth: 8}, loader.Limits{NestingDepth: 5}},
		{"Trees", rf, loader.Limits{Trees: 3}, loader.Limits{Trees: 2}},
		{"TreeNodes", rf, loader.Limits{TreeNodes: 15}, loader.Limits{TreeNodes: 6}},
		{"TotalNodes", rf, loader.Limits{TotalNodes: 45}, loader.Limits{TotalNodes: 15}},
		{"Depth", rf, loader.Limits{Depth: 3}, loader.Limits{Depth: 2}},
		{"Features", rf, loader.Limits{Features: 5}, loader.Limits{Features: 4}},
		{"Objects", rf, loader.Limits{Objects: 3000}, loader.Limits{Objects: 100}},
		{"NestingDepth", rf, loader.Limits{NestingDepth: 8}, loader.Limits{NestingDepth: 1}},
		{"Bytes", rf, loader.Limits{Bytes: 1 << 20}, loader.Limits{Bytes: int64(len(rf)) + 100}},
		{"Objects", skops, loader.Limits{Objects: 3000}, loader.Limits{Objects: 30}},
		{"NestingDepth", skops, loader.Limits{NestingDepth: 16}, loader.Limits{NestingDepth: 2}},
		{"StringBytes", cat, loader.Limits{StringBytes: 32}, loader.Limits{StringBytes: 8}},
	} {
		if _, err := decode(c.file, c.enough); err != nil {
			t.Errorf("%+v: %v", c.enough, err)
		}
		_, err := decode(c.file, c.less)
		if !errors.Is(err, loader.ErrLimit) || !strings.Contains(err.Error(), "Limits."+c.name) {
			t.Errorf("%+v: %v, want a limit of %s", c.less, err, c.name)
		}
	}
}

// TestDeletedFile: a program needs neither the file nor its bytes, whatever happens to them while it scores.
func TestDeletedFile(t *testing.T) {
	for name, b := range tiny(t) {
		path := filepath.Join(t.TempDir(), "model")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var scores [2]float64
		for i := range scores {
			m, err := loader.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := engine.Compile(m, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if i == 1 { // the first program scored with the file in place
				if err := errors.Join(os.WriteFile(path, make([]byte, len(b)), 0o600), os.Remove(path)); err != nil {
					t.Fatal(err)
				}
			}
			block, dst := p.NewBlock(), make([]float64, p.Outputs())
			block.Reset(1)
			for f := range p.Features() {
				if err := block.Set(f, engine.Float64s([]float64{0.5})); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Score(dst, block); err != nil {
				t.Fatal(err)
			}
			scores[i] = dst[0]
		}
		if scores[0] != scores[1] {
			t.Errorf("%s: %v, and %v without its file", name, scores[0], scores[1])
		}
	}
}
