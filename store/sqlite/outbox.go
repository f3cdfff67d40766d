package sqlite

import (
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/store"
)

func (r *reader) outbox(where string, args ...any) ([]store.OutboxRow, error) {
	var out []store.OutboxRow
	err := r.each(func(row scanner) error {
		var o store.OutboxRow
		err := row.Scan(&o.ID, &o.Kind, &o.Key, &o.Payload, stamp{&o.CreatedAt}, stamp{&o.DeliveredAt}, &o.Attempts,
			&o.LastError)
		out = append(out, o)
		return err
	}, `SELECT id, kind, key, payload, created_at, delivered_at, attempts, last_error FROM outbox `+where, args...)
	return out, err
}

// Outbox lists undelivered rows of a kind, oldest first.
func (r *reader) Outbox(kind string, limit int) ([]store.OutboxRow, error) {
	return r.outbox(`WHERE delivered_at = '' AND kind = ? ORDER BY id LIMIT ?`, kind, limit)
}

// OutboxAll lists all rows, oldest first.
func (r *reader) OutboxAll() ([]store.OutboxRow, error) { return r.outbox(`ORDER BY id`) }

// Enqueue adds an undelivered row.
func (t *tx) Enqueue(o store.OutboxRow) (int64, error) {
	var id int64
	err := t.one(fmt.Errorf("outbox row %s %d has no id: %w", o.Kind, o.Key, store.ErrConflict),
		func(row scanner) error { return row.Scan(&id) },
		`INSERT INTO outbox (kind, key, payload, created_at) VALUES (?, ?, ?, ?) RETURNING id`,
		o.Kind, o.Key, blob(o.Payload), at(o.CreatedAt))
	return id, err
}

// Delivered marks rows as delivered.
func (t *tx) Delivered(ids []int64, when time.Time) error {
	for _, id := range ids {
		err := t.exactly(fmt.Errorf("outbox row %d is not there: %w", id, store.ErrConflict),
			`UPDATE outbox SET delivered_at = ?, attempts = attempts + 1, last_error = '' WHERE id = ?`, at(when), id)
		if err != nil {
			return err
		}
	}
	return nil
}

// Undelivered counts a failed attempt.
func (t *tx) Undelivered(ids []int64, message string) error {
	for _, id := range ids {
		err := t.exactly(fmt.Errorf("outbox row %d is not there: %w", id, store.ErrConflict),
			`UPDATE outbox SET attempts = attempts + 1, last_error = ? WHERE id = ?`, message, id)
		if err != nil {
			return err
		}
	}
	return nil
}
