package gate

import (
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/internal/stat"
	"github.com/treeline-ml/treeline/monitor"
)

const (
	// leakRows bounds the holdout rows whose features are kept to look for a leak of the label.
	leakRows = 50_000
	// leakCategory is the number of rows below which categories are looked at together: otherwise a key would separate
	// the classes perfectly.
	leakCategory = 20
)

// leak keeps the features of every stride-th row.
type leak struct {
	stride  int64
	columns []leakColumn
	labels  []bool
}

type leakColumn struct {
	name   string
	index  int
	number []float64
	text   []string // of a column of categories
	isText bool
}

func newLeak(schema *arrow.Schema, columns []string) *leak {
	l := &leak{stride: 1}
	for _, name := range columns {
		l.columns = append(l.columns, leakColumn{name: name, index: schema.FieldIndices(name)[0]})
	}
	return l
}

// add keeps rows of a record whose first row is the given one.
func (l *leak) add(rec arrow.Record, first int64, truth []float64) error {
	for {
		var rows []int
		for row := range int(rec.NumRows()) {
			if (first+int64(row))%l.stride == 0 && truth[row] == truth[row] {
				rows = append(rows, row)
			}
		}
		if len(l.labels)+len(rows) <= leakRows || len(rows) == 0 {
			return l.keep(rec, rows, truth)
		}
		l.halve()
	}
}

// halve drops every second row that is kept. Rows without a label are not, so this is about, and not exactly, every
// stride-th row of the file.
func (l *leak) halve() {
	l.stride *= 2
	l.labels = second(l.labels)
	for i := range l.columns {
		c := &l.columns[i]
		c.number, c.text = second(c.number), second(c.text)
	}
}

func second[T any](v []T) []T {
	n := 0
	for i := 0; i < len(v); i += 2 {
		v[n] = v[i]
		n++
	}
	return v[:n]
}

func (l *leak) keep(rec arrow.Record, rows []int, truth []float64) error {
	for _, r := range rows {
		l.labels = append(l.labels, truth[r] == 1)
	}
	for i := range l.columns {
		c := &l.columns[i]
		arr := rec.Column(c.index)
		switch arr.(type) {
		case *array.String, *array.LargeString, *array.Dictionary:
			text, err := monitor.Texts(arr)
			if err != nil {
				return err
			}
			c.isText = true
			for _, r := range rows {
				v, ok := text(r)
				if ok {
					v = "=" + v // apart from a missing one
				}
				c.text = append(c.text, v)
			}
		default:
			values, err := monitor.Numbers(nil, arr)
			if err != nil {
				return err
			}
			for _, r := range rows {
				v := values[r]
				if math.IsNaN(v) {
					v = math.Inf(-1) // that a value is missing may be the leak
				}
				c.number = append(c.number, v)
			}
		}
	}
	return nil
}

// single is a feature with the AUC of its values alone.
type single struct {
	name string
	auc  float64
}

// strongest returns the features' own AUCs, the strongest first; none when the sample has one class only.
func (l *leak) strongest() []single {
	var out []single
	for i := range l.columns {
		c := &l.columns[i]
		scores := c.number
		if c.isText {
			scores = rates(c.text, l.labels)
		}
		auc, err := stat.AUC(scores, l.labels)
		if err != nil {
			continue
		}
		out = append(out, single{c.name, max(auc, 1-auc)})
	}
	slices.SortStableFunc(out, func(a, b single) int {
		switch {
		case a.auc > b.auc:
			return -1
		case a.auc < b.auc:
			return 1
		}
		return 0
	})
	return out
}

// rates replaces categories by their share of positive rows; rare ones count as one.
func rates(text []string, labels []bool) []float64 {
	type tally struct{ rows, positive float64 }
	by := map[string]*tally{}
	rest := &tally{}
	count := func(t *tally, label bool) {
		t.rows++
		if label {
			t.positive++
		}
	}
	for i, v := range text {
		if by[v] == nil {
			by[v] = &tally{}
		}
		count(by[v], labels[i])
	}
	for _, t := range by {
		if t.rows < leakCategory {
			rest.rows, rest.positive = rest.rows+t.rows, rest.positive+t.positive
		}
	}
	out := make([]float64, len(text))
	for i, v := range text {
		t := by[v]
		if t.rows < leakCategory {
			t = rest
		}
		out[i] = t.positive / t.rows
	}
	return out
}
