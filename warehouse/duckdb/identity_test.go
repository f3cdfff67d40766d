package duckdb

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

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
