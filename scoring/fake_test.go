package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/warehouse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a warehouse of one input table in memory, whose steps a test can watch, hold and break. The real warehouses
// run behind the same pipeline in internal/app.
type shelf struct {
	warehouse.Warehouse // methods that no batch calls

	mem   memory.Allocator
	table *inputTable

	// at is called at each step; an error breaks it. n counts the calls of a step.
	at func(ctx context.Context, step string, n int) error

	mu      sync.Mutex
	calls   map[string]int
	staged  int // open writers
	output  map[warehouse.BatchID][]arrow.Record
	short   int64 // rows that Commit loses
	reading int64 // rows handed out and not yet written
}

// inputTable makes its records on demand.
type inputTable struct {
	schema  *arrow.Schema
	rows    int
	version string
	record  func(mem memory.Allocator, from, to int) arrow.Record
}

func newShelf(t testing.TB, table *inputTable) *shelf {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	s := &shelf{mem: mem, table: table, calls: map[string]int{}, output: map[warehouse.BatchID][]arrow.Record{}}
	t.Cleanup(func() {
		for _, recs := range s.output {
			for _, r := range recs {
				r.Release()
			}
		}
		mem.AssertSize(t, 0)
		if s.staged != 0 {
			t.Errorf("%d staging areas were left behind", s.staged)
		}
	})
	return s
}

func (s *shelf) step(ctx context.Context, name string) error {
	s.mu.Lock()
	s.calls[name]++
	n := s.calls[name]
	at := s.at
	s.mu.Unlock()
	if at != nil {
		if err := at(ctx, name, n); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *shelf) Describe(ctx context.Context, in warehouse.Input) (*arrow.Schema, error) {
	if err := s.step(ctx, "describe"); err != nil {
		return nil, err
	}
	if in.Table.Table == "absent" {
		return nil, fmt.Errorf("%s: %w", in.Source(), warehouse.ErrTableNotFound)
	}
	return s.table.schema, nil
}

func (s *shelf) Snapshot(ctx context.Context, in warehouse.Input) (warehouse.Ref, error) {
	if err := s.step(ctx, "snapshot"); err != nil {
		return warehouse.Ref{}, err
	}
	var fields []arrow.Field
	for _, c := range in.Columns {
		f, ok := s.table.schema.FieldsByName(c)
		if !ok {
			return warehouse.Ref{}, fmt.Errorf("%q: %w", c, warehouse.ErrColumn)
		}
		fields = append(fields, f[0])
	}
	return warehouse.Ref{
		Source: in.Source(), Version: s.table.version, Rows: int64(s.table.rows), Schema: arrow.NewSchema(fields, nil),
	}, nil
}

func (s *shelf) Read(ctx context.Context, q warehouse.Query) (warehouse.RecordStream, error) {
	if err := s.step(ctx, "open"); err != nil {
		return nil, err
	}
	return &shelfStream{s: s, q: q, step: q.BatchRows}, nil
}

type shelfStream struct {
	s    *shelf
	q    warehouse.Query
	step int
	at   int
}

func (r *shelfStream) Schema() *arrow.Schema { return r.q.Ref.Schema }
func (r *shelfStream) Close() error          { return nil }

func (r *shelfStream) Next(ctx context.Context) (arrow.Record, error) {
	if err := r.s.step(ctx, "read"); err != nil {
		return nil, err
	}
	if r.at >= r.s.table.rows {
		return nil, io.EOF
	}
	end := min(r.at+r.step, r.s.table.rows)
	full := r.s.table.record(r.s.mem, r.at, end)
	defer full.Release()
	r.s.mu.Lock()
	r.s.reading += int64(end - r.at)
	r.s.mu.Unlock()
	r.at = end
	var cols []arrow.Array
	for _, c := range r.q.Columns {
		cols = append(cols, full.Column(full.Schema().FieldIndices(c)[0]))
	}
	return array.NewRecord(r.q.Ref.Schema, cols, full.NumRows()), nil
}

func (s *shelf) Begin(ctx context.Context, id warehouse.BatchID, t warehouse.Target) (warehouse.Writer, error) {
	if err := s.step(ctx, "begin"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staged++
	return &shelfWriter{s: s, id: id, target: t}, nil
}

type shelfWriter struct {
	s      *shelf
	id     warehouse.BatchID
	target warehouse.Target
	recs   []arrow.Record
	closed bool
}

func (w *shelfWriter) Write(ctx context.Context, rec arrow.Record) error {
	if err := w.s.step(ctx, "write"); err != nil {
		return err
	}
	if !rec.Schema().Equal(w.target.Schema) {
		return fmt.Errorf("record %s, target %s", rec.Schema(), w.target.Schema)
	}
	w.s.mu.Lock()
	w.s.reading -= rec.NumRows()
	w.s.mu.Unlock()
	rec.Retain()
	w.recs = append(w.recs, rec)
	return nil
}

func (w *shelfWriter) Commit(ctx context.Context) (warehouse.Commit, error) {
	if err := w.s.step(ctx, "commit"); err != nil {
		return warehouse.Commit{}, err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	old, replaced := w.s.output[w.id]
	for _, r := range old {
		r.Release()
	}
	w.s.output[w.id] = w.recs
	w.s.staged--
	w.closed = true
	rows := -w.s.short
	for _, r := range w.recs {
		rows += r.NumRows()
	}
	return warehouse.Commit{Rows: rows, CommittedAt: time.Now(), Replaced: replaced}, nil
}

func (w *shelfWriter) Abort(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err // staged rows must go even when the batch was cancelled
	}
	if w.closed {
		return nil
	}
	w.closed = true
	for _, r := range w.recs {
		r.Release()
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.staged--
	return nil
}

// rows returns the committed rows of a batch, a map a row.
func (s *shelf) rows(id warehouse.BatchID) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []map[string]any
	for _, rec := range s.output[id] {
		for r := range int(rec.NumRows()) {
			row := map[string]any{}
			for c, f := range rec.Schema().Fields() {
				row[f.Name] = cell(rec.Column(c), r)
			}
			out = append(out, row)
		}
	}
	return out
}

func cell(a arrow.Array, r int) any {
	if a.IsNull(r) {
		return nil
	}
	switch v := a.(type) {
	case *array.Int64:
		return v.Value(r)
	case *array.Int32:
		return v.Value(r)
	case *array.Float64:
		return v.Value(r)
	case *array.Timestamp:
		return v.Value(r).ToTime(arrow.Microsecond)
	case *array.Dictionary:
		return cell(v.Dictionary(), v.GetValueIndex(r))
	default:
		return a.ValueStr(r)
	}
}

// notebook is a ledger in memory.
type notebook struct {
	mu     sync.Mutex
	rows   map[warehouse.BatchID]Batch
	phases []Phase
	broken func(op string) error
}

func newNotebook() *notebook { return &notebook{rows: map[warehouse.BatchID]Batch{}} }

func (n *notebook) fail(op string) error {
	if n.broken != nil {
		return n.broken(op)
	}
	return nil
}

func (n *notebook) Begin(ctx context.Context, b Batch) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := errors.Join(n.fail("begin"), ctx.Err()); err != nil {
		return 0, err
	}
	b.Attempt = n.rows[b.ID].Attempt + 1
	n.rows[b.ID] = b
	return b.Attempt, nil
}

func (n *notebook) Phase(ctx context.Context, id warehouse.BatchID, p Phase) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := errors.Join(n.fail("phase"), ctx.Err()); err != nil {
		return err
	}
	b := n.rows[id]
	b.Phase = p
	n.rows[id] = b
	n.phases = append(n.phases, p)
	return nil
}

func (n *notebook) Finish(ctx context.Context, b Batch) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := errors.Join(n.fail("finish"), ctx.Err()); err != nil {
		return err
	}
	if _, ok := n.rows[b.ID]; !ok {
		return ErrBatchNotFound
	}
	n.rows[b.ID] = b
	return nil
}

func (n *notebook) Get(_ context.Context, id warehouse.BatchID) (Batch, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, ok := n.rows[id]
	if !ok {
		return Batch{}, ErrBatchNotFound
	}
	return b, nil
}

func (n *notebook) List(context.Context, string, int, string) ([]Batch, string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.rows)), "", nil
}

// champion resolves to one version.
type champion struct{ pinned Pinned }

var errNoModel = errors.New("no such model")

func (c champion) Resolve(_ context.Context, model string, version int64) (Pinned, error) {
	if model != c.pinned.Model || version != 0 && version != c.pinned.Version {
		return Pinned{}, errNoModel
	}
	return c.pinned, nil
}

// stump is a binary model of two features, worked out by hand: margin = (x <= 0.5 ? -1 : 2) + (z < 0 ? 0.25 : -0.5),
// NaN goes right in the first tree and left in the second.
func stump() *forest.Model {
	return &forest.Model{
		Features: []forest.Feature{{Name: "x", RejectInfinite: true}, {Name: "z"}},
		Outputs:  1,
		Trees: []forest.Tree{
			{Nodes: []forest.Node{{Threshold: 0.5, Feature: 0, Left: ^0, Right: ^1, Op: forest.LessEqual}}, Leaves: []float64{-1, 2}},
			{Nodes: []forest.Node{{Threshold: 0, Feature: 1, Left: ^0, Right: ^1, Op: forest.Less, NaNLeft: true}}, Leaves: []float64{0.25, -0.5}},
		},
		Base: []float64{0}, Scale: 1, Iterations: 2,
		Link:       forest.Link{Kind: forest.Sigmoid, Slope: 1, Divisor: 1},
		Provenance: forest.Provenance{Format: "test", Library: "test"},
	}
}

// stumpScore is the same by hand, with Python's 1/(1+math.exp(-margin)); NaN stands for missing.
func stumpScore(x, z float64) float64 {
	left := z < 0 || math.IsNaN(z)
	switch {
	case x <= 0.5 && left:
		return 0.320821300824607 // margin -0.75
	case x <= 0.5:
		return 0.18242552380635635 // margin -1.5
	case left:
		return 0.9046505351008906 // margin 2.25
	default:
		return 0.8175744761936437 // margin 1.5
	}
}

// features is a table of n rows: id = row, x and z by simple rules with nulls, and columns that no model reads.
func features(n int) *inputTable {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "z", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
		{Name: "label", Type: arrow.PrimitiveTypes.Int8},
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "note", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
		{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	}, nil)
	return &inputTable{schema: schema, rows: n, version: "v" + strconv.Itoa(n), record: func(mem memory.Allocator, from, to int) arrow.Record {
		b := array.NewRecordBuilder(mem, schema)
		defer b.Release()
		for r := from; r < to; r++ {
			x, z := xOf(r), zOf(r)
			b.Field(0).(*array.Float32Builder).Append(float32(z))
			if math.IsNaN(z) {
				b.Field(0).(*array.Float32Builder).SetNull(r - from)
			}
			b.Field(1).(*array.Int8Builder).Append(0)
			b.Field(2).(*array.Int64Builder).Append(int64(r))
			b.Field(3).AppendNull()
			b.Field(4).(*array.Float64Builder).Append(x)
		}
		return b.NewRecord()
	}}
}

func xOf(r int) float64 { return float64(r%11) / 10 }

func zOf(r int) float64 {
	if r%7 == 0 {
		return math.NaN()
	}
	return float64(r%5) - 2
}

const testDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

func testPinned() Pinned {
	return Pinned{
		Model: "m", Version: 3, Generation: 7, RunID: "run-3", Digest: testDigest, GitSHA: "abc",
		TrainedAt: time.Date(2026, 11, 1, 2, 3, 4, 0, time.UTC),
	}
}

func testConfig() ModelConfig {
	return ModelConfig{
		Key: "m", Name: "m", FeaturesTable: "a.b.features", Label: "label", Keys: []string{"id"},
		Output: warehouse.Output{Table: warehouse.TableName{Catalog: "a", Schema: "b", Table: "out"}}, Threshold: 0.5,
	}
}

// newTestBatcher wires a Batcher to a shelf and a notebook.
func newTestBatcher(t testing.TB, s *shelf, change func(*Deps)) (*Batcher, *notebook) {
	t.Helper()
	n := newNotebook()
	models := NewModels(func(context.Context, string) (*forest.Model, error) { return stump(), nil }, 0)
	d := Deps{
		Resolver: champion{testPinned()}, Models: models, Warehouse: s, Ledger: n, Configs: []ModelConfig{testConfig()},
		Options: Options{Threads: 3, BatchRows: 100}, Alloc: s.mem,
	}
	if change != nil {
		change(&d)
	}
	b, err := NewBatcher(d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = b.Drain(ctx)
		models.Wait()
	})
	return b, n
}
