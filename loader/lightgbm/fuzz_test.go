package lightgbm_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/loader/lightgbm"
)

// FuzzDecode: any bytes end in a valid model or in a placed error.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{
		"lightgbm-4.7.0/tiny/model.txt",
		"lightgbm-4.7.0/codes-40/model.txt",
	} {
		b, err := os.ReadFile(filepath.Join("..", "..", "internal", "testmodels", "corpus", name))
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
		m, err := lightgbm.Decode(bytes.NewReader(b), limits)
		if err != nil {
			var placed *loader.Error
			if !errors.As(err, &placed) || placed.Format != lightgbm.Format || placed.Hint == "" {
				t.Fatalf("incomplete error %#v", err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}
