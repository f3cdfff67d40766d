package sqlite

import (
	"errors"
	"fmt"
	"io/fs"

	sqlite3 "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"github.com/treeline-ml/treeline/store"
)

// wrap adds what was being done and, for SQLite's own errors, the sentinel that says who acts.
func (s *Store) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if kind := classify(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("sqlite: %s %s: %w: %w", doing, s.path, kind, err)
	}
	return fmt.Errorf("sqlite: %s %s: %w", doing, s.path, err)
}

func classify(err error) error {
	var e *sqlite3.Error
	if !errors.As(err, &e) {
		if err.Error() == "sql: database is closed" { // database/sql exports no sentinel for it
			return store.ErrClosed
		}
		return nil
	}
	switch e.Code() & 0xff { // the primary code; the rest says more of the same
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return store.ErrLocked
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return store.ErrCorrupt
	case codes.SQLITE_FULL:
		return store.ErrFull
	case codes.SQLITE_CONSTRAINT:
		return store.ErrConflict
	case codes.SQLITE_PERM, codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN:
		return fs.ErrPermission
	default:
		return nil
	}
}
