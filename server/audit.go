package server

import (
	"context"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/audit"
)

// auditService reads the audit log.
type auditService struct {
	lifecyclev1.UnimplementedAuditServiceServer

	audit Audit
}

// ListEntries lists entries, newest first.
func (s *auditService) ListEntries(
	ctx context.Context, r *lifecyclev1.ListEntriesRequest,
) (*lifecyclev1.ListEntriesResponse, error) {
	rows, next, err := list(r, nil, func(p page) ([]audit.Entry, string, error) {
		return s.audit.List(ctx, audit.Filter{Model: r.GetModelName(), PageSize: p.size, PageToken: p.token})
	}, entryProto)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListEntriesResponse{Entries: rows, NextPageToken: next}, nil
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
