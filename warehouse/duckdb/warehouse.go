// Package duckdb is the embedded warehouse: DuckDB does SQL and transactions, Parquet files carry the rows in and out.
//
//	<Dir>/LOCK                       held while open; its text is the holder's process id
//	<Dir>/<catalog>.duckdb           one attached file per catalog; uat.features.churn lives in uat.duckdb
//	<Dir>/staging/<batch>-<n>/       Parquet parts of one Writer until Commit or Abort; of a Writer to a file the name of
//	                                 the hidden file beside its destination
//	<Dir>/tmp/                       DuckDB's spill files, result files of Rows
//	<Dir>/snapshots/<version>.parquet
//
// A table has no versions in DuckDB, so Snapshot copies the projection to a Parquet file that is named after its content;
// Read never touches the table. Reading results through the driver was rejected: it materialises them. Plain files are
// not copied: they are pinned by digest and by identity (inode, size, times), and any change fails the stream.
//
// # Invariants
//
//	D1  One DuckDB instance per directory and process, guarded by a lock on <Dir>/LOCK: two instances on one file in one
//	    process lose committed rows silently.
//	D2  A commit is one transaction in the output's own file. It writes the ledger row first, so that of two
//	    transactions with one batch id the second fails instead of adding a copy.
//	D3  Automatic checkpoints are off, because a checkpoint that fails inside COMMIT leaves its outcome unknown. After
//	    each commit an explicit CHECKPOINT empties the write-ahead log; when that fails the file is detached and attached
//	    again, which replays the log.
//	D4  A catalog file appears under its name complete: it is made under another name, synced and renamed.
//	D5  Timestamps with a time zone are stored as UTC in columns of type TIMESTAMP.
//
// # Concurrency
//
// Any number of goroutines. Writes to one catalog take turns; reads run beside them.
package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/treeline-ml/treeline/warehouse"
)

// Config says where the warehouse lives and what it may use.
type Config struct {
	Dir         string       // catalogs are <Dir>/<catalog>.duckdb; created when missing
	MemoryLimit string       // DuckDB's memory_limit, "1GB" when empty
	Threads     int          // DuckDB's threads; 0 means GOMAXPROCS
	SnapshotDir string       // pinned inputs; <Dir>/snapshots when empty; belongs to one warehouse
	Logger      *slog.Logger // nil discards
}

// Warehouse implements warehouse.Warehouse on DuckDB files in one directory.
type Warehouse struct {
	dir, snapshotDir string
	log              *slog.Logger
	db               *sql.DB
	locks            []*dirLock
	serial           atomic.Int64 // names of staging areas and temporary files
	copying          turns        // by snapshot path

	mu       sync.Mutex
	closed   bool
	catalogs map[string]*catalog // by lower-case name
}

var _ warehouse.Warehouse = (*Warehouse)(nil)

// Open opens the warehouse in c.Dir, removes what a killed process left behind and makes mlflow.model.promotions. It fails
// with warehouse.ErrLocked when this or another process has it open.
func Open(ctx context.Context, c Config) (*Warehouse, error) {
	w, err := newWarehouse(c)
	if err != nil {
		return nil, err
	}
	if err := w.start(ctx, c); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func newWarehouse(c Config) (*Warehouse, error) {
	if c.Dir == "" {
		return nil, errors.New("duckdb: no directory given")
	}
	if c.SnapshotDir == "" {
		c.SnapshotDir = filepath.Join(c.Dir, "snapshots")
	}
	w := &Warehouse{log: c.Logger, catalogs: map[string]*catalog{}}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if w.dir, err = canonicalDir(c.Dir); err != nil {
		return nil, err
	}
	if w.snapshotDir, err = canonicalDir(c.SnapshotDir); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *Warehouse) start(ctx context.Context, c Config) error {
	for _, dir := range []string{w.dir, w.snapshotDir} {
		l, err := lockDir(dir)
		if err != nil {
			return err
		}
		w.locks = append(w.locks, l)
		if w.snapshotDir == w.dir {
			break
		}
	}
	if err := w.recover(); err != nil {
		return err
	}
	var err error
	if w.db, err = openInstance(ctx, c, filepath.Join(w.tmpDir(), "spill")); err != nil {
		return err
	}
	return errors.Join(w.createPromotions(ctx), w.createMonitoring(ctx))
}

// canonicalDir makes the directory and returns its path without symbolic links.
func canonicalDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("duckdb: directory %s: %w", dir, err)
	}
	if err := plainPath(abs); err != nil {
		return "", err
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return "", fmt.Errorf("duckdb: making directory: %w", diskError(err))
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", fmt.Errorf("duckdb: directory %s: %w", dir, err)
	}
	return abs, plainPath(abs)
}

func plainPath(dir string) error {
	if strings.Contains(dir, "?") {
		return fmt.Errorf("duckdb: directory %s: DuckDB takes what follows ? for options; use another name", dir)
	}
	return nil
}

func (w *Warehouse) stagingDir() string { return filepath.Join(w.dir, "staging") }
func (w *Warehouse) tmpDir() string     { return filepath.Join(w.dir, "tmp") }

// tmpPath names a new file that the next Open removes if this process does not.
func (w *Warehouse) tmpPath(ext string) string {
	return filepath.Join(w.tmpDir(), fmt.Sprintf("%d%s", w.serial.Add(1), ext))
}

// recover removes staging areas, temporary files and half-made snapshots and catalogs of a killed process. It runs under
// the directory locks, so nobody uses them.
func (w *Warehouse) recover() error {
	for _, dir := range []string{w.stagingDir(), w.tmpDir()} {
		left, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("duckdb: reading %s: %w", dir, err)
		}
		if len(left) > 0 {
			w.log.Info("removing files of an interrupted run", "dir", dir, "entries", len(left))
		}
		for _, e := range left {
			if !e.IsDir() {
				continue
			}
			if err := removeHidden(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("duckdb: removing leftovers: %w", err)
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("duckdb: making %s: %w", dir, diskError(err))
		}
	}
	for _, dir := range []string{w.dir, w.snapshotDir} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("duckdb: reading %s: %w", dir, err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), unfinishedPrefix) {
				continue
			}
			w.log.Info("removing half-made file", "path", filepath.Join(dir, e.Name()))
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("duckdb: removing leftovers: %w", err)
			}
		}
	}
	return nil
}

// unfinishedPrefix starts the names of files that are renamed once they are complete.
const unfinishedPrefix = ".unfinished-"

// Close waits for running statements, then releases the files. Streams that are open stay readable.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	w.mu.Unlock()

	var errs []error
	if w.db != nil {
		errs = append(errs, w.db.Close())
	}
	for _, l := range w.locks {
		errs = append(errs, l.release())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("duckdb: closing: %w", err)
	}
	return nil
}

func defaultThreads(n int) int {
	if n > 0 {
		return n
	}
	return runtime.GOMAXPROCS(0)
}
