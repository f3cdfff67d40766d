package promotion

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// OutboxKind marks the outbox rows of this package. Their key is the seq of the audit entry.
const OutboxKind = "promotion"

// outboxRow is the payload of an outbox row, with the public names of the stages.
type outboxRow struct {
	Model      string    `json:"model"`
	Version    int64     `json:"version"`
	Timestamp  time.Time `json:"timestamp"`
	PromotedBy string    `json:"promoted_by"`
	FromStage  string    `json:"from_stage"`
	ToStage    string    `json:"to_stage"`
}

// enqueue puts an audit entry into the outbox.
func enqueue(tx store.Tx, e audit.Entry) error {
	payload, err := json.Marshal(outboxRow{
		Model: e.Model, Version: e.Version, Timestamp: e.At, PromotedBy: e.Actor,
		FromStage: stage.Stage(e.FromStage).Title(), ToStage: stage.Stage(e.ToStage).Title(),
	})
	if err != nil {
		return err
	}
	_, err = tx.Enqueue(store.OutboxRow{Kind: OutboxKind, Key: e.Seq, Payload: payload, CreatedAt: e.At})
	return err
}

// Target takes promotion rows and ignores those that it has by Seq; warehouse.Warehouse is one.
type Target interface {
	MirrorPromotions(ctx context.Context, rows []warehouse.PromotionRow) error
}

// Mirror copies changes of Champion from the outbox to the warehouse, in order. It is the outbox's handler of
// OutboxKind; the warehouse knows rows by Seq, so that telling one twice shows it once.
type Mirror struct{ target Target }

var _ outbox.Blocking = (*Mirror)(nil)

// NewMirror returns a Mirror into target.
func NewMirror(target Target) *Mirror { return &Mirror{target: target} }

// Blocking is true: the table shows changes in the order in which they happened.
func (m *Mirror) Blocking() bool { return true }

// Deliver copies rows.
func (m *Mirror) Deliver(ctx context.Context, rows []store.OutboxRow) error {
	out := make([]warehouse.PromotionRow, len(rows))
	for i, row := range rows {
		var p outboxRow
		if err := json.Unmarshal(row.Payload, &p); err != nil {
			return outbox.Permanent(fmt.Errorf("outbox row %d: %w", row.ID, err))
		}
		out[i] = warehouse.PromotionRow{
			Seq: row.Key, Model: p.Model, Version: p.Version, Timestamp: p.Timestamp, PromotedBy: p.PromotedBy,
			FromStage: p.FromStage, ToStage: p.ToStage,
		}
	}
	if err := m.target.MirrorPromotions(ctx, out); err != nil {
		return fmt.Errorf("mirror %d promotions from seq %d: %w", len(out), out[0].Seq, err)
	}
	return nil
}
