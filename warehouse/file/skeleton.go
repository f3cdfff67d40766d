// Package file reads and writes plain .parquet, .arrow and .csv files as Arrow records.
package file

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

type Options struct {
	Columns   []string
	MaxBytes  int64
	BatchRows int
	Threads   int
	Alloc     memory.Allocator
	// Hint gives the types of columns in formats without types (CSV).
	Hint *arrow.Schema
}

type Info struct {
	Schema *arrow.Schema
	Rows   int64
	Digest string
	Paths  []string
}

type WriteOptions struct {
	Alloc memory.Allocator
}

type Stream struct{}

func Open(ctx context.Context, pathOrGlob string, o Options) (warehouse.RecordStream, error) {
	return nil, warehouse.ErrTableNotFound
}

func Stat(ctx context.Context, pathOrGlob string, o Options) (Info, error) {
	return Info{}, warehouse.ErrTableNotFound
}

type Writer struct{}

func Create(path string, s *arrow.Schema, o WriteOptions) (*Writer, error) {
	return nil, warehouse.ErrFull
}
func (w *Writer) Write(rec arrow.Record) error { return nil }
func (w *Writer) Close() error                 { return nil }
func (w *Writer) Abort() error                 { return nil }
