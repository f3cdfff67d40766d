package client

import (
	"errors"
	"math"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/internal/arrowguard"
)

func record(t *testing.T, mem memory.Allocator, values ...float64) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(mem, arrow.NewSchema([]arrow.Field{{Name: "pred", Type: arrow.PrimitiveTypes.Float64}}, nil))
	defer b.Release()
	b.Field(0).(*array.Float64Builder).AppendValues(values, nil)
	return b.NewRecord()
}

func TestRecordsSurviveTheRoundTrip(t *testing.T) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	a, b := record(t, mem, 1, math.Copysign(0, -1)), record(t, mem, math.Inf(1))
	defer a.Release()
	defer b.Release()
	body, err := EncodeRecords(mem, a.Schema(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	schema, got, err := DecodeRecords(mem, body)
	if err != nil {
		t.Fatal(err)
	}
	scored := Scored{Records: got}
	defer scored.Release()
	if !schema.Equal(a.Schema()) || len(got) != 2 {
		t.Fatalf("schema %v, %d records", schema, len(got))
	}
	for i, want := range []arrow.Record{a, b} {
		w, g := want.Column(0).(*array.Float64).Float64Values(), got[i].Column(0).(*array.Float64).Float64Values()
		if len(w) != len(g) {
			t.Fatalf("record %d has %d rows, want %d", i, len(g), len(w))
		}
		for r := range w {
			if math.Float64bits(w[r]) != math.Float64bits(g[r]) {
				t.Errorf("record %d row %d: %v, want %v", i, r, g[r], w[r])
			}
		}
	}
	if _, _, err := DecodeRecords(mem, body[:len(body)-9]); !errors.Is(err, arrowguard.ErrInvalid) {
		t.Errorf("a truncated answer: %v, want ErrInvalid", err)
	}
}
