package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/treeline-ml/treeline/warehouse"
)

// ledgerSchema holds our own tables in each catalog that we write to.
const ledgerSchema = "treeline"

func ledgerTable(c *catalog) string { return ident(c.name) + "." + ledgerSchema + ".batch_ledger" }
func outputTable(c *catalog) string { return ident(c.name) + "." + ledgerSchema + ".output_table" }

// targetKey names a table inside its catalog; DuckDB compares names without case.
func targetKey(n warehouse.TableName) string { return strings.ToLower(n.Schema + "." + n.Table) }

// createLedger makes the tables behind D2. The ledger's key has the table too: one batch id may be written to two tables.
func createLedger(ctx context.Context, c *catalog, tx *sql.Tx) error {
	for _, q := range []string{
		"CREATE SCHEMA IF NOT EXISTS " + ident(c.name) + "." + ledgerSchema,
		"CREATE TABLE IF NOT EXISTS " + ledgerTable(c) + ` (target VARCHAR, batch_id VARCHAR, "rows" BIGINT NOT NULL,
			committed_at TIMESTAMP NOT NULL, attempt BIGINT NOT NULL, superseded_by VARCHAR, PRIMARY KEY (target, batch_id))`,
		// What Rows must know about a table long after the batch that made it.
		"CREATE TABLE IF NOT EXISTS " + outputTable(c) + ` (target VARCHAR PRIMARY KEY, batch_column VARCHAR NOT NULL,
			order_column VARCHAR NOT NULL, key_columns VARCHAR NOT NULL, utc_columns VARCHAR NOT NULL)`,
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("duckdb: making the ledger of catalog %s: %w", c.name, sqlError(ctx, err))
		}
	}
	return nil
}

// outColumn is a column that a batch writes.
type outColumn struct {
	field int    // in Target.Schema
	name  string // as the table spells it
	cast  string // the table's type
}

// Begin makes the table and its _current view when they are missing, or checks that an existing table can take the batch.
// Types must be able to hold every value: an existing INTEGER key is refused for BIGINT values, the reverse is accepted.
func (w *Warehouse) Begin(ctx context.Context, id warehouse.BatchID, t warehouse.Target) (warehouse.Writer, error) {
	if err := validBatchID(id); err != nil {
		return nil, err
	}
	if t.File != "" {
		return w.beginFile(id, t)
	}
	types, err := checkTarget(t)
	if err != nil {
		return nil, fmt.Errorf("output table %s: %w", t.Table, err)
	}
	var cols []outColumn
	err = w.write(ctx, t.Table.Catalog, func(c *catalog, tx *sql.Tx) error {
		var err error
		cols, err = prepareTarget(ctx, c, tx, t, types)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.stagingDir(), fmt.Sprintf("%s-%d", id, w.serial.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("duckdb: making a staging area: %w", diskError(err))
	}
	return newWriter(w, id, t, cols, dir), nil
}

var errTarget = errors.New("duckdb: invalid target")

// validBatchID keeps ids usable as file names.
func validBatchID(id warehouse.BatchID) error {
	ok := len(id) > 0 && len(id) <= 128
	for _, r := range id {
		ok = ok && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	if !ok {
		return fmt.Errorf("batch id %q is not 1 to 128 letters, digits, - and _: %w", id, errTarget)
	}
	return nil
}

// checkTarget returns the DuckDB type of each field.
func checkTarget(t warehouse.Target) ([]string, error) {
	if _, err := warehouse.ParseTableName(t.Table.String()); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errTarget)
	}
	if t.Schema == nil {
		return nil, fmt.Errorf("no schema: %w", errTarget)
	}
	types := make([]string, t.Schema.NumFields())
	names := make([]string, len(types))
	for i, f := range t.Schema.Fields() {
		names[i] = f.Name
		if types[i] = duckType(f.Type); types[i] == "" {
			return nil, fmt.Errorf("column %q: type %s cannot be stored: %w", f.Name, f.Type, errTarget)
		}
		for _, earlier := range names[:i] {
			if strings.EqualFold(earlier, f.Name) {
				return nil, fmt.Errorf("columns %q and %q differ in case only: %w", earlier, f.Name, errTarget)
			}
		}
	}
	wanted := append(append([]string{t.BatchColumn, t.OrderColumn}, t.Keys...), t.Required...)
	if missing := absent(names, wanted); len(missing) > 0 {
		return nil, fmt.Errorf("schema: %s: %w", strings.Join(missing, "; "), errTarget)
	}
	if len(t.Keys) == 0 {
		return nil, fmt.Errorf("no key columns: %w", errTarget)
	}
	if types[slices.Index(names, t.BatchColumn)] != "VARCHAR" {
		return nil, fmt.Errorf("batch column %q is not a string: %w", t.BatchColumn, errTarget)
	}
	return types, nil
}

func prepareTarget(ctx context.Context, c *catalog, tx *sql.Tx, t warehouse.Target, types []string) ([]outColumn, error) {
	if err := createLedger(ctx, c, tx); err != nil {
		return nil, err
	}
	have, err := tableColumns(ctx, tx, c, t.Table)
	if err != nil {
		return nil, err
	}
	var cols []outColumn
	if len(have) == 0 {
		if cols, err = createTable(ctx, c, tx, t, types); err == nil {
			have, err = tableColumns(ctx, tx, c, t.Table)
		}
	} else {
		if err = refuseView(ctx, c, tx, t.Table); err == nil {
			cols, err = matchTable(t, types, have)
		}
	}
	if err != nil {
		return nil, err
	}
	return cols, recordTarget(ctx, c, tx, t, have)
}

func createTable(ctx context.Context, c *catalog, tx *sql.Tx, t warehouse.Target, types []string) ([]outColumn, error) {
	defs := make([]string, len(types))
	cols := make([]outColumn, len(types))
	for i, f := range t.Schema.Fields() {
		defs[i] = ident(f.Name) + " " + types[i]
		cols[i] = outColumn{field: i, name: f.Name, cast: types[i]}
	}
	for _, q := range []string{
		"CREATE SCHEMA IF NOT EXISTS " + ident(c.name) + "." + ident(t.Table.Schema),
		"CREATE TABLE " + qualified(c, t.Table) + " (" + strings.Join(defs, ", ") + ")",
	} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return nil, fmt.Errorf("duckdb: making output table %s: %w", t.Table, sqlError(ctx, err))
		}
	}
	return cols, nil
}

func refuseView(ctx context.Context, c *catalog, tx *sql.Tx, n warehouse.TableName) error {
	var views int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM duckdb_views()
		WHERE database_name = ? AND lower(schema_name) = lower(?) AND lower(view_name) = lower(?)`, c.name, n.Schema, n.Table).Scan(&views)
	if err != nil {
		return fmt.Errorf("duckdb: looking up %s: %w", n, sqlError(ctx, err))
	}
	if views > 0 {
		return fmt.Errorf("%s is a view, want a table: %w", n, warehouse.ErrTargetMismatch)
	}
	return nil
}

// matchTable finds the columns that both sides have and lists every difference that forbids writing.
func matchTable(t warehouse.Target, types []string, have []column) ([]outColumn, error) {
	must := append(append([]string{t.BatchColumn, t.OrderColumn}, t.Keys...), t.Required...)
	var cols []outColumn
	var missing, extra, wrong []string
	for i, f := range t.Schema.Fields() {
		at := slices.IndexFunc(have, func(c column) bool { return strings.EqualFold(c.Name, f.Name) })
		switch {
		case at < 0 && slices.Contains(must, f.Name):
			missing = append(missing, fmt.Sprintf("missing column %s %s", f.Name, types[i]))
		case at < 0:
		case !fits(types[i], have[at].Type):
			wrong = append(wrong, fmt.Sprintf("column %s has type %s, want %s", f.Name, have[at].Type, types[i]))
		default:
			cols = append(cols, outColumn{field: i, name: have[at].Name, cast: have[at].Type})
		}
	}
	for _, c := range have {
		known := slices.ContainsFunc(t.Schema.Fields(), func(f field) bool { return strings.EqualFold(f.Name, c.Name) })
		if !known {
			extra = append(extra, fmt.Sprintf("extra column %s %s", c.Name, c.Type))
		}
	}
	if faults := slices.Concat(missing, extra, wrong); len(faults) > 0 {
		return nil, fmt.Errorf("%s: %s: %w", t.Table, strings.Join(faults, "; "), warehouse.ErrTargetMismatch)
	}
	return cols, nil
}

// recordTarget keeps the view and the description up to date. Both are written only when they change.
func recordTarget(ctx context.Context, c *catalog, tx *sql.Tx, t warehouse.Target, have []column) error {
	o := output{target: targetKey(t.Table), batch: t.BatchColumn, order: t.OrderColumn, keys: strings.Join(t.Keys, "\x00")}
	var utc []string
	for _, f := range t.Schema.Fields() {
		if isUTC(f.Type) {
			utc = append(utc, f.Name)
		}
	}
	o.utc = strings.Join(utc, "\x00")
	old, err := findOutput(ctx, c, tx, t.Table)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	hasView, verr := tableColumns(ctx, tx, c, currentView(t.Table))
	if verr != nil {
		return verr
	}
	if err == nil && old == o && len(hasView) > 0 {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO "+outputTable(c)+" VALUES (?, ?, ?, ?, ?)",
		o.target, o.batch, o.order, o.keys, o.utc); err != nil {
		return fmt.Errorf("duckdb: describing output table %s: %w", t.Table, sqlError(ctx, err))
	}
	if _, err := tx.ExecContext(ctx, currentViewSQL(c, t, have)); err != nil {
		return fmt.Errorf("duckdb: making view %s: %w", currentView(t.Table), sqlError(ctx, err))
	}
	return nil
}

func currentView(n warehouse.TableName) warehouse.TableName {
	n.Table += "_current"
	return n
}

// currentViewSQL shows one row per key: the newest among batches that are not superseded. Rows of batches that the ledger
// does not know count as current. Equal times are decided by the batch id, so that the answer does not depend on chance.
func currentViewSQL(c *catalog, t warehouse.Target, have []column) string {
	names := make([]string, len(have))
	for i, col := range have {
		names[i] = col.Name
	}
	return "CREATE OR REPLACE VIEW " + qualified(c, currentView(t.Table)) + " AS SELECT " + prefixed("o.", names) + " FROM " + qualified(c, t.Table) + " AS o" +
		" WHERE NOT EXISTS (SELECT 1 FROM " + ledgerTable(c) + " AS l WHERE l.target = " + literal(targetKey(t.Table)) +
		" AND l.batch_id = o." + ident(t.BatchColumn) + " AND l.superseded_by IS NOT NULL)" +
		" QUALIFY row_number() OVER (PARTITION BY " + prefixed("o.", t.Keys) + " ORDER BY o." + ident(t.OrderColumn) + " DESC NULLS LAST, o." +
		ident(t.BatchColumn) + " DESC) = 1"
}

func prefixed(prefix string, names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + ident(n)
	}
	return strings.Join(out, ", ")
}

// output is a row of treeline.output_table; lists are joined by zero bytes.
type output struct{ target, batch, order, keys, utc string }

// findOutput fails with sql.ErrNoRows when the table was never a target.
func findOutput(ctx context.Context, c *catalog, q querier, n warehouse.TableName) (output, error) {
	o := output{target: targetKey(n)}
	err := q.QueryRowContext(ctx, "SELECT batch_column, order_column, key_columns, utc_columns FROM "+outputTable(c)+" WHERE target = ?", o.target).
		Scan(&o.batch, &o.order, &o.keys, &o.utc)
	if err != nil {
		return o, fmt.Errorf("duckdb: looking up output table %s: %w", n, sqlError(ctx, err))
	}
	return o, nil
}
