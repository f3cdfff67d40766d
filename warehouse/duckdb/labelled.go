package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// Labelled joins in DuckDB, which spills when the tables are large, and streams the result from a file.
func (w *Warehouse) Labelled(ctx context.Context, q warehouse.LabelQuery) (warehouse.RecordStream, int64, error) {
	tmp := w.tmpPath(".parquet")
	var rows int64
	catalogs := []string{strings.ToLower(q.Table.Catalog), strings.ToLower(q.Labels.Catalog)}
	slices.Sort(catalogs)
	err := w.readAll(ctx, slices.Compact(catalogs), func() (err error) {
		rows, err = w.joinLabels(ctx, q, tmp)
		return err
	})
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("labels of batch %s from %s: %w", q.Batch, q.Labels, err), removeIfThere(tmp))
	}
	if q.Limit > 0 && rows > q.Limit {
		if tmp, err = w.fewer(ctx, tmp, q.Limit); err != nil {
			return nil, 0, fmt.Errorf("labels of batch %s from %s: %w", q.Batch, q.Labels, err)
		}
	}
	stream, err := file.Open(ctx, tmp, file.Options{Columns: []string{"score", "label"}})
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("labels of batch %s from %s: %w", q.Batch, q.Labels, err), removeIfThere(tmp))
	}
	return &temporary{RecordStream: stream, path: tmp}, rows, nil
}

// fewer replaces the file of a join by one with the rows of the lowest hashes.
func (w *Warehouse) fewer(ctx context.Context, path string, limit int64) (string, error) {
	tmp := w.tmpPath(".parquet")
	_, err := w.db.ExecContext(ctx, "COPY (SELECT score, label FROM "+parquetFiles(path)+" ORDER BY hash LIMIT "+strconv.FormatInt(limit, 10)+") TO "+
		literal(tmp)+" (FORMAT parquet)")
	if err != nil {
		return "", errors.Join(sqlError(ctx, err), removeIfThere(path), removeIfThere(tmp))
	}
	return tmp, removeIfThere(path)
}

// joinLabels writes the joined rows to a file, all from one state of both tables.
func (w *Warehouse) joinLabels(ctx context.Context, q warehouse.LabelQuery, path string) (rows int64, err error) {
	out, err := w.catalog(q.Table.Catalog)
	if err != nil {
		return 0, err
	}
	conn, err := w.db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("duckdb: opening a connection: %w", sqlError(ctx, err))
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "BEGIN TRANSACTION READ ONLY"); err != nil {
		return 0, fmt.Errorf("duckdb: beginning a transaction: %w", sqlError(ctx, err))
	}
	// A rollback that fails has nothing to undo: DuckDB ended the transaction with the error.
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") }()
	have, err := needTable(ctx, conn, out, q.Table)
	if err != nil {
		return 0, err
	}
	known, err := w.knownOutput(ctx, out, q.Table)
	if err != nil {
		return 0, err
	}
	if missing := absent(names(have), append([]string{q.Score}, q.Keys...)); len(missing) > 0 {
		return 0, fmt.Errorf("%s: %s: %w", q.Table, strings.Join(missing, "; "), warehouse.ErrColumn)
	}
	labels, err := w.knownLabels(ctx, conn, q)
	if err != nil {
		return 0, err
	}
	var repeated int64
	err = conn.QueryRowContext(ctx, "SELECT count(*) FROM (SELECT 1 FROM "+labels+" GROUP BY "+identList(q.Keys)+" HAVING count(*) > 1)").Scan(&repeated)
	if err != nil {
		return 0, labelError(ctx, err)
	}
	if repeated > 0 {
		return 0, fmt.Errorf("%d values of the key (%s) have several labels: %w", repeated, strings.Join(q.Keys, ", "), warehouse.ErrDuplicateKey)
	}
	scored := "(SELECT " + identList(q.Keys) + ", CAST(" + ident(q.Score) + " AS DOUBLE) AS score FROM " + qualified(out, q.Table) +
		" WHERE " + ident(known.batch) + " = " + literal(string(q.Batch)) + " AND " + ident(q.Score) + " IS NOT NULL)"
	on, keys := make([]string, len(q.Keys)), make([]string, len(q.Keys))
	for i, k := range q.Keys {
		keys[i] = "o." + ident(k)
		on[i] = keys[i] + " = l." + ident(k)
	}
	res, err := conn.ExecContext(ctx, "COPY (SELECT o.score AS score, l.treeline_label AS label, hash("+strings.Join(keys, ", ")+") AS hash FROM "+scored+" o JOIN "+labels+" l ON "+
		strings.Join(on, " AND ")+") TO "+literal(path)+" (FORMAT parquet)")
	if err != nil {
		return 0, labelError(ctx, err)
	}
	return res.RowsAffected()
}

func names(cols []column) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = c.Name
	}
	return out
}

// knownLabels selects the keys and the labels that count.
func (w *Warehouse) knownLabels(ctx context.Context, conn querier, q warehouse.LabelQuery) (string, error) {
	c, err := w.catalog(q.Labels.Catalog)
	if err != nil {
		return "", err
	}
	have, err := needTable(ctx, conn, c, q.Labels)
	if err != nil {
		return "", err
	}
	find := func(name string) column { return have[slices.Index(names(have), name)] }
	wanted := append([]string{q.Label}, q.Keys...)
	for _, optional := range []string{q.DateColumn, q.AvailableColumn} {
		if optional != "" {
			wanted = append(wanted, optional)
		}
	}
	faults := absent(names(have), wanted)
	if len(faults) > 0 {
		return "", fmt.Errorf("%s: %s: %w", q.Labels, strings.Join(faults, "; "), warehouse.ErrColumn)
	}
	where := []string{ident(q.Label) + " IS NOT NULL"}
	for _, k := range q.Keys {
		where = append(where, ident(k)+" IS NOT NULL")
	}
	if !isLabel(find(q.Label).Type) {
		faults = append(faults, fmt.Sprintf("%q has type %s, a label is a number or a boolean", q.Label, find(q.Label).Type))
	}
	if q.DateColumn != "" {
		predicate, err := period{date: q.Date}.predicate(find(q.DateColumn))
		if err != nil {
			faults = append(faults, err.Error())
		}
		where = append(where, predicate)
	}
	if q.AvailableColumn != "" {
		predicate, err := until(find(q.AvailableColumn), q.At)
		if err != nil {
			faults = append(faults, err.Error())
		}
		where = append(where, predicate)
	}
	if len(faults) > 0 {
		return "", fmt.Errorf("%s: %s: %w", q.Labels, strings.Join(faults, "; "), warehouse.ErrColumn)
	}
	return "(SELECT " + identList(q.Keys) + ", CAST(" + ident(q.Label) + " AS DOUBLE) AS treeline_label FROM " + qualified(c, q.Labels) +
		" WHERE " + strings.Join(where, " AND ") + ")", nil
}

func isLabel(duck string) bool {
	if duck == "HUGEINT" || duck == "UHUGEINT" { // what sum gives
		return true
	}
	dt := plainType(duck)
	return dt != nil && (dt.ID() == arrow.BOOL || arrow.IsPrimitive(dt.ID()) && (arrow.IsInteger(dt.ID()) || arrow.IsFloating(dt.ID())) ||
		dt.ID() == arrow.DECIMAL128)
}

// until selects the rows whose day or time is not after at.
func until(c column, at time.Time) (string, error) {
	text := at.UTC().Format("2006-01-02 15:04:05.999999")
	switch c.Type {
	case "DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS":
		return ident(c.Name) + " <= TIMESTAMP " + literal(text), nil
	case "TIMESTAMP WITH TIME ZONE":
		return ident(c.Name) + " <= TIMESTAMPTZ " + literal(text+"+00"), nil
	case "VARCHAR":
		return "CAST(" + ident(c.Name) + " AS TIMESTAMP) <= TIMESTAMP " + literal(text), nil
	}
	return "", fmt.Errorf("%q has type %s, want a day or a time", c.Name, c.Type)
}

// labelError names what DuckDB cannot compare or convert.
func labelError(ctx context.Context, err error) error {
	if text := err.Error(); ctx.Err() == nil && (strings.Contains(text, "Binder Error") || strings.Contains(text, "Conversion Error")) {
		return fmt.Errorf("keys, labels or times that cannot be compared: %w: %w", warehouse.ErrColumn, err)
	}
	return sqlError(ctx, err)
}
