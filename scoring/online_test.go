package scoring

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
)

func newTestOnline(t *testing.T, tracer trace.TracerProvider) (*Online, memory.Allocator) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	models := NewModels(func(context.Context, string) (*forest.Model, error) { return stump(), nil }, 0)
	t.Cleanup(func() {
		models.Wait()
		mem.AssertSize(t, 0)
	})
	return NewOnline(Deps{
		Resolver: champion{testPinned()}, Models: models, Configs: []ModelConfig{testConfig()}, Alloc: mem, Tracer: tracer,
		Options: Options{Threads: 2},
	}), mem
}

// onlineRecord has the features, in another order than the model's, and the key and label that may come along.
func onlineRecord(mem memory.Allocator, from, to int) arrow.Record {
	b := array.NewRecordBuilder(mem, arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "z", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "label", Type: arrow.PrimitiveTypes.Int8},
		{Name: "x", Type: arrow.PrimitiveTypes.Float64},
	}, nil))
	defer b.Release()
	for r := from; r < to; r++ {
		b.Field(0).(*array.Int64Builder).Append(int64(r))
		b.Field(1).(*array.Float64Builder).Append(zOf(r))
		b.Field(2).(*array.Int8Builder).Append(1)
		b.Field(3).(*array.Float64Builder).Append(xOf(r))
	}
	return b.NewRecord()
}

// pages is a RecordReader.
type pages struct {
	schema *arrow.Schema
	recs   []arrow.Record
}

func (p *pages) Schema() *arrow.Schema { return p.schema }

func (p *pages) Next() (arrow.Record, error) {
	if len(p.recs) == 0 {
		return nil, io.EOF
	}
	rec := p.recs[0]
	p.recs = p.recs[1:]
	return rec, nil
}

func TestOnlineScore(t *testing.T) {
	o, mem := newTestOnline(t, nil)
	in := &pages{}
	for _, cut := range [][2]int{{0, 10}, {10, 10}, {10, 333}} {
		in.recs = append(in.recs, onlineRecord(mem, cut[0], cut[1]))
	}
	in.schema = in.recs[0].Schema()
	row := 0
	lineage, rows, err := o.Score(t.Context(), OnlineOptions{Model: "m", Margin: true}, in, func(rec arrow.Record) error {
		if rec.NumCols() != 2 || rec.ColumnName(0) != "raw" || rec.ColumnName(1) != "pred" {
			t.Fatalf("columns %v", rec.Schema())
		}
		for r := range int(rec.NumRows()) {
			want := stumpScore(xOf(row), zOf(row))
			if got := rec.Column(1).(*array.Float64).Value(r); got != want {
				t.Fatalf("row %d: %v, want %v", row, got, want)
			}
			if m := rec.Column(0).(*array.Float64).Value(r); math.Abs(1/(1+math.Exp(-m))-want) > 1e-15 {
				t.Fatalf("row %d: margin %v", row, m)
			}
			row++
		}
		return nil
	})
	if err != nil || rows != 333 || row != 333 {
		t.Fatalf("%d rows, %d seen, %v", rows, row, err)
	}
	if lineage.Pinned != testPinned() || lineage.EngineBuild != engine.Build() || lineage.FeatureSchemaHash == "" {
		t.Errorf("lineage %+v", lineage)
	}
}

func TestOnlineRefusedRows(t *testing.T) {
	o, mem := newTestOnline(t, nil)
	good, bad := onlineRecord(mem, 0, 10), onlineRecord(mem, 10, 20)
	defer good.Release()
	defer bad.Release()
	x := arrow.Float64Traits.CastFromBytes(bad.Column(3).Data().Buffers()[1].Bytes())
	x[4], x[7] = math.Inf(-1), math.Inf(1)

	strict, err := o.Open(t.Context(), OnlineOptions{Model: "m"}, good.Schema())
	if err != nil {
		t.Fatal(err)
	}
	out, err := strict.Score(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	out.Release()
	_, err = strict.Score(t.Context(), bad)
	var row *RowError
	if !errors.As(err, &row) {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(&RowError{Row: 14, Column: "x", Reason: row.Reason, More: 1}, row); diff != "" {
		t.Error(diff)
	}

	lenient, err := o.Open(t.Context(), OnlineOptions{Model: "m", NullRowErrors: true}, good.Schema())
	if err != nil {
		t.Fatal(err)
	}
	if out, err = lenient.Score(t.Context(), bad); err != nil {
		t.Fatal(err)
	}
	defer out.Release()
	for r := range 10 {
		if got := out.Column(0).IsNull(r); got != (r == 4 || r == 7) {
			t.Errorf("row %d null: %v", r, got)
		}
	}
}

func TestOnlineRefusesOtherColumns(t *testing.T) {
	o, _ := newTestOnline(t, nil)
	_, err := o.Open(t.Context(), OnlineOptions{Model: "m"}, arrow.NewSchema([]arrow.Field{
		{Name: "x", Type: arrow.BinaryTypes.String}, {Name: "w", Type: arrow.PrimitiveTypes.Int8},
	}, nil))
	var schema *frame.SchemaError
	if !errors.As(err, &schema) {
		t.Fatalf("got %v", err)
	}
	if len(schema.Missing) != 1 || len(schema.Wrong) != 1 || len(schema.Unexpected) != 1 {
		t.Errorf("%+v", schema)
	}
	for want, opts := range map[error]OnlineOptions{errNoModel: {Model: "other"}, ErrRequest: {Model: "m", Version: -1}} {
		if _, err := o.Open(t.Context(), opts, arrow.NewSchema(nil, nil)); !errors.Is(err, want) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// Waiting for a core ends with the caller's context.
func TestOnlineWaitsForACore(t *testing.T) {
	o, mem := newTestOnline(t, nil)
	rec := onlineRecord(mem, 0, 10)
	defer rec.Release()
	s, err := o.Open(t.Context(), OnlineOptions{Model: "m"}, rec.Schema())
	if err != nil {
		t.Fatal(err)
	}
	for range cap(o.slots) {
		o.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if _, err := s.Score(ctx, rec); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	<-o.slots
	out, err := s.Score(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	out.Release()
}
