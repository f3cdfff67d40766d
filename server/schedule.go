package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
)

// The number of times that a preview lists.
const (
	defaultPreview   = 10
	maxPreview       = 1000
	maxCronBytes     = 1024
	maxTimezoneBytes = 128
)

// scheduleService shows and controls schedules.
type scheduleService struct {
	lifecyclev1.UnimplementedScheduleServiceServer

	schedules Schedules
}

// ListSchedules lists the schedules of a model, or of all.
func (s *scheduleService) ListSchedules(
	ctx context.Context, r *lifecyclev1.ListSchedulesRequest,
) (*lifecyclev1.ListSchedulesResponse, error) {
	var c check
	c.modelFilter("model_name", r.GetModelName())
	if err := c.err(); err != nil {
		return nil, err
	}
	states, err := s.schedules.List(ctx, r.GetModelName())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListSchedulesResponse{Schedules: each(states, scheduleProto)}, nil
}

// PreviewSchedule parses an expression and lists its next times.
func (s *scheduleService) PreviewSchedule(
	ctx context.Context, r *lifecyclev1.PreviewScheduleRequest,
) (*lifecyclev1.PreviewScheduleResponse, error) {
	var c check
	c.line("quartz_cron_expression", r.GetQuartzCronExpression(), maxCronBytes)
	c.line("timezone_id", r.GetTimezoneId(), maxTimezoneBytes)
	if n := r.GetCount(); n < 0 || n > maxPreview {
		c.failf("count", "is %d; use 1 to %d, or 0 for %d", n, maxPreview, defaultPreview)
	}
	if t := r.GetAfter(); t != nil && t.CheckValid() != nil {
		c.failf("after", "is no valid time")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	cron, err := schedule.Parse(r.GetQuartzCronExpression())
	if err != nil {
		return nil, err
	}
	zone, err := schedule.Location(r.GetTimezoneId())
	if err != nil {
		return nil, err
	}
	after := time.Now()
	if r.GetAfter() != nil {
		after = r.GetAfter().AsTime()
	}
	out := &lifecyclev1.PreviewScheduleResponse{Description: cron.Describe()}
	count := int(r.GetCount())
	if count == 0 {
		count = defaultPreview
	}
	for range count {
		next, ok := cron.Next(after, zone)
		if !ok {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("after %d of %d times: %w", len(out.GetTimes()), count, err)
		}
		out.Times = append(out.Times, timestamppb.New(next))
		after = next
	}
	return out, nil
}

// PauseSchedule keeps a schedule from firing.
func (s *scheduleService) PauseSchedule(
	ctx context.Context, r *lifecyclev1.PauseScheduleRequest,
) (*lifecyclev1.PauseScheduleResponse, error) {
	var c check
	c.schedule(r)
	c.reason("reason", r.GetReason())
	if err := c.err(); err != nil {
		return nil, err
	}
	state, err := s.schedules.Pause(ctx, r.GetModelName(), r.GetJob(), r.GetReason(), actor(ctx, r.GetActor()))
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.PauseScheduleResponse{Schedule: scheduleProto(state)}, nil
}

// ResumeSchedule lets a schedule fire again.
func (s *scheduleService) ResumeSchedule(
	ctx context.Context, r *lifecyclev1.ResumeScheduleRequest,
) (*lifecyclev1.ResumeScheduleResponse, error) {
	var c check
	c.schedule(r)
	c.text("reason", r.GetReason(), maxReasonBytes)
	if err := c.err(); err != nil {
		return nil, err
	}
	state, err := s.schedules.Resume(ctx, r.GetModelName(), r.GetJob())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ResumeScheduleResponse{Schedule: scheduleProto(state)}, nil
}

// schedule checks what both changes of a schedule say.
func (c *check) schedule(r interface {
	GetModelName() string
	GetJob() string
	GetActor() string
},
) {
	c.model("model_name", r.GetModelName())
	if r.GetJob() != schedule.Train && r.GetJob() != schedule.BatchInference {
		c.failf("job", "is %q; use %s or %s", clip(r.GetJob()), schedule.Train, schedule.BatchInference)
	}
	c.actor("actor", r.GetActor())
}

func scheduleProto(s schedule.Status) *lifecyclev1.Schedule {
	return &lifecyclev1.Schedule{
		ModelName:            s.Model,
		Job:                  s.Job,
		QuartzCronExpression: s.Cron.String(),
		TimezoneId:           s.Location.String(),
		Paused:               s.Paused,
		PauseReason:          s.PauseReason,
		NextAt:               timeProto(s.NextAt),
		LastAt:               timeProto(s.LastAt),
		LastOutcome:          s.LastOutcome,
		Misfire:              string(s.Misfire),
		Description:          s.Cron.Describe(),
	}
}
