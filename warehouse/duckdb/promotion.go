package duckdb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/treeline-ml/treeline/warehouse"
)

const promotionsCatalog = "mlflow"

// createPromotions makes the audit view, empty at first, so that the user's query runs from the start.
func (w *Warehouse) createPromotions(ctx context.Context) error {
	found := false
	c, err := w.catalog(promotionsCatalog)
	if err != nil {
		return err
	}
	if err := w.attach(ctx, c, true); err != nil {
		return err
	}
	err = w.read(ctx, promotionsCatalog, func(c *catalog) error {
		cols, err := tableColumns(ctx, w.db, c, warehouse.TableName{Schema: "model", Table: "promotions"})
		found = len(cols) > 0
		return err
	})
	if err != nil || found {
		return err
	}
	return w.write(ctx, promotionsCatalog, func(_ *catalog, tx *sql.Tx) error {
		for _, q := range []string{
			"CREATE SCHEMA IF NOT EXISTS mlflow.model",
			`CREATE TABLE IF NOT EXISTS mlflow.model.promotion_log (seq BIGINT PRIMARY KEY, model_name VARCHAR NOT NULL, version BIGINT NOT NULL,
				promotion_timestamp TIMESTAMP NOT NULL, promoted_by VARCHAR NOT NULL, from_stage VARCHAR NOT NULL, to_stage VARCHAR NOT NULL)`,
			`CREATE VIEW mlflow.model.promotions AS SELECT model_name, version, promotion_timestamp, promoted_by, from_stage, to_stage
				FROM mlflow.model.promotion_log`,
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("duckdb: making mlflow.model.promotions: %w", sqlError(ctx, err))
			}
		}
		return nil
	}, nil)
}

// MirrorPromotions inserts the rows whose Seq is not there yet, all or none.
func (w *Warehouse) MirrorPromotions(ctx context.Context, rows []warehouse.PromotionRow) error {
	if len(rows) == 0 {
		return nil
	}
	return w.write(ctx, promotionsCatalog, func(_ *catalog, tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO mlflow.model.promotion_log VALUES (?, ?, ?, CAST(? AS TIMESTAMP), ?, ?, ?) ON CONFLICT (seq) DO NOTHING")
		if err != nil {
			return fmt.Errorf("duckdb: mirroring promotions: %w", sqlError(ctx, err))
		}
		defer func() { _ = insert.Close() }() // the transaction decides
		for _, r := range rows {
			if _, err := insert.ExecContext(ctx, r.Seq, r.Model, r.Version, r.Timestamp.UTC(), r.PromotedBy, r.FromStage, r.ToStage); err != nil {
				return fmt.Errorf("duckdb: mirroring promotion %d: %w", r.Seq, sqlError(ctx, err))
			}
		}
		return nil
	}, nil)
}
