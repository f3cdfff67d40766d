package duckdb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func writeInput(t *testing.T, path string) {
	t.Helper()
	s := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "value", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	}, nil)
	rb := array.NewRecordBuilder(memory.DefaultAllocator, s)
	defer rb.Release()
	rb.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2, 3}, nil)
	rb.Field(1).(*array.StringBuilder).AppendValues([]string{"a", "it's", "c"}, nil)
	rb.Field(2).(*array.Float64Builder).AppendValues([]float64{0.5, 0, -2.5}, []bool{true, false, true})
	rec := rb.NewRecord()
	defer rec.Release()
	out, err := file.Create(path, s, file.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Write(rec), out.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestImportFile(t *testing.T) {
	w := openTest(t, t.TempDir())
	dir := t.TempDir()
	for _, ext := range []string{".parquet", ".arrow", ".csv"} {
		path := filepath.Join(dir, "it's [1]"+ext)
		writeInput(t, path)
		table := warehouse.TableName{Catalog: "demo", Schema: "features", Table: "from_" + ext[1:]}
		for round, created := range []bool{true, false} {
			got, rows, err := w.ImportFile(t.Context(), table, path)
			if err != nil || got != created || rows != 3 {
				t.Fatalf("%s, round %d: created %v, %d rows, %v", ext, round, got, rows, err)
			}
		}
		var text string
		q := "SELECT string_agg(concat_ws(':', id, name, coalesce(value::VARCHAR, 'null')), ' ' ORDER BY id) FROM " + table.String()
		if err := w.db.QueryRow(q).Scan(&text); err != nil || text != "1:a:0.5 2:it's:null 3:c:-2.5" {
			t.Errorf("%s: rows are %q, %v", ext, text, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(w.tmpDir(), "*.parquet")); err != nil || len(left) > 0 {
		t.Errorf("temporary files stay: %v, %v", left, err)
	}
}

func TestImportRefuses(t *testing.T) {
	w := openTest(t, t.TempDir())
	dir := t.TempDir()
	table := warehouse.TableName{Catalog: "demo", Schema: "features", Table: "t"}
	for _, name := range []string{"absent.parquet", "absent.csv"} {
		if _, _, err := w.ImportFile(t.Context(), table, filepath.Join(dir, name)); !errors.Is(err, warehouse.ErrTableNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"bad.parquet", "bad.arrow"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.Repeat("not a table ", 100)), 0o644); err != nil {
			t.Fatal(err)
		}
		if created, _, err := w.ImportFile(t.Context(), table, path); err == nil || created || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: created %v, %v", name, created, err)
		}
	}
	writeInput(t, filepath.Join(dir, "good.csv"))
	for _, bad := range []warehouse.TableName{{Catalog: "a", Schema: "b"}, {Catalog: "temp", Schema: "b", Table: "c"}, {Catalog: "a", Schema: "b c", Table: "d"}} {
		if _, _, err := w.ImportFile(t.Context(), bad, filepath.Join(dir, "good.csv")); err == nil {
			t.Errorf("table %s was made", bad)
		}
	}
}
