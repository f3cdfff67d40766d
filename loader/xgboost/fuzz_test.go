package xgboost_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/loader/xgboost"
)

// FuzzDecodeJSON: any bytes end in a valid model or in a placed error.
func FuzzDecodeJSON(f *testing.F) {
	fuzz(f, "model.json", xgboost.FormatJSON, xgboost.DecodeJSON)
}

// FuzzDecodeUBJSON: any bytes end in a valid model or in a placed error.
func FuzzDecodeUBJSON(f *testing.F) {
	fuzz(f, "model.ubj", xgboost.FormatUBJSON, xgboost.DecodeUBJSON)
}

func fuzz(f *testing.F, file, format string, decode func(io.Reader, loader.Limits) (*forest.Model, error)) {
	for _, name := range []string{"xgboost-3.4.1/tiny", "xgboost-3.4.1/tiny-dart", "xgboost-1.7.6/tiny-dart"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "internal", "testmodels", "corpus", name, file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	limits := loader.Limits{
		Bytes: 1 << 20, Trees: 1 << 10, TreeNodes: 1 << 14, TotalNodes: 1 << 16, Features: 1 << 10, Outputs: 1 << 10,
		SetBytes: 1 << 20, StringBytes: 1 << 14,
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(bytes.NewReader(b), limits)
		if err != nil {
			var placed *loader.Error
			if !errors.As(err, &placed) || placed.Format != format || placed.Hint == "" {
				t.Fatalf("incomplete error %#v", err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}
