// Package feature computes, pins and exports the features of models.
package feature

import (
	"context"
	"log/slog"

	"github.com/treeline-ml/treeline/warehouse"
)

// Source says where a model's features come from.
type Source struct {
	Model string
	Table warehouse.TableName
	// SQL computes the rows of one day (warehouse.Materialisation). Empty: somebody else fills the table.
	SQL        string
	DateColumn string
	Keys       []string
	Label      string
	Exclude    []string
	// CodeDigest identifies what decides the rows besides SQL.
	CodeDigest string
}

// Deps are what a Service needs.
type Deps struct {
	Warehouse warehouse.Warehouse
	Sources   func(model string) (Source, bool)
	// Dir is the export cache; it belongs to one Service. MaxBytes bounds it; 0 means 8 GiB.
	Dir      string
	MaxBytes int64
	Logger   *slog.Logger // discards when nil
}

// Service computes, pins and exports features.
type Service struct{ d Deps }

// New opens the export cache.
func New(d Deps) (*Service, error) { return &Service{d: d}, nil }

// Compute materialises the features of one day.
func (s *Service) Compute(context.Context, string, string) (warehouse.Materialised, error) {
	return warehouse.Materialised{}, nil
}

// Pin pins the model's whole history up to and including a day, all columns.
func (s *Service) Pin(context.Context, string, string) (warehouse.Ref, error) {
	return warehouse.Ref{}, nil
}

// Export writes the pinned rows to a Parquet file and returns their number.
func (s *Service) Export(context.Context, warehouse.Ref, string) (int64, error) { return 0, nil }
