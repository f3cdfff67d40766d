package sqlite

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/treeline-ml/treeline/store"
)

const selectOutbox = `
SELECT id, kind, key, payload, created_at, delivered_at, attempts, last_error, next_attempt_at, dead_at
FROM outbox`

func scanOutbox(o *store.OutboxRow) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&o.ID, &o.Kind, &o.Key, &o.Payload, stamp{&o.CreatedAt}, stamp{&o.DeliveredAt}, &o.Attempts,
			&o.LastError, stamp{&o.NextAttemptAt}, stamp{&o.DeadAt})
	}
}

func (r *reader) outbox(where string, args ...any) ([]store.OutboxRow, error) {
	var out []store.OutboxRow
	err := r.each(func(row scanner) error {
		var o store.OutboxRow
		err := scanOutbox(&o)(row)
		out = append(out, o)
		return err
	}, selectOutbox+where, args...)
	return out, err
}

// Outbox lists the due rows of a kind, or all undelivered ones, oldest first.
func (r *reader) Outbox(kind string, now time.Time, limit int) ([]store.OutboxRow, error) {
	if now.IsZero() {
		return r.outbox(` WHERE delivered_at = '' AND kind = ? ORDER BY id LIMIT ?`, kind, limit)
	}
	return r.outbox(` WHERE delivered_at = '' AND kind = ? AND dead_at = '' AND next_attempt_at <= ? ORDER BY id LIMIT ?`,
		kind, at(now), limit)
}

// OutboxNext returns when the first pending row of a kind is due.
func (r *reader) OutboxNext(kind string) (next time.Time, pending bool, err error) {
	none := errors.New("none")
	err = r.one(none, func(row scanner) error { return row.Scan(stamp{&next}) }, `
SELECT next_attempt_at FROM outbox WHERE delivered_at = '' AND dead_at = '' AND kind = ? ORDER BY next_attempt_at LIMIT 1`,
		kind)
	if err == none { //nolint:errorlint // this very value
		return next, false, nil
	}
	return next, err == nil, err
}

// OutboxKinds lists the kinds that have pending rows.
func (r *reader) OutboxKinds() ([]string, error) {
	var out []string
	err := r.each(func(row scanner) error {
		var kind string
		err := row.Scan(&kind)
		out = append(out, kind)
		return err
	}, `SELECT DISTINCT kind FROM outbox WHERE delivered_at = '' AND dead_at = '' ORDER BY kind`)
	return out, err
}

// OutboxAll lists all rows, oldest first.
func (r *reader) OutboxAll() ([]store.OutboxRow, error) { return r.outbox(` ORDER BY id`) }

// Deliveries lists rows, newest first.
func (r *reader) Deliveries(q store.DeliveryQuery) ([]store.OutboxRow, string, error) {
	l := listing[store.OutboxRow, int64]{
		from: selectOutbox, order: `id`, scan: scanOutbox, key: func(o *store.OutboxRow) int64 { return o.ID },
		scope: "delivery/" + q.State,
	}
	l.equal(`kind`, q.Kind)
	switch q.State {
	case "":
	case store.DeliveryPending:
		l.where = append(l.where, `delivered_at = ''`, `dead_at = ''`)
	case store.DeliveryDelivered:
		l.where = append(l.where, `delivered_at <> ''`)
	case store.DeliveryDead:
		l.where = append(l.where, `delivered_at = ''`, `dead_at <> ''`)
	default:
		l.where = append(l.where, `false`)
	}
	return l.page(r, q.PageSize, q.PageToken)
}

// Delivery returns a row by id.
func (r *reader) Delivery(id int64) (store.OutboxRow, error) {
	var o store.OutboxRow
	err := r.one(fmt.Errorf("%d: %w", id, store.ErrDeliveryNotFound), scanOutbox(&o), selectOutbox+` WHERE id = ?`, id)
	return o, err
}

// Enqueue adds a pending row.
func (t *tx) Enqueue(o store.OutboxRow) (int64, error) {
	var id int64
	err := t.one(fmt.Errorf("outbox row %s %d has no id: %w", o.Kind, o.Key, store.ErrConflict),
		func(row scanner) error { return row.Scan(&id) },
		`INSERT INTO outbox (kind, key, payload, created_at) VALUES (?, ?, ?, ?) RETURNING id`,
		o.Kind, o.Key, blob(o.Payload), at(o.CreatedAt))
	return id, err
}

// change runs one change for each row, which must be there.
func (t *tx) change(ids []int64, query string, args ...any) error {
	for _, id := range ids {
		err := t.exactly(fmt.Errorf("outbox row %d is not there: %w", id, store.ErrConflict), query+` WHERE id = ?`,
			append(slices.Clip(args), id)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// Delivered marks rows as delivered.
func (t *tx) Delivered(ids []int64, when time.Time) error {
	return t.change(ids, `
UPDATE outbox SET delivered_at = ?, attempts = attempts + 1, last_error = '', next_attempt_at = '', dead_at = ''`, at(when))
}

// Discard marks rows as delivered to nobody.
func (t *tx) Discard(ids []int64, when time.Time, reason string) error {
	return t.change(ids, `
UPDATE outbox SET delivered_at = ?, last_error = ?, next_attempt_at = '', dead_at = ''`, at(when), reason)
}

// Undelivered counts a failed attempt.
func (t *tx) Undelivered(ids []int64, message string, next time.Time, dead bool) error {
	if dead {
		return t.change(ids, `
UPDATE outbox SET attempts = attempts + 1, last_error = ?, next_attempt_at = '', dead_at = ?`, message, at(next))
	}
	return t.change(ids, `UPDATE outbox SET attempts = attempts + 1, last_error = ?, next_attempt_at = ?`, message, at(next))
}

// Replay makes dead rows pending.
func (t *tx) Replay(ids []int64) error {
	for _, id := range ids {
		o, err := t.Delivery(id)
		if err != nil {
			return err
		}
		if o.State() != store.DeliveryDead {
			return fmt.Errorf("delivery %d is %s; only dead ones are replayed: %w", id, o.State(), store.ErrConflict)
		}
	}
	return t.change(ids, `UPDATE outbox SET attempts = 0, next_attempt_at = '', dead_at = ''`)
}

// Alert returns the unresolved alert with a key.
func (r *reader) Alert(key string) (store.AlertRow, error) {
	var a store.AlertRow
	err := r.one(fmt.Errorf("%.80q: %w", key, store.ErrAlertNotFound), func(row scanner) error {
		return row.Scan(&a.ID, &a.Key, &a.Severity, &a.Model, &a.Version, &a.Title, stamp{&a.OpenedAt}, stamp{&a.LastAt},
			&a.Count, stamp{&a.ResolvedAt})
	}, `
SELECT id, key, severity, model, version, title, opened_at, last_at, count, resolved_at FROM alert
WHERE key = ? AND resolved_at = ''`, key)
	return a, err
}

// InsertAlert adds an unresolved alert.
func (t *tx) InsertAlert(a store.AlertRow) (int64, error) {
	var id int64
	err := t.one(fmt.Errorf("alert %.80q has no id: %w", a.Key, store.ErrConflict),
		func(row scanner) error { return row.Scan(&id) }, `
INSERT INTO alert (key, severity, model, version, title, opened_at, last_at, count, resolved_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, '') RETURNING id`,
		a.Key, a.Severity, a.Model, a.Version, a.Title, at(a.OpenedAt), at(a.LastAt), a.Count)
	return id, err
}

// UpdateAlert counts or resolves an alert.
func (t *tx) UpdateAlert(a store.AlertRow) error {
	return t.exactly(fmt.Errorf("alert %d: %w", a.ID, store.ErrAlertNotFound),
		`UPDATE alert SET last_at = ?, count = ?, resolved_at = ? WHERE id = ? AND resolved_at = ''`,
		at(a.LastAt), a.Count, at(a.ResolvedAt), a.ID)
}
