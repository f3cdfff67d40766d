package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

// reader is a store.Reader on one transaction.
type reader struct {
	ctx context.Context //nolint:containedctx // the transaction's own
	tx  *sql.Tx
	s   *Store
}

// tx is a store.Tx on one transaction.
type tx struct{ reader }

var (
	_ store.Reader = (*reader)(nil)
	_ store.Tx     = (*tx)(nil)
)

// scanner is a row: *sql.Row or *sql.Rows.
type scanner interface{ Scan(dst ...any) error }

// one runs a query for one row. No row is the error missing.
func (r *reader) one(missing error, scan func(scanner) error, query string, args ...any) error {
	err := scan(r.tx.QueryRowContext(r.ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return missing
	}
	return r.s.wrap("read", err)
}

// each runs a query and scans its rows, which are all read when it returns.
func (r *reader) each(scan func(scanner) error, query string, args ...any) error {
	rows, err := r.tx.QueryContext(r.ctx, query, args...)
	if err != nil {
		return r.s.wrap("read", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err has what matters
	for rows.Next() {
		if err := scan(rows); err != nil {
			return r.s.wrap("read", err)
		}
	}
	return r.s.wrap("read", rows.Err())
}

// exec runs a change and returns the number of rows it touched.
func (t *tx) exec(query string, args ...any) (int64, error) {
	res, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, t.s.wrap("write", err)
	}
	n, err := res.RowsAffected()
	return n, t.s.wrap("write", err)
}

// exactly runs a change that must touch one row; otherwise the error is missing.
func (t *tx) exactly(missing error, query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	if n != 1 {
		return missing
	}
	return nil
}

func pageSize(n int) int {
	switch {
	case n <= 0:
		return store.DefaultPageSize
	case n > store.MaxPageSize:
		return store.MaxPageSize
	default:
		return n
	}
}

func versionMissing(model string, version int64) error {
	return fmt.Errorf("%s version %d: %w", model, version, store.ErrVersionNotFound)
}
