package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// partRows bounds a staged part.
const partRows = 1 << 20

// partWriter is what a writer needs of file.Writer.
type partWriter interface {
	Write(rec arrow.Record) error
	Close() error
	Abort() error
}

// writer stages the rows of one batch as Parquet files.
//
//	open --Write--> open --Commit--> committed
//	open --Write or Commit fails--> failed (Commit may be called again only when staging itself is whole)
//	any but committed --Abort--> aborted
type writer struct {
	w      *Warehouse
	id     warehouse.BatchID
	target warehouse.Target
	cols   []outColumn
	dir    string
	schema *arrow.Schema // of the parts: the columns that are written
	create func(path string, s *arrow.Schema) (partWriter, error)

	part     partWriter
	partRows int64
	parts    []string
	rows     int64
	fault    error // staging is incomplete
	closed   string
	result   *warehouse.Commit
}

func newWriter(w *Warehouse, id warehouse.BatchID, t warehouse.Target, cols []outColumn, dir string) *writer {
	fields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		fields[i] = t.Schema.Field(c.field)
	}
	return &writer{
		w: w, id: id, target: t, cols: cols, dir: dir, schema: arrow.NewSchema(fields, nil),
		create: func(path string, s *arrow.Schema) (partWriter, error) {
			return file.Create(path, s, file.WriteOptions{})
		},
	}
}

// Write stages a record. After an error only Abort is useful.
func (b *writer) Write(ctx context.Context, rec arrow.Record) error {
	if err := b.usable(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := sameShape(b.target.Schema, rec); err != nil {
		return err
	}
	if err := b.stage(rec); err != nil {
		b.fault = fmt.Errorf("staging rows of batch %s: %w", b.id, diskError(err))
		return b.fault
	}
	return nil
}

func (b *writer) usable() error {
	if b.closed != "" {
		return fmt.Errorf("duckdb: batch %s was %s", b.id, b.closed)
	}
	return b.fault
}

func sameShape(want *arrow.Schema, rec arrow.Record) error {
	if rec.Schema().NumFields() != want.NumFields() {
		return fmt.Errorf("record has %d columns, want %d: %w", rec.Schema().NumFields(), want.NumFields(), errTarget)
	}
	for i, f := range want.Fields() {
		if g := rec.Schema().Field(i); g.Name != f.Name || !arrow.TypeEqual(g.Type, f.Type) {
			return fmt.Errorf("record column %d is %q %s, want %q %s: %w", i, g.Name, g.Type, f.Name, f.Type, errTarget)
		}
	}
	return nil
}

func (b *writer) stage(rec arrow.Record) error {
	if b.part == nil {
		path := filepath.Join(b.dir, fmt.Sprintf("part-%05d.parquet", len(b.parts)))
		part, err := b.create(path, b.schema)
		if err != nil {
			return err
		}
		b.part, b.partRows, b.parts = part, 0, append(b.parts, path)
	}
	cols := make([]arrow.Array, len(b.cols))
	for i, c := range b.cols {
		cols[i] = rec.Column(c.field)
	}
	projected := array.NewRecord(b.schema, cols, rec.NumRows())
	defer projected.Release()
	if err := b.part.Write(projected); err != nil {
		return err
	}
	b.rows += rec.NumRows()
	if b.partRows += rec.NumRows(); b.partRows >= partRows {
		return b.closePart()
	}
	return nil
}

func (b *writer) closePart() error {
	if b.part == nil {
		return nil
	}
	part := b.part
	b.part = nil
	return part.Close()
}

// Abort removes the staging area.
func (b *writer) Abort(context.Context) error {
	if b.closed != "" {
		return nil
	}
	b.closed = "aborted"
	return b.clean()
}

func (b *writer) clean() error {
	var err error
	if b.part != nil {
		err = b.part.Abort()
		b.part = nil
	}
	if err := errors.Join(err, os.RemoveAll(b.dir)); err != nil {
		return fmt.Errorf("duckdb: removing the staging area of batch %s: %w", b.id, err)
	}
	return nil
}
