package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

var (
	dictText = &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	utc      = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
)

func nullable(name string, t arrow.DataType) arrow.Field {
	return arrow.Field{Name: name, Type: t, Nullable: true}
}

// mixed has rows of all types that outputs have; the dictionary differs from record to record.
func mixed(mem memory.Allocator, from, rows int) arrow.Record {
	s := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		nullable("x", arrow.PrimitiveTypes.Float64), nullable("f", arrow.PrimitiveTypes.Float32),
		nullable("n", arrow.PrimitiveTypes.Int32), nullable("s", arrow.BinaryTypes.String), nullable("d", dictText), nullable("at", utc),
		nullable("b", arrow.FixedWidthTypes.Boolean),
	}, nil)
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	for i := from; i < from+rows; i++ {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i%5 == 4 {
			for _, f := range b.Fields()[1:] {
				f.AppendNull()
			}
			continue
		}
		b.Field(1).(*array.Float64Builder).Append(float64(i) / 3)
		b.Field(2).(*array.Float32Builder).Append(float32(i) / 3)
		b.Field(3).(*array.Int32Builder).Append(int32(-i))
		b.Field(4).(*array.StringBuilder).Append(fmt.Sprintf("text, \"%d\"", i))
		if err := b.Field(5).(*array.BinaryDictionaryBuilder).AppendString(fmt.Sprintf("cat %d", (i/3+from)%7)); err != nil {
			panic(err)
		}
		b.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(int64(i) * 1234567))
		b.Field(7).(*array.BooleanBuilder).Append(i%2 == 0)
	}
	return b.NewRecord()
}

func values(recs []arrow.Record) []string {
	var out []string
	for _, rec := range recs {
		for r := range int(rec.NumRows()) {
			var row []string
			for _, c := range rec.Columns() {
				row = append(row, normal(c, r))
			}
			out = append(out, strings.Join(row, "|"))
		}
	}
	return out
}

func TestWriteAndReadBack(t *testing.T) {
	for _, ext := range []string{".parquet", ".arrow", ".feather", ".csv"} {
		t.Run(ext, func(t *testing.T) {
			mem := checked(t)
			path := filepath.Join(t.TempDir(), "out"+ext)
			var recs []arrow.Record
			for k := range 5 {
				recs = append(recs, mixed(mem, k*100, 100))
			}
			defer releaseAll(recs)
			w, err := Create(path, recs[0].Schema(), WriteOptions{Alloc: mem})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range recs {
				if err := w.Write(r); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is there before Close: %v", err)
			}
			if err := errors.Join(w.Close(), w.Close(), w.Abort()); err != nil {
				t.Fatal(err)
			}
			if w.Rows() != 500 {
				t.Errorf("%d rows written", w.Rows())
			}
			onlyFile(t, filepath.Dir(path), 1)
			got, s := readAll(t, path, Options{Alloc: mem, Hint: recs[0].Schema(), Threads: 2})
			for i, f := range recs[0].Schema().Fields() {
				typ := f.Type
				if d, ok := s.Field(i).Type.(*arrow.DictionaryType); ok && ext == ".parquet" { // Parquet indices are 32-bit
					typ = &arrow.DictionaryType{IndexType: d.IndexType, ValueType: typ.(*arrow.DictionaryType).ValueType}
				}
				if s.Field(i).Name != f.Name || !arrow.TypeEqual(s.Field(i).Type, typ) {
					t.Errorf("column %v, want %v", s.Field(i), f)
				}
			}
			a, b := values(got), values(recs)
			if len(a) != len(b) {
				t.Fatalf("%d rows, want %d", len(a), len(b))
			}
			for i := range a {
				if a[i] != b[i] {
					t.Fatalf("row %d: %s, want %s", i, a[i], b[i])
				}
			}
		})
	}
}

// Arrow's own reader agrees with what the hand-made footer says.
func TestArrowReadsOurArrowFiles(t *testing.T) {
	for _, n := range []int{0, 1, 4} {
		path := filepath.Join(t.TempDir(), "out.arrow")
		var recs []arrow.Record
		w, err := Create(path, mixed(memory.DefaultAllocator, 0, 1).Schema(), WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for k := range n {
			recs = append(recs, mixed(memory.DefaultAllocator, k*10, 10))
			if err := w.Write(recs[k]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := ipc.NewFileReader(f)
		if err != nil {
			t.Fatal(err)
		}
		var got []arrow.Record
		for i := range r.NumRecords() {
			rec, err := r.RecordAt(i)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rec)
		}
		if a, b := fmt.Sprint(values(got)), fmt.Sprint(values(recs)); a != b {
			t.Errorf("%d records: arrow reads %s, want %s", n, a, b)
		}
	}
}

func onlyFile(t *testing.T, dir string, want int) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != want {
		t.Errorf("%d files in the folder, want %d: %v", len(all), want, all)
	}
}

func TestAbortLeavesNothing(t *testing.T) {
	for _, ext := range []string{".parquet", ".arrow", ".csv"} {
		mem := checked(t)
		path := filepath.Join(t.TempDir(), "out"+ext)
		if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		rec := mixed(mem, 0, 50)
		w, err := Create(path, rec.Schema(), WriteOptions{Alloc: mem})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Write(rec), w.Abort(), w.Abort()); err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rec); err == nil {
			t.Errorf("%s: Write after Abort", ext)
		}
		rec.Release()
		onlyFile(t, filepath.Dir(path), 1)
		if b, err := os.ReadFile(path); string(b) != "before" {
			t.Errorf("%s: the file is now %q: %v", ext, b, err)
		}
	}
}

type fullDisk struct{ left int }

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	}
	return len(p), nil
}

func TestFullDisk(t *testing.T) {
	for _, ext := range []string{".parquet", ".arrow", ".csv"} {
		for _, left := range []int{0, 100_000} {
			path := filepath.Join(t.TempDir(), "out"+ext)
			rec := mixed(memory.DefaultAllocator, 0, 20000)
			w, err := Create(path, rec.Schema(), WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.sink.w = &fullDisk{left}
			for range 20 {
				if err = w.Write(rec); err != nil {
					break
				}
			}
			if err == nil {
				err = w.Close()
			} else if closed := w.Close(); !errors.Is(closed, warehouse.ErrFull) {
				t.Errorf("%s: Close after a failed Write: %v, want ErrFull", ext, closed)
			}
			if !errors.Is(err, warehouse.ErrFull) {
				t.Errorf("%s with %d bytes left: %v, want ErrFull", ext, left, err)
			}
			onlyFile(t, filepath.Dir(path), 0)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	flat := arrow.NewSchema([]arrow.Field{nullable("x", arrow.PrimitiveTypes.Float64)}, nil)
	list := arrow.NewSchema([]arrow.Field{nullable("l", arrow.ListOf(arrow.PrimitiveTypes.Float64))}, nil)
	for name, tc := range map[string]struct {
		path string
		s    *arrow.Schema
		want error
	}{
		"extension": {filepath.Join(dir, "x.json"), flat, ErrInvalid},
		"folder":    {filepath.Join(dir, "none", "x.csv"), flat, warehouse.ErrTableNotFound},
		"nested":    {filepath.Join(dir, "x.parquet"), list, warehouse.ErrColumn},
	} {
		if _, err := Create(tc.path, tc.s, WriteOptions{}); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	w, err := Create(filepath.Join(dir, "x.csv"), flat, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(mixed(memory.DefaultAllocator, 0, 1)); !errors.Is(err, warehouse.ErrColumn) {
		t.Errorf("another schema: %v, want ErrColumn", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	onlyFile(t, dir, 0)
}

func TestCSVText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.csv")
	s := arrow.NewSchema([]arrow.Field{nullable("a,b", arrow.BinaryTypes.String), nullable("x", arrow.PrimitiveTypes.Float32), nullable("at", utc)}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	b.Field(0).(*array.StringBuilder).AppendValues([]string{"say \"hi\"\n", "", ""}, []bool{true, false, true})
	b.Field(1).(*array.Float32Builder).AppendValues([]float32{0.1, 1e30, 2}, nil)
	b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(time.Date(2024, 1, 2, 3, 4, 5, 6000, time.UTC).UnixMicro()))
	b.Field(2).AppendNull()
	b.Field(2).AppendNull()
	w, err := Create(path, s, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(b.NewRecord()), w.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "\"a,b\",x,at\n\"say \"\"hi\"\"\n\",0.1,2024-01-02T03:04:05.000006Z\n,1e+30,\n\"\",2,\n"; string(got) != want || err != nil {
		t.Errorf("%q, want %q: %v", got, want, err)
	}
}

// A null alone in its line would be an empty line, which every reader skips.
func TestCSVNullInTheOnlyColumn(t *testing.T) {
	dir := t.TempDir()
	one := filepath.Join(dir, "one.csv")
	s := arrow.NewSchema([]arrow.Field{nullable("x", arrow.PrimitiveTypes.Float64)}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	b.Field(0).(*array.Float64Builder).AppendValues([]float64{1, 0, 3}, []bool{true, false, true})
	w, err := Create(one, s, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(b.NewRecord()), w.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(one); string(got) != "x\n1\nNaN\n3\n" || err != nil {
		t.Errorf("%q: %v", got, err)
	}
	s = arrow.NewSchema([]arrow.Field{nullable("t", arrow.BinaryTypes.String)}, nil)
	b = array.NewRecordBuilder(memory.DefaultAllocator, s)
	b.Field(0).(*array.StringBuilder).AppendValues([]string{"", "x"}, []bool{true, false})
	if w, err = Create(filepath.Join(dir, "text.csv"), s, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(b.NewRecord()); !errors.Is(err, errLoneNull) || !strings.Contains(err.Error(), "row 1:") {
		t.Errorf("%v, want errLoneNull of row 1", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}
