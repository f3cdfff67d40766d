package loader_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
)

// tiny returns a small model of each format, by its path in the corpus.
func tiny(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{
		"lightgbm-4.7.0/tiny/model.txt",
		"xgboost-3.4.1/tiny/model.json",
		"xgboost-3.4.1/tiny/model.ubj",
		"xgboost-1.7.6/tiny-dart/model.json",
		"xgboost-1.7.6/tiny-dart/model.bin",
		"scikit-learn-1.9.1/dt-stump/model.pkl",
		"scikit-learn-1.9.1/dt-stump/model.skops",
		"scikit-learn-1.2.2/dt-weights/model.pkl",
		"scikit-learn-1.9.1/formats/zlib.joblib",
	} {
		b, err := os.ReadFile(filepath.Join("..", "internal", "testmodels", "corpus", name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	return out
}

func decode(b []byte, l loader.Limits) (*forest.Model, error) {
	return loader.Decode(bytes.NewReader(b), int64(len(b)), loader.Options{Path: "given", Limits: l})
}

// checkError: every error is a *loader.Error that names the file, and has a hint unless it is the reader's own.
func checkError(t *testing.T, what string, err error) {
	t.Helper()
	var placed *loader.Error
	if !errors.As(err, &placed) {
		t.Fatalf("%s: %v is no *loader.Error", what, err)
	}
	if placed.Path != "given" || placed.Hint == "" || placed.Err == nil || len(err.Error()) > 1000 {
		t.Fatalf("%s: incomplete error %#v", what, placed)
	}
	kinds := 0
	for _, kind := range []error{loader.ErrMalformed, loader.ErrNotSupported, loader.ErrLimit, loader.ErrUnknown} {
		if errors.Is(err, kind) {
			kinds++
		}
	}
	if kinds != 1 {
		t.Fatalf("%s: %v is of %d kinds, want one", what, err, kinds)
	}
}

// checkUsable: whatever was decoded can be walked without a fault.
func checkUsable(t *testing.T, what string, m *forest.Model) {
	t.Helper()
	if err := m.Validate(); err != nil {
		t.Fatalf("%s: a model that is not valid: %v", what, err)
	}
	row := make([]enginetest.Value, len(m.Features))
	for _, v := range []float64{0, 1, -1e30, math.NaN(), math.Inf(1), 16777215} {
		for i := range row {
			row[i] = enginetest.Value{Kind: enginetest.Float, F: v}
		}
		if got := len(enginetest.Margins(m, engine.Options{}, row, nil)); got != m.Outputs {
			t.Fatalf("%s: %d margins for %d outputs", what, got, m.Outputs)
		}
	}
}

// TestTruncated: a file cut off at any byte is an error. Only LightGBM's text can be cut after "end of parameters",
// where files of its command line end: that gives the same model without the vocabularies of pandas.
func TestTruncated(t *testing.T) {
	for name, whole := range tiny(t) {
		want, err := decode(whole, loader.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		end := len(whole)
		if strings.HasSuffix(name, ".txt") {
			end = bytes.Index(whole, []byte("end of parameters\n")) + len("end of parameters\n")
		}
		for n := range whole {
			m, err := decode(whole[:n], loader.Limits{})
			if err != nil {
				checkError(t, fmt.Sprintf("%s cut at %d", name, n), err)
				continue
			}
			if rest := strings.TrimSpace(string(whole[n:])); n < end || n > end+1 && rest != "" {
				t.Fatalf("%s cut at %d of %d was read", name, n, len(whole))
			}
			if !reflect.DeepEqual(m.Trees, want.Trees) || !reflect.DeepEqual(m.Sets, want.Sets) || m.Link != want.Link {
				t.Fatalf("%s cut at %d: other trees", name, n)
			}
		}
	}
}

// TestFlippedBits: an altered file is an error or a model that can be scored, in bounded memory.
func TestFlippedBits(t *testing.T) {
	const flips = 4000
	for name, whole := range tiny(t) {
		rng := rand.New(rand.NewPCG(1, uint64(len(name))))
		read := 0
		most := uint64(0)
		for i := range flips {
			b := bytes.Clone(whole)
			for range 1 + i%4 {
				b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			}
			what := fmt.Sprintf("%s, flip %d", name, i)
			var m *forest.Model
			var err error
			used := allocated(func() { m, err = decode(b, loader.Limits{}) })
			most = max(most, used)
			if err != nil {
				checkError(t, what, err)
				continue
			}
			read++
			checkUsable(t, what, m)
		}
		t.Logf("%s: %d of %d altered files are models still; at most %d KiB were allocated", name, read, flips, most>>10)
		if limit := uint64(128 << 20); most > limit {
			t.Errorf("%s: %d bytes were allocated for a file of %d", name, most, len(whole))
		}
	}
}

// allocated returns the bytes that f allocates in all, freed or not.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestSpliced: parts of one file put into another of its format never panic.
func TestSpliced(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for name, whole := range tiny(t) {
		for i := range 1000 {
			from, to := rng.IntN(len(whole)), rng.IntN(len(whole))
			n := rng.IntN(min(200, len(whole)-max(from, to)) + 1)
			b := append(append(bytes.Clone(whole[:to]), whole[from:from+n]...), whole[to:]...)
			m, err := decode(b, loader.Limits{})
			what := fmt.Sprintf("%s, splice %d", name, i)
			if err != nil {
				checkError(t, what, err)
				continue
			}
			checkUsable(t, what, m)
		}
	}
}
