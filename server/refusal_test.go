package server

import (
	"context"

	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/store"
)

// What the daemon fills Deps with.
var (
	_ Trainings  = (*training.Service)(nil)
	_ Triggers   = (*trigger.Service)(nil)
	_ Schedules  = (*schedule.Service)(nil)
	_ Runs       = (*orchestration.Service)(nil)
	_ Deliveries = (*outbox.Relay)(nil)
	_ Reconciler = (*projection.Service)(nil)
	_ Monitor    = (*monitor.Service)(nil)
	_ Gates      = (*gate.Service)(nil)
)

type trainingRefusals struct{ err error }

func (r trainingRefusals) Trigger(context.Context, training.Request) (store.Training, bool, error) {
	return store.Training{}, false, refusals(r).cause()
}

func (r trainingRefusals) Get(context.Context, string) (store.Training, error) {
	return store.Training{}, refusals(r).cause()
}

func (r trainingRefusals) List(context.Context, store.TrainingQuery) ([]store.Training, string, error) {
	return nil, "", refusals(r).cause()
}

func (r trainingRefusals) Cancel(context.Context, string, string, string) (store.Training, error) {
	return store.Training{}, refusals(r).cause()
}

func (r trainingRefusals) Watch(context.Context, string, int64, func(training.Event) error) error {
	return refusals(r).cause()
}

type triggerRefusals struct{ err error }

func (r triggerRefusals) List(context.Context, string) ([]trigger.State, error) {
	return nil, refusals(r).cause()
}

func (r triggerRefusals) Fire(context.Context, trigger.Request) (trigger.Decision, error) {
	return trigger.Decision{}, refusals(r).cause()
}

func (r triggerRefusals) Evaluate(context.Context, string, string, bool) ([]trigger.Decision, error) {
	return nil, refusals(r).cause()
}

func (r triggerRefusals) Decisions(context.Context, store.DecisionQuery) ([]trigger.Decision, string, error) {
	return nil, "", refusals(r).cause()
}

type scheduleRefusals struct{ err error }

func (r scheduleRefusals) List(context.Context, string) ([]schedule.Status, error) {
	return nil, refusals(r).cause()
}

func (r scheduleRefusals) Pause(context.Context, string, string, string, string) (schedule.Status, error) {
	return schedule.Status{}, refusals(r).cause()
}

func (r scheduleRefusals) Resume(context.Context, string, string) (schedule.Status, error) {
	return schedule.Status{}, refusals(r).cause()
}

type runRefusals struct{ err error }

func (r runRefusals) StartRun(context.Context, orchestration.Request) (orchestration.Run, error) {
	return orchestration.Run{}, refusals(r).cause()
}

func (r runRefusals) Get(context.Context, string) (orchestration.Run, error) {
	return orchestration.Run{}, refusals(r).cause()
}

func (r runRefusals) List(context.Context, orchestration.ListQuery) ([]orchestration.Run, string, error) {
	return nil, "", refusals(r).cause()
}

func (r runRefusals) Cancel(context.Context, string, string, string) (orchestration.Run, error) {
	return orchestration.Run{}, refusals(r).cause()
}

func (r runRefusals) Watch(context.Context, string, func(orchestration.Run) error) error {
	return refusals(r).cause()
}

type deliveryRefusals struct{ err error }

func (r deliveryRefusals) List(context.Context, store.DeliveryQuery) ([]store.OutboxRow, string, error) {
	return nil, "", refusals(r).cause()
}

func (r deliveryRefusals) Replay(context.Context, string, []int64) (int64, error) {
	return 0, refusals(r).cause()
}

type reconcilerRefusals struct{ err error }

func (r reconcilerRefusals) Check(context.Context, string, bool) ([]projection.Divergence, error) {
	return nil, refusals(r).cause()
}

func (r reconcilerRefusals) CheckAll(context.Context, bool) ([]projection.Divergence, int, error) {
	return nil, 0, refusals(r).cause()
}

type monitorRefusals struct{ err error }

func (r monitorRefusals) Check(context.Context, monitor.Request) (monitor.Report, error) {
	return monitor.Report{}, refusals(r).cause()
}

func (r monitorRefusals) Reports(context.Context, store.DriftQuery) ([]monitor.Report, string, error) {
	return nil, "", refusals(r).cause()
}

func (r monitorRefusals) Statistics(context.Context, string, string, string) (monitor.Subject, monitor.Profile, error) {
	return monitor.Subject{}, monitor.Profile{}, refusals(r).cause()
}
