package monitor

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
)

// sample keeps the rows with the smallest hashes of their content: which rows these are depends neither on their order nor
// on how they came, and rows that are equal are as good as each other. It holds between SampleRows and twice as many.
type sample struct {
	fields []Field
	hash   []uint64
	limit  uint64 // rows above it are out
	number [][]float64
	text   [][]string // "" with null set
	null   [][]bool

	hashes []uint64 // of the present record
	buf    []float64
}

func newSample(fields []Field) *sample {
	return &sample{
		fields: fields, limit: math.MaxUint64, number: make([][]float64, len(fields)), text: make([][]string, len(fields)),
		null: make([][]bool, len(fields)),
	}
}

// mix is the finisher of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func mixText(s string) uint64 {
	h := uint64(0xcbf29ce484222325) // FNV-1a
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return h
}

const nullHash = 0x9e3779b97f4a7c15

func (s *sample) add(columns []arrow.Array, rows int) error {
	s.hashes = append(s.hashes[:0], make([]uint64, rows)...)
	numbers := make([][]float64, len(columns))
	texts := make([]func(int) (string, bool), len(columns))
	s.buf = s.buf[:0]
	for i, arr := range columns {
		var err error
		if s.fields[i].Categorical {
			if texts[i], err = Texts(arr); err != nil {
				return fmt.Errorf("column %q: %w", s.fields[i].Name, err)
			}
			for r := range rows {
				h := uint64(nullHash)
				if v, ok := texts[i](r); ok {
					h = mixText(v)
				}
				s.hashes[r] = mix(s.hashes[r] + h + uint64(i))
			}
			continue
		}
		from := len(s.buf)
		if s.buf, err = Numbers(s.buf, arr); err != nil {
			return fmt.Errorf("column %q: %w", s.fields[i].Name, err)
		}
		numbers[i] = s.buf[from:len(s.buf):len(s.buf)]
		for r, v := range numbers[i] {
			h := uint64(nullHash)
			if v == v {
				h = math.Float64bits(v + 0) // -0 is 0
			}
			s.hashes[r] = mix(s.hashes[r] + h + uint64(i))
		}
	}
	for r, h := range s.hashes {
		if h > s.limit {
			continue
		}
		s.hash = append(s.hash, h)
		for i := range columns {
			if texts[i] == nil {
				s.number[i] = append(s.number[i], numbers[i][r])
				continue
			}
			v, ok := texts[i](r)
			s.text[i] = append(s.text[i], string(append([]byte(nil), cut(v)...))) // the record's memory goes
			s.null[i] = append(s.null[i], !ok)
		}
		if len(s.hash) >= 2*SampleRows {
			s.shrink()
		}
	}
	return nil
}

// shrink keeps the SampleRows smallest hashes, in ascending order.
func (s *sample) shrink() {
	at := make([]int32, len(s.hash))
	for i := range at {
		at[i] = int32(i)
	}
	slices.SortFunc(at, func(a, b int32) int {
		switch x, y := s.hash[a], s.hash[b]; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	if len(at) > SampleRows {
		at = at[:SampleRows]
		s.limit = s.hash[at[SampleRows-1]]
	}
	s.hash = choose(s.hash, at)
	for i := range s.fields {
		s.number[i], s.text[i], s.null[i] = choose(s.number[i], at), choose(s.text[i], at), choose(s.null[i], at)
	}
}

func choose[T any](v []T, at []int32) []T {
	if v == nil {
		return nil
	}
	out := make([]T, len(at), max(len(at), min(cap(v), 2*SampleRows)))
	for i, k := range at {
		out[i] = v[k]
	}
	return out
}

func (s *sample) merge(o *sample) {
	s.hash = append(s.hash, o.hash...)
	s.limit = min(s.limit, o.limit)
	for i := range s.fields {
		s.number[i] = append(s.number[i], o.number[i]...)
		s.text[i] = append(s.text[i], o.text[i]...)
		s.null[i] = append(s.null[i], o.null[i]...)
	}
	s.shrink()
}

// counted makes bins of feature i from the sample and counts the sample in them. c has the figures of all rows; single are
// the sampled rows whose category no other one has.
func (s *sample) counted(i int, c *counter) (out *counter, single int64) {
	out = &counter{Field: c.Field, bins: &FeatureBins{Field: c.Field}, m: c.m, nulls: c.nulls}
	if !c.Categorical {
		finite := make([]float64, 0, len(s.number[i]))
		for _, v := range s.number[i] {
			if v-v == 0 {
				finite = append(finite, v)
			}
		}
		out.bins.Edges = quantileEdges(finite, DefaultBins)
		out.open()
		for _, v := range s.number[i] {
			out.number(v)
		}
		return out, 0
	}
	counts := map[string]int64{}
	for r, v := range s.text[i] {
		if !s.null[i][r] {
			counts[v]++
		}
	}
	for _, n := range counts {
		if n == 1 {
			single++
		}
	}
	top, known, open := topCategories(counts)
	for _, t := range top {
		out.bins.Categories = append(out.bins.Categories, t.Value)
	}
	out.bins.Known, out.bins.Open = known, open
	out.open()
	for r, v := range s.text[i] {
		out.category(v, !s.null[i][r], 1)
	}
	return out, single
}
