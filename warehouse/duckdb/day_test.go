package duckdb

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// writeDays writes n rows: id, a category, and one column per kind of date, all of the i-th hour after 2026-01-01.
func writeDays(t *testing.T, path string, n int) {
	t.Helper()
	dictionary := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	s := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "kind", Type: dictionary},
		{Name: "date32", Type: arrow.FixedWidthTypes.Date32},
		{Name: "date64", Type: arrow.FixedWidthTypes.Date64},
		{Name: "seconds", Type: &arrow.TimestampType{Unit: arrow.Second}},
		{Name: "nanos", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}},
		{Name: "text", Type: arrow.BinaryTypes.String},
		{Name: "odd", Type: arrow.FixedWidthTypes.Date32, Nullable: true}, // every other row of the second day
	}, nil)
	rb := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer rb.Release()
	for i := range n {
		at := time.Date(2026, 1, 1, i, 0, 0, 0, time.UTC)
		rb.Field(0).(*array.Int64Builder).Append(int64(i))
		if err := rb.Field(1).(*array.BinaryDictionaryBuilder).AppendString(fmt.Sprintf("k%d", i%3)); err != nil {
			t.Fatal(err)
		}
		rb.Field(2).(*array.Date32Builder).Append(arrow.Date32FromTime(at))
		rb.Field(3).(*array.Date64Builder).Append(arrow.Date64FromTime(at))
		rb.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(at.Unix()))
		rb.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(at.UnixNano()))
		rb.Field(6).(*array.StringBuilder).Append(at.Format("2006-01-02 15:04"))
		switch i % 3 {
		case 0:
			rb.Field(7).AppendNull()
		default:
			rb.Field(7).(*array.Date32Builder).Append(arrow.Date32FromTime(time.Date(2026, 1, i%3, 0, 0, 0, 0, time.UTC)))
		}
	}
	rec := rb.NewRecord()
	defer rec.Release()
	out, err := file.Create(path, s, file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Write(rec), out.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestDayStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.arrow")
	writeDays(t, path, 72)
	var second, odd []string
	for i := range 72 {
		row := fmt.Sprintf("%d k%d", i, i%3)
		if i/24 == 1 {
			second = append(second, row)
		}
		if i%3 == 2 {
			odd = append(odd, row)
		}
	}
	for column, want := range map[string][]string{
		"date32": second, "date64": second, "seconds": second, "nanos": second, "text": second, "odd": odd,
	} {
		for _, batchRows := range []int{5, 1000} {
			mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
			s, err := openDay(t.Context(), path, file.Options{Columns: []string{"id", "kind"}, BatchRows: batchRows, Alloc: mem}, column, period{date: "2026-01-02"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for {
				rec, err := s.Next(t.Context())
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for r := range int(rec.NumRows()) {
					got = append(got, rec.Column(0).ValueStr(r)+" "+rec.Column(1).ValueStr(r))
				}
				rec.Release()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			mem.AssertSize(t, 0)
			if strings.Join(got, ",") != strings.Join(want, ",") {
				t.Errorf("%s: rows are %q, want %q", column, got, want)
			}
		}
	}
	s, err := openDay(t.Context(), path, file.Options{Columns: []string{"kind"}}, "id", period{date: "2026-01-02"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, warehouse.ErrColumn) {
		t.Errorf("a number as date: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The rows through a day are those of the day and of all days before it, in the file's order.
func TestThroughStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.arrow")
	writeDays(t, path, 72)
	for column, want := range map[string]int{"date32": 48, "date64": 48, "seconds": 48, "nanos": 48, "text": 48, "odd": 48} {
		s, err := openDay(t.Context(), path, file.Options{Columns: []string{"id"}, BatchRows: 7}, column, period{date: "2026-01-02", through: true})
		if err != nil {
			t.Fatal(err)
		}
		rows, last := 0, int64(-1)
		for {
			rec, err := s.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range rec.Column(0).(*array.Int64).Int64Values() {
				if id <= last || column == "odd" && id%3 == 0 || column != "odd" && id >= 48 {
					t.Errorf("%s: row %d after row %d", column, id, last)
				}
				last = id
				rows++
			}
			rec.Release()
		}
		if err := s.Close(); err != nil || rows != want {
			t.Errorf("%s: %d rows, want %d (%v)", column, rows, want, err)
		}
	}
}

func TestDayMatching(t *testing.T) {
	for text, want := range map[string][2]bool{ // on the day, through it
		"2026-01-02": {true, true}, "2026-01-02 00:00:00": {true, true}, "2026-01-02T23:59:59Z": {true, true},
		"2026-01-020": {}, "2026-01-03": {}, "": {}, "02.01.2026": {}, "1999-12-31": {false, true}, "1999-13-31": {},
		"0000-00-00": {}, "1999-12-31x": {},
	} {
		if got := (period{date: "2026-01-02"}).matchText(text); got != want[0] {
			t.Errorf("%q: %v", text, got)
		}
		if got := (period{date: "2026-01-02", through: true}).matchText(text); got != want[1] {
			t.Errorf("through %q: %v", text, got)
		}
	}
	for _, c := range [][3]int64{{-1, 86400, -1}, {-86400, 86400, -1}, {-86401, 86400, -2}, {0, 86400, 0}, {86399, 86400, 0}, {86400, 86400, 1}} {
		if got := floorDiv(c[0], c[1]); got != c[2] {
			t.Errorf("floorDiv(%d, %d) is %d, want %d", c[0], c[1], got, c[2])
		}
	}
}
