package sklearn_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/sklearn"
)

// FuzzDecodePickle: any bytes end in a valid model or in an error with a hint.
func FuzzDecodePickle(f *testing.F) {
	for _, name := range []string{
		"scikit-learn-1.9.1/dt-stump/model.pkl", "scikit-learn-1.9.1/dt-leaf/model.pkl", "scikit-learn-1.9.1/formats/protocol2.pkl",
		"scikit-learn-1.9.1/formats/cloud.pkl", "scikit-learn-1.9.1/formats/model.joblib", "scikit-learn-1.2.2/dt-weights/model.pkl",
		"xgboost-3.4.1/wrapper-hinge/model.pkl", "lightgbm-4.7.0/wrapper-rf/model.pkl",
	} {
		b, err := os.ReadFile(filepath.Join("..", "..", "internal", "testmodels", "corpus", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	l := limit.Limits{
		Bytes: 1 << 20, Trees: 1 << 10, TreeNodes: 1 << 14, TotalNodes: 1 << 16, Features: 1 << 10, Outputs: 1 << 10, SetBytes: 1 << 20,
		StringBytes: 1 << 14, Objects: 1 << 14,
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := sklearn.DecodePickle(b, l)
		if err != nil {
			placed, ok := errors.AsType[*fault.Error](err)
			if !ok || placed.Hint == "" || placed.Format == "" || len(err.Error()) > 2000 {
				t.Fatalf("incomplete error %#v", err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}
