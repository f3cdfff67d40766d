package monitor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/internal/stat"
)

// DriftDetector is the compatible mode: one two-sample test a feature, drift when any p-value is below the threshold. It
// gives the verdicts of treeline.drift.DriftDetector by the rules of docs/format/drift.md. No correction is made for the
// number of features, so triggers act on Detect's default mode instead.
type DriftDetector struct {
	PThreshold float64 // DefaultP when 0
}

// The tests of a TestedFeature.
const (
	TestKS         = "ks"
	TestChiSquare  = "chi2"
	TestNotApplied = "none"
)

// TestedFeature is the comparison of one column.
type TestedFeature struct {
	Feature           string  `json:"feature"`
	Test              string  `json:"test"`
	Statistic         float64 `json:"statistic"`
	PValue            float64 `json:"p_value"`
	Drift             bool    `json:"drift"`
	ReferenceNullRate float64 `json:"reference_null_rate"`
	CurrentNullRate   float64 `json:"current_null_rate"`
	Reason            string  `json:"reason"`
}

// DriftResult is what DriftDetector found.
type DriftResult struct {
	OverallDrift  bool            `json:"overall_drift"`
	PThreshold    float64         `json:"p_threshold"`
	ReferenceRows int64           `json:"reference_rows"`
	CurrentRows   int64           `json:"current_rows"`
	Drifted       []string        `json:"drifted"`
	Features      []TestedFeature `json:"features"` // in the order of the columns
}

// Detect tests the named columns, or all of the reference in its order. The records of each side have one schema. It fails
// with ErrInput for a threshold outside (0,1), a side without rows, columns that the current side lacks, types that cannot
// be tested, and types that differ in kind. It holds one column of both sides in memory.
func (d DriftDetector) Detect(reference, current []arrow.Record, columns ...string) (DriftResult, error) {
	threshold := d.PThreshold
	if threshold == 0 {
		threshold = DefaultP
	}
	if !(threshold > 0 && threshold < 1) {
		return DriftResult{}, fmt.Errorf("p_threshold is %v, want a value in (0, 1): %w", threshold, ErrInput)
	}
	out := DriftResult{PThreshold: threshold, ReferenceRows: rows(reference), CurrentRows: rows(current)}
	if out.ReferenceRows == 0 || out.CurrentRows == 0 {
		return DriftResult{}, fmt.Errorf("%d reference and %d current rows, want some of both: %w", out.ReferenceRows, out.CurrentRows, ErrInput)
	}
	columns, err := testable(reference[0].Schema(), current[0].Schema(), columns)
	if err != nil {
		return DriftResult{}, err
	}
	for _, name := range columns {
		f, err := compareColumn(name, reference, current)
		if err != nil {
			return DriftResult{}, err
		}
		f.Drift = f.PValue < threshold
		if f.Reason == "" {
			f.Reason = fmt.Sprintf("%s %.4g, p = %.4g, threshold %v", f.Test, f.Statistic, f.PValue, threshold)
		}
		if f.Drift {
			out.OverallDrift, out.Drifted = true, append(out.Drifted, name)
		}
		out.Features = append(out.Features, f)
	}
	return out, nil
}

func rows(side []arrow.Record) (n int64) {
	for _, r := range side {
		n += r.NumRows()
	}
	return n
}

// testable returns the columns to test and names all that cannot be.
func testable(ref, cur *arrow.Schema, columns []string) ([]string, error) {
	if len(columns) == 0 {
		for _, f := range ref.Fields() {
			columns = append(columns, f.Name)
		}
	}
	var problems []string
	for _, side := range []struct {
		name   string
		schema *arrow.Schema
	}{{"reference", ref}, {"current", cur}} {
		var missing []string
		for _, c := range columns {
			if len(side.schema.FieldIndices(c)) != 1 {
				missing = append(missing, fmt.Sprintf("%q", c))
			}
		}
		if missing != nil {
			problems = append(problems, fmt.Sprintf("the %s data lack columns, or have several of a name: %s", side.name,
				strings.Join(missing, ", ")))
		}
	}
	if problems == nil {
		for _, c := range columns {
			a, b := ref.Field(ref.FieldIndices(c)[0]).Type, cur.Field(cur.FieldIndices(c)[0]).Type
			if _, problem := testOf(c, a, b); problem != "" {
				problems = append(problems, problem)
			}
		}
	}
	if problems != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(problems, "; "), ErrInput)
	}
	return columns, nil
}

// testOf is the class by which a column is tested, or what is wrong with its types. A dictionary is what its values are.
func testOf(name string, ref, cur arrow.DataType) (c class, problem string) {
	var side [2]class
	for i, t := range []arrow.DataType{ref, cur} {
		value := t
		if d, ok := t.(*arrow.DictionaryType); ok {
			value = d.ValueType
		}
		if side[i] = classOf(value); side[i] == unreadable {
			return unreadable, fmt.Sprintf("column %q is %s, want numbers, booleans or texts", name, t)
		}
	}
	switch {
	case side[0] == typeless:
		return side[1], ""
	case side[1] == typeless || side[0] == side[1]:
		return side[0], ""
	}
	return unreadable, fmt.Sprintf("column %q is %s in the reference and %s in the current data", name, ref, cur)
}

func compareColumn(name string, reference, current []arrow.Record) (TestedFeature, error) {
	ref, cur := column(reference, name), column(current, name)
	c, _ := testOf(name, ref[0].DataType(), cur[0].DataType())
	f := TestedFeature{Feature: name}
	switch c {
	case numeric:
		err := f.kolmogorov(ref, cur)
		return f, err
	case categorical:
		err := f.pearson(ref, cur)
		return f, err
	default:
		f.Test, f.PValue, f.ReferenceNullRate, f.CurrentNullRate = TestNotApplied, 1, 1, 1
		f.Reason = "no values on either side"
		return f, nil
	}
}

func column(side []arrow.Record, name string) []arrow.Array {
	var out []arrow.Array
	for _, r := range side {
		out = append(out, r.Column(r.Schema().FieldIndices(name)[0]))
	}
	return out
}

func (f *TestedFeature) kolmogorov(ref, cur []arrow.Array) error {
	a, na, err := present(ref)
	if err != nil {
		return err
	}
	b, nb, err := present(cur)
	if err != nil {
		return err
	}
	f.ReferenceNullRate, f.CurrentNullRate = na, nb
	f.Test = TestKS
	switch {
	case len(a) == 0 && len(b) == 0:
		f.Test, f.PValue, f.Reason = TestNotApplied, 1, "no values on either side"
		return nil
	case len(a) == 0:
		f.Statistic, f.Reason = 1, "no values in the reference data"
		return nil
	case len(b) == 0:
		f.Statistic, f.Reason = 1, "no values in the current data"
		return nil
	}
	f.Statistic, f.PValue, err = stat.KS2(a, b)
	return err
}

// present are the values that are not missing, and the share of those that are.
func present(side []arrow.Array) (values []float64, nullRate float64, err error) {
	total := 0
	for _, a := range side {
		if values, err = Numbers(values, a); err != nil {
			return nil, 0, err
		}
		total += a.Len()
	}
	values = slices.DeleteFunc(values, func(v float64) bool { return v != v })
	return values, float64(total-len(values)) / float64(total), nil
}

func (f *TestedFeature) pearson(ref, cur []arrow.Array) error {
	a, an, err := tally(ref)
	if err != nil {
		return err
	}
	b, bn, err := tally(cur)
	if err != nil {
		return err
	}
	f.Test = TestChiSquare
	names := map[string]bool{}
	for k := range a {
		names[k] = true
	}
	for k := range b {
		names[k] = true
	}
	table := [][]int64{nil, nil}
	var ra, rb int64
	for _, k := range slices.Sorted(maps.Keys(names)) {
		table[0], table[1] = append(table[0], a[k]), append(table[1], b[k])
		ra, rb = ra+a[k], rb+b[k]
	}
	f.ReferenceNullRate, f.CurrentNullRate = float64(an)/float64(ra+an), float64(bn)/float64(rb+bn)
	table[0], table[1] = append(table[0], an), append(table[1], bn) // left out when nothing is missing
	f.Statistic, _, f.PValue, err = stat.ChiSquare(table)
	return err
}

// tally counts the categories of a column and its missing values.
func tally(side []arrow.Array) (counts map[string]int64, missing int64, err error) {
	counts = map[string]int64{}
	for _, arr := range side {
		text, err := Texts(arr)
		if err != nil {
			return nil, 0, err
		}
		for i := range arr.Len() {
			if v, ok := text(i); ok {
				counts[v]++
			} else {
				missing++
			}
		}
	}
	return counts, missing, nil
}
