// Package testmodels gives tests the golden corpus: models that real libraries trained and saved, each with rows and
// with the margins and predictions that the library itself computed from the saved file.
//
//	corpus/<library>-<version>/<case>/{model.txt|model.json|model.ubj|model.bin|model.pkl|..., rows.parquet, case.json}
//
// generate.py and generate_legacy.py (make golden) write it. Rows hold ordinary values, and values on thresholds and one
// unit in the last place beside them, NaN, -0, denormals, infinities where the library takes them, and categories that
// are unseen, negative, fractional and huge. Some cases are models that must be refused; they have no rows.
//
// Functions are safe for concurrent use. What they return is the caller's.
package testmodels

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
)

// Case is one trained model.
type Case struct {
	Name string `json:"-"` // "lightgbm-4.7.0/binary"
	Dir  string `json:"-"` // absolute

	Library string   `json:"library"` // "lightgbm", "xgboost", "scikit-learn"
	Version string   `json:"version"` // of the library
	Models  []string `json:"models"`  // absolute paths of the files or MLflow directories, all of the same model

	Objective string    `json:"objective"` // as the file states it; empty for a custom one of LightGBM
	Features  []Feature `json:"features"`  // in model order
	Raw       []string  `json:"raw"`       // names of the columns with the library's margins
	Pred      []string  `json:"pred"`      // names of the columns with the library's predictions
	Classes   []string  `json:"classes"`   // class labels of a classifier, where the files have them
	// AcceptsMissing is whether scikit-learn's predict takes NaN; nil for other libraries.
	AcceptsMissing *bool  `json:"accepts_missing"`
	Refused        string `json:"refused"` // what must be named as not supported; empty for a model that is scored
}

// Feature is one model input.
type Feature struct {
	Name string `json:"name"`
	// Kind is the type in training: f64, f32, i64, bool, code (a number that is a category), cat (named categories).
	Kind string `json:"kind"`
}

// RowsPath returns the path of the Parquet file with rows and scores.
func (c *Case) RowsPath() string { return filepath.Join(c.Dir, "rows.parquet") }

// Float32 reports whether the library's scores are float32.
func (c *Case) Float32() bool { return c.Library == "xgboost" }

// Dir returns the folder of this package, where the corpus and the Python scripts are.
func Dir() (string, error) {
	_, self, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(self) {
		return "", errors.New("testmodels: no source path: tests must not be built with -trimpath")
	}
	return filepath.Dir(self), nil
}

// Cases returns the committed corpus in a fixed order. It fails when the corpus is not there.
func Cases() ([]Case, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	return CasesIn(filepath.Join(dir, "corpus"))
}

// CasesIn returns the cases below root, a folder that one of the scripts has written.
func CasesIn(root string) ([]Case, error) {
	found, err := filepath.Glob(filepath.Join(root, "*", "*", "case.json"))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("testmodels: no cases in %s: run `make golden`", root)
	}
	sort.Strings(found)
	cases := make([]Case, 0, len(found))
	for _, path := range found {
		c, err := read(root, path)
		if err != nil {
			return nil, fmt.Errorf("testmodels: %s: %w", path, err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func read(root, path string) (Case, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Case{}, err
	}
	var c Case
	if err := json.Unmarshal(text, &c); err != nil {
		return Case{}, err
	}
	c.Dir = filepath.Dir(path)
	name, err := filepath.Rel(root, c.Dir)
	if err != nil {
		return Case{}, err
	}
	c.Name = filepath.ToSlash(name)
	for i, m := range c.Models {
		c.Models[i] = filepath.Join(c.Dir, m)
	}
	if len(c.Models) == 0 || c.Refused == "" && (len(c.Features) == 0 || len(c.Raw) == 0 || len(c.Pred) == 0) {
		return Case{}, errors.New("case.json is incomplete")
	}
	return c, nil
}
