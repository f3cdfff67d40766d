package loader_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/loader"
)

// BenchmarkDecode reads the largest model of each format in the corpus.
func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{
		"lightgbm-4.7.0/deep/model.txt", "xgboost-3.4.1/deep/model.json", "xgboost-3.4.1/deep/model.ubj",
		"xgboost-1.7.6/deep/model.bin",
	} {
		file, err := os.ReadFile(filepath.Join("..", "internal", "testmodels", "corpus", name))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(filepath.Ext(name)[1:], func(b *testing.B) {
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := decode(file, loader.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
