package main

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/internal/testmodels"
)

// A missing value ends a run on a model whose library refuses NaN, with its row and column, or gives a null score; a model
// of a release that takes NaN scores it.
func TestMissingValuesAsTheLibrary(t *testing.T) {
	dir, err := testmodels.Dir()
	if err != nil {
		t.Fatal(err)
	}
	input := filepath.Join(t.TempDir(), "rows.parquet")
	var columns []column
	for _, name := range []string{"x0", "x1", "x2", "x3", "x4", "x5"} {
		values := []float64{0.5, -0.25, 1}
		if name == "x4" {
			values[1] = math.NaN()
		}
		columns = append(columns, column{name, doubles(values)})
	}
	if err := writeTable(input, columns); err != nil {
		t.Fatal(err)
	}
	score := func(version, model string, more ...string) (int, []column, string) {
		output := filepath.Join(t.TempDir(), "o.parquet")
		args := append([]string{"model", "score", "--model", filepath.Join(dir, "corpus", version, "dt-weights", model), "--input", input, "--output", output}, more...)
		code, _, errs := ctl(t, args...)
		if code != 0 {
			return code, nil, errs
		}
		got, err := readTable(output)
		if err != nil {
			t.Fatal(err)
		}
		return code, got, errs
	}
	code, _, errs := score("scikit-learn-1.2.2", "model.pkl")
	if code != 1 || !strings.Contains(errs, `row 1 (the first row is 0), column "x4"`) || !strings.Contains(errs, "missing") {
		t.Errorf("1.2.2: exit code %d\n%s", code, errs)
	}
	code, got, errs := score("scikit-learn-1.2.2", "model.pkl", "--row-errors", "null")
	if code != 0 || got[0].data.NullN() != 1 || !got[0].data.IsNull(1) {
		t.Errorf("1.2.2 with nulls: exit code %d, %v\n%s", code, got, errs)
	}
	if code, got, errs = score("scikit-learn-1.9.1", "model.pkl"); code != 0 || got[0].data.NullN() != 0 {
		t.Errorf("1.9.1: exit code %d, %v\n%s", code, got, errs)
	}
}
