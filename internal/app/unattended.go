package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/monitor/performance"
	"github.com/treeline-ml/treeline/monitor/table"
	"github.com/treeline-ml/treeline/registry/mlflow"
	"github.com/treeline-ml/treeline/store"
)

// unattended are the parts that work without being asked. Those that the configuration does not call for are nil.
type unattended struct {
	relay      *outbox.Relay
	projection *projection.Service
	features   *feature.Service
	trainings  *training.Service
	runs       *orchestration.Service
	triggers   *trigger.Service
	schedules  *schedule.Service
}

// python is how Python is run for trainers, validators and post-processors; false when the daemon has none.
func (d *daemon) python() (local.Process, bool) {
	t := d.cfg.Training
	p := local.Process{Python: t.Python}
	if t.PackagePath != "" {
		p.PythonPath = []string{t.PackagePath}
	}
	return p, t.Python != ""
}

// validators satisfies gate.Runner.
type validators struct{ process local.Process }

// RunValidator runs a validator_class on a version.
func (v validators) RunValidator(ctx context.Context, s gate.ValidatorSpec) (gate.ValidatorResult, error) {
	got, err := local.RunValidator(ctx, v.process, local.ValidatorSpec{
		Class: s.Class, ModulePath: s.ModulePath, ModelDir: s.ModelDir, Holdout: s.Holdout, LabelCol: s.Label, Metrics: s.Metrics,
		Hyperparameters: s.Hyperparameters,
	})
	figures := map[string]any{}
	for k, x := range got.Figures {
		figures[k] = x
	}
	for k, x := range got.Notes {
		figures[k] = x
	}
	return gate.ValidatorResult{Passed: got.Passed, Summary: got.Summary, Figures: figures}, err
}

// openOutbox wires what the outbox is told to: the warehouse's promotions, the external registry, and people.
func (d *daemon) openOutbox(p *core) error {
	handlers := map[string]outbox.Handler{
		promotion.OutboxKind: promotion.NewMirror(d.warehouse),
		monitor.OutboxKind: table.New(table.Deps{
			Store: d.store, Target: d.warehouse, Logger: d.log,
			// The versions are wired later, and before anything is delivered.
			Seconds: func(ctx context.Context, model string, number int64) (map[string]float64, error) {
				return trainerSeconds(ctx, p.versions, model, number)
			},
		}),
	}
	sender, err := d.alertSender()
	if err != nil {
		return err
	}
	handlers[alert.OutboxKind] = sender
	if d.cfg.MLflow.TrackingURI != "" {
		client, err := d.mlflowClient()
		if err != nil {
			return err
		}
		d.auto.projection = projection.New(projection.Deps{
			Store: d.store, Target: client, Registry: d.registry, Models: d.settings.projected(d.cfg.MLflow.Publish),
			Adopter: adopter{p}, Alerts: divergences{d}, Interval: d.cfg.MLflow.Poll, Logger: d.log,
		})
		handlers[audit.OutboxKind] = d.auto.projection
	}
	d.auto.relay = outbox.New(outbox.Deps{Store: d.store, Handlers: handlers, Logger: d.log})
	// Whoever adds a row need not know the relay.
	d.told = outbox.Waking(d.store, d.auto.relay.Wake)
	return nil
}

func (d *daemon) mlflowClient() (*mlflow.Client, error) {
	m := d.cfg.MLflow
	secrets, err := m.Credentials(os.LookupEnv)
	if err != nil {
		return nil, err
	}
	return mlflow.New(mlflow.Options{
		TrackingURI: m.TrackingURI, Username: secrets.Username, Password: secrets.Password, Token: secrets.Token, Timeout: m.Timeout,
		Logger: d.log,
	})
}

func (d *daemon) alertSender() (*alert.Sender, error) {
	o := alert.Options{Logger: d.log}
	for _, r := range d.cfg.Alerts.Receivers {
		url, secret, err := r.Secrets(os.LookupEnv)
		if err != nil {
			return nil, err
		}
		o.Receivers = append(o.Receivers, alert.Receiver{Name: r.Name, URL: url, Kind: r.Kind, Secret: secret})
	}
	return alert.NewSender(o)
}

// adopter satisfies projection.Adopter. The services are wired after it and before anything is adopted.
type adopter struct{ *core }

const adopterActor = "registry"

// Validate runs the gates of a version that somebody made Champion in the external registry.
func (a adopter) Validate(ctx context.Context, model string, version int64) (bool, string, error) {
	r, err := a.gates.Validate(ctx, gate.Request{Model: model, Version: version, Actor: adopterActor, AuthMethod: daemonAuth})
	return r.Passed(), r.Explanation, err
}

// Promote makes it ours.
func (a adopter) Promote(ctx context.Context, model string, version, generation int64, reason string) error {
	_, err := a.promotions.Promote(ctx, promotion.Request{
		Model: model, Version: version, Reason: reason, ExpectedGeneration: &generation, Actor: adopterActor, AuthMethod: daemonAuth,
	})
	return err
}

// divergences satisfies projection.Alerts. The store that wakes the relay is there once the outbox is.
type divergences struct{ *daemon }

// Diverged raises an alert.
func (a divergences) Diverged(ctx context.Context, x projection.Divergence) error {
	return a.put(ctx, x, false)
}

// Converged resolves it.
func (a divergences) Converged(ctx context.Context, x projection.Divergence) error {
	return a.put(ctx, x, true)
}

func (a divergences) put(ctx context.Context, x projection.Divergence, resolved bool) error {
	return a.told.Update(ctx, func(tx store.Tx) error {
		return alert.Put(tx, alert.Alert{
			Key: x.Key(), Severity: alert.Ticket, Model: x.Model, Title: "registry_diverged: " + x.Subject + " of " + x.Model,
			Text: x.Message, Command: "ctl registry check " + x.Model, At: time.Now(), Resolved: resolved,
		})
	})
}

// wireUnattended builds what trains, runs and schedules, on services that exist.
func (d *daemon) wireUnattended(p *core) error {
	a := &d.auto
	sources := d.settings.source
	var err error
	a.features, err = feature.New(feature.Deps{
		Warehouse: d.warehouse, Sources: sources, Dir: filepath.Join(d.cfg.DataDir, "exports"), Logger: d.log,
	})
	if err != nil {
		return err
	}
	if process, ok := d.python(); ok {
		if err := d.wireTrainer(p, process); err != nil {
			return err
		}
	}
	models := d.settings.runnable()
	if len(models) == 0 {
		return nil
	}
	runs := orchestration.Deps{
		Engine: d.engine, Store: d.told, Models: models, Features: computed{a.features}, Gates: judged{p.gates},
		Promotions: promoted{p.promotions}, Batches: scored{d.batcher}, Alert: alert.Put,
		ParallelNodes: d.cfg.Orchestration.Parallel, ParallelTrainings: d.cfg.Training.Parallel, Logger: d.log,
	}
	if a.trainings != nil {
		runs.Trainings = trained{a.trainings}
	} else {
		for i := range runs.Models {
			runs.Models[i].Trainable = false
		}
	}
	a.runs = orchestration.New(runs)
	if a.trainings != nil {
		policies, err := d.settings.policies()
		if err != nil {
			return err
		}
		a.triggers = trigger.New(trigger.Deps{
			Store: d.told, Policies: policies, Chain: trigger.Runs{Service: a.runs}, Drift: drifts{store: d.store, monitor: p.monitor},
			Day: trigger.LatestDay, Alert: alert.Put,
			Data: &moved{store: d.store, features: a.features}, Interval: d.cfg.Monitoring.Evaluate, Logger: d.log,
			Performance: matured{performance.New(performance.Deps{Store: d.store, Warehouse: d.warehouse, Settings: d.settings.performance})},
		})
		p.checks.wake = a.triggers.Wake
	}
	entries, err := d.settings.schedules()
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		a.schedules = schedule.New(schedule.Deps{Store: d.told, Entries: entries, Fire: d.fire, Logger: d.log})
	}
	return nil
}

func (d *daemon) wireTrainer(p *core, process local.Process) error {
	t := d.cfg.Training
	dir := t.WorkDir
	if dir == "" {
		dir = filepath.Join(d.cfg.DataDir, "trainings")
	}
	// Python runs elsewhere: its paths must not depend on where the daemon was started.
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	trainer, err := local.New(local.Options{
		Process: process, Dir: dir, Logger: d.log,
		Limits: local.Limits{Timeout: t.Timeout, Grace: t.Grace, LogHead: int64(t.OutputBytes) / 8, LogTail: int64(t.OutputBytes) - int64(t.OutputBytes)/8},
	})
	if err != nil {
		return fmt.Errorf("training.python: %w", err)
	}
	d.auto.trainings = training.New(training.Deps{
		Store: d.told, Engine: d.engine, Versions: p.versions, Registry: d.registry, Features: d.auto.features, Trainer: trainer,
		Specs: d.settings.training(d.cfg), Dir: dir, OnEnd: d.trainingEnded, Logger: d.log,
	})
	return nil
}

// trainingEnded raises the alert of a training that failed, and resolves that of an earlier one. The statistics of one that
// succeeded are shown to SQL.
func (d *daemon) trainingEnded(tx store.Tx, t store.Training) error {
	if t.State == store.TrainingCancelled {
		return nil
	}
	if t.State == store.TrainingSucceeded {
		of := monitor.TrainingOf(t.Model, t.Version)
		of.At = t.FinishedAt
		if err := monitor.Announce(tx, of); err != nil {
			return err
		}
	}
	text := t.Error
	if t.Hint != "" {
		text += "; " + t.Hint
	}
	return alert.Put(tx, alert.Alert{
		Key: t.Model + "/train", Severity: alert.Ticket, Model: t.Model, Version: t.Version, Title: "training of " + t.Model + " failed",
		Text: text, Owner: d.settings.models[t.Model].Alerts.Owner, Command: "ctl training show " + t.ID, At: t.FinishedAt,
		Resolved: t.State == store.TrainingSucceeded,
	})
}

// fire starts the job of a schedule.
func (d *daemon) fire(ctx context.Context, f schedule.Firing) (string, error) {
	date := f.At.In(f.Location).Format(time.DateOnly)
	const actor = "schedule"
	reason := fmt.Sprintf("schedule %s (%s)", f.Cron, f.Location)
	if f.Job == schedule.Train {
		if d.auto.triggers == nil {
			return "", fmt.Errorf("this daemon trains nothing: set training.python in its configuration: %w", config.ErrInvalid)
		}
		dec, err := d.auto.triggers.Fire(ctx, trigger.Request{Model: f.Model, Kind: trigger.Scheduled, ComputeDate: date, Reason: reason, Actor: actor})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: %s", dec.Outcome, dec.Reason), nil
	}
	if idle, err := d.noChampion(ctx, f.Model); idle || err != nil {
		return "skipped: the model has no Champion yet", err
	}
	run, err := d.auto.runs.StartRun(ctx, orchestration.Request{
		Models: []string{f.Model}, Steps: []orchestration.Step{orchestration.StepFeatures, orchestration.StepScore},
		ComputeDate: date, Trigger: "schedule", Reason: reason, Actor: actor,
	})
	if err != nil {
		return "", err
	}
	return "run " + run.ID, nil
}

// noChampion reports whether a model was never promoted.
func (d *daemon) noChampion(ctx context.Context, model string) (bool, error) {
	err := d.store.View(ctx, func(r store.Reader) error {
		_, err := r.OpenPeriod(model)
		return err
	})
	if errors.Is(err, store.ErrNoChampion) || errors.Is(err, store.ErrModelNotFound) {
		return true, nil
	}
	return false, err
}

// startUnattended starts everything, the one that others wake first.
func (d *daemon) startUnattended(ctx context.Context, p *core) error {
	a := &d.auto
	type part struct {
		name string
		s    service.Service
	}
	var parts []part
	parts = append(parts, part{"outbox relay", relayService{d}})
	if a.projection != nil {
		parts = append(parts, part{"registry projection", a.projection})
	}
	parts = append(parts, part{"drift checks", p.checks.loop})
	if err := p.checks.resume(ctx, d.store, d.settings.order); err != nil {
		return err
	}
	if a.trainings != nil {
		if err := a.trainings.Recover(ctx); err != nil {
			return err
		}
	}
	parts = append(parts, part{"workflows", d.engine})
	if a.triggers != nil {
		parts = append(parts, part{"triggers", a.triggers})
	}
	if a.schedules != nil {
		parts = append(parts, part{"schedules", a.schedules})
	}
	for _, s := range parts {
		if err := s.s.Start(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		d.open.Add(s.name, service.StopFunc(s.s.Stop))
	}
	return nil
}

// relayService stops the relay with a last delivery.
type relayService struct{ d *daemon }

// Start begins to deliver.
func (r relayService) Start(ctx context.Context) error { return r.d.auto.relay.Start(ctx) }

// Stop ends the background work. What a change just left in the outbox is delivered now; what cannot be waits for the next
// start.
func (r relayService) Stop(ctx context.Context) error {
	if err := r.d.auto.relay.Stop(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(r.d.cfg.Shutdown.Timeout, lastDelivery))
	defer cancel()
	if err := r.d.auto.relay.Drain(ctx); err != nil {
		r.d.log.Warn("the outbox was not emptied; the next start goes on", "error", err)
	}
	return nil
}

// lastDelivery bounds how long a stop waits for systems that do not answer.
const lastDelivery = 5 * time.Second

// matured satisfies trigger.PerformanceSource.
type matured struct{ source *performance.Source }

// Matured measures the Champion on the rows whose labels have arrived.
func (m matured) Matured(ctx context.Context, model string) (trigger.Measurement, error) {
	got, err := m.source.Matured(ctx, model)
	return trigger.Measurement(got), err
}

// moved satisfies trigger.DataSource.
type moved struct {
	store    store.Store
	features *feature.Service
}

// Change counts the rows that the feature table has gained since the Champion's training.
func (m *moved) Change(ctx context.Context, model string) (trigger.DataChange, error) {
	var row store.Training
	var version int64
	err := m.store.View(ctx, func(r store.Reader) error {
		p, err := r.OpenPeriod(model)
		if err != nil {
			return err
		}
		v, err := r.Version(model, p.Version)
		if err != nil || v.TrainingID == "" {
			return err
		}
		version = v.Version
		row, err = r.Training(v.TrainingID)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNoChampion) && !errors.Is(err, store.ErrModelNotFound) {
		return trigger.DataChange{}, err
	}
	if row.ID == "" {
		return trigger.DataChange{Detail: "no Champion was trained here"}, nil
	}
	ref, err := m.features.Pin(ctx, model, time.Now().UTC().Format(time.DateOnly))
	if err != nil {
		return trigger.DataChange{}, err
	}
	return trigger.DataChange{
		Rows: ref.Rows - row.InputRows, Known: true, Detail: fmt.Sprintf("version %d was trained on %d rows", version, row.InputRows),
	}, nil
}
