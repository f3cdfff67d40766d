package duckdb

import (
	"errors"
	"math"
	"path/filepath"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func TestWholeKeys(t *testing.T) {
	many := make([]int64, 300_000)
	for i := range many {
		many[i] = int64(i * 7919 % 300_000)
	}
	for name, c := range map[string]struct {
		keys []int64
		null bool
		want bool
	}{
		"one":                 {[]int64{5}, false, true},
		"ascending":           {[]int64{math.MinInt64, -1, 0, 1, math.MaxInt64}, false, true},
		"near each other":     {[]int64{7, 3, -2, 9, 64, 65, 63}, false, true},
		"many":                {many, false, true},
		"one of many twice":   {append(many[:len(many):len(many)], 17), false, false},
		"equal neighbours":    {[]int64{1, 2, 2, 3}, false, false},
		"far from each other": {[]int64{1 << 40, 1}, false, false}, // left to those who group
		"the whole range":     {[]int64{math.MaxInt64, math.MinInt64}, false, false},
		"a null":              {[]int64{1, 2, 3}, true, false},
	} {
		path := filepath.Join(t.TempDir(), "keys.parquet")
		s := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
		b := array.NewInt64Builder(memory.DefaultAllocator)
		b.AppendValues(c.keys, nil)
		if c.null {
			b.AppendNull()
		}
		out, err := file.Create(path, s, file.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		col := b.NewArray()
		if err := errors.Join(out.Write(array.NewRecord(s, []arrow.Array{col}, int64(col.Len()))), out.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := wholeKeys(t.Context(), path, "id")
		if err != nil || got != c.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	if _, err := wholeKeys(t.Context(), filepath.Join(t.TempDir(), "absent.parquet"), "id"); !errors.Is(err, warehouse.ErrTableNotFound) {
		t.Errorf("no file: %v", err)
	}
}
