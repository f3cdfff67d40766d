package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

// numbered writes a file of rows from first on in column id, in small row groups where the format has them.
func numbered(t *testing.T, path string, first, rows int) {
	t.Helper()
	s := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, nullable("x", arrow.PrimitiveTypes.Float64)}, nil)
	w, err := Create(path, s, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(first + i))
		b.Field(1).(*array.Float64Builder).Append(0.5)
		if i%100 == 99 || i == rows-1 {
			if err := w.Write(b.NewRecord()); err != nil {
				t.Fatal(err)
			}
			if e, ok := w.enc.(*parquetEncoder); ok {
				if err := e.endGroup(); err != nil { // the next record starts a row group
					t.Fatal(err)
				}
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGlobsAreReadInOrder(t *testing.T) {
	for _, ext := range []string{".parquet", ".arrow", ".csv"} {
		dir := t.TempDir()
		for i, name := range []string{"part-02", "part-00", "part-01"} {
			numbered(t, filepath.Join(dir, name+ext), []int{2000, 0, 1000}[i], 1000)
		}
		for _, o := range []Options{{Threads: 1}, {Threads: 4, BatchRows: 33}, {Threads: 4, MaxBytes: 1}} {
			o.Alloc = checked(t)
			recs, _ := readAll(t, filepath.Join(dir, "part-*"+ext), o)
			next := int64(0)
			for _, rec := range recs {
				if o.BatchRows > 0 && rec.NumRows() > int64(o.BatchRows) {
					t.Errorf("a record of %d rows, want at most %d", rec.NumRows(), o.BatchRows)
				}
				for _, v := range rec.Column(0).(*array.Int64).Int64Values() {
					if v != next {
						t.Fatalf("%s: id %d, want %d", ext, v, next)
					}
					next++
				}
			}
			if next != 3000 {
				t.Errorf("%s: %d rows, want 3000", ext, next)
			}
		}
	}
}

func TestStatDigest(t *testing.T) {
	dir := t.TempDir()
	numbered(t, filepath.Join(dir, "a.csv"), 0, 10)
	numbered(t, filepath.Join(dir, "b.csv"), 10, 20)
	stat := func() Info {
		info, err := Stat(context.Background(), filepath.Join(dir, "*.csv"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := stat()
	if first.Rows != 30 || len(first.Paths) != 2 || first.Schema.NumFields() != 2 {
		t.Errorf("%+v", first)
	}
	if again := stat(); again.Digest != first.Digest {
		t.Errorf("digest %s, then %s", first.Digest, again.Digest)
	}
	if err := errors.Join(os.Rename(filepath.Join(dir, "a.csv"), filepath.Join(dir, "c.csv"))); err != nil {
		t.Fatal(err)
	}
	if moved := stat(); moved.Digest == first.Digest {
		t.Error("the order of the files does not change the digest")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	numbered(t, filepath.Join(dir, "a.parquet"), 0, 10)
	numbered(t, filepath.Join(dir, "a.csv"), 0, 10)
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b.csv", "id,y\n1,2\n")
	write("c.txt", "id\n1\n")
	write("empty.csv", "")
	write("x.parquet", "PAR1 this is no parquet file PAR1")
	write("x.arrow", "ARROW1\x00\x00 this is no arrow file ARROW1")
	for name, tc := range map[string]struct {
		path string
		o    Options
		want error
		text string
	}{
		"absent":        {"none.parquet", Options{}, warehouse.ErrTableNotFound, "no such file"},
		"glob":          {"none-*.parquet", Options{}, warehouse.ErrTableNotFound, "no such file"},
		"folder":        {"", Options{}, warehouse.ErrTableNotFound, "is a directory"},
		"extension":     {"c.txt", Options{}, ErrInvalid, "none of .parquet"},
		"column":        {"a.parquet", Options{Columns: []string{"x", "z", "id", "x"}}, warehouse.ErrColumn, `"z" is absent, "x" is asked for twice`},
		"other columns": {"?.csv", Options{}, warehouse.ErrColumn, `column 1 is "y"`},
		"no header":     {"empty.csv", Options{}, ErrInvalid, "the file is empty"},
		"not parquet":   {"x.parquet", Options{}, ErrInvalid, "footer of"},
		"not arrow":     {"x.arrow", Options{}, ErrInvalid, "footer of"},
	} {
		_, _, err := tryRead(filepath.Join(dir, tc.path), tc.o)
		if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, tc.want, tc.text)
		}
	}
	if _, _, err := tryRead("testdata/nested.parquet", Options{Columns: []string{"x", "l"}}); !errors.Is(err, warehouse.ErrColumn) || !strings.Contains(err.Error(), `column "l" has type list`) {
		t.Errorf("nested column: %v", err)
	}
}

func TestProjectionOrder(t *testing.T) {
	for _, ext := range []string{".parquet", ".arrow", ".csv"} {
		path := filepath.Join(t.TempDir(), "a"+ext)
		numbered(t, path, 5, 3)
		recs, s := readAll(t, path, Options{Columns: []string{"x", "id"}, Alloc: checked(t)})
		if s.Field(0).Name != "x" || s.Field(1).Name != "id" || strings.Join(values(recs), " ") != "4602678819172646912|5 4602678819172646912|6 4602678819172646912|7" {
			t.Errorf("%s: %v %v", ext, s, values(recs))
		}
	}
}

// Close in the middle ends the goroutines and frees what they decoded; TestMain and the allocator check that.
func TestCloseEarlyAndCancel(t *testing.T) {
	dir := t.TempDir()
	for k := range 4 {
		numbered(t, filepath.Join(dir, fmt.Sprintf("%d.parquet", k)), 0, 2000)
	}
	for reads := range 4 {
		mem := checked(t)
		in, err := Open(context.Background(), filepath.Join(dir, "*.parquet"), Options{Threads: 3, BatchRows: 10, Alloc: mem})
		if err != nil {
			t.Fatal(err)
		}
		for range reads {
			rec, err := in.Next(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			rec.Release()
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for range 10 { // a record that is there may still be delivered
			rec, err := in.Next(ctx)
			if err == nil {
				rec.Release()
			} else if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		}
		if err := errors.Join(in.Close(), in.Close()); err != nil {
			t.Error(err)
		}
		if _, err := in.Next(context.Background()); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("Next after Close: %v", err)
		}
	}
}

// A slow reader does not make the stream pile up records: the budget holds, with the records of the head on top.
func TestBytesInFlightAreBounded(t *testing.T) {
	const batch = 100 * 16
	b := newBudget(3 * batch)
	if !b.acquire(0, batch) || !b.acquire(1, batch) || !b.acquire(2, batch) {
		t.Fatal("budget of three refuses three")
	}
	blocked := make(chan bool)
	go func() { blocked <- b.acquire(3, batch) }()
	select {
	case <-blocked:
		t.Fatal("a fourth was let in")
	default:
	}
	if !b.acquire(0, batch) {
		t.Fatal("the head has to wait")
	}
	b.release(batch)
	b.release(batch)
	if !<-blocked {
		t.Error("not woken by a release")
	}
	go func() { blocked <- b.acquire(5, 1<<40) }()
	b.close()
	if <-blocked {
		t.Error("acquire on a closed budget")
	}
}

// A file that breaks off in the middle delivers what comes before the fault, then the error, for good.
func TestErrorsComeInOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.parquet")
	numbered(t, path, 0, 1000)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := readFooter(strings.NewReader(string(b)), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	at := f.groups[5].chunks[0].start()
	for i := range 20 {
		b[at+int64(i)] = 0xff
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := Open(context.Background(), path, Options{Threads: 4, Alloc: checked(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	rows := int64(0)
	for {
		rec, err := in.Next(context.Background())
		if err != nil {
			if rows != 500 || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `a.parquet: row group 5, column "id"`) {
				t.Errorf("after %d rows: %v, want ErrInvalid after 500", rows, err)
			}
			break
		}
		rows += rec.NumRows()
		rec.Release()
	}
	if _, err := in.Next(context.Background()); !errors.Is(err, ErrInvalid) {
		t.Errorf("then: %v", err)
	}
}
