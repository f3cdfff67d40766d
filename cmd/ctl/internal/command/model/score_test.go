package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newJob scores the golden rows of an example into a directory of the test.
func newJob(t *testing.T, mem memory.Allocator, example string) job {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "..", "examples", example)
	src, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := options{mem: mem, ignoreExtra: true, threads: 2}
	p, err := o.compile(src)
	if err != nil {
		t.Fatal(err)
	}
	return job{
		source: src, program: p, options: o, input: filepath.Join(dir, "golden.parquet"),
		output: filepath.Join(t.TempDir(), "scores.parquet"),
	}
}

// run returns the number of rows and of files that are left in the output's directory.
func run(ctx context.Context, t *testing.T, j job) (rows int64, files int, err error) {
	t.Helper()
	bar := render.NewProgress(&bytes.Buffer{}, false, "rows")
	rows, err = j.run(ctx, bar)
	bar.Stop()
	left, readErr := os.ReadDir(filepath.Dir(j.output))
	if readErr != nil {
		t.Fatal(readErr)
	}
	return rows, len(left), err
}

// Every record that the pipeline takes is given back, whichever of its goroutines ends first.
func TestJobGivesMemoryBack(t *testing.T) {
	t.Run("success", func(t *testing.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		rows, files, err := run(t.Context(), t, newJob(t, mem, "churn/v1"))
		if rows != 2000 || files != 1 || err != nil {
			t.Errorf("%d rows, %d files, error %v; want 2000 rows in one file", rows, files, err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, files, err := run(ctx, t, newJob(t, mem, "churn/v1")); !errors.Is(err, context.Canceled) || files != 0 {
			t.Errorf("%d files, error %v; want none and the context's error", files, err)
		}
	})
	t.Run("a row that is refused", func(t *testing.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		const refused = batchRows + 7 // in the second record, while others are on their way
		j := newJob(t, mem, filepath.Join("..", "cmd", "ctl", "testdata", "xgboost", "binary.json"))
		j.input = filepath.Join(t.TempDir(), "rows.arrow")
		writeRows(t, j.input, 8*batchRows, refused)
		_, files, err := run(t.Context(), t, j)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("row %d (the first row is 0), column \"f2\"", refused)) || files != 0 {
			t.Errorf("%d files, error %v; want none and the place of the row", files, err)
		}
		j.options.rowErrors.null = true
		if rows, files, err := run(t.Context(), t, j); rows != 8*batchRows || files != 1 || err != nil {
			t.Errorf("%d rows, %d files, error %v; want %d rows in one file", rows, files, err, 8*batchRows)
		}
	})
	t.Run("a writer that fails", func(t *testing.T) {
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		defer mem.AssertSize(t, 0)
		j := newJob(t, mem, "flights/xgboost")
		j.output = filepath.Join(t.TempDir(), "scores.parquet")
		if err := os.Mkdir(j.output, 0o755); err != nil { // renaming onto a directory fails
			t.Fatal(err)
		}
		if _, files, err := run(t.Context(), t, j); err == nil || files != 1 {
			t.Errorf("%d files, error %v; want the directory alone and an error", files, err)
		}
	})
}

// writeRows writes rows of four columns of ones, infinity in row refused of the third, in records of batchRows.
func writeRows(t *testing.T, path string, rows, refused int) {
	t.Helper()
	var fields []arrow.Field
	for _, name := range []string{"f0", "f1", "f2", "f3"} {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Float64})
	}
	schema := arrow.NewSchema(fields, nil)
	w, err := file.Create(path, schema, file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for first := 0; first < rows; first += batchRows {
		for r := first; r < first+batchRows; r++ {
			for k := range fields {
				value := 1.0
				if r == refused && k == 2 {
					value = math.Inf(1)
				}
				b.Field(k).(*array.Float64Builder).Append(value)
			}
		}
		rec := b.NewRecord()
		err := w.Write(rec)
		rec.Release()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
