package duckdb

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
)

// Once a file was quiet before it was pinned, its digest is not computed again; the change time still tells a write that
// kept size and modification time.
func TestQuietFileChangedInPlace(t *testing.T) {
	w := openTest(t, t.TempDir())
	path := filepath.Join(t.TempDir(), "in.parquet")
	writeInput(t, path)
	ref, err := w.Snapshot(t.Context(), warehouse.Input{Files: path, Keys: []string{"id"}})
	if err != nil {
		t.Fatal(err)
	}
	loc, err := parseLocation(ref)
	if err != nil {
		t.Fatal(err)
	}
	if !loc.Fresh {
		t.Error("a file that was just written counts as quiet")
	}
	loc.Fresh = false
	ref.Location = loc.String()
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	before, err := identify([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	for after := before; after.contents == before.contents; { // the clock of the file system may take a few ms to tick
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Close(), os.Chtimes(path, fi.ModTime(), fi.ModTime())); err != nil {
			t.Fatal(err)
		}
		if after, err = identify([]string{path}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Read(t.Context(), warehouse.Query{Ref: ref}); !errors.Is(err, warehouse.ErrSnapshotGone) {
		t.Errorf("read gives %v, want %v", err, warehouse.ErrSnapshotGone)
	}
}

// A Parquet column of None alone has the type null: it is read, and as a key it has no values.
func TestFileColumnsOfTypeNull(t *testing.T) {
	w := openTest(t, t.TempDir())
	path := filepath.Join("..", "file", "testdata", "nulls.parquet")
	in := warehouse.Input{Files: path, Columns: []string{"id", "none"}, Keys: []string{"id"}}
	ref, err := w.Snapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for {
		rec, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if c := rec.Column(1); c.DataType().ID() != arrow.NULL || c.Len() != int(rec.NumRows()) {
			t.Errorf("column %s of %d rows, want null of %d", c.DataType(), c.Len(), rec.NumRows())
		}
		rows += rec.NumRows()
		rec.Release()
	}
	if rows != 40 {
		t.Errorf("%d rows, want 40", rows)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	in.Keys = []string{"none"}
	if _, err := w.Snapshot(t.Context(), in); !errors.Is(err, warehouse.ErrDuplicateKey) && !errors.Is(err, warehouse.ErrNullKey) {
		t.Errorf("key of nulls: %v", err)
	}
}
