package frame

import (
	"fmt"
	"strings"
)

// SchemaError lists everything that keeps a schema from a model. The caller sends other columns.
type SchemaError struct {
	Missing    []MissingColumn
	Wrong      []WrongColumn
	Unexpected []string // columns that are no features and were not allowed
	Duplicate  []string // names that occur more than once
	Ambiguous  []string // features whose name several columns match only after spaces became underscores
}

// MissingColumn is a feature without a column.
type MissingColumn struct {
	Name string
	Want string // "a number", "one of 12 category names"
	// Suggestion is the unexpected column with the nearest name, empty when none is near.
	Suggestion string
}

// WrongColumn is a column whose type cannot be read.
type WrongColumn struct {
	Name string
	Type string // its Arrow type
	Want string
	Hint string // the way out
}

// maxListed bounds each list in the text; the fields hold all.
const maxListed = 64

// Error lists the faults in one line.
func (e *SchemaError) Error() string {
	var parts []string
	add := func(what string, n int, item func(i int) string) {
		if n == 0 {
			return
		}
		items := make([]string, 0, min(n, maxListed))
		for i := range min(n, maxListed) {
			items = append(items, item(i))
		}
		if n > maxListed {
			items = append(items, fmt.Sprintf("and %d more", n-maxListed))
		}
		parts = append(parts, what+strings.Join(items, ", "))
	}
	add("missing ", len(e.Missing), func(i int) string {
		m := e.Missing[i]
		if m.Suggestion != "" {
			return fmt.Sprintf("%q (want %s; is %q meant?)", m.Name, m.Want, m.Suggestion)
		}
		return fmt.Sprintf("%q (want %s)", m.Name, m.Want)
	})
	add("of a wrong type ", len(e.Wrong), func(i int) string {
		w := e.Wrong[i]
		return fmt.Sprintf("%q is %s, want %s (%s)", w.Name, w.Type, w.Want, w.Hint)
	})
	add("unexpected ", len(e.Unexpected), func(i int) string { return fmt.Sprintf("%q", e.Unexpected[i]) })
	add("more than once ", len(e.Duplicate), func(i int) string { return fmt.Sprintf("%q", e.Duplicate[i]) })
	add("ambiguous once spaces are underscores ", len(e.Ambiguous), func(i int) string { return fmt.Sprintf("%q", e.Ambiguous[i]) })
	return "frame: columns do not fit the model: " + strings.Join(parts, "; ")
}

func (e *SchemaError) empty() bool {
	return len(e.Missing)+len(e.Wrong)+len(e.Unexpected)+len(e.Duplicate)+len(e.Ambiguous) == 0
}

// maxPairs bounds the name comparisons, so that a schema of thousands of strange columns costs nothing.
const maxPairs = 20_000

// suggest fills in the nearest unexpected column for each missing one.
func (e *SchemaError) suggest(candidates []string) {
	if len(e.Missing)*len(candidates) > maxPairs {
		return
	}
	for i := range e.Missing {
		m := &e.Missing[i]
		best := max(1, min(len(m.Name), 64)/3) + 1
		for _, c := range candidates {
			if d := distance(fold(m.Name), fold(c), best); d < best {
				best, m.Suggestion = d, c
			}
		}
	}
}

func fold(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "_")) }

// distance is the edit distance of a and b, or limit when it is not below limit.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 || max(len(a)-len(b), len(b)-len(a)) >= limit {
		if a == b {
			return 0
		}
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit)
}
