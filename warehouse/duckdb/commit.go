package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// Commit replaces the batch's rows in one transaction (D2). A commit of the same id that runs meanwhile is waited for and
// then replaced. After an error nothing has changed; Commit may be called again or the batch aborted. A commit lifts the mark
// of Supersede: whoever commits a batch wants its rows seen.
func (b *writer) Commit(ctx context.Context) (warehouse.Commit, error) {
	if b.result != nil {
		return *b.result, nil
	}
	if err := b.usable(); err != nil {
		return warehouse.Commit{}, err
	}
	if err := b.closePart(); err != nil {
		b.fault = fmt.Errorf("staging rows of batch %s: %w", b.id, diskError(err))
		return warehouse.Commit{}, b.fault
	}
	var out warehouse.Commit
	var attempt int64
	err := b.w.write(ctx, b.target.Table.Catalog,
		func(c *catalog, tx *sql.Tx) (err error) {
			out, attempt, err = b.replace(ctx, c, tx)
			return err
		},
		func(ctx context.Context, tx *sql.Tx) (bool, error) { return b.committed(ctx, tx, attempt) })
	if err != nil {
		return warehouse.Commit{}, fmt.Errorf("committing batch %s to %s: %w", b.id, b.target.Table, err)
	}
	b.result, b.closed = &out, "committed"
	if err := b.clean(); err != nil {
		b.w.log.Warn("staging area stays until the next start", "batch_id", string(b.id), "error", err)
	}
	return out, nil
}

// replace is the body of the transaction.
func (b *writer) replace(ctx context.Context, c *catalog, tx *sql.Tx) (out warehouse.Commit, attempt int64, err error) {
	out = warehouse.Commit{Rows: b.rows, CommittedAt: time.Now().UTC().Truncate(time.Microsecond)}
	err = tx.QueryRowContext(ctx, "INSERT INTO "+ledgerTable(c)+" VALUES (?, ?, ?, CAST(? AS TIMESTAMP), 1, NULL) ON CONFLICT (target, batch_id) DO UPDATE SET"+
		` "rows" = excluded."rows", committed_at = excluded.committed_at, attempt = batch_ledger.attempt + 1, superseded_by = NULL RETURNING attempt`,
		targetKey(b.target.Table), string(b.id), b.rows, out.CommittedAt).Scan(&attempt)
	if err != nil {
		return out, 0, fmt.Errorf("duckdb: writing the ledger: %w", sqlError(ctx, err))
	}
	table, mine := qualified(c, b.target.Table), " WHERE "+ident(b.target.BatchColumn)+" = ?"
	deleted, err := execRows(ctx, tx, "DELETE FROM "+table+mine, string(b.id))
	if err != nil {
		return out, 0, fmt.Errorf("duckdb: removing the batch's earlier rows: %w", err)
	}
	out.Replaced = deleted > 0 || attempt > 1
	if len(b.parts) > 0 {
		if _, err := execRows(ctx, tx, b.insertSQL(table)); err != nil {
			return out, 0, fmt.Errorf("duckdb: inserting staged rows: %w", err)
		}
	}
	var stored int64
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+table+mine, string(b.id)).Scan(&stored); err != nil {
		return out, 0, fmt.Errorf("duckdb: counting the batch's rows: %w", sqlError(ctx, err))
	}
	if stored != b.rows {
		return out, 0, fmt.Errorf("%d rows carry the batch id in column %q, want %d: %w", stored, b.target.BatchColumn, b.rows, errTarget)
	}
	return out, attempt, nil
}

func (b *writer) insertSQL(table string) string {
	names := make([]string, len(b.cols))
	exprs := make([]string, len(b.cols))
	for i, c := range b.cols {
		names[i] = ident(c.name)
		exprs[i] = "CAST(" + ident(b.schema.Field(i).Name) + " AS " + c.cast + ")"
	}
	return "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") SELECT " + strings.Join(exprs, ", ") + " FROM " + parquetFiles(b.parts...)
}

// committed says whether the ledger shows this very attempt.
func (b *writer) committed(ctx context.Context, tx *sql.Tx, attempt int64) (bool, error) {
	c, err := b.w.catalog(b.target.Table.Catalog)
	if err != nil {
		return false, err
	}
	var found int64
	err = tx.QueryRowContext(ctx, "SELECT attempt FROM "+ledgerTable(c)+" WHERE target = ? AND batch_id = ?", targetKey(b.target.Table), string(b.id)).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("duckdb: reading the ledger: %w", err)
	}
	return found == attempt, nil
}

func execRows(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, sqlError(ctx, err)
	}
	return res.RowsAffected()
}
