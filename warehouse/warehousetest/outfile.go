package warehousetest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func outfileCases() []testCase {
	return []testCase{
		{"a file holds the batch and is replaced by the next", fileHoldsBatch},
		{"a file is not there before the commit, nor after an abort", fileBeforeCommit},
		{"no file that is not an output of ours is replaced", foreignFile},
		{"a reopen removes what a killed writer left", fileAfterKill},
		{"paths and targets that make no sense", func(t *testing.T, f Fixture) {
			for name, path := range map[string]string{
				"relative": "out.parquet", "csv": filepath.Join(f.Dir, "out.csv"), "no directory": filepath.Join(f.Dir, "absent", "out.parquet"),
				"a line break": filepath.Join(f.Dir, "a\n.parquet"), "a directory": f.Dir + "/.parquet",
			} {
				if name == "a directory" {
					if err := os.Mkdir(path, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := f.Warehouse.Begin(t.Context(), "x", fileTarget(path)); err == nil {
					t.Errorf("%s: no error", name)
				}
			}
			tg := fileTarget(filepath.Join(f.Dir, "out.parquet"))
			tg.Keys = []string{"nothing"}
			if _, err := f.Warehouse.Begin(t.Context(), "x", tg); err == nil {
				t.Error("unknown key: no error")
			}
			if err := f.StagingEmpty(); err != nil {
				t.Error(err)
			}
			f.wantFiles(t)
		}},
	}
}

func fileTarget(path string) warehouse.Target {
	tg := target()
	tg.Table, tg.File = warehouse.TableName{}, path
	return tg
}

// wantFiles fails unless Dir holds exactly these names, hidden files included, and directories.
func (f Fixture) wantFiles(t *testing.T, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if !e.IsDir() {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, names) {
		t.Errorf("files are %q, want %q", got, names)
	}
}

// rowsOfFile are the rows of a Parquet file, by a reader that knows nothing of batches.
func rowsOfFile(t *testing.T, path string) []string {
	t.Helper()
	s, err := file.Open(t.Context(), path, file.Options{})
	return readAll(t, s, err)
}

func fileHoldsBatch(t *testing.T, f Fixture) {
	path := filepath.Join(f.Dir, "scores.parquet")
	tg := fileTarget(path)
	for i, run := range []struct {
		b        batch
		replaced bool
	}{
		{batch{id: "one", rows: 5000, version: 1, at: day(1)}, false},
		{batch{id: "one", rows: 5000, version: 2, at: day(2)}, true},
		{batch{id: "two", rows: 300, version: 3, at: day(3)}, false},
		{batch{id: "two", rows: 0, version: 3, at: day(3)}, true},
		{batch{id: "two", rows: 10, version: 4, at: day(3)}, true},
	} {
		c, err := run.b.run(t.Context(), f.Warehouse, tg)
		if err != nil || c.Rows != run.b.rows || c.Replaced != run.replaced {
			t.Fatalf("run %d: %+v, %v", i, c, err)
		}
		rows := rowsOfFile(t, path)
		if int64(len(rows)) != run.b.rows {
			t.Fatalf("run %d: the file has %d rows, want %d", i, len(rows), run.b.rows)
		}
		for r, row := range rows {
			want := fmt.Sprintf("%d|%v|%d|%d|run-7|", r, float64(r)/100, r%2, run.b.version)
			if len(row) < len(want) || row[:len(want)] != want || !contains(row, "|"+string(run.b.id)+"|churn|abc123") {
				t.Fatalf("run %d: row %d is %q, want %q and the batch id", i, r, row, want)
			}
		}
		s, err := f.Warehouse.Rows(t.Context(), run.b.id, warehouse.Output{File: path}, 7)
		if err == nil && run.b.rows > 0 && !arrow.TypeEqual(s.Schema().Field(5).Type, arrow.FixedWidthTypes.Timestamp_us) {
			t.Errorf("scored_at is %s", s.Schema().Field(5).Type)
		}
		if got := readAll(t, s, err); !slices.Equal(got, rows[:min(7, len(rows))]) {
			t.Errorf("run %d: the first rows are %q", i, got)
		}
	}
	_, err := f.Warehouse.Rows(t.Context(), "one", warehouse.Output{File: path}, 7)
	wantError(t, err, warehouse.ErrBatchNotFound, path)
	if err := f.StagingEmpty(); err != nil {
		t.Error(err)
	}
	f.wantFiles(t, "scores.parquet")
}

func fileBeforeCommit(t *testing.T, f Fixture) {
	path := filepath.Join(f.Dir, "scores.parquet")
	b := batch{id: "b", rows: 2500, version: 1, at: day(1)}
	for _, before := range []int{0, 1} { // without and with an earlier file
		wr, err := f.Warehouse.Begin(t.Context(), "aborted", fileTarget(path))
		if err != nil {
			t.Fatal(err)
		}
		if err := (batch{id: "aborted", rows: 2000, at: day(1)}).write(t.Context(), wr); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); (err == nil) != (before == 1) {
			t.Errorf("before the commit: %v", err)
		}
		if err := wr.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.StagingEmpty(); err != nil {
			t.Error(err)
		}
		if before == 0 {
			f.wantFiles(t)
			if _, err := b.run(t.Context(), f.Warehouse, fileTarget(path)); err != nil {
				t.Fatal(err)
			}
		}
		f.wantFiles(t, "scores.parquet")
		if rows := rowsOfFile(t, path); len(rows) != 2500 {
			t.Errorf("%d rows, want 2500", len(rows))
		}
	}
}

func foreignFile(t *testing.T, f Fixture) {
	csv, parquet := filepath.Join(f.Dir, "text.parquet"), filepath.Join(f.Dir, "other.parquet")
	if err := os.WriteFile(csv, []byte("a,b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rec := batch{id: "x", rows: 3, at: day(1)}.record(memory.DefaultAllocator, 0, 3)
	defer rec.Release()
	out, err := file.Create(parquet, rec.Schema(), file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(f.Dir, "link.parquet")
	if err := os.Symlink(parquet, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{csv, parquet, link} {
		_, err := f.Warehouse.Begin(t.Context(), "b", fileTarget(path))
		wantError(t, err, warehouse.ErrTargetMismatch, path)
	}
	// One that appears while the batch runs.
	late := filepath.Join(f.Dir, "zlate.parquet")
	wr, err := f.Warehouse.Begin(t.Context(), "b", fileTarget(late))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(late, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = wr.Commit(t.Context())
	wantError(t, err, warehouse.ErrTargetMismatch, late)
	if err := wr.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(late); err != nil || string(got) != "mine" {
		t.Errorf("the file is %q, %v", got, err)
	}
	f.wantFiles(t, "link.parquet", "other.parquet", "text.parquet", "zlate.parquet")
	if err := f.StagingEmpty(); err != nil {
		t.Error(err)
	}
}

func fileAfterKill(t *testing.T, f Fixture) {
	path := filepath.Join(f.Dir, "scores.parquet")
	b := batch{id: "b", rows: 2000, version: 1, at: day(1)}
	if _, err := b.run(t.Context(), f.Warehouse, fileTarget(path)); err != nil {
		t.Fatal(err)
	}
	wr, err := f.Warehouse.Begin(t.Context(), "b", fileTarget(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := (batch{id: "b", rows: 1000, version: 2, at: day(1)}).write(t.Context(), wr); err != nil {
		t.Fatal(err)
	}
	w := f.Reopen(t)
	f.wantFiles(t, "scores.parquet")
	if err := f.StagingEmpty(); err != nil {
		t.Error(err)
	}
	if rows := rowsOfFile(t, path); len(rows) != 2000 || !contains(rows[0], "|1|run-7|") {
		t.Errorf("%d rows, the first is %q", len(rows), rows[0])
	}
	b.version = 3
	if c, err := b.run(t.Context(), w, fileTarget(path)); err != nil || !c.Replaced {
		t.Errorf("after the kill: %+v, %v", c, err)
	}
}
