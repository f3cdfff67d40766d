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
	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/monitor"
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
	told      store.Store // store, waking the outbox relay
	registry  *local.Registry
	warehouse *duckdb.Warehouse
	settings  *settings
	engine    *workflow.Engine
	auto      unattended
	models    *scoring.Models
	batcher   *scoring.Batcher
	server    *server.Server
}

// assemble opens the parts in the order in which they need each other. What it opened before an error is in d.open.
func (d *daemon) assemble(ctx context.Context) error {
	var err error
	if d.settings, err = loadSettings(d.cfg.Models); err != nil {
		return err
	}
	if err := d.settings.postProcess(d.postProcessor); err != nil {
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

// pruneSnapshots removes the pinned inputs that neither a batch of the ledger nor a training names: those of batches that
// never began.
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
	for q := (store.TrainingQuery{}); ; {
		var (
			rows []store.Training
			next string
		)
		err := d.store.View(ctx, func(r store.Reader) (err error) {
			rows, next, err = r.Trainings(q)
			return err
		})
		if err != nil {
			return fmt.Errorf("reading which snapshots trainings need: %w", err)
		}
		for _, t := range rows {
			needed[t.InputVersion] = true
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

// core are the services that others are wired to.
type core struct {
	versions   *version.Service
	gates      *gate.Service
	promotions *promotion.Service
	monitor    *monitor.Service
	checks     *driftChecks
}

// wire builds the services and the server, and starts those that work by themselves.
func (d *daemon) wire(ctx context.Context, uploads string) error {
	p := &core{}
	if err := d.wireCore(p); err != nil {
		return err
	}
	deps, err := d.wireScoring(p)
	if err != nil {
		return err
	}
	if err := d.wireUnattended(p); err != nil {
		return err
	}
	if d.server, err = server.New(d.served(p, deps), server.Options{
		UnaryBytes: int(d.cfg.GRPC.UnaryBytes), StreamBytes: int(d.cfg.GRPC.StreamBytes), UploadBytes: int64(d.cfg.GRPC.UploadBytes),
		UploadDir: uploads, MaxStreams: uint32(d.cfg.GRPC.MaxStreams), UnaryTimeout: d.cfg.GRPC.UnaryTimeout,
		ScoreBytes: int64(d.cfg.GRPC.ScoreBytes), Arrow: arrowLimits(d.cfg.Arrow),
	}); err != nil {
		return err
	}
	return d.startUnattended(ctx, p)
}

// wireCore builds versions, gates, promotions and statistics, which know each other.
func (d *daemon) wireCore(p *core) error {
	columns := &featureColumns{warehouse: d.warehouse, configs: d.settings.scoring()}
	if err := d.openOutbox(p); err != nil {
		return err
	}
	d.engine = workflow.New(workflow.Deps{Store: d.told, Logger: d.log})
	p.versions = version.New(version.Deps{Store: d.told, Registry: d.registry, Open: loader.Open, Logger: d.log})
	d.models = scoring.NewModels(p.versions.LoadDigest, d.cfg.Scoring.CachedModels)
	rows := &trainingRows{store: d.store, versions: p.versions, warehouse: d.warehouse, features: func() *feature.Service { return d.auto.features }}
	p.monitor = monitor.New(monitor.Deps{
		Store: d.told, Training: rows.open, Model: (&described{versions: p.versions, models: d.models, columns: columns}).model,
		Options: d.settings.drift, Logger: d.log,
	})
	p.checks = newDriftChecks(p.monitor, d.log)
	gates := gate.Deps{
		Store: d.told, Versions: p.versions, Columns: columns, Policies: d.settings.gates, Statistics: p.monitor, Logger: d.log,
	}
	if process, ok := d.python(); ok {
		gates.Runner = validators{process}
	}
	p.gates = gate.New(gates)
	p.promotions = promotion.New(promotion.Deps{
		Store: d.told, Registry: d.registry, Verifier: p.gates, Logger: d.log,
		Policy: func(model string) string {
			policy, _ := d.settings.gates(model)
			return policy.Digest
		},
	})
	return nil
}

func (d *daemon) wireScoring(p *core) (scoring.Deps, error) {
	deps := scoring.Deps{
		Resolver:  &resolver{store: d.store, versions: p.versions, promotions: p.promotions},
		Models:    d.models,
		Warehouse: d.warehouse,
		Ledger:    newLedger(d.told),
		Configs:   d.settings.scoring(),
		Profiles:  &profiles{monitor: p.monitor, done: p.checks, log: d.log},
		Options: scoring.Options{
			Threads: d.cfg.Scoring.Threads, MemoryBudget: int64(d.cfg.Scoring.MemoryBudget), RowErrors: rowPolicy(d.cfg.Scoring.RowErrors),
		},
		Tracer: d.traces.Provider,
		Logger: d.log,
	}
	var err error
	d.batcher, err = scoring.NewBatcher(deps)
	return deps, err
}

// served are the services behind the handlers. A nil pointer in an interface would not be nil, so what is absent is left
// out.
func (d *daemon) served(p *core, deps scoring.Deps) server.Deps {
	out := server.Deps{
		Online: scoring.NewOnline(deps), Batches: d.batcher, Resolver: deps.Resolver, Models: d.models, Registry: d.registry,
		Versions: p.versions, Gates: p.gates, Promotions: p.promotions, Audit: audit.New(audit.Deps{Store: d.store}),
		Deliveries: d.auto.relay, Monitor: p.monitor, Logger: d.log, Tracer: d.traces.Provider,
	}
	if d.auto.trainings != nil {
		out.Trainings = d.auto.trainings
	}
	if d.auto.triggers != nil {
		out.Triggers = d.auto.triggers
	}
	if d.auto.runs != nil {
		out.Runs = d.auto.runs
	}
	if d.auto.schedules != nil {
		out.Schedules = d.auto.schedules
	}
	if d.auto.projection != nil {
		out.Reconciler = d.auto.projection
	}
	return out
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
