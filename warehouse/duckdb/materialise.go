package duckdb

import (
	"context"
	"fmt"

	"github.com/treeline-ml/treeline/warehouse"
)

// Materialise implements warehouse.Warehouse.
func (w *Warehouse) Materialise(_ context.Context, m warehouse.Materialisation) (warehouse.Materialised, error) {
	return warehouse.Materialised{}, fmt.Errorf("%s: %w", m.Table, warehouse.ErrSQL)
}
