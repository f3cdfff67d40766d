package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// ImportFile makes a table from a .parquet, .arrow or .csv file. A table that exists is left alone; rows is then its number
// of rows. The table appears complete or not at all.
func (w *Warehouse) ImportFile(ctx context.Context, table warehouse.TableName, path string) (created bool, rows int64, err error) {
	if _, err := warehouse.ParseTableName(table.String()); err != nil {
		return false, 0, fmt.Errorf("importing %s: %w", path, err)
	}
	rows, found, err := w.countRows(ctx, table)
	if err != nil || found {
		return false, rows, err
	}
	source, err := filepath.Abs(path)
	if err != nil {
		return false, 0, fmt.Errorf("importing %s: %w", path, err)
	}
	if strings.ToLower(filepath.Ext(path)) != ".parquet" {
		// DuckDB has no reader for Arrow files and guesses CSV types in its own way.
		source = w.tmpPath(".parquet")
		defer func() { err = errors.Join(err, removeIfThere(source)) }()
		in, err := file.Open(ctx, path, file.Options{})
		if err != nil {
			return false, 0, fmt.Errorf("importing %s: %w", path, err)
		}
		_, err = copyStream(ctx, in, source)
		if err = errors.Join(err, in.Close()); err != nil {
			return false, 0, fmt.Errorf("importing %s: %w", path, err)
		}
	} else if err := statParquet(ctx, source); err != nil {
		return false, 0, fmt.Errorf("importing %s: %w", path, err)
	}
	err = w.write(ctx, table.Catalog, func(c *catalog, tx *sql.Tx) error {
		cols, err := tableColumns(ctx, tx, c, table)
		if err != nil {
			return err
		}
		if created = len(cols) == 0; !created {
			return nil // somebody else made it meanwhile
		}
		if _, err := tx.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+ident(c.name)+"."+ident(table.Schema)); err != nil {
			return fmt.Errorf("importing %s: %w", path, sqlError(ctx, err))
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE "+qualified(c, table)+" AS FROM "+parquetFiles(source)); err != nil {
			return fmt.Errorf("importing %s: %w", path, sqlError(ctx, err))
		}
		return nil
	}, nil)
	if err != nil {
		return false, 0, err
	}
	rows, _, err = w.countRows(ctx, table)
	return created, rows, err
}

// statParquet lets the guarded reader refuse what is no Parquet file, and what is not there, before DuckDB sees it.
func statParquet(ctx context.Context, path string) error {
	in, err := file.Open(ctx, path, file.Options{})
	if err != nil {
		return err
	}
	return in.Close()
}

func (w *Warehouse) countRows(ctx context.Context, table warehouse.TableName) (rows int64, found bool, err error) {
	err = w.read(ctx, table.Catalog, func(c *catalog) error {
		cols, err := tableColumns(ctx, w.db, c, table)
		if err != nil || len(cols) == 0 {
			return err
		}
		found = true
		if err := w.db.QueryRowContext(ctx, "SELECT count(*) FROM "+qualified(c, table)).Scan(&rows); err != nil {
			return fmt.Errorf("counting rows of %s: %w", table, sqlError(ctx, err))
		}
		return nil
	})
	if errors.Is(err, warehouse.ErrTableNotFound) {
		return 0, false, nil // the catalog has no file yet
	}
	return rows, found, err
}
