// Package sqlite is a store.Store in one SQLite file.
//
// The schema holds what must never be wrong even if the code above it is: one Champion a model (unique partial index),
// an audit log that refuses UPDATE and DELETE and any row that does not continue the chain (triggers), versions and
// champion periods that are never deleted. migrations/ has the SQL; Open applies what is missing.
//
// # Durability
//
// WAL with synchronous=FULL: a committed Update survives kill -9 and power loss. A kill -9 inside an Update leaves
// nothing of it; SQLite drops the unfinished tail of the WAL at the next open.
//
// # Concurrency
//
// One writer connection, so Updates queue in this process and never meet SQLITE_BUSY among themselves, and a pool of
// read-only connections. Several processes could open the file, but one daemon owns it (it locks its directory); if
// another process holds a write lock for longer than the busy timeout the error is store.ErrLocked.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // the database/sql driver "sqlite"

	"github.com/treeline-ml/treeline/store"
)

// busyTimeout bounds the wait for a lock that another process holds.
const busyTimeout = 5 * time.Second

// readers is the size of the pool of read connections.
const readers = 4

// Store is a store.Store in one SQLite file.
type Store struct {
	path   string
	writer *sql.DB
	reader *sql.DB
}

var _ store.Store = (*Store)(nil)

// Open opens or creates the database and brings its schema up to date. A new file gets mode 0600, and one that others
// could read is narrowed to it. It fails with store.ErrLocked, store.ErrCorrupt (also for a file that is something
// else), store.ErrNewerSchema or store.ErrFull.
func Open(ctx context.Context, path string) (*Store, error) {
	return open(ctx, path, busyTimeout)
}

func open(ctx context.Context, path string, busy time.Duration) (*Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if err := ensureFile(abs); err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	s := &Store{path: path}
	if s.writer, err = sql.Open("sqlite", dsn(abs, busy, false)); err != nil {
		return nil, s.wrap("open", err)
	}
	// One connection: SQLite has one writer at a time anyhow, and a queue in Go waits without polling.
	s.writer.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writer); err != nil {
		return nil, errors.Join(s.wrap("open", err), s.writer.Close())
	}
	if s.reader, err = sql.Open("sqlite", dsn(abs, busy, true)); err != nil {
		return nil, errors.Join(s.wrap("open", err), s.writer.Close())
	}
	s.reader.SetMaxOpenConns(readers)
	s.reader.SetMaxIdleConns(readers)
	return s, nil
}

// ensureFile creates the file privately before SQLite would create it with the process's umask. An existing file is
// not opened: closing a descriptor would drop the POSIX locks that SQLite holds on it in this process.
func ensureFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f.Close()
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("not a regular file (%s): %w", info.Mode().Type(), store.ErrCorrupt)
	case info.Mode().Perm()&0o077 != 0:
		return os.Chmod(path, 0o600)
	default:
		return nil
	}
}

func dsn(path string, busy time.Duration, readOnly bool) string {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(busy.Milliseconds(), 10))
	q.Set("_defensive", "1")
	q.Set("_dqs", "0")
	q.Set("_error_rc", "1")
	q.Set("_foreign_keys", "on")
	q.Set("_synchronous", "FULL")
	if readOnly {
		q.Set("_query_only", "on")
	} else {
		q.Set("_journal_mode", "WAL")
		q.Set("_txlock", "immediate")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// View runs f on a snapshot of the database.
func (s *Store) View(ctx context.Context, f func(store.Reader) error) error {
	t, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.wrap("begin", err)
	}
	defer t.Rollback() //nolint:errcheck // a read transaction has nothing to lose
	return f(&reader{ctx: ctx, tx: t, s: s})
}

// Update runs f in a write transaction and commits when f returns nil.
func (s *Store) Update(ctx context.Context, f func(store.Tx) error) error {
	t, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return s.wrap("begin", err)
	}
	defer t.Rollback() //nolint:errcheck // after Commit it does nothing; before, f's error or panic is what matters
	if err := f(&tx{reader{ctx: ctx, tx: t, s: s}}); err != nil {
		return err
	}
	err = t.Commit()
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		err = ctx.Err() // database/sql rolled back when ctx ended
	}
	return s.wrap("commit", err)
}

// Close closes all connections; the last one folds the WAL into the file.
func (s *Store) Close() error {
	return errors.Join(s.wrap("close", s.reader.Close()), s.wrap("close", s.writer.Close()))
}
