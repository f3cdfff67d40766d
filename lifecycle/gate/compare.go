package gate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
)

// expected is one of the library's columns.
type expected struct {
	name   string
	index  int // in the schema
	single bool
}

// findExpected looks the library's columns up and refuses types in which nothing can be compared bit for bit.
func findExpected(schema *arrow.Schema, p *engine.Program, names []string) ([]expected, error) {
	var (
		out      []expected
		problems []string
	)
	for _, name := range names {
		at := schema.FieldIndices(name)
		if len(at) != 1 {
			problems = append(problems, fmt.Sprintf("%d columns are named %q, want 1", len(at), name))
			continue
		}
		switch t := schema.Field(at[0]).Type; {
		case t.ID() == arrow.FLOAT64:
			out = append(out, expected{name: name, index: at[0]})
		case t.ID() == arrow.FLOAT32 && p.Float32():
			out = append(out, expected{name: name, index: at[0], single: true})
		case t.ID() == arrow.FLOAT32:
			problems = append(problems, fmt.Sprintf("column %q is float32, but this model computes in float64: its digits are lost", name))
		default:
			problems = append(problems, fmt.Sprintf("column %q is %s, want float32 or float64", name, t))
		}
	}
	if problems != nil {
		return nil, fmt.Errorf("%w: %s", errGolden, strings.Join(problems, "; "))
	}
	return out, nil
}

// comparison counts how the engine and the library agree.
type comparison struct {
	columns  []expected
	coverage *coverage

	rows       int64
	values     int64 // compared
	mismatches int64
	refused    int64 // rows that the library refuses
	first      *mismatch
}

// mismatch is a value that differs.
type mismatch struct {
	row          int64 // from 0, in the file
	column       string
	ours, theirs string // "0x<bits> (<decimal>)"
}

// column compares one column of a record with values[row*stride+offset].
func (c *comparison) column(rec arrow.Record, k int, values []float64, stride, offset int, refused map[int]frame.Refusal) {
	e := c.columns[k]
	col := rec.Column(e.index)
	for row := range int(rec.NumRows()) {
		ours := values[row*stride+offset]
		c.values++
		_, no := refused[row]
		var ok bool
		switch {
		case no:
			ok = col.IsNull(row) // the library has no value for a row that it refuses
		case col.IsNull(row):
			ok = math.IsNaN(ours)
		case e.single:
			ok = equal32(float32(ours), col.(*array.Float32).Value(row))
		default:
			ok = equal64(ours, col.(*array.Float64).Value(row))
		}
		if ok {
			continue
		}
		c.mismatches++
		if m := c.rows + int64(row); c.first == nil || m < c.first.row {
			c.first = &mismatch{row: m, column: e.name, ours: bits(ours, e.single), theirs: theirs(col, row, e.single)}
			if no {
				c.first.ours = fmt.Sprintf("refused: column %s: %s", refused[row].Column, refused[row].Reason)
			}
		}
	}
}

// equal64 and equal32 compare bits, so that 0 and -0 differ; NaN has many bit patterns with one meaning.
func equal64(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func equal32(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func theirs(col arrow.Array, row int, single bool) string {
	if col.IsNull(row) {
		return "null"
	}
	if single {
		return bits(float64(col.(*array.Float32).Value(row)), true)
	}
	return bits(col.(*array.Float64).Value(row), false)
}

func bits(v float64, single bool) string {
	if single {
		return fmt.Sprintf("0x%08x (%s)", math.Float32bits(float32(v)), strconv.FormatFloat(v, 'g', -1, 32))
	}
	return fmt.Sprintf("0x%016x (%s)", math.Float64bits(v), strconv.FormatFloat(v, 'g', -1, 64))
}

// report turns the counts into a verdict.
func (c *comparison) report(r *Result, minRows int64) {
	r.Evidence["rows"] = strconv.FormatInt(c.rows, 10)
	r.Evidence["values"] = strconv.FormatInt(c.values, 10)
	r.Evidence["mismatches"] = strconv.FormatInt(c.mismatches, 10)
	r.Evidence["rows_refused"] = strconv.FormatInt(c.refused, 10)
	c.coverage.report(r.Evidence)
	switch {
	case c.mismatches > 0: // one is one too many, however few the rows
		r.Outcome = Fail
		r.Evidence["first_row"] = strconv.FormatInt(c.first.row, 10)
		r.Evidence["first_column"] = c.first.column
		r.Evidence["first_engine"] = c.first.ours
		r.Evidence["first_library"] = c.first.theirs
		r.Summary = fmt.Sprintf("%d of %d values differ from the library's; the first in row %d, column %s: engine %s, library %s",
			c.mismatches, c.values, c.first.row, c.first.column, c.first.ours, c.first.theirs)
		r.Hint = "check that raw and pred were made by this very model from these very rows (all trees, no rounding, no base " +
			"margin); if they were, report it with the model and the golden rows"
	case c.rows < minRows:
		r.Outcome = Inconclusive
		r.Summary = fmt.Sprintf("%d golden rows agree bit for bit, but at least %d are wanted", c.rows, minRows)
		r.Hint = "register the version with more golden rows"
	default:
		r.Outcome = Pass
		r.Summary = fmt.Sprintf("%d values of %d golden rows agree bit for bit with the library", c.values, c.rows)
	}
}
