package gate

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/monitor"
)

// maxSlices bounds the values of a slice column: one with more is a key, or a measurement.
const maxSlices = 1000

// missingSlice is the slice of rows without a value.
const missingSlice = "(missing)"

// sliced is a column whose values cut the holdout into slices.
type sliced struct {
	name   string
	column int
	// problem says why it cannot be used, "" when it can.
	problem string
	values  []string
	known   map[string]int32
	codes   []int32 // one a kept row; -1 once there are too many values
}

func newSliced(schema *arrow.Schema, name string) *sliced {
	s := &sliced{name: name, known: map[string]int32{}}
	at := schema.FieldIndices(name)
	if len(at) != 1 {
		s.problem = fmt.Sprintf("the holdout rows have %d columns %q", len(at), name)
		return s
	}
	s.column = at[0]
	return s
}

// read returns the codes of a record's rows.
func (s *sliced) read(rec arrow.Record) ([]int32, error) {
	codes := make([]int32, rec.NumRows())
	if s.problem != "" {
		return codes, nil
	}
	arr := rec.Column(s.column)
	text, err := monitor.Texts(arr)
	if err != nil { // dates, for one
		text = func(i int) (string, bool) { return arr.ValueStr(i), arr.IsValid(i) }
	}
	for i := range codes {
		v, ok := text(i)
		if !ok {
			v = missingSlice
		}
		code, known := s.known[v]
		if !known {
			if len(s.values) == maxSlices {
				s.problem = fmt.Sprintf("column %q has more than %d values", s.name, maxSlices)
				s.known, s.values = nil, nil
				return codes, nil
			}
			v = string(append([]byte(nil), v...)) // the record's memory goes
			code = int32(len(s.values))
			s.known[v] = code
			s.values = append(s.values, v)
		}
		codes[i] = code
	}
	return codes, nil
}
