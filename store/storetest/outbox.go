package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/store"
)

func testDeadLetters(t *testing.T, open Open) {
	s := start(t, open)
	var ids []int64
	update(t, s, func(tx store.Tx) error {
		for i, kind := range []string{"a", "a", "a", "b", "a"} {
			id, err := tx.Enqueue(store.OutboxRow{Kind: kind, Key: int64(i), CreatedAt: t0})
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	later := t0.Add(time.Hour)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Undelivered(ids[:1], "busy", later, false), tx.Undelivered(ids[1:2], "never", t0, true),
			tx.Delivered(ids[4:], t0))
	})
	keys := func(rows []store.OutboxRow) (out []int64) {
		for _, r := range rows {
			out = append(out, r.Key)
		}
		return out
	}
	view(t, s, func(r store.Reader) error {
		for _, c := range []struct {
			now  time.Time
			want []int64
		}{{t0, []int64{2}}, {later.Add(-1), []int64{2}}, {later, []int64{0, 2}}, {time.Time{}, []int64{0, 1, 2}}} {
			rows, err := r.Outbox("a", c.now, 10)
			same(t, keys(rows), c.want)
			if err != nil {
				return err
			}
		}
		kinds, err := r.OutboxKinds()
		same(t, kinds, []string{"a", "b"})
		next, pending, err2 := r.OutboxNext("a")
		same(t, pending, true)
		same(t, next, time.Time{})
		_, pending, err3 := r.OutboxNext("c")
		same(t, pending, false)
		row, err4 := r.Delivery(ids[1])
		same(t, row, store.OutboxRow{ID: ids[1], Kind: "a", Key: 1, CreatedAt: t0, Attempts: 1, LastError: "never", DeadAt: t0})
		_, missing := r.Delivery(99)
		wantErr(t, missing, store.ErrDeliveryNotFound)
		for state, want := range map[string][]int64{
			"": {4, 3, 2, 1, 0}, store.DeliveryPending: {3, 2, 0}, store.DeliveryDead: {1}, store.DeliveryDelivered: {4}, "other": nil,
		} {
			rows := pages(t, func(token string) ([]store.OutboxRow, string, error) {
				return r.Deliveries(store.DeliveryQuery{State: state, PageSize: 2, PageToken: token})
			})
			same(t, keys(rows), want)
			for _, row := range rows {
				if got := row.State(); state != "" && got != state {
					t.Errorf("row %d is %s in the listing of %s", row.Key, got, state)
				}
			}
		}
		rows, _, err5 := r.Deliveries(store.DeliveryQuery{Kind: "b"})
		same(t, keys(rows), []int64{3})
		return errors.Join(err, err2, err3, err4, err5)
	})

	for id, want := range map[int64]error{ids[0]: store.ErrConflict, ids[4]: store.ErrConflict, 99: store.ErrDeliveryNotFound} {
		wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.Replay([]int64{ids[1], id}) }), want)
	}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Replay(ids[1:2]), tx.Discard(ids[2:4], later, "nobody"))
	})
	view(t, s, func(r store.Reader) error {
		row, err := r.Delivery(ids[1])
		same(t, row, store.OutboxRow{ID: ids[1], Kind: "a", Key: 1, CreatedAt: t0, LastError: "never"})
		gone, err2 := r.Delivery(ids[2])
		same(t, gone, store.OutboxRow{ID: ids[2], Kind: "a", Key: 2, CreatedAt: t0, DeliveredAt: later, LastError: "nobody"})
		return errors.Join(err, err2)
	})
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.Delivered(ids[:2], later)) })
	view(t, s, func(r store.Reader) error {
		kinds, err := r.OutboxKinds()
		same(t, kinds, []string(nil))
		row, err2 := r.Delivery(ids[0])
		same(t, row, store.OutboxRow{ID: ids[0], Kind: "a", CreatedAt: t0, DeliveredAt: later, Attempts: 2})
		return errors.Join(err, err2)
	})
}

func testAlerts(t *testing.T, open Open) {
	s := start(t, open)
	a := store.AlertRow{Key: "churn/train", Severity: "page", Model: model, Version: 3, Title: "failed", OpenedAt: t0, LastAt: t0, Count: 1}
	raise := func(tx store.Tx) (err error) {
		a.ID, err = tx.InsertAlert(a)
		return err
	}
	update(t, s, raise)
	first := a.ID
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { _, err := tx.InsertAlert(a); return err }), store.ErrConflict)
	a.Count, a.LastAt = 2, t0.Add(time.Hour)
	update(t, s, func(tx store.Tx) error { return tx.UpdateAlert(a) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Alert(a.Key)
		same(t, got, a)
		_, missing := r.Alert("x")
		wantErr(t, missing, store.ErrAlertNotFound)
		return err
	})
	a.ResolvedAt = t0.Add(2 * time.Hour)
	update(t, s, func(tx store.Tx) error { return tx.UpdateAlert(a) })
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateAlert(a) }), store.ErrAlertNotFound)
	view(t, s, func(r store.Reader) error {
		_, missing := r.Alert(a.Key)
		wantErr(t, missing, store.ErrAlertNotFound)
		return nil
	})
	a.ResolvedAt = time.Time{}
	update(t, s, raise)
	if a.ID <= first {
		t.Errorf("the second alert has id %d after %d", a.ID, first)
	}
}
