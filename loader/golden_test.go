package loader_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/testmodels"
	"github.com/treeline-ml/treeline/loader"
)

// TestGolden: every model of the corpus gives the margins and predictions that its library computed, bit for bit.
func TestGolden(t *testing.T) {
	for _, c := range corpus(t) {
		if c.Refused != "" {
			continue
		}
		rows, err := c.Rows()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range c.Models {
			t.Run(c.Name+"/"+filepath.Base(path), func(t *testing.T) {
				m, err := loader.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				checkScores(t, &c, m, rows)
			})
		}
	}
}

// TestRefused: models that are not scored are refused by the name of what is in the way.
func TestRefused(t *testing.T) {
	found := 0
	for _, c := range corpus(t) {
		if c.Refused == "" {
			continue
		}
		for _, path := range c.Models {
			found++
			_, err := loader.Open(path)
			var placed *loader.Error
			if !errors.Is(err, loader.ErrNotSupported) || !errors.As(err, &placed) {
				t.Errorf("%s: %v, want not supported", path, err)
				continue
			}
			if want := "not supported: " + c.Refused; !strings.Contains(err.Error(), want) || placed.Hint == "" ||
				placed.Path != path {
				t.Errorf("%s: %v (hint %q), want %q", path, err, placed.Hint, want)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d refused models in the corpus", found)
	}
}

func corpus(t *testing.T) []testmodels.Case {
	t.Helper()
	cases, err := testmodels.Cases()
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// checkScores compares the model's margins and predictions with the library's.
func checkScores(t *testing.T, c *testmodels.Case, m *forest.Model, rows *testmodels.Rows) {
	t.Helper()
	if len(m.Features) != len(rows.Features) {
		t.Fatalf("%d features, want %d", len(m.Features), len(rows.Features))
	}
	if m.Outputs != len(rows.Raw) {
		t.Fatalf("%d outputs, want %d", m.Outputs, len(rows.Raw))
	}
	inputs := make([][]float64, len(rows.Features))
	for i := range rows.Features {
		in, err := input(&m.Features[i], &rows.Features[i])
		if err != nil {
			t.Fatal(err)
		}
		inputs[i] = in
	}
	row := make([]float64, len(inputs))
	bad := 0
	for r := range rows.Len {
		for i := range inputs {
			row[i] = inputs[i][r]
		}
		margin := margins(m, row)
		for k, want := range rows.Raw {
			bad += differs(t, bad, fmt.Sprintf("row %d: raw %d", r, k), margin[k], want[r])
		}
		for k, got := range predict(m, margin) {
			bad += differs(t, bad, fmt.Sprintf("row %d: pred %d", r, k), got, rows.Pred[k][r])
		}
	}
	if bad > 0 {
		t.Errorf("%d values differ from the library's", bad)
	}
}

// differs reports the first few differences and returns how many it found.
func differs(t *testing.T, before int, what string, got, want float64) int {
	if math.Float64bits(got) == math.Float64bits(want) || math.IsNaN(got) && math.IsNaN(want) {
		return 0
	}
	if before < 5 {
		t.Errorf("%s is %v (%x), want %v (%x)", what, got, math.Float64bits(got), want, math.Float64bits(want))
	}
	return 1
}

// input turns a column into what the splits see: numbers, or codes of categories.
func input(f *forest.Feature, c *testmodels.Column) ([]float64, error) {
	if len(f.Vocabulary) == 0 {
		if c.Texts != nil {
			return nil, fmt.Errorf("feature %q has no vocabulary, the column holds text", f.Name)
		}
		return c.Numbers, nil
	}
	code := map[forest.Category]float64{}
	for i, v := range f.Vocabulary {
		code[v] = float64(i)
	}
	out := make([]float64, len(c.Null))
	for i, null := range c.Null {
		out[i] = math.NaN()
		if null {
			continue
		}
		key := forest.Category{Kind: forest.CategoryText}
		switch {
		case c.Texts != nil:
			key.Text = c.Texts[i]
		case c.Bool:
			key = forest.Category{Kind: forest.CategoryBool, Number: c.Numbers[i]}
		default:
			key = forest.Category{Kind: forest.CategoryNumber, Number: c.Numbers[i]}
		}
		v, ok := code[key]
		switch {
		case ok:
			out[i] = v
		case f.Unknown == forest.UnknownError:
			return nil, fmt.Errorf("feature %q: category %v is not in the vocabulary", f.Name, key)
		}
	}
	return out, nil
}
