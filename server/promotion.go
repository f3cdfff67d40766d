package server

import (
	"context"
	"fmt"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
)

// promotionService decides who is Champion.
type promotionService struct {
	lifecyclev1.UnimplementedPromotionServiceServer

	promotions Promotions
	gates      Gates
}

// Promote makes a Validated version the Champion.
func (s *promotionService) Promote(
	ctx context.Context, r *lifecyclev1.PromoteRequest,
) (*lifecyclev1.PromoteResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	c.reason("reason", r.GetReason())
	c.generation("expected_generation", r.ExpectedGeneration)
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	ask := promotion.Request{
		Model: r.GetModelName(), Version: r.GetVersion(), Reason: r.GetReason(),
		ExpectedGeneration: r.ExpectedGeneration, DryRun: r.GetDryRun(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	}
	if r.GetForce() {
		planned, err := s.force(ctx, &ask)
		if err != nil {
			return nil, err
		}
		if planned != nil {
			return &lifecyclev1.PromoteResponse{Change: changeProto(*planned)}, nil
		}
	}
	change, err := s.promotions.Promote(ctx, ask)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.PromoteResponse{Change: changeProto(change)}, nil
}

// force waives what stands between the version that it settles on and its promotion, or in a dry run returns what that
// would be. Nothing is waived for a promotion that would be refused, and nothing where nothing stands in the way.
func (s *promotionService) force(ctx context.Context, ask *promotion.Request) (planned *promotion.Change, err error) {
	report, err := s.gates.Report(ctx, ask.Model, ask.Version)
	if err != nil {
		return nil, err
	}
	ask.Version = report.Version.Version
	var effects []string
	for _, g := range report.Gates {
		if !g.Required || g.Outcome == gate.Pass || g.Outcome == gate.Waived {
			continue
		}
		if g.Gate == gate.Artifact || g.Gate == gate.Parity {
			return nil, fmt.Errorf("version %d: the %s gate says: %s: %w", ask.Version, g.Gate, g.Summary, gate.ErrNotWaivable)
		}
		effects = append(effects, fmt.Sprintf("gate %s is waived: %s", g.Gate, g.Summary))
	}
	if len(effects) == 0 {
		return nil, nil
	}
	look := *ask
	look.DryRun, look.Waived = true, true
	change, err := s.promotions.Promote(ctx, look)
	if err != nil {
		return nil, err
	}
	if ask.DryRun {
		change.Effects = append(effects, change.Effects...)
		return &change, nil
	}
	_, err = s.gates.Waive(ctx, gate.WaiveRequest{
		Model: ask.Model, Version: ask.Version, Reason: ask.Reason,
		Actor: ask.Actor, AuthMethod: ask.AuthMethod, RequestID: ask.RequestID,
	})
	return nil, err
}

// Rollback makes an earlier Champion the Champion again.
func (s *promotionService) Rollback(
	ctx context.Context, r *lifecyclev1.RollbackRequest,
) (*lifecyclev1.RollbackResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("to_version", r.GetToVersion())
	c.reason("reason", r.GetReason())
	c.generation("expected_generation", r.ExpectedGeneration)
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	change, affected, err := s.promotions.Rollback(ctx, promotion.RollbackRequest{
		Model: r.GetModelName(), To: r.GetToVersion(), Reason: r.GetReason(),
		ExpectedGeneration: r.ExpectedGeneration, Keep: r.GetKeep(), DryRun: r.GetDryRun(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.RollbackResponse{Change: changeProto(change), AffectedBatches: affected}, nil
}

// GetHistory lists the champion history, newest first.
func (s *promotionService) GetHistory(
	ctx context.Context, r *lifecyclev1.GetHistoryRequest,
) (*lifecyclev1.GetHistoryResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	if err := c.err(); err != nil {
		return nil, err
	}
	periods, err := s.promotions.History(ctx, r.GetModelName())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.GetHistoryResponse{Periods: each(periods, periodProto)}, nil
}
