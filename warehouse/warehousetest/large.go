package warehousetest

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

// largeRows is enough that a stream held in memory as a whole would break largeLimit: 24 bytes a row decoded.
const (
	largeRows  = 1_000_000
	largeBytes = 4 << 20
	largeLimit = 48 << 20
)

func largeCases() []testCase {
	return []testCase{{"a million rows in bounded memory", func(t *testing.T, f Fixture) {
		if err := f.FillFeatures(t.Context(), features(), largeRows); err != nil {
			t.Fatal(err)
		}
		ref := snapshot(t, f.Warehouse, warehouse.Input{Table: features(), Columns: []string{"id", "amount", "score"}, Keys: []string{"id"}})
		if ref.Rows != largeRows {
			t.Fatalf("%d rows", ref.Rows)
		}
		base := heap()
		s, err := f.Warehouse.Read(t.Context(), warehouse.Query{Ref: ref, MaxBytes: largeBytes, BatchRows: 8192})
		if err != nil {
			t.Fatal(err)
		}
		wr, err := f.Warehouse.Begin(t.Context(), "large", target())
		if err != nil {
			t.Fatal(err)
		}
		next, records, peak := int64(0), 0, uint64(0)
		for {
			rec, err := s.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			ids := rec.Column(0).(*array.Int64)
			for i := range ids.Len() {
				if ids.Value(i) != next {
					t.Fatalf("row %d has id %d", next, ids.Value(i))
				}
				next++
			}
			out := (batch{id: "large", version: 1, at: day(1)}).record(memory.DefaultAllocator, next-rec.NumRows(), rec.NumRows())
			if err := wr.Write(t.Context(), out); err != nil {
				t.Fatal(err)
			}
			out.Release()
			rec.Release()
			if records++; records%8 == 0 {
				peak = max(peak, heap())
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := wr.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.wantCounts(t, "large", largeRows, 1)
		t.Logf("%d records, %.1f MB above the start", records, float64(int64(peak)-int64(base))/1e6)
		if peak > base+largeLimit {
			t.Errorf("%d bytes of heap in use, %d at the start; want at most %d more", peak, base, int64(largeLimit))
		}
	}}}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
