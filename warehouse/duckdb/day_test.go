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
			s, err := openDay(t.Context(), path, file.Options{Columns: []string{"id", "kind"}, BatchRows: batchRows, Alloc: mem}, column, "2026-01-02")
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
	s, err := openDay(t.Context(), path, file.Options{Columns: []string{"kind"}}, "id", "2026-01-02")
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

func TestDayMatching(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]bool{
		"2026-01-02": true, "2026-01-02 00:00:00": true, "2026-01-02T23:59:59Z": true,
		"2026-01-020": false, "2026-01-03": false, "": false, "02.01.2026": false,
	} {
		if got := startsWithDay(text, day.Format(time.DateOnly)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, c := range [][3]int64{{-1, 86400, -1}, {-86400, 86400, -1}, {-86401, 86400, -2}, {0, 86400, 0}, {86399, 86400, 0}, {86400, 86400, 1}} {
		if got := floorDiv(c[0], c[1]); got != c[2] {
			t.Errorf("floorDiv(%d, %d) is %d, want %d", c[0], c[1], got, c[2])
		}
	}
}
