package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

const churn = "../examples/churn/"

// stack is a server over the real services: SQLite, a local registry, DuckDB and the churn example.
type stack struct {
	*fixture

	warehouse *slowWarehouse
	duck      *duckdb.Warehouse
}

var churnFeatures = warehouse.TableName{Catalog: "uat", Schema: "features", Table: "churn_features"}

// slowWarehouse is a warehouse whose reads a test can hold.
type slowWarehouse struct {
	warehouse.Warehouse

	mu   sync.Mutex
	gate chan struct{} // nil: reads are free; else each record waits for one receive
}

func (w *slowWarehouse) hold() (step func(n int), free func()) {
	gate := make(chan struct{})
	w.mu.Lock()
	w.gate = gate
	w.mu.Unlock()
	return func(n int) {
			for range n {
				gate <- struct{}{}
			}
		}, func() {
			w.mu.Lock()
			w.gate = nil
			w.mu.Unlock()
			close(gate)
		}
}

func (w *slowWarehouse) Read(ctx context.Context, q warehouse.Query) (warehouse.RecordStream, error) {
	s, err := w.Warehouse.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gate == nil {
		return s, nil
	}
	return heldStream{s, w.gate}, nil
}

type heldStream struct {
	warehouse.RecordStream

	gate chan struct{}
}

func (s heldStream) Next(ctx context.Context) (arrow.Record, error) {
	select {
	case <-s.gate:
		return s.RecordStream.Next(ctx)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// resolver resolves like the daemon does.
type resolver struct {
	versions   *version.Service
	promotions *promotion.Service
}

func (r resolver) Resolve(ctx context.Context, model string, v int64) (scoring.Pinned, error) {
	champion, generation, err := r.promotions.Champion(ctx, model)
	if v != 0 {
		if err != nil && !errors.Is(err, store.ErrNoChampion) {
			return scoring.Pinned{}, err
		}
		champion, err = r.versions.Get(ctx, model, v)
	}
	if err != nil {
		return scoring.Pinned{}, err
	}
	return scoring.Pinned{
		Model: model, Version: champion.Version, Generation: generation, RunID: champion.RunID, Digest: champion.Digest,
		GitSHA: champion.GitSHA, TrainedAt: champion.TrainedAt,
	}, nil
}

// ledger keeps batches in memory, with page tokens that are offsets.
type ledger struct {
	mu      sync.Mutex
	order   []warehouse.BatchID
	batches map[warehouse.BatchID]scoring.Batch
}

func (l *ledger) Begin(_ context.Context, b scoring.Batch) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.Attempt = l.batches[b.ID].Attempt + 1
	if b.Attempt == 1 {
		l.order = append(l.order, b.ID)
	}
	l.batches[b.ID] = b
	return b.Attempt, nil
}

func (l *ledger) Phase(_ context.Context, id warehouse.BatchID, p scoring.Phase) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.batches[id]
	b.Phase = p
	l.batches[id] = b
	return nil
}

func (l *ledger) Finish(_ context.Context, b scoring.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches[b.ID] = b
	return nil
}

func (l *ledger) Get(_ context.Context, id warehouse.BatchID) (scoring.Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.batches[id]
	if !ok {
		return scoring.Batch{}, fmt.Errorf("batch %s: %w", id, scoring.ErrBatchNotFound)
	}
	return b, nil
}

func (l *ledger) List(_ context.Context, model string, pageSize int, token string) ([]scoring.Batch, string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := 0
	if token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 {
			return nil, "", fmt.Errorf("%q: %w", token, store.ErrPageToken)
		}
		at = n
	}
	if pageSize == 0 {
		pageSize = 100
	}
	var out []scoring.Batch
	for _, id := range slices.Backward(l.order) {
		if b := l.batches[id]; model == "" || b.Lineage.Model == model {
			out = append(out, b)
		}
	}
	out = out[min(at, len(out)):]
	if len(out) > pageSize {
		return out[:pageSize], strconv.Itoa(at + pageSize), nil
	}
	return out, "", nil
}

func newStack(t testing.TB, o Options) *stack {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	db, err := sqlite.Open(ctx, filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	closing(t, "store", db.Close)
	reg, err := local.Open(filepath.Join(dir, "registry"), local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	duck, err := duckdb.Open(ctx, duckdb.Config{Dir: filepath.Join(dir, "warehouse"), MemoryLimit: "512MB", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, "warehouse", duck.Close)
	versions := version.New(version.Deps{Store: db, Registry: reg})
	gates := gate.New(gate.Deps{Store: db, Versions: versions})
	promotions := promotion.New(promotion.Deps{Store: db, Registry: reg, Verifier: gates})
	slow := &slowWarehouse{Warehouse: duck}
	models := scoring.NewModels(versions.LoadDigest, 0)
	deps := scoring.Deps{
		Resolver:  resolver{versions, promotions},
		Models:    models,
		Warehouse: slow,
		Ledger:    &ledger{batches: map[warehouse.BatchID]scoring.Batch{}},
		Configs: []scoring.ModelConfig{{
			Key: "churn", Name: "churn", FeaturesTable: churnFeatures.String(), Label: "churn", Keys: []string{"account_id"},
			DateColumn: "compute_date", Threshold: 0.5,
			Output: warehouse.Output{Table: warehouse.TableName{Catalog: "uat", Schema: "predictions", Table: "churn_scores"}},
		}},
		Options: scoring.Options{BatchRows: 1000, Threads: 2},
	}
	batcher, err := scoring.NewBatcher(deps)
	if err != nil {
		t.Fatal(err)
	}
	// Cleanups run in reverse: the server stops first, then the batches, then what they use.
	closing(t, "batches", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		defer models.Wait()
		return batcher.Drain(ctx)
	})
	s := &stack{warehouse: slow, duck: duck}
	s.fixture = serveTest(t, Deps{
		Online: scoring.NewOnline(deps), Batches: batcher, Resolver: deps.Resolver, Models: deps.Models, Registry: reg,
		Versions: versions, Gates: gates, Promotions: promotions, Audit: audit.New(audit.Deps{Store: db}),
	}, o)
	return s
}

// newBatchStack is a stack with a feature table and a Champion.
func newBatchStack(t testing.TB) *stack {
	t.Helper()
	s := newStack(t, Options{})
	if _, _, err := s.duck.ImportFile(context.Background(), churnFeatures, churn+"features.parquet"); err != nil {
		t.Fatal(err)
	}
	s.promote(t, "v1")
	return s
}

func closing(t testing.TB, what string, f func() error) {
	t.Cleanup(func() {
		if err := f(); err != nil {
			t.Errorf("closing the %s: %v", what, err)
		}
	})
}

// register registers a version of the churn example.
func (s *stack) register(t testing.TB, v string) *lifecyclev1.ModelVersion {
	t.Helper()
	r, err := s.client.RegisterPath(t.Context(), "churn", churn+v+"/model.txt", churn+v+"/golden.parquet",
		client.RegisterMeta{RunID: "run-" + v, GitSHA: "abc123"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.GetVersion()
}

// promote registers, validates and promotes a version of the churn example.
func (s *stack) promote(t testing.TB, v string) *lifecyclev1.ChampionChange {
	t.Helper()
	number := s.register(t, v).GetVersion()
	report, err := s.client.Validation.Validate(t.Context(), &lifecyclev1.ValidateRequest{ModelName: "churn", Version: number})
	if err != nil {
		t.Fatal(err)
	}
	if !report.GetReport().GetPassed() {
		t.Fatalf("validation: %v", report)
	}
	p, err := s.client.Promotion.Promote(t.Context(), &lifecyclev1.PromoteRequest{ModelName: "churn", Version: number, Reason: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return p.GetChange()
}

// readParquet reads a whole file as one record.
func readParquet(t testing.TB, path string) arrow.Record {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := pqarrow.ReadTable(t.Context(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	tr := array.NewTableReader(table, table.NumRows())
	defer tr.Release()
	if !tr.Next() {
		t.Fatalf("%s is empty", path)
	}
	rec := tr.Record()
	rec.Retain()
	return rec
}

// golden is the rows of a version of the churn example and the predictions of LightGBM itself for them.
type golden struct {
	features  arrow.Record
	raw, pred []float64
}

func readGolden(t testing.TB, v string) golden {
	t.Helper()
	rec := readParquet(t, churn+v+"/golden.parquet")
	defer rec.Release()
	var g golden
	var fields []arrow.Field
	var cols []arrow.Array
	for i, c := range rec.Columns() {
		switch rec.ColumnName(i) {
		case "raw":
			g.raw = slices.Clone(c.(*array.Float64).Float64Values())
		case "pred":
			g.pred = slices.Clone(c.(*array.Float64).Float64Values())
		default:
			field := rec.Schema().Field(i)
			field.Metadata = arrow.Metadata{}
			fields, cols = append(fields, field), append(cols, c)
		}
	}
	g.features = array.NewRecord(arrow.NewSchema(fields, nil), cols, rec.NumRows())
	t.Cleanup(g.features.Release)
	if len(g.pred) < 1000 {
		t.Fatalf("%d golden rows, want at least 1000", len(g.pred))
	}
	return g
}
