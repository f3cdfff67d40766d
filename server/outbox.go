package server

import (
	"context"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/store"
)

// maxDeliveryIDs bounds the rows that one call replays by id.
const maxDeliveryIDs = 10000

// outboxService shows what is told to other systems.
type outboxService struct {
	lifecyclev1.UnimplementedOutboxServiceServer

	deliveries Deliveries
	reconciler Reconciler
}

// ListDeliveries lists outbox rows, newest first.
func (s *outboxService) ListDeliveries(
	ctx context.Context, r *lifecyclev1.ListDeliveriesRequest,
) (*lifecyclev1.ListDeliveriesResponse, error) {
	q := store.DeliveryQuery{Kind: r.GetKind()}
	rows, next, err := list(r, func(c *check) {
		c.line("kind", r.GetKind(), maxLabelBytes)
		q.State = c.deliveryState("state", r.GetState())
	}, func(p page) ([]store.OutboxRow, string, error) {
		q.PageSize, q.PageToken = p.size, p.token
		return s.deliveries.List(ctx, q)
	}, deliveryProto)
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ListDeliveriesResponse{Deliveries: rows, NextPageToken: next}, nil
}

// ReplayDeliveries puts dead letters back into the queue.
func (s *outboxService) ReplayDeliveries(
	ctx context.Context, r *lifecyclev1.ReplayDeliveriesRequest,
) (*lifecyclev1.ReplayDeliveriesResponse, error) {
	var c check
	c.line("kind", r.GetKind(), maxLabelBytes)
	c.actor("actor", r.GetActor())
	switch ids := r.GetDeliveryIds(); {
	case len(ids) > maxDeliveryIDs:
		c.failf("delivery_ids", "has %d entries, at most %d are accepted", len(ids), maxDeliveryIDs)
	case len(ids) == 0 && r.GetKind() == "":
		c.failf("kind", "is empty; name a kind, or deliveries by their ids")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	n, err := s.deliveries.Replay(ctx, r.GetKind(), r.GetDeliveryIds())
	if err != nil {
		return nil, err
	}
	return &lifecyclev1.ReplayDeliveriesResponse{Replayed: n}, nil
}

func (c *check) deliveryState(field string, s lifecyclev1.DeliveryState) string {
	switch s {
	case lifecyclev1.DeliveryState_DELIVERY_STATE_UNSPECIFIED:
		return ""
	case lifecyclev1.DeliveryState_DELIVERY_STATE_PENDING:
		return store.DeliveryPending
	case lifecyclev1.DeliveryState_DELIVERY_STATE_DELIVERED:
		return store.DeliveryDelivered
	case lifecyclev1.DeliveryState_DELIVERY_STATE_DEAD:
		return store.DeliveryDead
	default:
		c.failf(field, "is %d; use DELIVERY_STATE_PENDING, _DELIVERED or _DEAD, or leave it out", s)
		return ""
	}
}

func deliveryProto(o store.OutboxRow) *lifecyclev1.Delivery {
	return &lifecyclev1.Delivery{
		DeliveryId:    o.ID,
		Kind:          o.Kind,
		State:         deliveryStateProto(o.State()),
		Attempts:      int32(o.Attempts),
		CreatedAt:     timeProto(o.CreatedAt),
		DeliveredAt:   timeProto(o.DeliveredAt),
		NextAttemptAt: timeProto(o.NextAttemptAt),
		LastError:     o.LastError,
		Payload:       string(o.Payload),
	}
}

func deliveryStateProto(s string) lifecyclev1.DeliveryState {
	switch s {
	case store.DeliveryPending:
		return lifecyclev1.DeliveryState_DELIVERY_STATE_PENDING
	case store.DeliveryDelivered:
		return lifecyclev1.DeliveryState_DELIVERY_STATE_DELIVERED
	case store.DeliveryDead:
		return lifecyclev1.DeliveryState_DELIVERY_STATE_DEAD
	default:
		return lifecyclev1.DeliveryState_DELIVERY_STATE_UNSPECIFIED
	}
}
