package duckdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// Rows returns up to limit rows of a batch: those of a table ordered by the keys of the target it was written with, those
// of a file as they stand there. A batch without rows gives an empty stream.
func (w *Warehouse) Rows(ctx context.Context, id warehouse.BatchID, from warehouse.Output, limit int) (warehouse.RecordStream, error) {
	if limit <= 0 {
		return nil, fmt.Errorf("duckdb: limit is %d, want at least 1", limit)
	}
	if from.File != "" {
		return fileRows(ctx, id, from.File, limit)
	}
	t := from.Table
	tmp := w.tmpPath(".parquet")
	err := w.read(ctx, t.Catalog, func(c *catalog) error {
		cols, err := needTable(ctx, w.db, c, t)
		if err != nil {
			return err
		}
		o, err := w.knownOutput(ctx, c, t)
		if err != nil {
			return err
		}
		utc := strings.Split(o.utc, "\x00")
		exprs := make([]string, len(cols))
		for i, col := range cols {
			exprs[i] = ident(col.Name)
			if col.Type == "TIMESTAMP" && slices.ContainsFunc(utc, func(u string) bool { return strings.EqualFold(u, col.Name) }) {
				exprs[i] = "CAST(" + ident(col.Name) + " AS TIMESTAMPTZ) AS " + ident(col.Name)
			}
		}
		_, err = w.db.ExecContext(ctx, "COPY (SELECT "+strings.Join(exprs, ", ")+" FROM "+qualified(c, t)+
			" WHERE "+ident(o.batch)+" = "+literal(string(id))+" ORDER BY "+identList(strings.Split(o.keys, "\x00"))+
			" LIMIT "+strconv.Itoa(limit)+") TO "+literal(tmp)+" (FORMAT parquet)")
		if err != nil {
			return fmt.Errorf("reading batch %s of %s: %w", id, t, sqlError(ctx, err))
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, removeIfThere(tmp))
	}
	stream, err := file.Open(ctx, tmp, file.Options{})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading batch %s of %s: %w", id, t, err), removeIfThere(tmp))
	}
	return &temporary{RecordStream: stream, path: tmp}, nil
}

// temporary removes its file with the stream.
type temporary struct {
	warehouse.RecordStream

	path string
}

func (t *temporary) Close() error {
	return errors.Join(t.RecordStream.Close(), removeIfThere(t.path))
}

// knownOutput describes a table that Begin has seen.
func (w *Warehouse) knownOutput(ctx context.Context, c *catalog, t warehouse.TableName) (output, error) {
	ledger, err := tableColumns(ctx, w.db, c, warehouse.TableName{Schema: ledgerSchema, Table: "output_table"})
	if err != nil {
		return output{}, err
	}
	if len(ledger) > 0 {
		o, err := findOutput(ctx, c, w.db, t)
		if !errors.Is(err, sql.ErrNoRows) {
			return o, err
		}
	}
	return output{}, fmt.Errorf("%s holds no batches: %w", t, warehouse.ErrBatchNotFound)
}

// Supersede marks old as replaced by by.
func (w *Warehouse) Supersede(ctx context.Context, t warehouse.TableName, old, by warehouse.BatchID) error {
	if err := errors.Join(validBatchID(old), validBatchID(by)); err != nil {
		return err
	}
	if old == by {
		return fmt.Errorf("batch %s cannot supersede itself: %w", old, errTarget)
	}
	// Asked first without the right to write, so that a wrong name makes no file.
	err := w.read(ctx, t.Catalog, func(c *catalog) error {
		_, err := w.knownOutput(ctx, c, t)
		return err
	})
	if err != nil {
		return err
	}
	return w.write(ctx, t.Catalog, func(c *catalog, tx *sql.Tx) error {
		n, err := execRows(ctx, tx, "UPDATE "+ledgerTable(c)+" SET superseded_by = ? WHERE target = ? AND batch_id = ?", string(by), targetKey(t), string(old))
		if err != nil {
			return fmt.Errorf("superseding batch %s of %s: %w", old, t, err)
		}
		if n == 0 {
			return fmt.Errorf("batch %s of %s: %w", old, t, warehouse.ErrBatchNotFound)
		}
		return nil
	}, nil)
}
