// Package duckdb is the embedded warehouse.
package duckdb

import (
	"context"
	"errors"
	"log/slog"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
)

// Config says where the warehouse lives and what it may use.
type Config struct {
	Dir         string       // catalogs are <Dir>/<catalog>.duckdb
	MemoryLimit string       // DuckDB's memory_limit, "1GB" when empty
	Threads     int          // DuckDB's threads; 0 means GOMAXPROCS
	SnapshotDir string       // pinned inputs; <Dir>/snapshots when empty
	Logger      *slog.Logger // nil discards
}

// Warehouse implements warehouse.Warehouse.
type Warehouse struct{}

var _ warehouse.Warehouse = (*Warehouse)(nil)

var errSkeleton = errors.New("duckdb: skeleton")

// Open opens the warehouse in c.Dir.
func Open(ctx context.Context, c Config) (*Warehouse, error) { return nil, errSkeleton }

// Describe returns the columns of an input.
func (w *Warehouse) Describe(ctx context.Context, in warehouse.Input) (*arrow.Schema, error) {
	return nil, errSkeleton
}

// Snapshot pins an input.
func (w *Warehouse) Snapshot(ctx context.Context, in warehouse.Input) (warehouse.Ref, error) {
	return warehouse.Ref{}, errSkeleton
}

// Read streams a pinned input.
func (w *Warehouse) Read(ctx context.Context, q warehouse.Query) (warehouse.RecordStream, error) {
	return nil, errSkeleton
}

// Begin opens a staging area.
func (w *Warehouse) Begin(ctx context.Context, id warehouse.BatchID, t warehouse.Target) (warehouse.Writer, error) {
	return nil, errSkeleton
}

// Rows returns rows of a batch.
func (w *Warehouse) Rows(ctx context.Context, id warehouse.BatchID, t warehouse.TableName, limit int) (warehouse.RecordStream, error) {
	return nil, errSkeleton
}

// Supersede marks a batch as replaced.
func (w *Warehouse) Supersede(ctx context.Context, t warehouse.TableName, old, by warehouse.BatchID) error {
	return errSkeleton
}

// MirrorPromotions copies audit rows.
func (w *Warehouse) MirrorPromotions(ctx context.Context, rows []warehouse.PromotionRow) error {
	return errSkeleton
}

// ImportFile creates a table from a file if the table is absent.
func (w *Warehouse) ImportFile(ctx context.Context, table warehouse.TableName, path string) (created bool, rows int64, err error) {
	return false, 0, errSkeleton
}

// Close releases the files.
func (w *Warehouse) Close() error { return nil }
