package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/apache/arrow/go/v17/arrow"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	monitoringv1 "github.com/treeline-ml/treeline/gen/treeline/monitoring/v1"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// Deps are the services that the handlers call. Logger, Tracer and Meter may be nil: nothing is logged, and the global
// providers are used. Services that a daemon may run without are nil then: their calls are refused with what to configure.
type Deps struct {
	Online     Online
	Batches    Batches
	Resolver   scoring.Resolver
	Models     Models
	Registry   Artifacts
	Versions   Versions
	Gates      Gates
	Promotions Promotions
	Audit      Audit
	Deliveries Deliveries
	Schedules  Schedules
	Monitor    Monitor

	Trainings  Trainings  // nil: no trainer is configured
	Triggers   Triggers   // nil: no trainer is configured
	Runs       Runs       // nil: no models are configured
	Reconciler Reconciler // nil: no external registry is configured

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

// absent maps the services and calls that a nil service cannot answer, as "package.Service/" and
// "package.Service/Method", to the refusal.
func (d Deps) absent() map[string]error {
	out := map[string]error{}
	for _, one := range []struct {
		prefix  string
		missing bool
		next    string
	}{
		{lifecyclev1.TrainingService_ServiceDesc.ServiceName + "/", d.Trainings == nil, "this daemon trains nothing: " + setTrainer},
		{lifecyclev1.TriggerService_ServiceDesc.ServiceName + "/", d.Triggers == nil, "this daemon trains nothing: " + setTrainer},
		{
			lifecyclev1.OrchestrationService_ServiceDesc.ServiceName + "/", d.Runs == nil,
			"this daemon runs nothing: add config.yml files to models in its configuration",
		},
		{
			lifecyclev1.ScheduleService_ListSchedules_FullMethodName[1:], d.Schedules == nil, noSchedules,
		},
		{
			lifecyclev1.ScheduleService_PauseSchedule_FullMethodName[1:], d.Schedules == nil, noSchedules,
		},
		{
			lifecyclev1.ScheduleService_ResumeSchedule_FullMethodName[1:], d.Schedules == nil, noSchedules,
		},
		{
			lifecyclev1.OutboxService_ListDeliveries_FullMethodName[1:], d.Deliveries == nil, "this daemon tells nobody anything",
		},
		{
			lifecyclev1.OutboxService_ReplayDeliveries_FullMethodName[1:], d.Deliveries == nil, "this daemon tells nobody anything",
		},
		{
			lifecyclev1.OutboxService_ReconcileRegistry_FullMethodName[1:], d.Reconciler == nil,
			"this daemon has no external registry: set mlflow.tracking_uri in its configuration",
		},
		{monitoringv1.MonitoringService_ServiceDesc.ServiceName + "/", d.Monitor == nil, "this daemon keeps no statistics"},
	} {
		if one.missing {
			out[one.prefix] = fmt.Errorf("%s: %w", one.next, errNotConfigured)
		}
	}
	return out
}

// What a daemon lacks, and what to do.
const (
	setTrainer  = "set training.python in its configuration and trainer_class in a model's config.yml"
	noSchedules = "this daemon has no schedules: add schedules to a model's config.yml"
)

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

// Artifacts keeps the files of versions; every registry.Registry is one.
type Artifacts interface {
	NewUpload(ctx context.Context) (registry.Upload, error)
	Fetch(ctx context.Context, digest string) (dir string, a registry.Artifact, err error)
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
	Waive(ctx context.Context, r gate.WaiveRequest) (gate.Report, error)
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

// Trainings makes versions; *training.Service is one.
type Trainings interface {
	// Trigger accepts a training and returns at once, or joins the active one.
	Trigger(ctx context.Context, r training.Request) (t store.Training, joined bool, err error)
	Get(ctx context.Context, id string) (store.Training, error)
	List(ctx context.Context, q store.TrainingQuery) ([]store.Training, string, error)
	Cancel(ctx context.Context, id, reason, actor string) (store.Training, error)
	// Watch calls f from one goroutine with the training as it is now, after each change, and with output from offset
	// on, until the training has ended or f fails.
	Watch(ctx context.Context, id string, offset int64, f func(training.Event) error) error
}

// Triggers decides when models are trained; *trigger.Service is one.
type Triggers interface {
	List(ctx context.Context, model string) ([]trigger.State, error)
	Fire(ctx context.Context, r trigger.Request) (trigger.Decision, error)
	Evaluate(ctx context.Context, model, actor string, dryRun bool) ([]trigger.Decision, error)
	Decisions(ctx context.Context, q store.DecisionQuery) ([]trigger.Decision, string, error)
}

// Schedules fires at configured times; *schedule.Service is one.
type Schedules interface {
	List(ctx context.Context, model string) ([]schedule.Status, error)
	Pause(ctx context.Context, model, job, reason, actor string) (schedule.Status, error)
	Resume(ctx context.Context, model, job string) (schedule.Status, error)
}

// Runs runs the steps of many models; *orchestration.Service is one.
type Runs interface {
	StartRun(ctx context.Context, r orchestration.Request) (orchestration.Run, error)
	Get(ctx context.Context, id string) (orchestration.Run, error)
	List(ctx context.Context, q orchestration.ListQuery) ([]orchestration.Run, string, error)
	Cancel(ctx context.Context, id, reason, actor string) (orchestration.Run, error)
	// Watch calls f from one goroutine with the run as it is now and after each change, until it has ended or f fails.
	Watch(ctx context.Context, id string, f func(orchestration.Run) error) error
}

// Deliveries shows the outbox; *outbox.Relay is one.
type Deliveries interface {
	List(ctx context.Context, q store.DeliveryQuery) ([]store.OutboxRow, string, error)
	// Replay puts dead letters back, all of the kind when there are no ids, and returns their number.
	Replay(ctx context.Context, kind string, ids []int64) (int64, error)
}

// Reconciler compares an external registry with the store; *projection.Service is one.
type Reconciler interface {
	Check(ctx context.Context, model string, dryRun bool) ([]projection.Divergence, error)
	// CheckAll returns also how many models it looked at.
	CheckAll(ctx context.Context, dryRun bool) (found []projection.Divergence, checked int, err error)
}

// Monitor keeps statistics and compares them; *monitor.Service is one.
type Monitor interface {
	Check(ctx context.Context, r monitor.Request) (monitor.Report, error)
	Reports(ctx context.Context, q store.DriftQuery) ([]monitor.Report, string, error)
	Statistics(ctx context.Context, model, kind, subject string) (monitor.Subject, monitor.Profile, error)
}
