package warehousetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func formats() []string { return []string{".parquet", ".arrow", ".csv"} }

// inputFile writes ids, one row each: (id, id/4, day), where the day is 2026-01-0d with d from 1 to 3 by turns.
func inputFile(t *testing.T, path string, ids ...int64) {
	t.Helper()
	s := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "amount", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "day", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	}, nil)
	rb := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer rb.Release()
	first := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, id := range ids {
		if id < 0 {
			rb.Field(0).AppendNull()
		} else {
			rb.Field(0).(*array.Int64Builder).Append(id)
		}
		rb.Field(1).(*array.Float64Builder).Append(float64(id)/4 + 0.125)
		rb.Field(2).(*array.Date32Builder).Append(arrow.Date32FromTime(first.AddDate(0, 0, i%3)))
	}
	rec := rb.NewRecord()
	defer rec.Release()
	out, err := file.Create(path, s, file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func fileRows(ids ...int64) []string {
	rows := make([]string, len(ids))
	for i, id := range ids {
		rows[i] = fmt.Sprintf("%d|%v", id, float64(id)/4+0.125)
	}
	return rows
}

func fileInput(path string) warehouse.Input {
	return warehouse.Input{Files: path, Columns: []string{"id", "amount"}, Keys: []string{"id"}}
}

func fileCases() []testCase {
	var cases []testCase
	for _, ext := range formats() {
		cases = append(cases,
			testCase{"reads " + ext, func(t *testing.T, f Fixture) { readFiles(t, f, ext) }},
			testCase{"notices changes of " + ext, func(t *testing.T, f Fixture) { changedFiles(t, f, ext) }},
			testCase{"refuses bad " + ext, func(t *testing.T, f Fixture) { refusedFiles(t, f, ext) }},
		)
	}
	return cases
}

func readFiles(t *testing.T, f Fixture, ext string) {
	path := filepath.Join(f.Dir, "in"+ext)
	inputFile(t, path, 9, 7, 8, 1)
	ref := snapshot(t, f.Warehouse, fileInput(path))
	if ref.Rows != 4 || ref.Source != path {
		t.Errorf("ref is %+v", ref)
	}
	for range 2 {
		if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, fileRows(9, 7, 8, 1)) {
			t.Fatalf("rows are %q", got)
		}
	}
	described, err := f.Warehouse.Describe(t.Context(), warehouse.Input{Files: path})
	if err != nil || names(described) != "id,amount,day" {
		t.Errorf("described %v, %v", described, err)
	}

	// The same file elsewhere has the same version; other bytes have another.
	same, other := filepath.Join(f.Dir, "copy", "in"+ext), filepath.Join(f.Dir, "other"+ext)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(filepath.Dir(same), 0o755), os.WriteFile(same, b, 0o644)); err != nil {
		t.Fatal(err)
	}
	inputFile(t, other, 9, 7, 8, 2)
	if v := snapshot(t, f.Warehouse, fileInput(same)).Version; v != ref.Version {
		t.Errorf("a copy has version %s, want %s", v, ref.Version)
	}
	if v := snapshot(t, f.Warehouse, fileInput(other)).Version; v == ref.Version {
		t.Errorf("another file has the same version %s", v)
	}

	day := fileInput(path)
	day.DateColumn, day.Date = "day", "2026-01-01"
	ref = snapshot(t, f.Warehouse, day)
	if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, fileRows(9, 1)) || ref.Rows != 2 {
		t.Errorf("one day: %d rows %q", ref.Rows, got)
	}
	day.Columns = []string{"day", "id"}
	if got := readRef(t, f.Warehouse, snapshot(t, f.Warehouse, day)); len(got) != 2 || got[1] != "2026-01-01|1" {
		t.Errorf("one day with the date: %q", got)
	}

	for i := range 3 {
		inputFile(t, filepath.Join(f.Dir, fmt.Sprintf("part-%d%s", i, ext)), int64(10*i), int64(10*i+1))
	}
	glob := filepath.Join(f.Dir, "part-*"+ext)
	ref = snapshot(t, f.Warehouse, fileInput(glob))
	if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, fileRows(0, 1, 10, 11, 20, 21)) {
		t.Errorf("glob: rows are %q", got)
	}
	inputFile(t, filepath.Join(f.Dir, "part-3"+ext), 30)
	wantGoneOr(t, f.Warehouse, ref, fileRows(0, 1, 10, 11, 20, 21))
}

// wantGoneOr accepts both ways to keep W1: the pinned rows, or a clear error.
func wantGoneOr(t *testing.T, w warehouse.Warehouse, ref warehouse.Ref, rows []string) {
	t.Helper()
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ref})
	if err == nil {
		var got []string
		got, err = drain(t.Context(), s)
		if err == nil && !slices.Equal(got, rows) {
			t.Fatalf("rows are %q, want the pinned %q or an error", got, rows)
		}
	}
	if err != nil {
		wantError(t, err, warehouse.ErrSnapshotGone)
	}
}

func changedFiles(t *testing.T, f Fixture, ext string) {
	pinned := fileRows(1, 2, 3)
	for name, change := range map[string]func(path string) error{
		"removed": os.Remove,
		"replaced": func(path string) error {
			inputFile(t, path, 1, 2, 4)
			return nil
		},
		"truncated": func(path string) error { return os.Truncate(path, 20) },
		"overwritten in place with the same size and times": func(path string) error {
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			other := filepath.Join(f.Dir, "other"+ext)
			inputFile(t, other, 4, 5, 6)
			b, err := os.ReadFile(other)
			if err != nil {
				return err
			}
			if int64(len(b)) != fi.Size() {
				return fmt.Errorf("the other file has %d bytes, want %d", len(b), fi.Size())
			}
			out, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			if _, err := out.Write(b); err != nil {
				return err
			}
			if err := out.Close(); err != nil {
				return err
			}
			return os.Chtimes(path, fi.ModTime(), fi.ModTime())
		},
	} {
		path := filepath.Join(f.Dir, "change"+ext)
		inputFile(t, path, 1, 2, 3)
		ref := snapshot(t, f.Warehouse, fileInput(path))
		if err := change(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Run(name, func(t *testing.T) { wantGoneOr(t, f.Warehouse, ref, pinned) })
	}
	// Touching a file does not change it.
	path := filepath.Join(f.Dir, "touched"+ext)
	inputFile(t, path, 1, 2, 3)
	ref := snapshot(t, f.Warehouse, fileInput(path))
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := readRef(t, f.Warehouse, ref); !slices.Equal(got, pinned) {
		t.Errorf("touched: rows are %q", got)
	}
	// A change while a stream is open.
	ref = snapshot(t, f.Warehouse, fileInput(path))
	s, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref, BatchRows: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	inputFile(t, path, 1, 2, 4)
	if got, err := drain(t.Context(), s); err != nil {
		wantError(t, err, warehouse.ErrSnapshotGone)
	} else if !slices.Equal(got, pinned) {
		t.Errorf("changed while read: rows are %q", got)
	}
}

func refusedFiles(t *testing.T, f Fixture, ext string) {
	at := func(name string) string { return filepath.Join(f.Dir, name+ext) }
	inputFile(t, at("twice"), 1, 2, 1, 1)
	inputFile(t, at("null"), 1, -1, 3)
	inputFile(t, at("empty"))
	inputFile(t, at("good"), 1, 2)
	for _, c := range []struct {
		name  string
		in    warehouse.Input
		want  error
		texts []string
	}{
		{"absent", fileInput(at("absent")), warehouse.ErrTableNotFound, []string{"absent"}},
		{"empty", fileInput(at("empty")), warehouse.ErrEmptyTable, []string{"empty"}},
		{"twice", fileInput(at("twice")), warehouse.ErrDuplicateKey, []string{"3 rows"}},
		{"null", fileInput(at("null")), warehouse.ErrNullKey, []string{`"id"`, "1 rows"}},
		{"columns", warehouse.Input{Files: at("good"), Columns: []string{"id", "x"}, Keys: []string{"y"}}, warehouse.ErrColumn, []string{`"x"`, `"y"`}},
		{"no such day", warehouse.Input{Files: at("good"), DateColumn: "day", Date: "2020-01-01"}, warehouse.ErrEmptyTable, []string{"2020-01-01"}},
		{"date of a number", warehouse.Input{Files: at("good"), DateColumn: "amount", Date: "2020-01-01"}, warehouse.ErrColumn, []string{`"amount"`}},
	} {
		_, err := f.Warehouse.Snapshot(t.Context(), c.in)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		wantError(t, err, c.want, c.texts...)
	}
	if ref := snapshot(t, f.Warehouse, warehouse.Input{Files: at("twice")}); ref.Rows != 4 {
		t.Errorf("without keys: %d rows", ref.Rows)
	}
	if ext == ".csv" {
		return // any text is a CSV file
	}
	if err := os.WriteFile(at("garbage"), []byte("this is no such file at all, but it is long enough"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Warehouse.Snapshot(t.Context(), fileInput(at("garbage"))); err == nil {
		t.Error("garbage: no error")
	}
}
