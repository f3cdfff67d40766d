package frame

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// ladderTop is the largest value that a ladder tells apart.
const ladderTop = 20

// ladder has one output a feature: a tree that gives back the feature's value, an integer from 0 to ladderTop, or -1
// where it is missing. So scores show what a block holds.
func ladder(features ...forest.Feature) *forest.Model {
	m := &forest.Model{
		Features: features, Outputs: len(features), Scale: 1, Base: make([]float64, len(features)), Iterations: 1,
		Link: forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1},
	}
	for i := range features {
		t := forest.Tree{Output: i}
		// Node k asks x <= k-0.5; node 0 sends missing values left to leaf -1 and everything else right.
		for k := range ladderTop + 1 {
			n := forest.Node{Threshold: float64(k) - 0.5, Feature: int32(i), Op: forest.LessEqual, Left: ^int32(k), Right: int32(k + 1), NaNLeft: true}
			if k == ladderTop {
				n.Right = ^int32(k + 1)
			}
			t.Nodes = append(t.Nodes, n)
			t.Leaves = append(t.Leaves, float64(k-1))
		}
		t.Leaves = append(t.Leaves, ladderTop)
		m.Trees = append(m.Trees, t)
	}
	return m
}

func compile(t testing.TB, m *forest.Model) *engine.Program {
	t.Helper()
	p, err := engine.Compile(m, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func numeric(names ...string) []forest.Feature {
	var f []forest.Feature
	for _, n := range names {
		f = append(f, forest.Feature{Name: n})
	}
	return f
}

func categorical(name string, unknown forest.UnknownCategory, categories ...any) forest.Feature {
	f := forest.Feature{Name: name, Kind: forest.Categorical, Unknown: unknown}
	for _, c := range categories {
		switch v := c.(type) {
		case string:
			f.Vocabulary = append(f.Vocabulary, forest.Category{Kind: forest.CategoryText, Text: v})
		case int:
			f.Vocabulary = append(f.Vocabulary, forest.Category{Kind: forest.CategoryNumber, Number: float64(v)})
		case float64:
			f.Vocabulary = append(f.Vocabulary, forest.Category{Kind: forest.CategoryNumber, Number: v})
		case bool:
			n := 0.0
			if v {
				n = 1
			}
			f.Vocabulary = append(f.Vocabulary, forest.Category{Kind: forest.CategoryBool, Number: n})
		}
	}
	return f
}

func checked(t *testing.T) *memory.CheckedAllocator {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

// fromJSON builds a record from rows in JSON.
func fromJSON(t *testing.T, mem memory.Allocator, s *arrow.Schema, rows string) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	for dec := json.NewDecoder(strings.NewReader(rows)); dec.More(); {
		var row json.RawMessage
		if err := dec.Decode(&row); err != nil {
			t.Fatal(err)
		}
		if err := b.UnmarshalJSON(row); err != nil {
			t.Fatal(err)
		}
	}
	return b.NewRecord()
}

func fields(f ...arrow.Field) *arrow.Schema { return arrow.NewSchema(f, nil) }

func nullable(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// bound binds and scores a record against a ladder and returns what the block held, row by row.
func bound(t *testing.T, m *forest.Model, rec arrow.Record, o BindOptions) ([][]float64, []Refusal) {
	t.Helper()
	p := compile(t, m)
	b, err := NewBinding(m, p, rec.Schema(), o)
	if err != nil {
		t.Fatal(err)
	}
	return boundBy(t, p, b, rec)
}

func boundBy(t *testing.T, p *engine.Program, b *Binding, rec arrow.Record) ([][]float64, []Refusal) {
	t.Helper()
	blk := p.NewBlock()
	refused, err := b.Bind(blk, rec)
	if err != nil {
		t.Fatal(err)
	}
	n := p.Outputs()
	dst := make([]float64, int(rec.NumRows())*n)
	if err := p.Score(dst, blk); err != nil {
		t.Fatal(err)
	}
	rows := make([][]float64, rec.NumRows())
	for i := range rows {
		rows[i] = dst[i*n : (i+1)*n]
	}
	return rows, refused
}

func want1(t *testing.T, got [][]float64, want ...float64) {
	t.Helper()
	var flat []float64
	for _, r := range got {
		flat = append(flat, r...)
	}
	if fmt.Sprint(flat) != fmt.Sprint(want) {
		t.Errorf("block holds %v, want %v (-1 is missing)", flat, want)
	}
}

var dictString = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}

func TestBindReadsEveryNumericType(t *testing.T) {
	for _, typ := range []arrow.DataType{
		arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int32,
		arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint64, arrow.PrimitiveTypes.Uint32,
		arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint8,
		&arrow.Decimal128Type{Precision: 20, Scale: 3}, &arrow.Decimal256Type{Precision: 50, Scale: 2},
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.PrimitiveTypes.Int64},
		&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: arrow.PrimitiveTypes.Float64},
	} {
		t.Run(typ.String(), func(t *testing.T) {
			mem := checked(t)
			rec := fromJSON(t, mem, fields(nullable("x", typ)), `{"x":0}{"x":3}{"x":null}{"x":19}{"x":3}{"x":null}{"x":7}`)
			defer rec.Release()
			m := ladder(numeric("x")...)
			got, _ := bound(t, m, rec, BindOptions{})
			want1(t, got, 0, 3, -1, 19, 3, -1, 7)
			slice := rec.NewSlice(2, 7)
			defer slice.Release()
			got, _ = bound(t, m, slice, BindOptions{})
			want1(t, got, -1, 19, 3, -1, 7)
			empty := rec.NewSlice(3, 3)
			defer empty.Release()
			if got, _ = bound(t, m, empty, BindOptions{}); len(got) != 0 {
				t.Errorf("%d rows of none", len(got))
			}
		})
	}
}

func TestBindBooleansAndNulls(t *testing.T) {
	mem := checked(t)
	s := fields(nullable("b", arrow.FixedWidthTypes.Boolean), nullable("n", arrow.Null), nullable("f", arrow.PrimitiveTypes.Float64))
	rec := fromJSON(t, mem, s, `{"b":true,"f":1}{"b":false}{"b":null,"f":2}{"b":true,"f":3}{"b":true,"f":4}{"b":false,"f":5}{"b":null}{"b":true,"f":6}{"b":false,"f":7}{"b":true,"f":8}`)
	defer rec.Release()
	m := ladder(numeric("b", "n", "f")...)
	for from := range int64(10) {
		slice := rec.NewSlice(from, 10)
		got, _ := bound(t, m, slice, BindOptions{})
		slice.Release()
		all := []float64{1, -1, 1, 0, -1, -1, -1, -1, 2, 1, -1, 3, 1, -1, 4, 0, -1, 5, -1, -1, -1, 1, -1, 6, 0, -1, 7, 1, -1, 8}
		want1(t, got, all[3*from:]...)
	}
	m = ladder(numeric("f")...)
	got, _ := bound(t, m, nan(t, mem), BindOptions{})
	want1(t, got, -1, 2)
}

func nan(t *testing.T, mem memory.Allocator) arrow.Record {
	b := array.NewRecordBuilder(mem, fields(nullable("f", arrow.PrimitiveTypes.Float64)))
	defer b.Release()
	b.Field(0).(*array.Float64Builder).AppendValues([]float64{math.NaN(), 2}, nil)
	rec := b.NewRecord()
	t.Cleanup(rec.Release)
	return rec
}

func TestBindCategories(t *testing.T) {
	colours := func(u forest.UnknownCategory) forest.Feature { return categorical("c", u, "red", "green", "blue") }
	numbers := categorical("c", forest.UnknownMissing, 10, 20, 30)
	bools := categorical("c", forest.UnknownMissing, false, true)
	codes := forest.Feature{Name: "c", Kind: forest.Categorical}
	texts := `{"c":"blue"}{"c":null}{"c":"red"}{"c":"pink"}{"c":"green"}{"c":"blue"}`
	for name, tc := range map[string]struct {
		f       forest.Feature
		typ     arrow.DataType
		rows    string
		want    []float64
		refused []int
	}{
		"text":                        {colours(forest.UnknownMissing), arrow.BinaryTypes.String, texts, []float64{2, -1, 0, -1, 1, 2}, nil},
		"large text":                  {colours(forest.UnknownMissing), arrow.BinaryTypes.LargeString, texts, []float64{2, -1, 0, -1, 1, 2}, nil},
		"text refused":                {colours(forest.UnknownError), arrow.BinaryTypes.String, texts, []float64{2, -1, 0, -1, 1, 2}, []int{3}},
		"dictionary of text":          {colours(forest.UnknownMissing), dictString, texts, []float64{2, -1, 0, -1, 1, 2}, nil},
		"dictionary of text refused":  {colours(forest.UnknownError), dictString, texts, []float64{2, -1, 0, -1, 1, 2}, []int{3}},
		"numbers":                     {numbers, arrow.PrimitiveTypes.Int64, `{"c":30}{"c":10}{"c":11}{"c":null}`, []float64{2, 0, -1, -1}, nil},
		"numbers as floats":           {numbers, arrow.PrimitiveTypes.Float64, `{"c":30}{"c":10}{"c":10.5}{"c":null}`, []float64{2, 0, -1, -1}, nil},
		"numbers as decimals":         {numbers, &arrow.Decimal128Type{Precision: 9, Scale: 1}, `{"c":30}{"c":10}{"c":10.5}{"c":null}`, []float64{2, 0, -1, -1}, nil},
		"dictionary of numbers":       {numbers, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Int32}, `{"c":30}{"c":10}{"c":11}{"c":null}`, []float64{2, 0, -1, -1}, nil},
		"booleans":                    {bools, arrow.FixedWidthTypes.Boolean, `{"c":true}{"c":false}{"c":null}`, []float64{1, 0, -1}, nil},
		"codes":                       {codes, arrow.PrimitiveTypes.Int16, `{"c":5}{"c":0}{"c":null}`, []float64{5, 0, -1}, nil},
		"codes as floats":             {codes, arrow.PrimitiveTypes.Float32, `{"c":5}{"c":0}{"c":null}`, []float64{5, 0, -1}, nil},
		"all null":                    {colours(forest.UnknownError), arrow.Null, `{"c":null}{"c":null}`, []float64{-1, -1}, nil},
		"dictionary of nulls":         {colours(forest.UnknownError), dictString, `{"c":null}{"c":null}`, []float64{-1, -1}, nil},
		"dictionary larger than rows": {colours(forest.UnknownError), dictString, texts, []float64{2, -1, 0, -1, 1, 2}, []int{3}},
	} {
		t.Run(name, func(t *testing.T) {
			mem := checked(t)
			rec := fromJSON(t, mem, fields(nullable("c", tc.typ)), tc.rows)
			defer rec.Release()
			m := ladder(tc.f)
			got, refused := bound(t, m, rec, BindOptions{})
			want1(t, got, tc.want...)
			wantRefused(t, refused, tc.refused...)
			for from := range rec.NumRows() { // one row: the dictionary is the larger one
				one := rec.NewSlice(from, from+1)
				got, refused := bound(t, m, one, BindOptions{})
				one.Release()
				want1(t, got, tc.want[from])
				if isRefused := len(tc.refused) > 0 && tc.refused[0] == int(from); isRefused != (len(refused) == 1) {
					t.Errorf("row %d alone: refused %v, want %v", from, refused, isRefused)
				}
			}
		})
	}
}

func wantRefused(t *testing.T, got []Refusal, rows ...int) {
	t.Helper()
	var have []int
	for _, r := range got {
		have = append(have, r.Row)
		if r.Column == "" || r.Reason == "" {
			t.Errorf("refusal %+v lacks its column or reason", r)
		}
	}
	if fmt.Sprint(have) != fmt.Sprint(rows) {
		t.Errorf("refused rows %v, want %v", have, rows)
	}
}

// Each record brings its own dictionary, with other orders and index widths.
func TestBindDictionariesThatChange(t *testing.T) {
	mem := checked(t)
	m := ladder(categorical("c", forest.UnknownMissing, "a", "b", "c"))
	p := compile(t, m)
	s := fields(nullable("c", dictString))
	b, err := NewBinding(m, p, s, BindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wide := fields(nullable("c", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int64, ValueType: arrow.BinaryTypes.String}))
	for _, tc := range []struct {
		s    *arrow.Schema
		rows string
		want []float64
	}{
		{s, `{"c":"a"}{"c":"b"}`, []float64{0, 1}},
		{s, `{"c":"c"}{"c":"a"}{"c":"zz"}`, []float64{2, 0, -1}},
		{wide, `{"c":"b"}{"c":"c"}{"c":null}`, []float64{1, 2, -1}},
	} {
		rec := fromJSON(t, mem, tc.s, tc.rows)
		got, _ := boundBy(t, p, b, rec)
		want1(t, got, tc.want...)
		rec.Release()
	}
}

func TestBindRefusesInfinities(t *testing.T) {
	mem := checked(t)
	m := ladder(forest.Feature{Name: "x", RejectInfinite: true}, forest.Feature{Name: "y"}, categorical("c", forest.UnknownError, "a"))
	b := array.NewRecordBuilder(mem, fields(nullable("x", arrow.PrimitiveTypes.Float64), nullable("y", arrow.PrimitiveTypes.Float64), nullable("c", arrow.BinaryTypes.String)))
	defer b.Release()
	inf := math.Inf(1)
	b.Field(0).(*array.Float64Builder).AppendValues([]float64{1, inf, 2, -inf}, nil)
	b.Field(1).(*array.Float64Builder).AppendValues([]float64{inf, 1, 1, 1}, nil)
	b.Field(2).(*array.StringBuilder).AppendValues([]string{"a", "zz", "zz", "a"}, nil)
	rec := b.NewRecord()
	defer rec.Release()
	_, refused := bound(t, m, rec, BindOptions{})
	wantRefused(t, refused, 1, 1, 2, 3)
	columns := fmt.Sprint(refused[0].Column, refused[1].Column, refused[2].Column, refused[3].Column)
	if columns != "cxcx" && columns != "xccx" {
		t.Errorf("columns %s, want x for infinities and c for categories", columns)
	}
}

func TestBaseMargin(t *testing.T) {
	mem := checked(t)
	m := ladder(numeric("x", "y")...)
	s := fields(nullable("x", arrow.PrimitiveTypes.Float64), nullable("y", arrow.PrimitiveTypes.Float64), nullable("m_0", arrow.PrimitiveTypes.Float32), nullable("m_1", arrow.PrimitiveTypes.Int32))
	rec := fromJSON(t, mem, s, `{"x":1,"y":2,"m_0":100,"m_1":1000}{"x":3,"y":4,"m_0":200,"m_1":2000}{"x":3,"y":4,"m_0":null,"m_1":2000}`)
	defer rec.Release()
	got, refused := bound(t, m, rec, BindOptions{BaseMargin: "m"})
	want1(t, got[:2], 101, 1002, 203, 2004)
	wantRefused(t, refused, 2)
	if _, err := NewBinding(m, compile(t, m), fields(s.Field(0), s.Field(1), s.Field(2)), BindOptions{BaseMargin: "m"}); err == nil || err.Error() !=
		`frame: columns do not fit the model: missing "m_1" (want a number, the base margin)` {
		t.Errorf("%v", err)
	}
}

func TestBindRefusesAnotherSchema(t *testing.T) {
	mem := checked(t)
	m := ladder(numeric("x")...)
	p := compile(t, m)
	b, err := NewBinding(m, p, fields(nullable("x", arrow.PrimitiveTypes.Float64)), BindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []arrow.Field{nullable("x", arrow.PrimitiveTypes.Float32), nullable("y", arrow.PrimitiveTypes.Float64)} {
		rec := fromJSON(t, mem, fields(f), `{}`)
		if _, err := b.Bind(p.NewBlock(), rec); err == nil {
			t.Errorf("a record with %v was bound", f)
		}
		rec.Release()
	}
}

// Steady-state binding allocates per record at most, never per row.
func TestBindDoesNotAllocatePerRow(t *testing.T) {
	m := ladder(forest.Feature{Name: "x"}, categorical("c", forest.UnknownMissing, "a", "b"), forest.Feature{Name: "d"}, categorical("e", forest.UnknownMissing, "a", "b"))
	p := compile(t, m)
	s := fields(nullable("x", arrow.PrimitiveTypes.Float64), nullable("c", arrow.BinaryTypes.String), nullable("d", &arrow.Decimal128Type{Precision: 38, Scale: 20}), nullable("e", dictString))
	b, err := NewBinding(m, p, s, BindOptions{})
	if err != nil {
		t.Fatal(err)
	}
	blk := p.NewBlock()
	measure := func(rows int) float64 {
		rb := array.NewRecordBuilder(memory.DefaultAllocator, s)
		for range rows {
			if err := rb.UnmarshalJSON([]byte(`{"x":1,"c":"b","d":12345678901234567.5,"e":"a"}`)); err != nil {
				t.Fatal(err)
			}
		}
		rec := rb.NewRecord()
		bind := func() {
			if _, err := b.Bind(blk, rec); err != nil {
				t.Fatal(err)
			}
		}
		bind()
		return testing.AllocsPerRun(20, bind)
	}
	few, many := measure(10), measure(5000)
	if many > few {
		t.Errorf("%v allocations for 5000 rows, %v for 10", many, few)
	}
	t.Logf("%v allocations a record", many)
}
