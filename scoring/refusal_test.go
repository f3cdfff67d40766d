package scoring

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/warehouse"
)

// withInfinity makes x infinite in some rows, which the model's library refuses.
func withInfinity(n int, bad ...int) *inputTable {
	t := features(n)
	inner := t.record
	t.record = func(mem memory.Allocator, from, to int) arrow.Record {
		rec := inner(mem, from, to)
		x := rec.Column(4).Data().Buffers()[1].Bytes()
		for _, r := range bad {
			if r >= from && r < to {
				arrow.Float64Traits.CastFromBytes(x)[r-from] = math.Inf(1)
			}
		}
		return rec
	}
	return t
}

func TestRefusedRowsFailTheBatch(t *testing.T) {
	for _, threads := range []int{1, 2, 5} {
		s := newShelf(t, withInfinity(5000, 4999, 1777, 1701))
		b, _ := newTestBatcher(t, s, func(d *Deps) { d.Options.Threads = threads })
		_, err := b.Run(t.Context(), Request{Model: "m"}, nil)
		var row *RowError
		if !errors.As(err, &row) || !errors.Is(err, ErrRowRefused) {
			t.Fatalf("got %v", err)
		}
		if row.Row != 1701 || row.Column != "x" || row.More != 1 {
			t.Errorf("%d threads: %+v", threads, row)
		}
		if len(s.output) != 0 {
			t.Error("was committed")
		}
	}
}

func TestRefusedRowsBecomeNull(t *testing.T) {
	s := newShelf(t, withInfinity(1000, 0, 555))
	b, _ := newTestBatcher(t, s, func(d *Deps) { d.Options.RowErrors = RowsNull })
	batch := mustRun(t, b, Request{Model: "m"})
	for r, row := range s.rows(batch.ID) {
		refused := r == 0 || r == 555
		if (row["m_probability"] == nil) != refused || (row["m_predicted"] == nil) != refused || row["id"] != int64(r) || row["run_id"] != "run-3" {
			t.Fatalf("row %d: %v", r, row)
		}
	}
	var scored int64
	for _, n := range batch.Profile.Histogram {
		scored += n
	}
	if scored != 998 || batch.Rows != 1000 || batch.RowsRefused != 2 {
		t.Errorf("%d scored of %d, %d refused", scored, batch.Rows, batch.RowsRefused)
	}
	strict, _ := newTestBatcher(t, newShelf(t, features(1000)), nil)
	other := mustRun(t, strict, Request{Model: "m"})
	if other.ID == batch.ID {
		t.Error("another row policy has the same id")
	}
	if other.RowsRefused != 0 {
		t.Errorf("%d rows of a good table refused", other.RowsRefused)
	}
}

// A row counts once however many of its values are refused, however many workers there are, and however often it runs.
func TestRefusedRowsAreCounted(t *testing.T) {
	const rows = 5000
	var bad []int
	for r := 3; r < rows; r += 13 {
		bad = append(bad, r)
	}
	table := withInfinity(rows, bad...)
	inner := table.record
	table.record = func(mem memory.Allocator, from, to int) arrow.Record {
		rec := inner(mem, from, to)
		z := arrow.Float32Traits.CastFromBytes(rec.Column(0).Data().Buffers()[1].Bytes())
		for i := range z[:to-from] {
			if (from+i)%26 == 3 { // half of the rows with an infinite x
				z[i] = float32(math.Inf(-1))
			}
		}
		return rec
	}
	want := int64(len(bad))
	for _, threads := range []int{1, 2, 5} {
		s := newShelf(t, table)
		b, ledger := newTestBatcher(t, s, func(d *Deps) {
			d.Options.Threads, d.Options.RowErrors = threads, RowsNull
			d.Models = NewModels(func(context.Context, string) (*forest.Model, error) {
				m := stump()
				m.Features[1].RejectInfinite = true
				return m, nil
			}, 0)
			t.Cleanup(d.Models.Wait)
		})
		for attempt := 1; attempt <= 2; attempt++ {
			batch := mustRun(t, b, Request{Model: "m"})
			var null int64
			for _, row := range s.rows(batch.ID) {
				if row["m_probability"] == nil {
					null++
				}
			}
			kept, err := ledger.Get(t.Context(), batch.ID)
			if err != nil {
				t.Fatal(err)
			}
			if batch.RowsRefused != want || kept.RowsRefused != want || null != want || batch.Attempt != attempt {
				t.Errorf("%d threads, attempt %d: %d rows refused, %d in the ledger, %d null, want %d",
					threads, batch.Attempt, batch.RowsRefused, kept.RowsRefused, null, want)
			}
		}
	}
}

func TestSchemaErrorsComeTogether(t *testing.T) {
	table := features(10)
	table.schema = arrow.NewSchema([]arrow.Field{
		{Name: "account", Type: arrow.PrimitiveTypes.Int64},
		{Name: "x", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "other", Type: arrow.PrimitiveTypes.Int64},
	}, nil)
	s := newShelf(t, table)
	b, _ := newTestBatcher(t, s, nil)
	_, err := b.Run(t.Context(), Request{Model: "m"}, nil)
	var schema *frame.SchemaError
	if !errors.As(err, &schema) || !errors.Is(err, warehouse.ErrColumn) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"id"`, `"x"`, `"z"`, "a.b.features"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
	if s.calls["snapshot"] != 0 {
		t.Error("an input that does not fit was copied")
	}
}

func TestRequestsThatCannotWork(t *testing.T) {
	s := newShelf(t, features(10))
	b, _ := newTestBatcher(t, s, nil)
	for name, tc := range map[string]struct {
		req  Request
		want error
	}{
		"model":   {Request{Model: "other"}, ErrUnknownModel},
		"version": {Request{Model: "m", Version: 9}, errNoModel},
		"minus":   {Request{Model: "m", Version: -1}, ErrRequest},
		"date":    {Request{Model: "m", Date: "2026-02-30"}, ErrRequest},
		"no date": {Request{Model: "m", Date: "2026-02-03"}, ErrRequest}, // no date column is configured
		"output":  {Request{Model: "m", OutputTable: "just_a_name"}, ErrRequest},

		"relative file": {Request{Model: "m", OutputFile: "out.parquet"}, ErrRequest},
		"other format":  {Request{Model: "m", OutputFile: "/tmp/out.csv"}, ErrRequest},
		"two outputs":   {Request{Model: "m", OutputTable: "a.b.c", OutputFile: "/tmp/out.parquet"}, ErrRequest},
	} {
		released := 0
		tc.req.Release = func() { released++ }
		if _, err := b.Run(t.Context(), tc.req, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := b.Drain(t.Context()); name == "output" && err != nil {
			t.Error(err)
		}
		if released != 1 {
			t.Errorf("%s: input released %d times", name, released)
		}
		b, _ = newTestBatcher(t, s, nil)
	}
	for name, change := range map[string]func(*ModelConfig){
		"no keys":   func(c *ModelConfig) { c.Keys = nil },
		"twice":     func(c *ModelConfig) { c.Keys = []string{"id", "id"} },
		"no name":   func(c *ModelConfig) { c.Name = "" },
		"threshold": func(c *ModelConfig) { c.Threshold = math.NaN() },
	} {
		c := testConfig()
		change(&c)
		if _, err := NewBatcher(Deps{Configs: []ModelConfig{c}}); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
