package feature_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		os.Exit(exportAndHang(dir))
	}
	goleak.VerifyTestMain(m)
}

// reads counts the streams that are opened on the warehouse.
type reads struct {
	warehouse.Warehouse

	mu    sync.Mutex
	n     int
	spoil error // of the next Read
}

func (r *reads) Read(ctx context.Context, q warehouse.Query) (warehouse.RecordStream, error) {
	r.mu.Lock()
	r.n++
	err := r.spoil
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return r.Warehouse.Read(ctx, q)
}

func (r *reads) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

type fixture struct {
	*feature.Service

	w    *reads
	dir  string
	out  string // for exports
	tick time.Time
}

func table(name string) warehouse.TableName {
	return warehouse.TableName{Catalog: "uat", Schema: "features", Table: name}
}

// setup computes three days of features; maxBytes bounds the cache.
func setup(t *testing.T, maxBytes int64) *fixture {
	t.Helper()
	d, err := duckdb.Open(t.Context(), duckdb.Config{Dir: t.TempDir(), Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	f := &fixture{w: &reads{Warehouse: d}, dir: filepath.Join(t.TempDir(), "exports"), tick: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	f.out = t.TempDir()
	f.open(t, maxBytes)
	for _, day := range []string{"2026-01-01", "2026-01-02", "2026-01-03"} {
		if _, err := f.Compute(t.Context(), "churn", day); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fixture) open(t *testing.T, maxBytes int64) {
	t.Helper()
	var err error
	f.Service, err = feature.New(feature.Deps{
		Warehouse: f.w, Dir: f.dir, MaxBytes: maxBytes, Sources: sources,
		Now: func() time.Time { f.tick = f.tick.Add(time.Second); return f.tick },
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources: churn has 1000 accounts a day, from SQL; fixed has a table that somebody else fills.
func sources(model string) (feature.Source, bool) {
	switch model {
	case "churn":
		return feature.Source{
			Model: model, Table: table("churn"), DateColumn: "day", Keys: []string{"id"},
			SQL: "SELECT i AS id, :compute_date AS day, i * 0.5 AS amount FROM range(1000) t(i)",
		}, true
	case "fixed":
		return feature.Source{Model: model, Table: table("churn")}, true
	case "wrong":
		return feature.Source{Model: model, Table: table("churn"), Label: "churned", Exclude: []string{"amount", "note"}}, true
	case "absent":
		return feature.Source{Model: model, Table: table("nothing")}, true
	default:
		return feature.Source{}, false
	}
}

func (f *fixture) pin(t *testing.T, through string) warehouse.Ref {
	t.Helper()
	ref, err := f.Pin(t.Context(), "churn", through)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func (f *fixture) export(t *testing.T, ref warehouse.Ref, name string) string {
	t.Helper()
	path := filepath.Join(f.out, name)
	rows, err := f.Export(t.Context(), ref, path)
	if err != nil || rows != ref.Rows {
		t.Fatalf("%d rows, want %d (%v)", rows, ref.Rows, err)
	}
	return path
}

// cached lists the files of the cache by the first letters of their version.
func (f *fixture) cached(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func countRows(t *testing.T, path string) (rows int64, columns string) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	s, err := file.Open(t.Context(), path, file.Options{Alloc: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, field := range s.Schema().Fields() {
		columns += field.Name + " "
	}
	for {
		rec, err := s.Next(t.Context())
		if err != nil {
			return rows, strings.TrimSpace(columns)
		}
		rows += rec.NumRows()
		rec.Release()
	}
}

func TestComputePinExport(t *testing.T) {
	f := setup(t, 0)
	if m, err := f.Compute(t.Context(), "churn", "2026-01-01"); err != nil || m.Computed || m.Rows != 1000 {
		t.Errorf("the second time: %+v, %v", m, err)
	}
	if m, err := f.Compute(t.Context(), "fixed", "2026-01-01"); err != nil || m != (warehouse.Materialised{}) {
		t.Errorf("nothing to compute: %+v, %v", m, err)
	}
	for through, rows := range map[string]int64{"2026-01-01": 1000, "2026-01-02": 2000, "2026-01-31": 3000} {
		path := f.export(t, f.pin(t, through), through+".parquet")
		if n, columns := countRows(t, path); n != rows || columns != "id day amount" {
			t.Errorf("through %s: %d rows of %s, want %d", through, n, columns, rows)
		}
	}
	ref, err := f.Pin(t.Context(), "fixed", "2026-01-01")
	if err != nil || ref.Rows != 3000 {
		t.Errorf("without a date column: %d rows, %v", ref.Rows, err)
	}
	for model, want := range map[string]error{"unknown": feature.ErrModel, "absent": warehouse.ErrTableNotFound} {
		if _, err := f.Pin(t.Context(), model, "2026-01-01"); !errors.Is(err, want) {
			t.Errorf("%s: %v", model, err)
		}
	}
	_, err = f.Pin(t.Context(), "wrong", "2026-01-01")
	if !errors.Is(err, warehouse.ErrColumn) || !strings.Contains(err.Error(), `"churned", "note"`) {
		t.Errorf("columns that are not there: %v", err)
	}
	if _, err := f.Compute(t.Context(), "unknown", "2026-01-01"); !errors.Is(err, feature.ErrModel) {
		t.Error(err)
	}
}

func TestExportsAreShared(t *testing.T) {
	f := setup(t, 0)
	ref := f.pin(t, "2026-01-02")
	paths := make([]string, 8)
	var wg sync.WaitGroup
	for i := range paths {
		wg.Go(func() { paths[i] = f.export(t, ref, fmt.Sprintf("%d.parquet", i)) })
	}
	wg.Wait()
	if n := f.w.count(); n != 1 {
		t.Errorf("the rows were read %d times, want once", n)
	}
	first, err := os.Stat(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths[1:] {
		if info, err := os.Stat(p); err != nil || !os.SameFile(first, info) {
			t.Errorf("%s is another file (%v)", p, err)
		}
	}
	if first.Mode().Perm()&0o222 != 0 {
		t.Errorf("the shared file can be written: %s", first.Mode())
	}
	// Another service, after a restart, finds it; an export over an export is fine.
	f.open(t, 0)
	f.export(t, ref, "0.parquet")
	if n := f.w.count(); n != 1 {
		t.Errorf("after a restart the rows were read again")
	}
	if left, _ := filepath.Glob(filepath.Join(f.out, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestExportNoticesChanges(t *testing.T) {
	f := setup(t, 0)
	ref := f.pin(t, "2026-01-02")
	path := f.export(t, ref, "a.parquet")
	// A trainer of the same user can do this.
	if err := errors.Join(os.Chmod(path, 0o644), os.Truncate(path, 100)); err != nil {
		t.Fatal(err)
	}
	again := f.export(t, ref, "b.parquet")
	if n, _ := countRows(t, again); n != 2000 || f.w.count() != 2 {
		t.Errorf("%d rows after %d reads", n, f.w.count())
	}
}

func TestCacheIsBounded(t *testing.T) {
	f := setup(t, 1) // room for nothing that is not in use
	one, two, three := f.pin(t, "2026-01-01"), f.pin(t, "2026-01-02"), f.pin(t, "2026-01-03")
	a := f.export(t, one, "a.parquet")
	b := f.export(t, two, "b.parquet")
	if n := len(f.cached(t)); n != 2 {
		t.Errorf("%d files, want the two in use", n)
	}
	if err := os.Remove(a); err != nil {
		t.Fatal(err)
	}
	f.export(t, three, "c.parquet")
	if names := strings.Join(f.cached(t), " "); strings.Contains(names, one.Version) || !strings.Contains(names, two.Version) {
		t.Errorf("the cache has %s", names)
	}
	if n, _ := countRows(t, b); n != 2000 {
		t.Errorf("%d rows", n)
	}

	// The least recently used goes first.
	f = setup(t, 0)
	refs := []warehouse.Ref{f.pin(t, "2026-01-01"), f.pin(t, "2026-01-02"), f.pin(t, "2026-01-03")}
	var size int64
	for i, ref := range refs {
		path := f.export(t, ref, fmt.Sprint(i, ".parquet"))
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	f.export(t, refs[0], "0.parquet") // used again
	for i := range refs {
		if err := os.Remove(filepath.Join(f.out, fmt.Sprint(i, ".parquet"))); err != nil {
			t.Fatal(err)
		}
	}
	f.open(t, size-1)
	f.export(t, refs[0], "0.parquet")
	if err := os.Remove(filepath.Join(f.out, "0.parquet")); err != nil {
		t.Fatal(err)
	}
	f.export(t, refs[0], "0.parquet")
	if err := os.Remove(filepath.Join(f.out, "0.parquet")); err != nil {
		t.Fatal(err)
	}
	f.open(t, size/2)
	f.export(t, refs[2], "2.parquet") // in use: two others remain, one over the size
	if names := strings.Join(f.cached(t), " "); strings.Contains(names, refs[1].Version) || !strings.Contains(names, refs[0].Version) {
		t.Errorf("the cache has %s, want without %s", names, refs[1].Version)
	}
}

func TestExportFails(t *testing.T) {
	f := setup(t, 0)
	ref := f.pin(t, "2026-01-02")
	lie := ref
	lie.Rows++
	if _, err := f.Export(t.Context(), lie, filepath.Join(f.out, "a.parquet")); !errors.Is(err, warehouse.ErrSnapshotGone) {
		t.Errorf("another number of rows: %v", err)
	}
	f.w.spoil = warehouse.ErrSnapshotGone
	if _, err := f.Export(t.Context(), ref, filepath.Join(f.out, "a.parquet")); !errors.Is(err, warehouse.ErrSnapshotGone) {
		t.Error(err)
	}
	f.w.spoil = nil
	if _, err := f.Export(t.Context(), ref, filepath.Join(f.out, "no", "a.parquet")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other := f.pin(t, "2026-01-03")
	if _, err := f.Export(ctx, other, filepath.Join(f.out, "a.parquet")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	bad := ref
	bad.Version = "../x"
	if _, err := f.Export(t.Context(), bad, filepath.Join(f.out, "a.parquet")); err == nil {
		t.Error("a version that is a path was accepted")
	}
	if got := f.cached(t); len(got) > 1 || len(got) == 1 && !strings.HasPrefix(got[0], ref.Version) {
		t.Errorf("the cache has %q", got)
	}
	f.export(t, ref, "a.parquet")
	if _, err := feature.New(feature.Deps{}); err == nil {
		t.Error("no directory was accepted")
	}
}

const childVariable = "TREELINE_TEST_EXPORT"

// hang is a warehouse whose stream never ends.
type hang struct{ warehouse.Warehouse }

type endless struct{ warehouse.RecordStream }

func (hang) Read(context.Context, warehouse.Query) (warehouse.RecordStream, error) {
	fmt.Println("reading")
	<-time.After(time.Hour)
	return endless{}, nil
}

// exportAndHang is killed in the middle of an export.
func exportAndHang(dir string) int {
	s, err := feature.New(feature.Deps{Warehouse: hang{}, Dir: dir})
	if err != nil {
		return 1
	}
	// What a killed export leaves: its own file, and that of the writer.
	for _, name := range []string{".export-1.parquet", "..export-1.parquet.123.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("PAR1"), 0o600); err != nil {
			return 1
		}
	}
	_, err = s.Export(context.Background(), warehouse.Ref{Version: "t1-00", Rows: 1}, filepath.Join(dir, "..", "out.parquet"))
	fmt.Println(err)
	return 1
}

func TestKilledExport(t *testing.T) {
	f := setup(t, 0)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVariable+"="+f.dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b [7]byte
	if _, err := out.Read(b[:]); err != nil || string(b[:]) != "reading" {
		t.Fatalf("the child says %q (%v)", b, err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if n := len(f.cached(t)); n != 2 {
		t.Fatalf("%d files are left, want 2", n)
	}
	f.open(t, 0)
	if got := f.cached(t); len(got) != 0 {
		t.Errorf("the cache has %q", got)
	}
	f.export(t, f.pin(t, "2026-01-01"), "a.parquet")
}
