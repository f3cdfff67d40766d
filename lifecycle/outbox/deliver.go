package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// group is the most rows of one delivery.
const group = 256

// maxMessage bounds the error that is kept with a row, in bytes.
const maxMessage = 4096

// nobody is the LastError of a row whose kind has no handler.
const nobody = "nobody is configured to receive this kind"

type permanent struct{ err error }

func (p permanent) Error() string { return p.err.Error() }
func (p permanent) Unwrap() error { return p.err }

// Permanent marks an error of a delivery that trying again would not help: the row becomes a dead letter at once. When
// it is about several rows, they are tried one at a time to find those that it is about.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

// IsPermanent reports whether err was marked by Permanent.
func IsPermanent(err error) bool { return errors.As(err, new(permanent)) }

// Partial is the error of a delivery that told some rows: those that are not in Failed.
type Partial struct { //nolint:errname // outbox.Partial reads well
	Failed map[int64]error // by OutboxRow.ID
}

// Error names the number of rows and one of the errors.
func (p *Partial) Error() string {
	least := int64(-1)
	for id := range p.Failed {
		if least < 0 || id < least {
			least = id
		}
	}
	return fmt.Sprintf("%d rows not delivered; row %d: %v", len(p.Failed), least, p.Failed[least])
}

// Unwrap returns the errors of the rows.
func (p *Partial) Unwrap() []error { return slices.Collect(maps.Values(p.Failed)) }

// due reads the next rows that may go out, and when to look again if there is none.
func (r *Relay) due(ctx context.Context, q *queue, now time.Time) (rows []store.OutboxRow, next time.Time, err error) {
	err = r.d.Store.View(ctx, func(s store.Reader) error {
		switch {
		case q == r.idle:
			rows, err = r.unclaimed(s)
		case q.blocks:
			rows, err = s.Outbox(q.kind, time.Time{}, group)
			rows, next = head(rows, now)
		default:
			rows, err = s.Outbox(q.kind, now, group)
			if err == nil && len(rows) == 0 {
				next, _, err = s.OutboxNext(q.kind)
			}
		}
		return err
	})
	return rows, next, err
}

// head cuts the undelivered rows of a blocking kind to those that may go out now.
func head(rows []store.OutboxRow, now time.Time) ([]store.OutboxRow, time.Time) {
	for i := range rows {
		if !rows[i].DeadAt.IsZero() {
			rows = rows[:i]
			break
		}
	}
	if len(rows) > 0 && rows[0].NextAttemptAt.After(now) {
		return nil, rows[0].NextAttemptAt
	}
	return rows, time.Time{}
}

// unclaimed reads rows of the kinds that have no handler.
func (r *Relay) unclaimed(s store.Reader) ([]store.OutboxRow, error) {
	kinds, err := s.OutboxKinds()
	for _, kind := range kinds {
		if r.kinds[kind] == nil && err == nil {
			return s.Outbox(kind, never, group)
		}
	}
	return nil, err
}

// deliver hands rows to the handler and notes what became of them. failed is the handler's error, err the store's, or
// that the context ended and nothing was noted.
func (r *Relay) deliver(ctx context.Context, q *queue, rows []store.OutboxRow) (failed, err error) {
	if q == r.idle {
		return nil, r.d.Store.Update(ctx, func(tx store.Tx) error { return tx.Discard(ids(rows), r.d.Now(), nobody) })
	}
	failed = q.handler.Deliver(ctx, rows)
	if failed != nil && ctx.Err() != nil {
		return failed, ctx.Err() // stopped, not refused
	}
	var part *Partial
	switch {
	case failed == nil:
		err = r.note(ctx, rows, nil)
	case errors.As(failed, &part):
		err = r.note(ctx, rows, part.Failed)
	case IsPermanent(failed) && len(rows) > 1:
		return r.each(ctx, q, rows)
	default:
		each := make(map[int64]error, len(rows))
		for _, row := range rows {
			each[row.ID] = failed
		}
		err = r.note(ctx, rows, each)
	}
	r.log(ctx, q, rows, failed)
	return failed, err
}

// each delivers rows one at a time; of a blocking kind, up to the first that fails.
func (r *Relay) each(ctx context.Context, q *queue, rows []store.OutboxRow) (failed, err error) {
	for i := range rows {
		f, err := r.deliver(ctx, q, rows[i:i+1])
		failed = errors.Join(failed, f)
		if err != nil || (f != nil && q.blocks) {
			return failed, err
		}
	}
	return failed, nil
}

// note writes down what became of rows.
func (r *Relay) note(ctx context.Context, rows []store.OutboxRow, failed map[int64]error) error {
	// A kill here delivers the rows once more, which the receiver ignores.
	return r.d.Store.Update(ctx, func(tx store.Tx) error {
		now := r.d.Now()
		var told []int64
		for _, row := range rows {
			err, bad := failed[row.ID]
			if !bad {
				told = append(told, row.ID)
				continue
			}
			message := fmt.Sprint(err)
			if len(message) > maxMessage {
				message = strings.ToValidUTF8(message[:maxMessage], "")
			}
			next, dead := now.Add(r.wait(row.Attempts)), r.gaveUp(&row, err)
			if dead {
				next = now
			}
			if err := tx.Undelivered([]int64{row.ID}, message, next, dead); err != nil {
				return err
			}
		}
		return tx.Delivered(told, now)
	})
}

func (r *Relay) gaveUp(row *store.OutboxRow, err error) bool {
	return IsPermanent(err) || (!r.kinds[row.Kind].blocks && row.Attempts+1 >= r.d.MaxAttempts)
}

// wait doubles from MinRetry to MaxRetry with the number of earlier failures.
func (r *Relay) wait(failures int) time.Duration {
	d := r.d.MinRetry
	for i := 0; i < failures && d < r.d.MaxRetry; i++ {
		d *= 2
	}
	d = min(d, r.d.MaxRetry)
	return d/2 + time.Duration(float64(d/2)*r.d.Jitter())
}

// log says when a kind begins to fail, each row that was given up, and when all is well again.
func (r *Relay) log(ctx context.Context, q *queue, rows []store.OutboxRow, failed error) {
	l := r.d.Logger.With("kind", q.kind, "rows", len(rows), "first_id", rows[0].ID)
	switch {
	case failed != nil && (IsPermanent(failed) || (!q.blocks && rows[0].Attempts+1 >= r.d.MaxAttempts)):
		l.ErrorContext(ctx, "delivery given up; replay it when its cause is gone", "error", failed)
	case failed != nil:
		l.WarnContext(ctx, "not delivered; trying again", "error", failed, "attempts", rows[0].Attempts+1)
	case q.failing:
		l.InfoContext(ctx, "delivered again")
	}
	q.failing = failed != nil
}

func ids(rows []store.OutboxRow) []int64 {
	out := make([]int64, len(rows))
	for i, row := range rows {
		out[i] = row.ID
	}
	return out
}
