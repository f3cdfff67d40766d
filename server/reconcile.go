package server

import (
	"context"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/projection"
)

// ReconcileRegistry compares the external registry with the store.
func (s *outboxService) ReconcileRegistry(
	ctx context.Context, r *lifecyclev1.ReconcileRegistryRequest,
) (*lifecyclev1.ReconcileRegistryResponse, error) {
	var c check
	c.modelFilter("model_name", r.GetModelName())
	c.actor("actor", r.GetActor())
	if err := c.err(); err != nil {
		return nil, err
	}
	var (
		found   []projection.Divergence
		checked = 1
		err     error
	)
	if r.GetModelName() == "" {
		found, checked, err = s.reconciler.CheckAll(ctx, r.GetDryRun())
	} else {
		found, err = s.reconciler.Check(ctx, r.GetModelName(), r.GetDryRun())
	}
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ReconcileRegistryResponse{
		Divergences: each(found, divergenceProto), ModelsChecked: int32(checked),
	}, nil
}

func divergenceProto(d projection.Divergence) *lifecyclev1.Divergence {
	return &lifecyclev1.Divergence{
		ModelName: d.Model, Subject: d.Subject, Expected: d.Expected, Found: d.Found, Action: d.Action, Message: d.Message,
	}
}
