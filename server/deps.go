package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/apache/arrow/go/v17/arrow"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/warehouse"
)

// Deps are the services that the handlers call. Logger, Tracer and Meter may be nil: nothing is logged, and the global
// providers are used.
type Deps struct {
	Online     Online
	Batches    Batches
	Resolver   scoring.Resolver
	Models     Models
	Registry   Uploads
	Versions   Versions
	Gates      Gates
	Promotions Promotions
	Audit      Audit

	Logger *slog.Logger
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// check names the services that are missing: a nil one would panic in the first call only.
func (d Deps) check() error {
	var errs []error
	for _, dep := range []struct {
		name    string
		missing bool
	}{
		{"Online", d.Online == nil},
		{"Batches", d.Batches == nil},
		{"Resolver", d.Resolver == nil},
		{"Models", d.Models == nil},
		{"Registry", d.Registry == nil},
		{"Versions", d.Versions == nil},
		{"Gates", d.Gates == nil},
		{"Promotions", d.Promotions == nil},
		{"Audit", d.Audit == nil},
	} {
		if dep.missing {
			errs = append(errs, fmt.Errorf("server: Deps.%s is nil", dep.name))
		}
	}
	return errors.Join(errs...)
}

// Online scores rows that callers send; *scoring.Online is one.
type Online interface {
	Open(ctx context.Context, o scoring.OnlineOptions, schema *arrow.Schema) (*scoring.Session, error)
}

// Batches runs batches and keeps their ledger; *scoring.Batcher is one.
type Batches interface {
	// Start begins a batch, or joins the running one with the same id, and returns at once; the batch does not depend
	// on ctx.
	Start(ctx context.Context, r scoring.Request) (*scoring.Watcher, error)
	Watch(ctx context.Context, id warehouse.BatchID) (*scoring.Watcher, error)
	Get(ctx context.Context, id warehouse.BatchID) (scoring.Batch, error)
	List(ctx context.Context, model string, pageSize int, pageToken string) ([]scoring.Batch, string, error)
	Cancel(ctx context.Context, id warehouse.BatchID) (scoring.Batch, error)
	Rows(ctx context.Context, id warehouse.BatchID, limit int) (warehouse.RecordStream, error)
}

// Models compiles models; *scoring.Models is one.
type Models interface {
	Load(ctx context.Context, digest string) (*scoring.Loaded, error)
}

// Uploads receives artifacts; every registry.Registry is one.
type Uploads interface {
	NewUpload(ctx context.Context) (registry.Upload, error)
}

// Versions registers versions and lists them; *version.Service is one.
type Versions interface {
	Register(ctx context.Context, r version.RegisterRequest) (version.Version, bool, error)
	Versions(ctx context.Context, model string) ([]version.Version, error)
	Models(ctx context.Context) ([]version.Model, error)
}

// Gates validates versions; *gate.Service is one.
type Gates interface {
	Validate(ctx context.Context, r gate.Request) (gate.Report, error)
	Report(ctx context.Context, model string, v int64) (gate.Report, error)
}

// Promotions changes Champions; *promotion.Service is one.
type Promotions interface {
	Promote(ctx context.Context, r promotion.Request) (promotion.Change, error)
	Rollback(ctx context.Context, r promotion.RollbackRequest) (c promotion.Change, affected []string, err error)
	History(ctx context.Context, model string) ([]promotion.Period, error)
}

// Audit reads the audit log; *audit.Service is one.
type Audit interface {
	List(ctx context.Context, f audit.Filter) ([]audit.Entry, string, error)
	Verify(ctx context.Context) (audit.Result, error)
}
