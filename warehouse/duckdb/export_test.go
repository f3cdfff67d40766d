package duckdb

import (
	"context"
	"database/sql"
)

// Exec runs a statement on the warehouse's own instance: no second one may open its files.
func (w *Warehouse) Exec(ctx context.Context, query string) error {
	if err := w.attachAll(ctx); err != nil {
		return err
	}
	_, err := w.db.ExecContext(ctx, query)
	return err
}

// Query runs a query on the warehouse's own instance.
func (w *Warehouse) Query(ctx context.Context, query string) (*sql.Rows, error) {
	if err := w.attachAll(ctx); err != nil {
		return nil, err
	}
	return w.db.QueryContext(ctx, query)
}

// CreateSchema makes a catalog file and a schema.
func (w *Warehouse) CreateSchema(ctx context.Context, catalogName, schema string) error {
	return w.write(ctx, catalogName, func(c *catalog, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+ident(c.name)+"."+ident(schema))
		return err
	}, nil)
}

func (w *Warehouse) attachAll(ctx context.Context) error {
	for _, name := range w.catalogNames() {
		c, err := w.catalog(name)
		if err != nil {
			return err
		}
		if err := w.attach(ctx, c, false); err != nil {
			return err
		}
	}
	return nil
}
