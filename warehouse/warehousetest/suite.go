// Package warehousetest is the conformance suite of package warehouse: every implementation passes Run.
//
// The suite looks at tables through Fixture.Query, never through the warehouse's own reading, and makes features through
// Fixture.Exec, in SQL that every implementation takes: CREATE TABLE with DOUBLE, BIGINT, VARCHAR, DATE and TIMESTAMP,
// INSERT with VALUES, UPDATE, DELETE, SELECT.
package warehousetest

import (
	"context"
	"testing"

	"github.com/treeline-ml/treeline/warehouse"
)

// Fixture is one warehouse with nothing in it but what the suite makes.
type Fixture struct {
	Warehouse warehouse.Warehouse
	// Dir is for input files; the warehouse can read it.
	Dir string
	// Exec runs one statement against the warehouse's tables, beside the warehouse. Schemas are made with CreateSchema.
	Exec func(ctx context.Context, sql string) error
	// CreateSchema makes catalog and schema if they are absent.
	CreateSchema func(ctx context.Context, catalog, schema string) error
	// Query returns rows as nil, bool, int64, float64, string or time.Time.
	Query func(ctx context.Context, sql string) ([][]any, error)
	// FillFeatures makes a table (id BIGINT, amount DOUBLE, score DOUBLE) of n rows with id 0..n-1 quickly.
	FillFeatures func(ctx context.Context, table warehouse.TableName, n int64) error
	// Reopen gives up the warehouse without Close, as far as one process can, and opens the same storage again.
	Reopen func(t *testing.T) warehouse.Warehouse
	// StagingEmpty fails when rows of uncommitted batches are still stored somewhere.
	StagingEmpty func() error
}

// Run runs the suite. open is called once for each case.
func Run(t *testing.T, open func(t *testing.T) Fixture) {
	t.Helper()
	groups := []struct {
		name  string
		cases []testCase
	}{
		{"snapshot", snapshotCases()},
		{"files", fileCases()},
		{"through", throughCases()},
		{"materialise", materialiseCases()},
		{"write", writeCases()},
		{"target", targetCases()},
		{"outfile", outfileCases()},
		{"cancel", cancelCases()},
		{"large", largeCases()},
		{"promotions", promotionCases()},
		{"labelled", labelledCases()},
		{"statistics", statisticsCases()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
			}
		})
	}
}

type testCase struct {
	name string
	run  func(t *testing.T, f Fixture)
}
