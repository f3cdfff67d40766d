package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
	"github.com/treeline-ml/treeline/warehouse/warehousetest"
)

func TestMain(m *testing.M) {
	if run, ok := children[os.Getenv(childVariable)]; ok {
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

func TestSuite(t *testing.T) { warehousetest.Run(t, openFixture) }

// harness is a warehouse in a directory of its own.
type harness struct {
	dir string
	w   *duckdb.Warehouse
}

func openFixture(t *testing.T) warehousetest.Fixture {
	h := newHarness(t)
	return warehousetest.Fixture{
		Warehouse:    h.w,
		Dir:          t.TempDir(),
		Exec:         func(ctx context.Context, sql string) error { return h.w.Exec(ctx, sql) },
		CreateSchema: func(ctx context.Context, catalog, schema string) error { return h.w.CreateSchema(ctx, catalog, schema) },
		Query:        h.query,
		FillFeatures: func(ctx context.Context, n warehouse.TableName, rows int64) error {
			if err := h.w.CreateSchema(ctx, n.Catalog, n.Schema); err != nil {
				return err
			}
			return h.w.Exec(ctx, fmt.Sprintf("CREATE TABLE %s AS SELECT range AS id, (range * 7919 %% 1000) / 8.0::DOUBLE AS amount,"+
				" sqrt(range) AS score FROM range(%d) ORDER BY hash(range)", n, rows))
		},
		Reopen:       func(t *testing.T) warehouse.Warehouse { return h.crash(t) },
		StagingEmpty: h.stagingEmpty,
	}
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{dir: filepath.Join(t.TempDir(), "var")}
	h.open(t)
	t.Cleanup(func() {
		if err := h.w.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) open(t *testing.T) {
	t.Helper()
	w, err := duckdb.Open(t.Context(), duckdb.Config{Dir: h.dir, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	h.w = w
}

// crash puts the directory into the state that kill -9 would have left: the files as they are before Close writes anything.
func (h *harness) crash(t *testing.T) *duckdb.Warehouse {
	t.Helper()
	image := h.dir + "-image"
	if out, err := exec.Command("cp", "-r", h.dir, image).CombinedOutput(); err != nil {
		t.Fatalf("copying: %v: %s", err, out)
	}
	if err := errors.Join(h.w.Close(), os.RemoveAll(h.dir), os.Rename(image, h.dir)); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	return h.w
}

func (h *harness) stagingEmpty() error {
	for _, sub := range []string{"staging", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(h.dir, sub))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() != "spill" {
				return fmt.Errorf("%s holds %s", sub, e.Name())
			}
		}
	}
	return nil
}

func (h *harness) query(ctx context.Context, sql string) (out [][]any, err error) {
	rows, err := h.w.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		row := make([]any, len(columns))
		dest := make([]any, len(columns))
		for i := range row {
			dest[i] = &row[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		for i, v := range row {
			switch v := v.(type) {
			case int32:
				row[i] = int64(v)
			case *big.Int:
				row[i] = v.Int64()
			}
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
