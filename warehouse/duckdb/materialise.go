package duckdb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// Materialise computes the day's rows into a Parquet file, in a read-only transaction, and then replaces them in the table
// in one transaction, which also writes the ledger. So the right to write is held for the copy only, and a query that fails
// has touched nothing.
func (w *Warehouse) Materialise(ctx context.Context, m warehouse.Materialisation) (warehouse.Materialised, error) {
	none := warehouse.Materialised{}
	if _, err := warehouse.ParseTableName(m.Table.String()); err != nil {
		return none, fmt.Errorf("computing features: %w: %w", err, warehouse.ErrTableNotFound)
	}
	if _, err := time.Parse(time.DateOnly, m.Date); err != nil {
		return none, fmt.Errorf("computing %s: date %q is not YYYY-MM-DD: %w", m.Table, m.Date, warehouse.ErrColumn)
	}
	if m.DateColumn == "" {
		return none, fmt.Errorf("computing %s: no date column is named: %w", m.Table, warehouse.ErrColumn)
	}
	done, err := w.copying.take(ctx, "materialise "+targetKey(m.Table)+" "+strings.ToLower(m.Table.Catalog)+" "+m.Date)
	if err != nil {
		return none, err
	}
	defer done()
	out, err := w.standing(ctx, m)
	if err == nil && out.Version == "" {
		out, err = w.compute(ctx, m)
	}
	if err != nil {
		return none, fmt.Errorf("computing %s for %s: %w", m.Table, m.Date, err)
	}
	return out, nil
}

// featureLedger is where computed days are remembered. content is the version of the rows as they were put into the table.
func featureLedger(c *catalog) string { return ident(c.name) + "." + ledgerSchema + ".feature_ledger" }

func createFeatureLedger(ctx context.Context, c *catalog, tx *sql.Tx) error {
	for _, q := range []string{
		"CREATE SCHEMA IF NOT EXISTS " + ident(c.name) + "." + ledgerSchema,
		"CREATE TABLE IF NOT EXISTS " + featureLedger(c) + ` (target VARCHAR, compute_date DATE, date_column VARCHAR NOT NULL,
			code VARCHAR NOT NULL, content VARCHAR NOT NULL, "rows" BIGINT NOT NULL, computed_at TIMESTAMP NOT NULL,
			attempt BIGINT NOT NULL, PRIMARY KEY (target, compute_date))`,
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("duckdb: making the feature ledger of catalog %s: %w", c.name, sqlError(ctx, err))
		}
	}
	return nil
}

// code identifies what decides the rows of a day.
func code(m warehouse.Materialisation) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n%q\n", m.SQL, m.CodeDigest)
	return hex.EncodeToString(h.Sum(nil))
}

// standing returns the day as it is in the table when an earlier computation still stands, else no version.
func (w *Warehouse) standing(ctx context.Context, m warehouse.Materialisation) (out warehouse.Materialised, err error) {
	err = w.read(ctx, m.Table.Catalog, func(c *catalog) error {
		ledger, err := tableColumns(ctx, w.db, c, warehouse.TableName{Schema: ledgerSchema, Table: "feature_ledger"})
		if err != nil || len(ledger) == 0 {
			return err
		}
		var content string
		err = w.db.QueryRowContext(ctx, "SELECT content FROM "+featureLedger(c)+
			" WHERE target = ? AND compute_date = CAST(? AS DATE) AND code = ? AND date_column = ?",
			targetKey(m.Table), m.Date, code(m), m.DateColumn).Scan(&content)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("duckdb: reading the feature ledger: %w", sqlError(ctx, err))
		}
		have, err := tableColumns(ctx, w.db, c, m.Table)
		if err != nil || len(have) == 0 {
			return err
		}
		version, rows, err := dayVersion(ctx, w.db, c, m, have)
		if errors.Is(err, warehouse.ErrColumn) {
			return nil // somebody changed the table; computing again says what does not fit
		}
		if err == nil && version == content {
			out = warehouse.Materialised{Rows: rows, Version: version}
		}
		return err
	})
	if errors.Is(err, warehouse.ErrTableNotFound) {
		return out, nil // the catalog has no file yet
	}
	return out, err
}

// dayVersion names the content of one day of the table as it is.
func dayVersion(ctx context.Context, q querier, c *catalog, m warehouse.Materialisation, have []column) (string, int64, error) {
	s, err := newSelection(c, warehouse.Input{Table: m.Table, DateColumn: spelling(have, m.DateColumn), Date: m.Date}, have)
	if err != nil {
		return "", 0, err
	}
	d, err := digestOf(ctx, q, s.exprs, s.table+s.where)
	return s.version(d), d.rows, err
}

// spelling is the table's own spelling of a column name; DuckDB compares without case.
func spelling(have []column, name string) string {
	if i := slices.IndexFunc(have, func(c column) bool { return strings.EqualFold(c.Name, name) }); i >= 0 {
		return have[i].Name
	}
	return name
}

// staged is the computed day.
type staged struct {
	path string
	cols []column // as they are stored
	rows int64
}

func (w *Warehouse) compute(ctx context.Context, m warehouse.Materialisation) (out warehouse.Materialised, err error) {
	query, err := parseSelect(ctx, w.db, m.SQL)
	if err != nil {
		return out, err
	}
	var s staged
	err = w.readAll(ctx, query.catalogs(), func() (err error) {
		s, err = w.stageDay(ctx, query, m)
		return err
	})
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, removeIfThere(s.path)) }()
	var attempt int64
	err = w.write(ctx, m.Table.Catalog,
		func(c *catalog, tx *sql.Tx) (err error) {
			out, attempt, err = replaceDay(ctx, c, tx, m, s)
			return err
		},
		func(ctx context.Context, tx *sql.Tx) (bool, error) { return w.replacedDay(ctx, tx, m, attempt) })
	return out, err
}

// readAll runs fn while all the catalogs are attached.
func (w *Warehouse) readAll(ctx context.Context, names []string, fn func() error) error {
	if len(names) == 0 {
		return fn()
	}
	return w.read(ctx, names[0], func(*catalog) error { return w.readAll(ctx, names[1:], fn) })
}

// stageDay runs the query into a Parquet file and checks that its rows are of the day.
func (w *Warehouse) stageDay(ctx context.Context, query selectQuery, m warehouse.Materialisation) (s staged, err error) {
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return s, fmt.Errorf("duckdb: opening a connection: %w", sqlError(ctx, err))
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
		return s, fmt.Errorf("duckdb: beginning a transaction: %w", sqlError(ctx, err))
	}
	// A rollback that fails has nothing to undo: DuckDB ended the transaction with the error.
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") }()
	for _, t := range query.tables {
		c, err := w.catalog(t.Catalog)
		if err != nil {
			return s, err
		}
		if _, err := needTable(ctx, conn, c, t); err != nil {
			return s, err
		}
	}
	var args []any
	if query.bound {
		args = []any{sql.Named(computeParameter, m.Date)}
	}
	// On lines of its own, so that a comment at the end ends there.
	from := "(\n" + query.text + "\n)"
	given, err := describeQuery(ctx, conn, from, args)
	if err != nil {
		return s, err
	}
	exprs, stored, err := storable(given, m.DateColumn)
	if err != nil {
		return s, err
	}
	s = staged{path: w.tmpPath(".parquet"), cols: stored}
	_, err = conn.ExecContext(ctx, "COPY (SELECT "+strings.Join(exprs, ", ")+" FROM "+from+") TO "+literal(s.path)+" (FORMAT parquet)", args...)
	if err == nil {
		s.rows, err = checkDay(ctx, conn, s, m)
	} else {
		err = queryError(ctx, err)
	}
	if err != nil {
		return s, errors.Join(err, removeIfThere(s.path))
	}
	return s, nil
}

// queryError is the error of a stranger's query.
func queryError(ctx context.Context, err error) error {
	mapped := sqlError(ctx, err)
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, warehouse.ErrFull, warehouse.ErrDamaged, errInvalidated} {
		if errors.Is(mapped, known) {
			return mapped
		}
	}
	return fmt.Errorf("%w: %w", warehouse.ErrSQL, mapped)
}

func describeQuery(ctx context.Context, q querier, from string, args []any) (cols []column, err error) {
	rows, err := q.QueryContext(ctx, "SELECT column_name, column_type FROM (DESCRIBE FROM "+from+")", args...)
	if err != nil {
		return nil, queryError(ctx, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var col column
		if err := rows.Scan(&col.Name, &col.Type); err != nil {
			return nil, fmt.Errorf("duckdb: describing a query: %w", err)
		}
		cols = append(cols, col)
	}
	if err := rows.Err(); err != nil {
		return nil, queryError(ctx, err)
	}
	return cols, nil
}

// storable gives the expressions and types of the columns as they are stored: those that a snapshot reads back unchanged.
func storable(given []column, dateColumn string) (exprs []string, stored []column, err error) {
	var faults []string
	found := false
	for _, col := range given {
		expr, dt, err := col.readable()
		if err != nil {
			faults = append(faults, fmt.Sprintf("column %q has type %s: cast it to BIGINT, DOUBLE or VARCHAR", col.Name, col.Type))
			continue
		}
		kept := col.Type
		if plainType(col.Type) == nil {
			kept = duckType(dt)
		}
		exprs = append(exprs, expr+" AS "+ident(col.Name))
		stored = append(stored, column{Name: col.Name, Type: kept})
		if !strings.EqualFold(col.Name, dateColumn) {
			continue
		}
		found = true
		if _, err := (period{date: "2000-01-01"}).predicate(column{Name: col.Name, Type: kept}); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if !found {
		faults = append(faults, fmt.Sprintf("the query has no date column %q; select %s AS %s", dateColumn, computeDate, dateColumn))
	}
	if len(faults) > 0 {
		return nil, nil, fmt.Errorf("%s: %w", strings.Join(faults, "; "), warehouse.ErrColumn)
	}
	return exprs, stored, nil
}

// checkDay counts the rows and refuses those of another day: the next computation of this day would not replace them.
func checkDay(ctx context.Context, q querier, s staged, m warehouse.Materialisation) (rows int64, err error) {
	i := slices.IndexFunc(s.cols, func(c column) bool { return strings.EqualFold(c.Name, m.DateColumn) })
	predicate, err := (period{date: m.Date}).predicate(s.cols[i])
	if err != nil {
		return 0, fmt.Errorf("%w: %w", err, warehouse.ErrColumn)
	}
	var of int64
	err = q.QueryRowContext(ctx, "SELECT count(*), count(*) FILTER (WHERE "+predicate+") FROM "+parquetFiles(s.path)).Scan(&rows, &of)
	if err != nil && strings.Contains(err.Error(), "Conversion Error") {
		return 0, fmt.Errorf("date column %q holds text that is no date: %w", m.DateColumn, warehouse.ErrColumn)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("duckdb: checking computed rows: %w", sqlError(ctx, err))
	case rows == 0:
		return 0, fmt.Errorf("the query gives no rows: %w", warehouse.ErrEmptyTable)
	case of != rows:
		return 0, fmt.Errorf("%d of %d rows have another day or none in %q; add WHERE %s = %s: %w",
			rows-of, rows, m.DateColumn, m.DateColumn, computeDate, warehouse.ErrColumn)
	}
	return rows, nil
}

// replaceDay is the body of the transaction.
func replaceDay(ctx context.Context, c *catalog, tx *sql.Tx, m warehouse.Materialisation, s staged) (out warehouse.Materialised, attempt int64, err error) {
	if err := createFeatureLedger(ctx, c, tx); err != nil {
		return out, 0, err
	}
	err = tx.QueryRowContext(ctx, "INSERT INTO "+featureLedger(c)+" VALUES (?, CAST(? AS DATE), ?, ?, '', ?, CAST(? AS TIMESTAMP), 1)"+
		" ON CONFLICT (target, compute_date) DO UPDATE SET date_column = excluded.date_column, code = excluded.code,"+
		` content = '', "rows" = excluded."rows", computed_at = excluded.computed_at, attempt = feature_ledger.attempt + 1 RETURNING attempt`,
		targetKey(m.Table), m.Date, m.DateColumn, code(m), s.rows, time.Now().UTC().Truncate(time.Microsecond)).Scan(&attempt)
	if err != nil {
		return out, 0, fmt.Errorf("duckdb: writing the feature ledger: %w", sqlError(ctx, err))
	}
	have, err := prepareFeatures(ctx, c, tx, m.Table, s.cols)
	if err != nil {
		return out, 0, err
	}
	at := slices.IndexFunc(have, func(c column) bool { return strings.EqualFold(c.Name, m.DateColumn) })
	predicate, err := (period{date: m.Date}).predicate(have[at])
	if err != nil {
		return out, 0, fmt.Errorf("%s: %w: %w", m.Table, err, warehouse.ErrTargetMismatch)
	}
	if _, err := execRows(ctx, tx, "DELETE FROM "+qualified(c, m.Table)+" WHERE "+predicate); err != nil {
		return out, 0, fmt.Errorf("duckdb: removing the earlier rows of the day: %w", err)
	}
	names, exprs := make([]string, len(s.cols)), make([]string, len(s.cols))
	for i, col := range s.cols {
		kept := have[slices.IndexFunc(have, func(h column) bool { return strings.EqualFold(h.Name, col.Name) })]
		names[i], exprs[i] = ident(kept.Name), "CAST("+ident(col.Name)+" AS "+kept.Type+")"
	}
	if _, err := execRows(ctx, tx, "INSERT INTO "+qualified(c, m.Table)+" ("+strings.Join(names, ", ")+") SELECT "+
		strings.Join(exprs, ", ")+" FROM "+parquetFiles(s.path)); err != nil {
		return out, 0, fmt.Errorf("duckdb: inserting computed rows: %w", err)
	}
	out.Computed = true
	if out.Version, out.Rows, err = dayVersion(ctx, tx, c, m, have); err != nil {
		return out, 0, fmt.Errorf("reading back the computed rows: %w", err)
	}
	if out.Rows != s.rows {
		return out, 0, fmt.Errorf("duckdb: the table has %d rows of the day, want %d: %w", out.Rows, s.rows, warehouse.ErrConflict)
	}
	if _, err := execRows(ctx, tx, "UPDATE "+featureLedger(c)+" SET content = ? WHERE target = ? AND compute_date = CAST(? AS DATE)",
		out.Version, targetKey(m.Table), m.Date); err != nil {
		return out, 0, fmt.Errorf("duckdb: writing the feature ledger: %w", err)
	}
	return out, attempt, nil
}

// prepareFeatures makes the table or lists every difference of an existing one, and returns its columns.
func prepareFeatures(ctx context.Context, c *catalog, tx *sql.Tx, n warehouse.TableName, want []column) ([]column, error) {
	have, err := tableColumns(ctx, tx, c, n)
	if err != nil {
		return nil, err
	}
	if len(have) == 0 {
		defs := make([]string, len(want))
		for i, col := range want {
			defs[i] = ident(col.Name) + " " + col.Type
		}
		for _, q := range []string{
			"CREATE SCHEMA IF NOT EXISTS " + ident(c.name) + "." + ident(n.Schema),
			"CREATE TABLE " + qualified(c, n) + " (" + strings.Join(defs, ", ") + ")",
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return nil, fmt.Errorf("duckdb: making features table %s: %w", n, sqlError(ctx, err))
			}
		}
		return want, nil
	}
	if err := refuseView(ctx, c, tx, n); err != nil {
		return nil, err
	}
	var missing, extra, wrong []string
	for _, col := range want {
		at := slices.IndexFunc(have, func(h column) bool { return strings.EqualFold(h.Name, col.Name) })
		switch {
		case at < 0:
			missing = append(missing, fmt.Sprintf("missing column %s %s", col.Name, col.Type))
		case !fits(col.Type, have[at].Type):
			wrong = append(wrong, fmt.Sprintf("column %s has type %s, the query gives %s", col.Name, have[at].Type, col.Type))
		}
	}
	for _, col := range have {
		if !slices.ContainsFunc(want, func(w column) bool { return strings.EqualFold(w.Name, col.Name) }) {
			extra = append(extra, fmt.Sprintf("extra column %s %s", col.Name, col.Type))
		}
	}
	if faults := slices.Concat(missing, extra, wrong); len(faults) > 0 {
		return nil, fmt.Errorf("%s: %s: %w", n, strings.Join(faults, "; "), warehouse.ErrTargetMismatch)
	}
	return have, nil
}

// replacedDay says whether the ledger shows this very attempt.
func (w *Warehouse) replacedDay(ctx context.Context, tx *sql.Tx, m warehouse.Materialisation, attempt int64) (bool, error) {
	c, err := w.catalog(m.Table.Catalog)
	if err != nil {
		return false, err
	}
	ledger, err := tableColumns(ctx, tx, c, warehouse.TableName{Schema: ledgerSchema, Table: "feature_ledger"})
	if err != nil || len(ledger) == 0 {
		return false, err
	}
	var found int64
	err = tx.QueryRowContext(ctx, "SELECT attempt FROM "+featureLedger(c)+" WHERE target = ? AND compute_date = CAST(? AS DATE)",
		targetKey(m.Table), m.Date).Scan(&found)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("duckdb: reading the feature ledger: %w", sqlError(ctx, err))
	}
	return found == attempt, nil
}
