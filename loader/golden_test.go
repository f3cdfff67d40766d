package loader_test

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
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
				checkFacts(t, &c, m)
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
				!strings.HasPrefix(placed.Path, path) {
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

// checkScores compares the library's margins and predictions with those of the oracle and of the compiled engine.
func checkScores(t *testing.T, c *testmodels.Case, m *forest.Model, rows *testmodels.Rows) {
	t.Helper()
	if len(m.Features) != len(rows.Features) || m.Outputs != len(rows.Raw) {
		t.Fatalf("%d features and %d outputs, want %d and %d",
			len(m.Features), m.Outputs, len(rows.Features), len(rows.Raw))
	}
	p, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Width() != len(rows.Pred) || p.Float32() != c.Float32() {
		t.Fatalf("%d prediction columns, float32 %v", p.Width(), p.Float32())
	}
	block := p.NewBlock()
	block.Reset(rows.Len)
	cells := make([][]enginetest.Value, len(m.Features))
	for i := range m.Features {
		column, values, err := input(&m.Features[i], &rows.Features[i])
		if err != nil {
			t.Fatal(err)
		}
		cells[i] = values
		if err := block.Set(i, column); err != nil {
			t.Fatal(err)
		}
	}
	margins := make([]float64, rows.Len*m.Outputs)
	preds := make([]float64, rows.Len*p.Width())
	if err := p.Score(margins, block); err != nil {
		t.Fatal(err)
	}
	if err := p.Predict(preds, margins); err != nil {
		t.Fatal(err)
	}
	bad := 0
	row := make([]enginetest.Value, len(cells))
	for r := range rows.Len {
		for i := range cells {
			row[i] = cells[i][r]
		}
		oracle := enginetest.Margins(m, engine.Options{}, row, nil)
		for k, want := range rows.Raw {
			bad += differs(t, bad, fmt.Sprintf("row %d: raw %d of the oracle", r, k), oracle[k], want[r])
			bad += differs(t, bad, fmt.Sprintf("row %d: raw %d", r, k), margins[r*m.Outputs+k], want[r])
		}
		for k, want := range rows.Pred {
			bad += differs(t, bad, fmt.Sprintf("row %d: pred %d", r, k), preds[r*p.Width()+k], want[r])
		}
	}
	if bad > 0 {
		t.Errorf("%d values differ from the library's", bad)
	}
}

// checkFacts compares what the library says of its model beside the scores.
func checkFacts(t *testing.T, c *testmodels.Case, m *forest.Model) {
	t.Helper()
	if len(c.Classes) > 0 && !slices.Equal(m.Classes, c.Classes) {
		t.Errorf("classes %q, want %q", m.Classes, c.Classes)
	}
	for i, f := range m.Features {
		if c.AcceptsMissing != nil && f.RejectMissing == *c.AcceptsMissing {
			t.Errorf("feature %d refuses missing values: %v, the library accepts them: %v", i, f.RejectMissing, *c.AcceptsMissing)
		}
	}
	if c.Library == "scikit-learn" && (m.Provenance.Library != c.Library || m.Provenance.Version != c.Version) {
		t.Errorf("made by %s %s", m.Provenance.Library, m.Provenance.Version)
	}
	if (m.Task() != forest.Regression) != (len(c.Classes) > 0) && c.Library == "scikit-learn" {
		t.Errorf("task %d with the classes %q", m.Task(), c.Classes)
	}
}

// differs reports the first few differences and returns how many it found.
func differs(t *testing.T, before int, what string, got, want float64) int {
	t.Helper()
	if math.Float64bits(got) == math.Float64bits(want) || math.IsNaN(got) && math.IsNaN(want) {
		return 0
	}
	if before < 5 {
		t.Errorf("%s is %v (%x), want %v (%x)", what, got, math.Float64bits(got), want, math.Float64bits(want))
	}
	return 1
}

// input turns a column into what the engine and the oracle take: numbers, or codes of categories.
func input(f *forest.Feature, c *testmodels.Column) (engine.Column, []enginetest.Value, error) {
	values := make([]enginetest.Value, len(c.Null))
	if len(f.Vocabulary) > 0 {
		return encoded(f, c, values)
	}
	if c.Texts != nil {
		return engine.Column{}, nil, fmt.Errorf("feature %q has no vocabulary, the column holds text", f.Name)
	}
	if c.Ints != nil {
		for i, v := range c.Ints {
			values[i] = enginetest.Value{Kind: enginetest.Int, I: v}
		}
		return engine.Int64s(c.Ints), values, nil
	}
	for i, v := range c.Numbers {
		values[i] = enginetest.Value{Kind: enginetest.Float, F: v}
	}
	if !c.Float32 {
		return engine.Float64s(c.Numbers), values, nil
	}
	single := make([]float32, len(c.Numbers))
	for i, v := range c.Numbers {
		single[i] = float32(v)
	}
	return engine.Float32s(single), values, nil
}

// encoded turns categories into codes.
func encoded(f *forest.Feature, c *testmodels.Column, values []enginetest.Value) (engine.Column, []enginetest.Value, error) {
	code := map[forest.Category]int32{}
	table := make([]float64, len(f.Vocabulary)+1)
	for i, v := range f.Vocabulary {
		code[v] = int32(i)
		table[i] = float64(i)
	}
	missing := int32(len(f.Vocabulary))
	table[missing] = math.NaN()
	index := make([]int32, len(values))
	for i, null := range c.Null {
		index[i] = missing
		if !null {
			v, ok := code[cell(c, i)]
			switch {
			case ok:
				index[i] = v
			case f.Unknown == forest.UnknownError:
				return engine.Column{}, nil, fmt.Errorf("feature %q: category %v is not known", f.Name, cell(c, i))
			}
		}
		values[i] = enginetest.Value{Kind: enginetest.Float, F: table[index[i]]}
	}
	return engine.Lookup(index, table), values, nil
}

// cell returns a cell as a category.
func cell(c *testmodels.Column, i int) forest.Category {
	switch {
	case c.Texts != nil:
		return forest.Category{Kind: forest.CategoryText, Text: c.Texts[i]}
	case c.Bool:
		return forest.Category{Kind: forest.CategoryBool, Number: c.Numbers[i]}
	}
	return forest.Category{Kind: forest.CategoryNumber, Number: c.Numbers[i]}
}
