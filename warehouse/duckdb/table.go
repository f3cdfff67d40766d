package duckdb

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/treeline-ml/treeline/warehouse"
)

// querier is satisfied by *sql.DB and *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// qualified is the table's quoted name.
func qualified(c *catalog, n warehouse.TableName) string {
	return ident(c.name) + "." + ident(n.Schema) + "." + ident(n.Table)
}

// tableColumns returns the columns of a table or view in order; none when it does not exist.
func tableColumns(ctx context.Context, q querier, c *catalog, n warehouse.TableName) ([]column, error) {
	rows, err := q.QueryContext(ctx, `SELECT column_name, data_type FROM duckdb_columns()
		WHERE database_name = ? AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) AND NOT internal ORDER BY column_index`,
		c.name, n.Schema, n.Table)
	if err != nil {
		return nil, fmt.Errorf("duckdb: listing columns of %s: %w", n, sqlError(ctx, err))
	}
	defer func() { _ = rows.Close() }() // Err tells
	var cols []column
	for rows.Next() {
		var col column
		if err := rows.Scan(&col.Name, &col.Type); err != nil {
			return nil, fmt.Errorf("duckdb: listing columns of %s: %w", n, err)
		}
		cols = append(cols, col)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("duckdb: listing columns of %s: %w", n, sqlError(ctx, err))
	}
	return cols, nil
}

// needTable is tableColumns for a table that must exist.
func needTable(ctx context.Context, q querier, c *catalog, n warehouse.TableName) ([]column, error) {
	cols, err := tableColumns(ctx, q, c, n)
	if err != nil || len(cols) > 0 {
		return cols, err
	}
	near, err := nearestTables(ctx, q, c, n)
	if err != nil {
		return nil, err
	}
	if near == "" {
		return nil, fmt.Errorf("%s: catalog %s has no tables: %w", n, c.name, warehouse.ErrTableNotFound)
	}
	return nil, fmt.Errorf("%s; nearest: %s: %w", n, near, warehouse.ErrTableNotFound)
}

// nearestTables names up to three tables and views of the catalog, most similar first.
func nearestTables(ctx context.Context, q querier, c *catalog, n warehouse.TableName) (string, error) {
	rows, err := q.QueryContext(ctx, `SELECT DISTINCT schema_name || '.' || table_name FROM duckdb_columns()
		WHERE database_name = ? AND NOT internal AND schema_name <> ?`, c.name, ledgerSchema)
	if err != nil {
		return "", fmt.Errorf("duckdb: listing tables of catalog %s: %w", c.name, sqlError(ctx, err))
	}
	defer func() { _ = rows.Close() }() // Err tells
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	want := strings.ToLower(n.Schema + "." + n.Table)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return "", fmt.Errorf("duckdb: listing tables of catalog %s: %w", c.name, err)
		}
		found = append(found, candidate{c.name + "." + name, editDistance(want, strings.ToLower(name))})
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("duckdb: listing tables of catalog %s: %w", c.name, sqlError(ctx, err))
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, f := range found[:min(3, len(found))] {
		names = append(names, f.name)
	}
	return strings.Join(names, ", "), nil
}

// editDistance is Levenshtein's, in bytes: names are ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// absent lists, in order, the wanted names that are not among the columns, with the spelling that is when only case differs.
func absent(cols []string, wanted []string) []string {
	var missing []string
	seen := map[string]bool{}
	for _, name := range wanted {
		if slices.Contains(cols, name) || seen[name] {
			continue
		}
		seen[name] = true
		text := fmt.Sprintf("%q is absent", name)
		if near := slices.IndexFunc(cols, func(c string) bool { return strings.EqualFold(c, name) }); near >= 0 {
			text = fmt.Sprintf("%q is absent (there is %q)", name, cols[near])
		}
		missing = append(missing, text)
	}
	return missing
}
