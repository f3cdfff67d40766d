package duckdb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

const (
	benchRows     = 2_000_000
	benchFeatures = 28
)

func benchWarehouse(b *testing.B) (*duckdb.Warehouse, string) {
	b.Helper()
	dir := b.TempDir()
	w, err := duckdb.Open(b.Context(), duckdb.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := w.Close(); err != nil {
			b.Error(err)
		}
	})
	return w, dir
}

// BenchmarkSnapshot pins a table of 2 M rows with a shuffled key and 28 random doubles: first has to copy it, again finds the
// copy and checks it.
func BenchmarkSnapshot(b *testing.B) {
	w, dir := benchWarehouse(b)
	if err := w.CreateSchema(b.Context(), "uat", "features"); err != nil {
		b.Fatal(err)
	}
	var cols strings.Builder
	for i := range benchFeatures {
		fmt.Fprintf(&cols, ", random() AS f%d", i)
	}
	err := w.Exec(b.Context(), fmt.Sprintf("CREATE TABLE uat.features.f AS SELECT range * 7919 %% 2000003 AS id%s FROM range(%d)", cols.String(), benchRows))
	if err != nil {
		b.Fatal(err)
	}
	in := warehouse.Input{Table: warehouse.TableName{Catalog: "uat", Schema: "features", Table: "f"}, Keys: []string{"id"}}
	for _, again := range []bool{false, true} {
		b.Run(map[bool]string{false: "first", true: "again"}[again], func(b *testing.B) {
			b.SetBytes(benchRows * (benchFeatures + 1) * 8)
			for b.Loop() {
				ref, err := w.Snapshot(b.Context(), in)
				if err != nil {
					b.Fatal(err)
				}
				if !again {
					if err := os.Remove(filepath.Join(dir, "snapshots", ref.Version+".parquet")); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkCommit stages and commits 2 M rows of seven columns, three of them constant: first into an empty table, again over
// the batch's own rows.
func BenchmarkCommit(b *testing.B) {
	for _, again := range []bool{false, true} {
		b.Run(map[bool]string{false: "first", true: "again"}[again], func(b *testing.B) {
			w, _ := benchWarehouse(b)
			var staged, committed float64
			run := int64(0)
			for b.Loop() {
				run++
				id := warehouse.BatchID(fmt.Sprintf("batch-%d", run))
				if again {
					id = "batch"
				}
				start := b.Elapsed()
				wr, err := stage(b.Context(), w, id, run, benchRows)
				if err != nil {
					b.Fatal(err)
				}
				middle := b.Elapsed()
				if _, err := wr.Commit(b.Context()); err != nil {
					b.Fatal(err)
				}
				staged += (middle - start).Seconds()
				committed += (b.Elapsed() - middle).Seconds()
			}
			b.ReportMetric(staged/float64(run), "stage-s/op")
			b.ReportMetric(committed/float64(run), "commit-s/op")
			b.SetBytes(benchRows)
		})
	}
}
