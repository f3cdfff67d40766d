package server

import (
	"context"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/store"
)

// trainingService starts trainings and follows them.
type trainingService struct {
	lifecyclev1.UnimplementedTrainingServiceServer

	trainings Trainings
	drain     *drain
}

// TriggerTraining accepts a training, or joins the active one.
func (s *trainingService) TriggerTraining(
	ctx context.Context, r *lifecyclev1.TriggerTrainingRequest,
) (*lifecyclev1.TriggerTrainingResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.date("compute_date", r.GetComputeDate())
	c.text("reason", r.GetReason(), maxReasonBytes)
	c.actor("actor", r.GetActor())
	c.line("git_sha", r.GetGitSha(), maxLabelBytes)
	c.line("idempotency_key", r.GetIdempotencyKey(), maxLabelBytes)
	if err := c.err(); err != nil {
		return nil, err
	}
	t, joined, err := s.trainings.Trigger(ctx, training.Request{
		Model: r.GetModelName(), ComputeDate: r.GetComputeDate(), Trigger: trigger.Manual, Reason: r.GetReason(),
		GitSHA: r.GetGitSha(), IdempotencyKey: r.GetIdempotencyKey(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.TriggerTrainingResponse{Training: trainingProto(t), AlreadyRunning: joined}, nil
}

// GetTraining returns a training as it stands.
func (s *trainingService) GetTraining(
	ctx context.Context, r *lifecyclev1.GetTrainingRequest,
) (*lifecyclev1.GetTrainingResponse, error) {
	var c check
	c.id("training_id", r.GetTrainingId())
	if err := c.err(); err != nil {
		return nil, err
	}
	t, err := s.trainings.Get(ctx, r.GetTrainingId())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.GetTrainingResponse{Training: trainingProto(t)}, nil
}

// WatchTraining streams changes and output. That the training failed is in its last state; the call itself succeeds.
func (s *trainingService) WatchTraining(
	r *lifecyclev1.WatchTrainingRequest, stream lifecyclev1.TrainingService_WatchTrainingServer,
) error {
	var c check
	c.id("training_id", r.GetTrainingId())
	if r.GetLogOffset() < 0 {
		c.failf("log_offset", "is %d; the output begins at 0", r.GetLogOffset())
	}
	if err := c.err(); err != nil {
		return err
	}
	ctx, stop := s.drain.bind(stream.Context())
	defer stop(nil)
	return drainCause(ctx, s.trainings.Watch(ctx, r.GetTrainingId(), r.GetLogOffset(), func(e training.Event) error {
		if err := stream.Send(trainingEventProto(e)); err != nil {
			return &wireError{err}
		}
		return nil
	}))
}

// CancelTraining stops a training.
func (s *trainingService) CancelTraining(
	ctx context.Context, r *lifecyclev1.CancelTrainingRequest,
) (*lifecyclev1.CancelTrainingResponse, error) {
	var c check
	c.id("training_id", r.GetTrainingId())
	c.reason("reason", r.GetReason())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	t, err := s.trainings.Cancel(ctx, r.GetTrainingId(), r.GetReason(), actor(ctx, r.GetActor()))
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.CancelTrainingResponse{Training: trainingProto(t)}, nil
}

// ListTrainings lists trainings, newest first.
func (s *trainingService) ListTrainings(
	ctx context.Context, r *lifecyclev1.ListTrainingsRequest,
) (*lifecyclev1.ListTrainingsResponse, error) {
	rows, next, err := list(r, nil, func(p page) ([]store.Training, string, error) {
		return s.trainings.List(ctx, store.TrainingQuery{Model: r.GetModelName(), PageSize: p.size, PageToken: p.token})
	}, trainingProto)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListTrainingsResponse{Trainings: rows, NextPageToken: next}, nil
}

func trainingEventProto(e training.Event) *lifecyclev1.WatchTrainingResponse {
	if e.Log != nil {
		return &lifecyclev1.WatchTrainingResponse{Event: &lifecyclev1.WatchTrainingResponse_Log{
			Log: &lifecyclev1.LogChunk{Offset: e.Log.Offset, Text: e.Log.Text, Truncated: e.Log.Truncated},
		}}
	}
	return &lifecyclev1.WatchTrainingResponse{
		Event: &lifecyclev1.WatchTrainingResponse_Training{Training: trainingProto(*e.Training)},
	}
}

func trainingProto(t store.Training) *lifecyclev1.Training {
	return &lifecyclev1.Training{
		TrainingId:      t.ID,
		ModelName:       t.Model,
		Version:         t.Version,
		State:           trainingStateProto(t.State),
		Attempt:         int32(t.Attempt),
		Trigger:         t.Trigger,
		Reason:          t.Reason,
		Actor:           t.Actor,
		ComputeDate:     t.ComputeDate,
		GitSha:          t.GitSHA,
		TrainerClass:    t.TrainerClass,
		ConfigDigest:    t.ConfigDigest,
		InputVersion:    t.InputVersion,
		InputRows:       t.InputRows,
		RunId:           t.RunID,
		RunName:         t.RunName,
		RegistryVersion: t.RegistryVersion,
		Metrics:         t.Metrics,
		CreatedAt:       timeProto(t.CreatedAt),
		StartedAt:       timeProto(t.StartedAt),
		FinishedAt:      timeProto(t.FinishedAt),
		HeartbeatAt:     timeProto(t.HeartbeatAt),
		Step:            t.Step,
		ExitCode:        int32(t.ExitCode),
		Usage: &lifecyclev1.ResourceUsage{
			UserCpuSeconds: t.UserCPU.Seconds(), SystemCpuSeconds: t.SystemCPU.Seconds(), MaxRssBytes: t.MaxRSS,
		},
		Error: t.Error,
		Hint:  t.Hint,
	}
}

func trainingStateProto(s string) lifecyclev1.TrainingState {
	switch s {
	case store.TrainingQueued:
		return lifecyclev1.TrainingState_TRAINING_STATE_QUEUED
	case store.TrainingPreparing:
		return lifecyclev1.TrainingState_TRAINING_STATE_PREPARING
	case store.TrainingRunning:
		return lifecyclev1.TrainingState_TRAINING_STATE_RUNNING
	case store.TrainingRegistering:
		return lifecyclev1.TrainingState_TRAINING_STATE_REGISTERING
	case store.TrainingSucceeded:
		return lifecyclev1.TrainingState_TRAINING_STATE_SUCCEEDED
	case store.TrainingFailed:
		return lifecyclev1.TrainingState_TRAINING_STATE_FAILED
	case store.TrainingCancelled:
		return lifecyclev1.TrainingState_TRAINING_STATE_CANCELLED
	default:
		return lifecyclev1.TrainingState_TRAINING_STATE_UNSPECIFIED
	}
}
