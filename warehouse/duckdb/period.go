package duckdb

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/warehouse"
)

// period is one UTC day or, with through, all days up to and including it. The zero period is all rows.
type period struct {
	date    string // YYYY-MM-DD
	through bool
}

func (p period) String() string {
	if p.through {
		return "<= " + p.date
	}
	return "= " + p.date
}

// periodOf checks and normalizes the restriction of an input: without a column or a date there is none.
func periodOf(in *warehouse.Input) (period, error) {
	p := period{date: in.Date}
	if in.Through != "" {
		p = period{date: in.Through, through: true}
	}
	switch {
	case in.DateColumn == "" || p.date == "":
		in.DateColumn, in.Date, in.Through = "", "", ""
		return period{}, nil
	case in.Date != "" && in.Through != "":
		return period{}, fmt.Errorf("%s: one day (%s) and all days through %s are asked for at once: %w", in.Source(), in.Date, in.Through, warehouse.ErrColumn)
	}
	if _, err := time.Parse(time.DateOnly, p.date); err != nil {
		return period{}, fmt.Errorf("%s: date %q is not YYYY-MM-DD: %w", in.Source(), p.date, warehouse.ErrColumn)
	}
	return p, nil
}

// predicate selects the period in SQL. Ranges, not casts of the column, let DuckDB skip row groups.
func (p period) predicate(col column) (string, error) {
	name, day := ident(col.Name), "DATE "+literal(p.date)
	compare := " = "
	if p.through {
		compare = " <= "
	}
	switch {
	case col.Type == "DATE":
		return name + compare + day, nil
	case col.Type == "VARCHAR":
		return "CAST(" + name + " AS DATE)" + compare + day, nil
	case strings.HasPrefix(col.Type, "TIMESTAMP"):
		at := "CAST(" + day + " AS " + col.Type + ")"
		before := name + " < CAST(" + day + " + 1 AS " + col.Type + ")"
		if p.through {
			return before, nil
		}
		return name + " >= " + at + " AND " + before, nil
	}
	return "", fmt.Errorf("date column %q has type %s, want DATE, TIMESTAMP or VARCHAR", col.Name, col.Type)
}

// matcher tells which rows of a column are of the period. Timestamps without a zone are taken as UTC; strings match by their
// first ten characters.
func (p period) matcher(a arrow.Array) (func(int) bool, error) {
	day, err := time.Parse(time.DateOnly, p.date)
	if err != nil {
		return nil, fmt.Errorf("date %q is not YYYY-MM-DD: %w", p.date, warehouse.ErrColumn)
	}
	days := day.Unix() / 86400
	of := func(d int64) bool { return d == days || p.through && d < days }
	var match func(int) bool
	switch a := a.(type) {
	case *array.Date32:
		match = func(i int) bool { return of(int64(a.Value(i))) }
	case *array.Date64:
		match = func(i int) bool { return of(floorDiv(int64(a.Value(i)), 86400_000)) }
	case *array.Timestamp:
		unit := 86400 * int64(time.Second/a.DataType().(*arrow.TimestampType).Unit.Multiplier())
		match = func(i int) bool { return of(floorDiv(int64(a.Value(i)), unit)) }
	case *array.String:
		match = func(i int) bool { return p.matchText(a.Value(i)) }
	case *array.LargeString:
		match = func(i int) bool { return p.matchText(a.Value(i)) }
	default:
		return nil, fmt.Errorf("date column has type %s, want a date, timestamp or string: %w", a.DataType(), warehouse.ErrColumn)
	}
	return func(i int) bool { return a.IsValid(i) && match(i) }, nil
}

func (p period) matchText(s string) bool {
	const n = len(time.DateOnly)
	if len(s) < n || len(s) > n && s[n] != ' ' && s[n] != 'T' {
		return false
	}
	if s[:n] == p.date || !p.through {
		return s[:n] == p.date
	}
	_, err := time.Parse(time.DateOnly, s[:n])
	return err == nil && s[:n] < p.date
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
