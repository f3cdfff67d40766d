package server

import (
	"context"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
)

// validationService runs the gates.
type validationService struct {
	lifecyclev1.UnimplementedValidationServiceServer

	gates Gates
}

// Validate runs the gates of a version. A gate that says no is an answer, not an error.
func (s *validationService) Validate(
	ctx context.Context, r *lifecyclev1.ValidateRequest,
) (*lifecyclev1.ValidateResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	report, err := s.gates.Validate(ctx, gate.Request{
		Model: r.GetModelName(), Version: r.GetVersion(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ValidateResponse{Report: reportProto(report)}, nil
}

// GetReport returns the stored evidence of the latest validation.
func (s *validationService) GetReport(
	ctx context.Context, r *lifecyclev1.GetReportRequest,
) (*lifecyclev1.GetReportResponse, error) {
	var c check
	c.model("model_name", r.GetModelName())
	c.version("version", r.GetVersion())
	if err := c.err(); err != nil {
		return nil, err
	}
	report, err := s.gates.Report(ctx, r.GetModelName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.GetReportResponse{Report: reportProto(report)}, nil
}

// promotionService decides who is Champion.
type promotionService struct {
	lifecyclev1.UnimplementedPromotionServiceServer

	promotions Promotions
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
	change, err := s.promotions.Promote(ctx, promotion.Request{
		Model: r.GetModelName(), Version: r.GetVersion(), Reason: r.GetReason(),
		ExpectedGeneration: r.ExpectedGeneration, DryRun: r.GetDryRun(),
		Actor: actor(ctx, r.GetActor()), AuthMethod: authMethod, RequestID: callOf(ctx).id,
	})
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.PromoteResponse{Change: changeProto(change)}, nil
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
	out := &lifecyclev1.GetHistoryResponse{}
	for _, p := range periods {
		out.Periods = append(out.Periods, periodProto(p))
	}
	return out, nil
}

// auditService reads the audit log.
type auditService struct {
	lifecyclev1.UnimplementedAuditServiceServer

	audit Audit
}

// ListEntries lists entries, newest first.
func (s *auditService) ListEntries(
	ctx context.Context, r *lifecyclev1.ListEntriesRequest,
) (*lifecyclev1.ListEntriesResponse, error) {
	var c check
	c.modelFilter("model_name", r.GetModelName())
	c.pageSize("page_size", r.GetPageSize())
	c.line("page_token", r.GetPageToken(), maxTokenBytes)
	if err := c.err(); err != nil {
		return nil, err
	}
	entries, next, err := s.audit.List(ctx, audit.Filter{
		Model: r.GetModelName(), PageSize: int(r.GetPageSize()), PageToken: r.GetPageToken(),
	})
	if err != nil {
		return nil, err
	}
	out := &lifecyclev1.ListEntriesResponse{NextPageToken: next}
	for _, e := range entries {
		out.Entries = append(out.Entries, entryProto(e))
	}
	return out, nil
}

// VerifyChain recomputes the hash chain. A broken chain is an answer, not an error.
func (s *auditService) VerifyChain(
	ctx context.Context, _ *lifecyclev1.VerifyChainRequest,
) (*lifecyclev1.VerifyChainResponse, error) {
	r, err := s.audit.Verify(ctx)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.VerifyChainResponse{
		Valid: r.Valid, Entries: r.Entries, HeadHash: r.Head, BrokenSeq: r.BrokenSeq, Problem: r.Problem,
	}, nil
}
