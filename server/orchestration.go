package server

import (
	"context"
	"fmt"
	"slices"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
)

// maxRunModels bounds the names in one request.
const maxRunModels = 1000

// orchestrationService runs the steps of many models.
type orchestrationService struct {
	lifecyclev1.UnimplementedOrchestrationServiceServer

	runs  Runs
	drain *drain
}

// StartRun begins a run.
func (s *orchestrationService) StartRun(
	ctx context.Context, r *lifecyclev1.StartRunRequest,
) (*lifecyclev1.StartRunResponse, error) {
	var c check
	names := r.GetModelNames()
	switch {
	case len(names) > maxRunModels:
		c.failf("model_names", "has %d entries, at most %d are accepted", len(names), maxRunModels)
	case r.GetAll() && len(names) > 0:
		c.failf("all", "is set beside model_names; use one of them")
	case !r.GetAll() && len(names) == 0:
		c.failf("model_names", "is empty; name models, or set all")
	default:
		for i, n := range names {
			c.model(fmt.Sprintf("model_names[%d]", i), n)
			if slices.Contains(names[:i], n) {
				c.failf(fmt.Sprintf("model_names[%d]", i), "%q is named twice", clip(n))
			}
		}
	}
	steps := c.steps("steps", r.GetSteps())
	c.date("compute_date", r.GetComputeDate())
	c.text("reason", r.GetReason(), maxReasonBytes)
	c.actor("actor", r.GetActor())
	c.line("git_sha", r.GetGitSha(), maxLabelBytes)
	if err := c.err(); err != nil {
		return nil, err
	}
	run, err := s.runs.StartRun(ctx, orchestration.Request{
		Models: names, All: r.GetAll(), Steps: steps, ComputeDate: r.GetComputeDate(), Trigger: "manual",
		Reason: r.GetReason(), Actor: actor(ctx, r.GetActor()), GitSHA: r.GetGitSha(),
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.StartRunResponse{Run: runProto(run)}, nil
}

// GetRun returns a run as it stands.
func (s *orchestrationService) GetRun(
	ctx context.Context, r *lifecyclev1.GetRunRequest,
) (*lifecyclev1.GetRunResponse, error) {
	var c check
	c.id("run_id", r.GetRunId())
	if err := c.err(); err != nil {
		return nil, err
	}
	run, err := s.runs.Get(ctx, r.GetRunId())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.GetRunResponse{Run: runProto(run)}, nil
}

// WatchRun streams a run after each change. That the run failed is in its last event; the call itself succeeds.
func (s *orchestrationService) WatchRun(
	r *lifecyclev1.WatchRunRequest, stream lifecyclev1.OrchestrationService_WatchRunServer,
) error {
	var c check
	c.id("run_id", r.GetRunId())
	if err := c.err(); err != nil {
		return err
	}
	ctx, stop := s.drain.bind(stream.Context())
	defer stop(nil)
	return drainCause(ctx, s.runs.Watch(ctx, r.GetRunId(), func(run orchestration.Run) error {
		if err := stream.Send(&lifecyclev1.WatchRunResponse{Run: runProto(run)}); err != nil {
			return &wireError{err}
		}
		return nil
	}))
}

// ListRuns lists runs, newest first.
func (s *orchestrationService) ListRuns(
	ctx context.Context, r *lifecyclev1.ListRunsRequest,
) (*lifecyclev1.ListRunsResponse, error) {
	rows, next, err := list(r, nil, func(p page) ([]orchestration.Run, string, error) {
		return s.runs.List(ctx, orchestration.ListQuery{Model: r.GetModelName(), PageSize: p.size, PageToken: p.token})
	}, runProto)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListRunsResponse{Runs: rows, NextPageToken: next}, nil
}

// CancelRun stops a run.
func (s *orchestrationService) CancelRun(
	ctx context.Context, r *lifecyclev1.CancelRunRequest,
) (*lifecyclev1.CancelRunResponse, error) {
	var c check
	c.id("run_id", r.GetRunId())
	c.reason("reason", r.GetReason())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	run, err := s.runs.Cancel(ctx, r.GetRunId(), r.GetReason(), actor(ctx, r.GetActor()))
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.CancelRunResponse{Run: runProto(run)}, nil
}

// steps translates the steps of a request; none means all.
func (c *check) steps(field string, steps []lifecyclev1.RunStep) []orchestration.Step {
	out := make([]orchestration.Step, 0, len(steps))
	for i, s := range steps {
		at := fmt.Sprintf("%s[%d]", field, i)
		step := orchestration.Step("")
		for _, one := range orchestration.Steps() {
			if stepProto(one) == s {
				step = one
			}
		}
		switch {
		case step == "":
			c.failf(at, "is %d; use RUN_STEP_FEATURES, _TRAIN, _VALIDATE, _PROMOTE or _SCORE", s)
		case slices.Contains(out, step):
			c.failf(at, "%s is named twice", step)
		}
		if len(out) > len(orchestration.Steps()) {
			break // a request may name a step a million times
		}
		out = append(out, step)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func runProto(r orchestration.Run) *lifecyclev1.Run {
	return &lifecyclev1.Run{
		RunId:       r.ID,
		State:       runStateProto(r.State),
		Trigger:     r.Trigger,
		Reason:      r.Reason,
		Actor:       r.Actor,
		ComputeDate: r.ComputeDate,
		StartedAt:   timeProto(r.StartedAt),
		FinishedAt:  timeProto(r.FinishedAt),
		Nodes:       each(r.Nodes, nodeProto),
		Error:       r.Error,
	}
}

func nodeProto(n orchestration.Node) *lifecyclev1.RunNode {
	return &lifecyclev1.RunNode{
		Id:         n.ID,
		ModelName:  n.Model,
		Step:       stepProto(n.Step),
		State:      runStateProto(n.State),
		DependsOn:  n.DependsOn,
		StartedAt:  timeProto(n.StartedAt),
		FinishedAt: timeProto(n.FinishedAt),
		Message:    n.Message,
		Subject:    n.Subject,
	}
}

func stepProto(s orchestration.Step) lifecyclev1.RunStep {
	switch s {
	case orchestration.StepFeatures:
		return lifecyclev1.RunStep_RUN_STEP_FEATURES
	case orchestration.StepTrain:
		return lifecyclev1.RunStep_RUN_STEP_TRAIN
	case orchestration.StepValidate:
		return lifecyclev1.RunStep_RUN_STEP_VALIDATE
	case orchestration.StepPromote:
		return lifecyclev1.RunStep_RUN_STEP_PROMOTE
	case orchestration.StepScore:
		return lifecyclev1.RunStep_RUN_STEP_SCORE
	default:
		return lifecyclev1.RunStep_RUN_STEP_UNSPECIFIED
	}
}

func runStateProto(s orchestration.State) lifecyclev1.RunState {
	switch s {
	case orchestration.Pending:
		return lifecyclev1.RunState_RUN_STATE_PENDING
	case orchestration.Running:
		return lifecyclev1.RunState_RUN_STATE_RUNNING
	case orchestration.Succeeded:
		return lifecyclev1.RunState_RUN_STATE_SUCCEEDED
	case orchestration.Failed:
		return lifecyclev1.RunState_RUN_STATE_FAILED
	case orchestration.Cancelled:
		return lifecyclev1.RunState_RUN_STATE_CANCELLED
	case orchestration.Skipped:
		return lifecyclev1.RunState_RUN_STATE_SKIPPED
	case orchestration.AwaitingApproval:
		return lifecyclev1.RunState_RUN_STATE_AWAITING_APPROVAL
	default:
		return lifecyclev1.RunState_RUN_STATE_UNSPECIFIED
	}
}
