package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/internal/telemetry"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/registry/local"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/server"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

// daemon is everything that is open while the daemon runs.
type daemon struct {
	cfg    config.Config
	log    *slog.Logger
	traces *telemetry.Traces
	open   *service.Group

	store     *sqlite.Store
	registry  *local.Registry
	warehouse *duckdb.Warehouse
	configs   []scoring.ModelConfig
	models    *scoring.Models
	batcher   *scoring.Batcher
	server    *server.Server
}

// assemble opens the parts in the order in which they need each other. What it opened before an error is in d.open.
func (d *daemon) assemble(ctx context.Context) error {
	var err error
	if d.configs, err = modelConfigs(d.cfg.Models); err != nil {
		return err
	}
	if err := d.openState(ctx); err != nil {
		return err
	}
	if err := d.openWarehouse(ctx); err != nil {
		return err
	}
	uploads := filepath.Join(d.cfg.DataDir, "uploads")
	if err := os.RemoveAll(uploads); err != nil {
		return fmt.Errorf("removing uploads that an earlier process left behind: %w", err)
	}
	if err := os.Mkdir(uploads, 0o700); err != nil {
		return fmt.Errorf("uploads: %w", err)
	}
	return d.wire(ctx, uploads)
}

// maxLoggedBatches bounds the ids in one log line; ListBatches has all.
const maxLoggedBatches = 10

func (d *daemon) openState(ctx context.Context) error {
	var err error
	if d.store, err = sqlite.Open(ctx, filepath.Join(d.cfg.DataDir, "state.db")); err != nil {
		return err
	}
	d.open.Add("state", service.StopFunc(func(context.Context) error { return d.store.Close() }))
	d.registry, err = local.Open(filepath.Join(d.cfg.DataDir, "artifacts"), local.Options{MaxBytes: int64(d.cfg.Registry.MaxArtifactBytes)})
	if err != nil {
		return err
	}
	ids, err := store.NewLedger(d.store).MarkRunningInterrupted(ctx, time.Now())
	if err != nil {
		return fmt.Errorf("marking interrupted batches: %w", err)
	}
	if len(ids) > 0 {
		d.log.Warn("batches were interrupted when the daemon stopped; run them again", "batches", len(ids),
			"score_batch_ids", ids[:min(len(ids), maxLoggedBatches)])
	}
	return nil
}

func (d *daemon) openWarehouse(ctx context.Context) error {
	var err error
	d.warehouse, err = duckdb.Open(ctx, duckdb.Config{
		Dir:         filepath.Join(d.cfg.DataDir, "warehouse"),
		MemoryLimit: fmt.Sprintf("%dB", d.cfg.Warehouse.MemoryLimit),
		Threads:     d.cfg.Warehouse.Threads,
		Logger:      d.log,
	})
	if err != nil {
		return err
	}
	d.open.Add("warehouse", service.StopFunc(func(context.Context) error { return d.warehouse.Close() }))
	if err := d.pruneSnapshots(ctx); err != nil {
		return err
	}
	for _, s := range d.cfg.Warehouse.Seed {
		name, err := warehouse.ParseTableName(s.Table)
		if err != nil {
			return fmt.Errorf("warehouse.seed: %w", err)
		}
		created, rows, err := d.warehouse.ImportFile(ctx, name, s.File)
		if err != nil {
			return fmt.Errorf("warehouse.seed: table %s from %s: %w", s.Table, s.File, err)
		}
		if created {
			d.log.Info("table made", "table", s.Table, "file", s.File, "rows", rows)
		}
	}
	return nil
}

// pruneSnapshots removes the pinned inputs that no batch of the ledger names: those of batches that never began.
func (d *daemon) pruneSnapshots(ctx context.Context) error {
	needed := map[string]bool{}
	ledger := store.NewLedger(d.store)
	for q := (store.BatchQuery{}); ; {
		rows, next, err := ledger.ListBatches(ctx, q)
		if err != nil {
			return fmt.Errorf("reading which snapshots batches need: %w", err)
		}
		for _, b := range rows {
			needed[b.InputVersion] = true
		}
		if next == "" {
			break
		}
		q.PageToken = next
	}
	removed, freed, err := d.warehouse.PruneSnapshots(func(version string) bool { return needed[version] })
	if err != nil {
		return err
	}
	if removed > 0 {
		d.log.Info("snapshots removed that no batch needs", "snapshots", removed, "bytes", freed)
	}
	return nil
}

// wire builds the services and the server.
func (d *daemon) wire(ctx context.Context, uploads string) error {
	versions := version.New(version.Deps{Store: d.store, Registry: d.registry, Open: loader.Open, Logger: d.log})
	gates := gate.New(gate.Deps{
		Store: d.store, Versions: versions, Columns: &featureColumns{warehouse: d.warehouse, configs: d.configs}, Logger: d.log,
	})
	relay := outbox.New(outbox.Deps{
		Store:    d.store,
		Handlers: map[string]outbox.Handler{promotion.OutboxKind: promotion.NewMirror(d.warehouse)},
		Logger:   d.log,
	})
	if err := relay.Start(ctx); err != nil {
		return err
	}
	d.open.Add("outbox relay", service.StopFunc(func(ctx context.Context) error {
		if err := relay.Stop(ctx); err != nil {
			return err
		}
		// What a change just left in the outbox is delivered now; what cannot be waits for the next start.
		ctx, cancel := context.WithTimeout(ctx, d.cfg.Shutdown.Timeout)
		defer cancel()
		if err := relay.Drain(ctx); err != nil {
			d.log.Warn("the outbox was not emptied; the next start goes on", "error", err)
		}
		return nil
	}))
	promotions := promotion.New(promotion.Deps{
		Store: d.store, Registry: d.registry, Verifier: gates, Committed: relay.Wake, Logger: d.log,
	})

	d.models = scoring.NewModels(versions.LoadDigest, d.cfg.Scoring.CachedModels)
	deps := scoring.Deps{
		Resolver:  &resolver{store: d.store, versions: versions, promotions: promotions},
		Models:    d.models,
		Warehouse: d.warehouse,
		Ledger:    &ledger{store: store.NewLedger(d.store)},
		Configs:   d.configs,
		Options: scoring.Options{
			Threads: d.cfg.Scoring.Threads, MemoryBudget: int64(d.cfg.Scoring.MemoryBudget), RowErrors: rowPolicy(d.cfg.Scoring.RowErrors),
		},
		Tracer: d.traces.Provider,
		Logger: d.log,
	}
	var err error
	if d.batcher, err = scoring.NewBatcher(deps); err != nil {
		return err
	}
	d.server, err = server.New(server.Deps{
		Online: scoring.NewOnline(deps), Batches: d.batcher, Resolver: deps.Resolver, Models: d.models, Registry: d.registry,
		Versions: versions, Gates: gates, Promotions: promotions, Audit: audit.New(audit.Deps{Store: d.store}),
		Logger: d.log, Tracer: d.traces.Provider,
	}, server.Options{
		UnaryBytes: int(d.cfg.GRPC.UnaryBytes), StreamBytes: int(d.cfg.GRPC.StreamBytes), UploadBytes: int64(d.cfg.GRPC.UploadBytes),
		UploadDir: uploads, MaxStreams: uint32(d.cfg.GRPC.MaxStreams), UnaryTimeout: d.cfg.GRPC.UnaryTimeout,
		ScoreBytes: int64(d.cfg.GRPC.ScoreBytes), Arrow: arrowLimits(d.cfg.Arrow),
	})
	return err
}

func arrowLimits(a config.Arrow) arrowguard.Limits {
	return arrowguard.Limits{
		MaxMessageBytes: int64(a.MaxMessageBytes), MaxAllocBytes: int64(a.MaxAllocBytes), MaxRows: a.MaxRows, MaxFields: a.MaxFields,
		MaxDepth: a.MaxDepth,
	}
}

func rowPolicy(s string) scoring.RowPolicy {
	if s == "null" {
		return scoring.RowsNull
	}
	return scoring.RowsFail
}

// modelConfigs reads the per-model files.
func modelConfigs(paths []string) ([]scoring.ModelConfig, error) {
	var out []scoring.ModelConfig
	from := map[string]string{}
	for _, p := range paths {
		m, err := config.LoadModel(p)
		if err != nil {
			return nil, err
		}
		if first, ok := from[m.RegisteredModelName]; ok {
			return nil, fmt.Errorf("%s: registered_model_name: %q is configured by %s already: %w", p, m.RegisteredModelName, first, config.ErrInvalid)
		}
		from[m.RegisteredModelName] = p
		out = append(out, scoring.ModelConfig{
			Key: m.ModelKey, Name: m.RegisteredModelName, FeaturesTable: m.Data.FeaturesTable, Label: m.Data.LabelCol,
			Keys: m.Data.KeyCols, DateColumn: m.Data.DateCol, Exclude: m.Data.ExcludeCols,
			Output:    warehouse.TableName{Catalog: m.Output.Catalog, Schema: m.Output.Schema, Table: m.Output.Table},
			Threshold: m.DecisionThreshold,
		})
	}
	return out, nil
}
