package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

func openTest(t *testing.T, dir string) *Warehouse {
	t.Helper()
	w, err := Open(t.Context(), Config{Dir: dir, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func smallTarget() warehouse.Target {
	return warehouse.Target{
		Table: warehouse.TableName{Catalog: "uat", Schema: "p", Table: "s"},
		Schema: arrow.NewSchema([]arrow.Field{
			{Name: "id", Type: arrow.PrimitiveTypes.Int64},
			{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us},
			{Name: "batch_id", Type: arrow.BinaryTypes.String},
		}, nil),
		BatchColumn: "batch_id", Keys: []string{"id"}, OrderColumn: "at",
	}
}

func smallRecord(t *testing.T, id string, rows int64) arrow.Record {
	t.Helper()
	rb := array.NewRecordBuilder(memory.DefaultAllocator, smallTarget().Schema)
	defer rb.Release()
	for i := range rows {
		rb.Field(0).(*array.Int64Builder).Append(i)
		rb.Field(1).(*array.TimestampBuilder).Append(0)
		rb.Field(2).(*array.StringBuilder).Append(id)
	}
	return rb.NewRecord()
}

func stageSmall(t *testing.T, w *Warehouse, id warehouse.BatchID, rows int64) *writer {
	t.Helper()
	wr, err := w.Begin(t.Context(), id, smallTarget())
	if err != nil {
		t.Fatal(err)
	}
	rec := smallRecord(t, string(id), rows)
	defer rec.Release()
	if err := wr.Write(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	b := wr.(*writer)
	if err := b.closePart(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (w *Warehouse) count(t *testing.T, id string) (n int64) {
	t.Helper()
	if err := w.db.QueryRow("SELECT count(*) FROM uat.p.s WHERE batch_id = ?", id).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// DuckDB reads "information_schema.x.y" and the like as its own, so no file may have such a name, in whatever case.
func TestNoFileForReservedCatalogs(t *testing.T) {
	w := openTest(t, t.TempDir())
	for _, name := range []string{"information_schema", "pg_catalog", "main", "memory", "system", "temp", "treeline", "Information_Schema"} {
		target := smallTarget()
		target.Table.Catalog = name
		if b, err := w.Begin(t.Context(), "b", target); err == nil {
			t.Errorf("%s: a writer to it began", name)
			if err := b.Abort(t.Context()); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, warehouse.ErrTableNotFound) || !strings.Contains(err.Error(), `"`+name+`" is reserved`) {
			t.Errorf("%s: writing: %v", name, err)
		}
		_, err := w.Describe(t.Context(), warehouse.Input{Table: target.Table})
		if !errors.Is(err, warehouse.ErrTableNotFound) || !strings.Contains(err.Error(), "is reserved") {
			t.Errorf("%s: reading: %v", name, err)
		}
	}
	if names := strings.Join(w.catalogNames(), " "); names != "mlflow" {
		t.Errorf("catalogs are %s", names)
	}
}

// D2 without the turns that writers take: the transaction that comes second fails, whether or not the id is known already.
func TestLedgerFirst(t *testing.T) {
	w := openTest(t, t.TempDir())
	c, err := w.catalog("uat")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 { // the id is new, then known
		one, two := stageSmall(t, w, "b", 1000), stageSmall(t, w, "b", 1000)
		txOne, err := w.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		txTwo, err := w.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := one.replace(t.Context(), c, txOne); err != nil {
			t.Fatal(err)
		}
		_, _, err = two.replace(t.Context(), c, txTwo)
		if cerr := txOne.Commit(); cerr != nil {
			t.Fatal(cerr)
		}
		if err == nil {
			err = sqlError(t.Context(), txTwo.Commit())
		} else {
			_ = txTwo.Rollback()
		}
		if !errors.Is(err, warehouse.ErrConflict) {
			t.Fatalf("round %d: the second transaction ended with %v, want %v", round, err, warehouse.ErrConflict)
		}
		if n := w.count(t, "b"); n != 1000 {
			t.Fatalf("round %d: %d rows", round, n)
		}
		if _, err := two.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.count(t, "b"); n != 1000 {
			t.Fatalf("round %d: %d rows after the second commit", round, n)
		}
		if err := one.Abort(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A commit is in the log before the checkpoint: files as they are then hold all rows.
func TestLogAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var")
	w := openTest(t, dir)
	b := stageSmall(t, w, "b", 200_000)
	c, err := w.catalog("uat")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.transact(t.Context(), c, func(c *catalog, tx *sql.Tx) error {
		_, _, err := b.replace(t.Context(), c, tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(c.path + ".wal"); err != nil || fi.Size() == 0 {
		t.Fatalf("no log was kept: %v", err)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, image)
	if err := again.read(t.Context(), "uat", func(*catalog) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := again.count(t, "b"); n != 200_000 {
		t.Errorf("%d rows, want 200000", n)
	}
	w.checkpoint(t.Context(), c)
	if fi, err := os.Stat(c.path + ".wal"); err == nil && fi.Size() > 0 {
		t.Errorf("the log has %d bytes after the checkpoint", fi.Size())
	}
}

// failingPart is a staged part on a disk that fills up.
type failingPart struct {
	partWriter

	writes int
}

func (p *failingPart) Write(rec arrow.Record) error {
	if p.writes--; p.writes < 0 {
		return &os.PathError{Op: "write", Path: "part", Err: syscall.ENOSPC}
	}
	return p.partWriter.Write(rec)
}

func TestStagingFull(t *testing.T) {
	w := openTest(t, t.TempDir())
	for writes := range 3 {
		wr, err := w.Begin(t.Context(), "full", smallTarget())
		if err != nil {
			t.Fatal(err)
		}
		b := wr.(*writer)
		create := b.create
		b.create = func(path string, s *arrow.Schema) (partWriter, error) {
			part, err := create(path, s)
			return &failingPart{part, writes}, err
		}
		rec := smallRecord(t, "full", 100)
		for i := range writes + 2 {
			err := wr.Write(t.Context(), rec)
			if i < writes && err != nil || i >= writes && !errors.Is(err, warehouse.ErrFull) {
				t.Fatalf("write %d of %d: %v", i, writes, err)
			}
		}
		rec.Release()
		if _, err := wr.Commit(t.Context()); !errors.Is(err, warehouse.ErrFull) {
			t.Errorf("commit of a part of the rows: %v", err)
		}
		if err := wr.Abort(t.Context()); err != nil {
			t.Error(err)
		}
		if n := w.count(t, "full"); n != 0 {
			t.Errorf("%d rows", n)
		}
	}
	if left, err := os.ReadDir(w.stagingDir()); err != nil || len(left) > 0 {
		t.Errorf("staging holds %v, %v", left, err)
	}
}

func TestCorruptCatalog(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir)
	if _, err := stageSmall(t, w, "b", 100_000).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, "uat.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, good...)
	for i := 4096; i < len(flipped); i += 1000 {
		flipped[i] ^= 0x55
	}
	newer := append([]byte{}, good...)
	newer[12] = 0xff
	for name, content := range map[string][]byte{
		"empty": {}, "garbage": []byte(strings.Repeat("garbage ", 4000)), "half": good[:len(good)/2], "flipped": flipped, "newer": newer,
	} {
		if err := os.WriteFile(filepath.Join(dir, "uat.duckdb"), content, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			w := openTest(t, dir)
			for _, err := range []error{
				func() error {
					_, err := w.Snapshot(t.Context(), warehouse.Input{Table: smallTarget().Table})
					return err
				}(),
				func() error { _, err := w.Begin(t.Context(), "c", smallTarget()); return err }(),
			} {
				if !errors.Is(err, warehouse.ErrDamaged) || !strings.Contains(err.Error(), "uat.duckdb") {
					t.Errorf("error is %v, want %v", err, warehouse.ErrDamaged)
				}
			}
			if err := w.MirrorPromotions(t.Context(), []warehouse.PromotionRow{{Seq: 1, Timestamp: time.Now()}}); err != nil {
				t.Errorf("another catalog: %v", err)
			}
		})
	}
}

// A snapshot file that was damaged is noticed by Read and made again by Snapshot.
func TestDamagedSnapshot(t *testing.T) {
	w := openTest(t, t.TempDir())
	if _, err := stageSmall(t, w, "b", 5000).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := warehouse.Input{Table: smallTarget().Table, Keys: []string{"id"}}
	ref, err := w.Snapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.snapshotDir, ref.Version+".parquet")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte{}, good...)
	for i := 200; i < 400; i++ {
		bad[i] ^= 1
	}
	for name, content := range map[string][]byte{"flipped": bad, "truncated": good[:len(good)/2], "empty": {}} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Read(t.Context(), warehouse.Query{Ref: ref}); !errors.Is(err, warehouse.ErrSnapshotGone) {
			t.Errorf("%s: read gives %v", name, err)
		}
		again, err := w.Snapshot(t.Context(), in)
		if err != nil || again.Version != ref.Version {
			t.Fatalf("%s: snapshot gives %+v, %v", name, again, err)
		}
		if repaired, err := os.ReadFile(path); err != nil || string(repaired) != string(good) {
			t.Errorf("%s: the snapshot was not made again as it was: %v", name, err)
		}
		s, err := w.Read(t.Context(), warehouse.Query{Ref: ref})
		if err != nil {
			t.Fatalf("%s: reading the repaired snapshot by the old reference: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Read(t.Context(), warehouse.Query{Ref: ref}); !errors.Is(err, warehouse.ErrSnapshotGone) {
		t.Errorf("read of a removed snapshot: %v", err)
	}
	for _, location := range []string{"", "{}", "nonsense", `{"snapshot":"a","files":"b"}`} {
		lost := ref
		lost.Location = location
		if _, err := w.Read(t.Context(), warehouse.Query{Ref: lost}); !errors.Is(err, warehouse.ErrSnapshotGone) {
			t.Errorf("location %q: %v", location, err)
		}
	}
}

func TestPruneSnapshots(t *testing.T) {
	w := openTest(t, t.TempDir())
	if _, err := stageSmall(t, w, "b", 5000).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := warehouse.Input{Table: smallTarget().Table, Keys: []string{"id"}}
	all, err := w.Snapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Columns = []string{"id"}
	ids, err := w.Snapshot(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	open, err := w.Read(t.Context(), warehouse.Query{Ref: all})
	if err != nil {
		t.Fatal(err)
	}
	removed, freed, err := w.PruneSnapshots(func(version string) bool { return version == ids.Version })
	if err != nil || removed != 1 || freed < 5000*8 {
		t.Errorf("%d snapshots, %d bytes, %v", removed, freed, err)
	}
	if rec, err := open.Next(t.Context()); err != nil || rec.NumRows() == 0 {
		t.Errorf("an open stream: %v", err)
	} else {
		rec.Release()
	}
	if err := open.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.Read(t.Context(), warehouse.Query{Ref: all}); !errors.Is(err, warehouse.ErrSnapshotGone) {
		t.Errorf("read of a pruned version: %v", err)
	}
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ids})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Directories may have any name that the system allows.
func TestDirectoryNames(t *testing.T) {
	for _, name := range []string{"it's", "a b", "g*[x]", "env=prod", "ünï", "q\"q"} {
		w := openTest(t, filepath.Join(t.TempDir(), name))
		if _, err := stageSmall(t, w, "b", 50).Commit(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ref, err := w.Snapshot(t.Context(), warehouse.Input{Table: smallTarget().Table, Keys: []string{"id"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if ref.Schema.NumFields() != 3 {
			t.Errorf("%s: schema is %s", name, ref.Schema)
		}
		if _, err := w.Snapshot(t.Context(), warehouse.Input{Table: smallTarget().Table, Keys: []string{"id"}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s, err := w.Rows(t.Context(), "b", warehouse.Output{Table: smallTarget().Table}, 5)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no directory":     {},
		"question mark":    {Dir: filepath.Join(t.TempDir(), "a?b")},
		"memory limit":     {Dir: t.TempDir(), MemoryLimit: "much"},
		"a file":           {Dir: os.Args[0]},
		"snapshots a file": {Dir: t.TempDir(), SnapshotDir: os.Args[0]},
	} {
		if w, err := Open(t.Context(), c); err == nil {
			t.Errorf("%s: no error", name)
			_ = w.Close()
		}
	}
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Open(dead, Config{Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	openTest(t, dir) // a failed open gave the lock back
}

func TestInstanceSettings(t *testing.T) {
	w := openTest(t, t.TempDir())
	for name, want := range map[string]string{
		"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "allow_persistent_secrets": "false",
		"lock_configuration": "true", "memory_limit": "953.6 MiB", "threads": "2", "TimeZone": "UTC",
	} {
		var got string
		if err := w.db.QueryRow("SELECT value FROM duckdb_settings() WHERE name = ?", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestReservedCatalogs(t *testing.T) {
	w := openTest(t, t.TempDir())
	for _, name := range []string{"memory", "SYSTEM", "temp", "treeline", "a.b", "../x", ""} {
		tg := smallTarget()
		tg.Table.Catalog = name
		if _, err := w.Begin(t.Context(), "b", tg); err == nil {
			t.Errorf("catalog %q was accepted", name)
		}
	}
	// Names without case mean one file.
	for _, name := range []string{"uat", "UAT", "Uat"} {
		tg := smallTarget()
		tg.Table.Catalog = name
		wr, err := w.Begin(t.Context(), "b", tg)
		if err != nil {
			t.Fatal(err)
		}
		if err := wr.Abort(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if names := strings.Join(w.catalogNames(), " "); names != "mlflow uat" {
		t.Errorf("catalogs are %s", names)
	}
}
