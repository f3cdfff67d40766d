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
	v := r.GetVersion()
	if r.GetForce() {
		report, effects, err := s.force(ctx, r)
		if err != nil {
			return nil, err
		}
		if v = report.Version.Version; r.GetDryRun() && len(effects) > 0 {
			return &lifecyclev1.PromoteResponse{Change: &lifecyclev1.ChampionChange{
				ModelName: r.GetModelName(), ToVersion: v, DryRun: true,
				Effects: append(effects, fmt.Sprintf("version %d becomes Champion, and the present one, if any, is archived", v)),
			}}, nil
		}
	}
	change, err := s.promotions.Promote(ctx, promotion.Request{
		Model: r.GetModelName(), Version: v, Reason: r.GetReason(),
		ExpectedGeneration: r.ExpectedGeneration, DryRun: r.GetDryRun(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.PromoteResponse{Change: changeProto(change)}, nil
}

// force waives what stands between the version and its promotion, or in a dry run says what that would be. A version that
// nothing stands in the way of stays as it is.
func (s *promotionService) force(
	ctx context.Context, r *lifecyclev1.PromoteRequest,
) (report gate.Report, effects []string, err error) {
	report, err = s.gates.Report(ctx, r.GetModelName(), r.GetVersion())
	if err != nil {
		return gate.Report{}, nil, err
	}
	for _, g := range report.Gates {
		if !g.Required || g.Outcome == gate.Pass || g.Outcome == gate.Waived {
			continue
		}
		if g.Gate == gate.Artifact || g.Gate == gate.Parity {
			return gate.Report{}, nil, fmt.Errorf("version %d: the %s gate says: %s: %w",
				report.Version.Version, g.Gate, g.Summary, gate.ErrNotWaivable)
		}
		effects = append(effects, fmt.Sprintf("gate %s is waived: %s", g.Gate, g.Summary))
	}
	if len(effects) == 0 || r.GetDryRun() {
		return report, effects, nil
	}
	report, err = s.gates.Waive(ctx, gate.WaiveRequest{
		Model: r.GetModelName(), Version: report.Version.Version, Reason: r.GetReason(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	return report, effects, err
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
