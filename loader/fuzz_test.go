package loader_test

import (
	"bytes"
	"testing"

	"github.com/treeline-ml/treeline/loader"
)

// small keeps a fuzzing run in little memory.
func small() loader.Limits {
	return loader.Limits{
		Bytes: 1 << 20, Trees: 1 << 10, TreeNodes: 1 << 14, TotalNodes: 1 << 16, Features: 1 << 10, Outputs: 1 << 10,
		SetBytes: 1 << 20, StringBytes: 1 << 14,
	}
}

// FuzzDecode: any bytes end in a model that can be scored or in a complete error.
func FuzzDecode(f *testing.F) {
	for _, b := range tiny(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := loader.Decode(bytes.NewReader(b), int64(len(b)), loader.Options{Path: "given", Limits: small()})
		if err != nil {
			checkError(t, "fuzzed", err)
			return
		}
		checkUsable(t, "fuzzed", m)
	})
}
