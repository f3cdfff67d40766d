package scoring

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/warehouse"
)

// benchForest has full binary trees of 32 leaves over 28 features.
func benchForest(trees int) *forest.Model {
	rng := rand.New(rand.NewPCG(1, 2))
	m := &forest.Model{
		Outputs: 1, Base: []float64{0}, Scale: 1, Iterations: trees, Link: forest.Link{Kind: forest.Sigmoid, Slope: 1, Divisor: 1},
		Arithmetic: forest.Arithmetic{FlushZero: true},
	}
	for f := range 28 {
		m.Features = append(m.Features, forest.Feature{Name: fmt.Sprintf("f%d", f)})
	}
	const inner = 31
	for range trees {
		t := forest.Tree{Nodes: make([]forest.Node, inner), Leaves: make([]float64, inner+1)}
		child := func(i int) int32 {
			if i < inner {
				return int32(i)
			}
			return ^int32(i - inner)
		}
		for i := range t.Nodes {
			t.Nodes[i] = forest.Node{
				Threshold: float64(rng.IntN(250)) / 250, Feature: int32(rng.IntN(28)), Left: child(2*i + 1), Right: child(2*i + 2), Op: forest.LessEqual,
			}
		}
		for i := range t.Leaves {
			t.Leaves[i] = rng.NormFloat64() / 10
		}
		m.Trees = append(m.Trees, t)
	}
	return m
}

// sink is a warehouse that gives the same record again and again and forgets what is written.
type sink struct {
	warehouse.Warehouse
	warehouse.Writer
	rec  arrow.Record
	rows int64
	left int64
}

func (s *sink) Describe(context.Context, warehouse.Input) (*arrow.Schema, error) {
	return s.rec.Schema(), nil
}

func (s *sink) Snapshot(context.Context, warehouse.Input) (warehouse.Ref, error) {
	return warehouse.Ref{Version: "v", Rows: s.rows, Schema: s.rec.Schema()}, nil
}

func (s *sink) Read(context.Context, warehouse.Query) (warehouse.RecordStream, error) {
	s.left = s.rows
	return s, nil
}
func (s *sink) Schema() *arrow.Schema { return s.rec.Schema() }

func (s *sink) Next(context.Context) (arrow.Record, error) {
	if s.left == 0 {
		return nil, io.EOF
	}
	n := min(s.left, s.rec.NumRows())
	s.left -= n
	return s.rec.NewSlice(0, n), nil
}

func (s *sink) Begin(context.Context, warehouse.BatchID, warehouse.Target) (warehouse.Writer, error) {
	return s, nil
}
func (s *sink) Write(context.Context, arrow.Record) error { return nil }
func (s *sink) Abort(context.Context) error               { return nil }
func (s *sink) Close() error                              { return nil }
func (s *sink) Commit(context.Context) (warehouse.Commit, error) {
	return warehouse.Commit{Rows: s.rows, CommittedAt: time.Now()}, nil
}

// benchSink gives rows rows of the model's features and a key.
func benchSink(model *forest.Model, rows int64) *sink {
	fields := []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}
	for _, f := range model.Features {
		fields = append(fields, arrow.Field{Name: f.Name, Type: arrow.PrimitiveTypes.Float64})
	}
	rb := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(fields, nil))
	defer rb.Release()
	rng := rand.New(rand.NewPCG(3, 4))
	for range defaultBatchRows {
		rb.Field(0).(*array.Int64Builder).Append(rng.Int64())
		for f := range model.Features {
			rb.Field(f + 1).(*array.Float64Builder).Append(rng.Float64())
		}
	}
	return &sink{rec: rb.NewRecord(), rows: rows}
}

// BenchmarkPipeline runs whole batches of 1M rows x 28 features over a warehouse that costs nothing.
func BenchmarkPipeline(b *testing.B) {
	const rows = 1 << 20
	for _, trees := range []int{1, 100} {
		model := benchForest(trees)
		s := benchSink(model, rows)
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("trees=%d/threads=%d", trees, threads), func(b *testing.B) {
				batcher, err := NewBatcher(Deps{
					Resolver:  champion{testPinned()},
					Models:    NewModels(func(context.Context, string) (*forest.Model, error) { return model, nil }, 0),
					Warehouse: s, Ledger: newNotebook(), Configs: []ModelConfig{testConfig()}, Options: Options{Threads: threads},
				})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := batcher.Run(b.Context(), Request{Model: "m"}, nil); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
		s.rec.Release()
	}
}

// BenchmarkFill profiles and digests rows of one key and one probability.
func BenchmarkFill(b *testing.B) {
	const rows = 16_384
	keys := array.NewInt64Builder(memory.DefaultAllocator)
	rng := rand.New(rand.NewPCG(3, 4))
	preds := make([]float64, rows)
	for i := range rows {
		keys.Append(int64(i))
		preds[i] = rng.Float64()
	}
	p, h := newPart(true), &rowHasher{}
	if err := h.bind([]arrow.Array{keys.NewArray()}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p.fill(preds, 1, nil, 0.5, h)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}
