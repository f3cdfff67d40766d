package testmodels_test

import (
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/internal/testmodels"
)

func TestCorpus(t *testing.T) {
	cases, err := testmodels.Cases()
	if err != nil {
		t.Fatal(err)
	}
	byLibrary := map[string]int{}
	for _, c := range cases {
		byLibrary[c.Library+"-"+c.Version]++
		if c.Refused != "" {
			continue
		}
		rows, err := c.Rows()
		if err != nil {
			t.Error(err)
			continue
		}
		if rows.Len < 300 || rows.Len > 1000 {
			t.Errorf("%s has %d rows, want 300 to 1000", c.Name, rows.Len)
		}
		for _, f := range rows.Features {
			if len(f.Null) != rows.Len || len(f.Numbers)+len(f.Texts) != rows.Len {
				t.Errorf("%s, column %q: %d numbers, %d texts for %d rows",
					c.Name, f.Name, len(f.Numbers), len(f.Texts), rows.Len)
			}
		}
	}
	for library, least := range map[string]int{
		"lightgbm-4.7.0": 50, "lightgbm-3.3.5": 20, "lightgbm-2.2.3": 9, "xgboost-3.4.1": 50, "xgboost-1.7.6": 38,
		"xgboost-1.7.1": 7, "xgboost-2.1.4": 7, "xgboost-3.1.3": 9, "xgboost-3.2.0": 9,
		"scikit-learn-1.9.1": 55, "scikit-learn-1.6.1": 17, "scikit-learn-1.4.2": 13, "scikit-learn-1.3.2": 6,
		"scikit-learn-1.2.2": 20, "scikit-learn-1.0.2": 6, "mlflow-3.17.2": 2,
	} {
		if byLibrary[library] < least {
			t.Errorf("%s has %d cases, want at least %d: run `make golden`", library, byLibrary[library], least)
		}
	}
}

// The corpus is part of every clone: it must stay small.
func TestCorpusIsSmall(t *testing.T) {
	total := int64(0)
	err := filepath.WalkDir("corpus", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() > 500_000 {
			t.Errorf("%s has %d bytes, at most 500 kB are allowed", path, info.Size())
		}
		total += info.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total > 20<<20 {
		t.Errorf("the corpus has %d bytes, at most 20 MiB are allowed", total)
	}
}
