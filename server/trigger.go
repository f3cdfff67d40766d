package server

import (
	"context"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/store"
)

// triggerService decides when models are trained again.
type triggerService struct {
	lifecyclev1.UnimplementedTriggerServiceServer

	triggers Triggers
}

// ListTriggers lists the triggers of a model, or of all.
func (s *triggerService) ListTriggers(
	ctx context.Context, r *lifecyclev1.ListTriggersRequest,
) (*lifecyclev1.ListTriggersResponse, error) {
	var c check
	c.modelFilter("model_name", r.GetModelName())
	if err := c.err(); err != nil {
		return nil, err
	}
	states, err := s.triggers.List(ctx, r.GetModelName())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListTriggersResponse{Triggers: each(states, triggerProto)}, nil
}

// FireTrigger starts the retraining chain by hand. A decision not to train is an answer, not an error.
func (s *triggerService) FireTrigger(
	ctx context.Context, r *lifecyclev1.FireTriggerRequest,
) (*lifecyclev1.FireTriggerResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.reason("reason", r.GetReason())
	c.date("compute_date", r.GetComputeDate())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	d, err := s.triggers.Fire(ctx, trigger.Request{
		Model: r.GetModelName(), Kind: trigger.Manual, ComputeDate: r.GetComputeDate(), Reason: r.GetReason(),
		Actor: actor(ctx, r.GetActor()), IgnoreCooldown: r.GetIgnoreCooldown(),
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.FireTriggerResponse{Decision: decisionProto(d)}, nil
}

// EvaluateTriggers looks at every policy of a model now.
func (s *triggerService) EvaluateTriggers(
	ctx context.Context, r *lifecyclev1.EvaluateTriggersRequest,
) (*lifecyclev1.EvaluateTriggersResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	decisions, err := s.triggers.Evaluate(ctx, r.GetModelName(), actor(ctx, r.GetActor()), r.GetDryRun())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.EvaluateTriggersResponse{Decisions: each(decisions, decisionProto)}, nil
}

// ListDecisions lists decisions, newest first.
func (s *triggerService) ListDecisions(
	ctx context.Context, r *lifecyclev1.ListDecisionsRequest,
) (*lifecyclev1.ListDecisionsResponse, error) {
	rows, next, err := list(r, nil, func(p page) ([]trigger.Decision, string, error) {
		q := store.DecisionQuery{Model: r.GetModelName(), PageSize: p.size, PageToken: p.token}
		if r.GetFiredOnly() {
			q.Outcome = trigger.Fired
		}
		return s.triggers.Decisions(ctx, q)
	}, decisionProto)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListDecisionsResponse{Decisions: rows, NextPageToken: next}, nil
}

func triggerProto(t trigger.State) *lifecyclev1.TriggerPolicy {
	return &lifecyclev1.TriggerPolicy{
		ModelName:     t.Model,
		Kind:          t.Kind,
		Enabled:       t.Enabled,
		Description:   t.Description,
		LastFiredAt:   timeProto(t.LastFiredAt),
		CooldownUntil: timeProto(t.CooldownUntil),
		FiredThisWeek: int32(t.FiredThisWeek),
		MaxPerWeek:    int32(t.MaxPerWeek),
		ProposeOnly:   t.ProposeOnly,
	}
}

func decisionProto(d trigger.Decision) *lifecyclev1.TriggerDecision {
	return &lifecyclev1.TriggerDecision{
		DecisionId: d.ID,
		ModelName:  d.Model,
		Kind:       d.Kind,
		At:         timeProto(d.At),
		Outcome:    triggerOutcomeProto(d.Outcome),
		Reason:     d.Reason,
		Actor:      d.Actor,
		RunId:      d.RunID,
		Evidence:   d.Evidence,
	}
}

func triggerOutcomeProto(o string) lifecyclev1.TriggerOutcome {
	switch o {
	case trigger.Fired:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_FIRED
	case trigger.Coalesced:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_COALESCED
	case trigger.Cooldown:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_COOLDOWN
	case trigger.WeeklyLimit:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_WEEKLY_LIMIT
	case trigger.NotDue:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_NOT_DUE
	case trigger.Proposed:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_PROPOSED
	case trigger.Inconclusive:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_INCONCLUSIVE
	default:
		return lifecyclev1.TriggerOutcome_TRIGGER_OUTCOME_UNSPECIFIED
	}
}
