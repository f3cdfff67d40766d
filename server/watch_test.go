package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/store"
)

func stamp(t *testing.T, s string) *timestamppb.Timestamp {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return timestamppb.New(at)
}

// oneTraining is a training that a test moves on.
type oneTraining struct {
	trainingRefusals

	events chan training.Event
	left   chan error // how Watch ended
}

func (o *oneTraining) Watch(ctx context.Context, id string, offset int64, f func(training.Event) error) (err error) {
	defer func() { o.left <- err }()
	if id != "t-1" || offset != 7 {
		return store.ErrTrainingNotFound
	}
	for {
		select {
		case e, ok := <-o.events:
			if !ok {
				return nil
			}
			if err := f(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestWatchTraining(t *testing.T) {
	o := &oneTraining{events: make(chan training.Event, 3), left: make(chan error, 1)}
	f := serveTest(t, Deps{Trainings: o}, Options{})
	o.events <- training.Event{Training: &store.Training{
		ID: "t-1", Model: "churn", Version: 4, State: store.TrainingRunning, Step: "train", Attempt: 2, UserCPU: 1500 * time.Millisecond,
		MaxRSS: 1 << 20,
	}}
	o.events <- training.Event{Log: &training.LogChunk{Offset: 7, Text: "epoch 1\n", Truncated: true}}
	o.events <- training.Event{Training: &store.Training{ID: "t-1", State: store.TrainingSucceeded, Metrics: map[string]float64{"auc": 0.81}}}
	close(o.events)
	var got []*lifecyclev1.WatchTrainingResponse
	for e, err := range f.client.WatchTraining(t.Context(), "t-1", 7) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	if len(got) != 3 {
		t.Fatalf("%d events: %v", len(got), got)
	}
	if r := got[0].GetTraining(); r.GetState() != lifecyclev1.TrainingState_TRAINING_STATE_RUNNING || r.GetVersion() != 4 ||
		r.GetUsage().GetUserCpuSeconds() != 1.5 || r.GetUsage().GetMaxRssBytes() != 1<<20 || r.GetAttempt() != 2 || r.GetFinishedAt() != nil {
		t.Errorf("first event %v", r)
	}
	if l := got[1].GetLog(); l.GetOffset() != 7 || l.GetText() != "epoch 1\n" || !l.GetTruncated() {
		t.Errorf("log %v", l)
	}
	if r := got[2].GetTraining(); r.GetState() != lifecyclev1.TrainingState_TRAINING_STATE_SUCCEEDED || r.GetMetrics()["auc"] != 0.81 {
		t.Errorf("last event %v", r)
	}
	if err := <-o.left; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestWatchEndsWhenTheCallerGoes(t *testing.T) {
	o := &oneTraining{events: make(chan training.Event, 1), left: make(chan error, 1)}
	f := serveTest(t, Deps{Trainings: o}, Options{})
	o.events <- training.Event{Log: &training.LogChunk{Text: "x\n"}}
	for _, err := range f.client.WatchTraining(t.Context(), "t-1", 7) {
		if err != nil {
			t.Fatal(err)
		}
		break // and the training goes on
	}
	if err := <-o.left; !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
}

// TestTrainingWatchersAreToldOfTheStop stops a server in the patience of whose stop a watcher does not end.
func TestTrainingWatchersAreToldOfTheStop(t *testing.T) {
	o := &oneTraining{events: make(chan training.Event, 1), left: make(chan error, 1)}
	f := serveTest(t, Deps{Trainings: o}, Options{})
	o.events <- training.Event{Log: &training.LogChunk{Text: "x\n"}}
	var last error
	for _, err := range f.client.WatchTraining(t.Context(), "t-1", 7) {
		if err != nil {
			last = err
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // no patience at all
		if err := f.server.GracefulStop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stopping: %v", err)
		}
	}
	if d := client.Describe(last); d.Code != codes.Unavailable {
		t.Errorf("the watcher got %+v", d)
	}
	if err := <-o.left; err == nil {
		t.Error("the watch ended as if the training had")
	}
}

// twoStates is a run that is seen twice.
type twoStates struct{ runRefusals }

func (twoStates) Watch(_ context.Context, id string, f func(orchestration.Run) error) error {
	run := orchestration.Run{ID: id, State: orchestration.Running, Nodes: []orchestration.Node{
		{ID: "churn/train", Model: "churn", Step: orchestration.StepTrain, State: orchestration.Running, Message: "epoch 1"},
		{ID: "churn/score", Model: "churn", Step: orchestration.StepScore, State: orchestration.Pending, DependsOn: []string{"churn/train"}},
	}}
	if err := f(run); err != nil {
		return err
	}
	run.State, run.Nodes[0].State, run.Nodes[1].State = orchestration.Failed, orchestration.Failed, orchestration.Skipped
	return f(run)
}

func TestWatchRun(t *testing.T) {
	f := serveTest(t, Deps{Runs: twoStates{}}, Options{})
	var got []*lifecyclev1.Run
	for e, err := range f.client.WatchRun(t.Context(), "r-1") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.GetRun())
	}
	if len(got) != 2 || got[0].GetState() != lifecyclev1.RunState_RUN_STATE_RUNNING ||
		got[0].GetNodes()[0].GetMessage() != "epoch 1" || got[0].GetNodes()[1].GetDependsOn()[0] != "churn/train" ||
		got[1].GetState() != lifecyclev1.RunState_RUN_STATE_FAILED || got[1].GetNodes()[1].GetState() != lifecyclev1.RunState_RUN_STATE_SKIPPED ||
		got[1].GetNodes()[1].GetStep() != lifecyclev1.RunStep_RUN_STEP_SCORE {
		t.Errorf("%v", got)
	}
}

// TestStreamValidate compares the stream with the unary call over real services.
func TestStreamValidate(t *testing.T) {
	s := newStack(t, Options{})
	s.register(t, "v1")
	var order []string
	var report *lifecyclev1.ValidationReport
	for e, err := range s.client.StreamValidate(t.Context(), &lifecyclev1.StreamValidateRequest{ModelName: "churn", Actor: "ann"}) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := e.GetEvent().(type) {
		case *lifecyclev1.StreamValidateResponse_Started:
			order = append(order, "start "+e.Started)
		case *lifecyclev1.StreamValidateResponse_Gate:
			order = append(order, e.Gate.GetGate())
		case *lifecyclev1.StreamValidateResponse_Report:
			order = append(order, "report")
			report = e.Report
		}
	}
	if got := strings.Join(order, ", "); got != "start artifact, artifact, start parity, parity, report" {
		t.Errorf("events: %s", got)
	}
	if !report.GetPassed() || report.GetVersion().GetStage() != lifecyclev1.Stage_STAGE_VALIDATED {
		t.Errorf("report %v", report)
	}
	stored, err := s.client.Validation.GetReport(t.Context(), &lifecyclev1.GetReportRequest{ModelName: "churn"})
	if err != nil || stored.GetReport().GetEvidenceDigest() != report.GetEvidenceDigest() {
		t.Errorf("stored %v, %v", stored, err)
	}
	for _, err := range s.client.StreamValidate(t.Context(), &lifecyclev1.StreamValidateRequest{ModelName: "churn", Version: 9}) {
		if d := client.Describe(err); d.Reason != lifecyclev1.ErrorReason_ERROR_REASON_VERSION_NOT_FOUND {
			t.Errorf("version 9: %+v", d)
		}
	}
}

// waitingGates validates until the caller goes.
type waitingGates struct {
	refusals

	left chan error
}

func (w waitingGates) Validate(ctx context.Context, r gate.Request) (gate.Report, error) {
	r.Progress("parity", nil)
	<-ctx.Done()
	w.left <- context.Cause(ctx)
	return gate.Report{}, ctx.Err()
}

func TestStreamValidateEndsWhenTheCallerGoes(t *testing.T) {
	w := waitingGates{left: make(chan error, 1)}
	f := serveTest(t, Deps{Gates: w}, Options{})
	for e, err := range f.client.StreamValidate(t.Context(), &lifecyclev1.StreamValidateRequest{ModelName: "churn"}) {
		if err != nil || e.GetStarted() != "parity" {
			t.Fatalf("%v, %v", e, err)
		}
		break
	}
	if err := <-w.left; !errors.Is(err, context.Canceled) {
		t.Errorf("the gates ended with %v", err)
	}
}
