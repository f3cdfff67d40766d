package storetest

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/store"
)

func testDecisions(t *testing.T, open Open) {
	s := start(t, open)
	var want []store.Decision // newest first
	update(t, s, func(tx store.Tx) error {
		for i := range 5 {
			d := store.Decision{
				Model: []string{model, "other"}[i%2], Kind: []string{"drift", "manual"}[i/3], At: t0.Add(time.Duration(i) * time.Hour),
				Outcome: []string{"fired", "cooldown"}[i/4], Reason: "be\"cause", Actor: actor, RunID: "w", Evidence: map[string]string{"psi": "0.3", "ö": "\n"},
			}
			if i == 0 {
				d.Evidence, d.Actor, d.RunID = nil, "", ""
			}
			id, err := tx.PutDecision(d)
			if err != nil {
				return err
			}
			d.ID = id
			want = append([]store.Decision{d}, want...)
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		got := pages(t, func(token string) ([]store.Decision, string, error) {
			return r.Decisions(store.DecisionQuery{PageSize: 2, PageToken: token})
		})
		same(t, got, want)
		for _, c := range []struct {
			q    store.DecisionQuery
			want []store.Decision
		}{
			{store.DecisionQuery{Model: model}, []store.Decision{want[0], want[2], want[4]}},
			{store.DecisionQuery{Kind: "manual"}, want[:2]},
			{store.DecisionQuery{Outcome: "cooldown"}, want[:1]},
			{store.DecisionQuery{Since: t0.Add(3 * time.Hour)}, want[:2]},
			{store.DecisionQuery{Model: "other", Kind: "drift", Outcome: "fired", Since: t0}, want[3:4]},
			{store.DecisionQuery{Model: "x"}, nil},
		} {
			got, _, err := r.Decisions(c.q)
			same(t, got, c.want)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func testSchedules(t *testing.T, open Open) {
	s := start(t, open)
	a := store.Schedule{Model: model, Job: "train", LastAt: t0, LastOutcome: "fired", Paused: true, PauseReason: "ann: holidays"}
	b := store.Schedule{Model: model, Job: "batch_inference"}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutSchedule(a), tx.PutSchedule(b)) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Schedules()
		same(t, got, []store.Schedule{b, a})
		return err
	})
	a.Paused, a.PauseReason, a.LastAt, a.LastOutcome = false, "", t0.Add(time.Hour), "coalesced"
	update(t, s, func(tx store.Tx) error { return tx.PutSchedule(a) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Schedules()
		same(t, got, []store.Schedule{b, a})
		return err
	})
}

func testStatistics(t *testing.T, open Open) {
	s := start(t, open)
	p := store.Profile{Model: model, Kind: store.ProfileOfBatch, Subject: "b1", Version: 3, Rows: 1 << 40, At: t0, Body: []byte(`{"x":1}`)}
	other := store.Profile{Model: model, Kind: store.ProfileOfTraining, Subject: "b1", At: t0}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.PutProfile(p), tx.PutProfile(other)) })
	p.Version, p.Rows, p.At, p.Body = 4, 5, t0.Add(time.Hour), []byte(`{}`)
	update(t, s, func(tx store.Tx) error { return tx.PutProfile(p) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Profile(model, store.ProfileOfBatch, "b1")
		same(t, got, p)
		got, err2 := r.Profile(model, store.ProfileOfTraining, "b1")
		same(t, got, other)
		_, missing := r.Profile(model, store.ProfileOfBatch, "b2")
		wantErr(t, missing, store.ErrStatisticsNotFound)
		return errors.Join(err, err2)
	})
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutProfile(store.Profile{Model: model, Kind: "other", Subject: "x"})
	}), store.ErrConflict)

	var want []store.DriftRow
	update(t, s, func(tx store.Tx) error {
		for i := range 4 {
			d := store.DriftRow{
				Model: []string{model, "other"}[i/3], Version: int64(i), BatchID: fmt.Sprint("b", i%2), Reference: "training 3", Mode: "psi",
				Verdict: "drift", Share: []float64{.25, math.NaN(), 0, 1}[i], At: t0, Body: []byte(`{"y":2}`),
			}
			id, err := tx.PutDrift(d)
			if err != nil {
				return err
			}
			d.ID = id
			want = append([]store.DriftRow{d}, want...)
		}
		return nil
	})
	view(t, s, func(r store.Reader) error {
		got := pages(t, func(token string) ([]store.DriftRow, string, error) {
			return r.Drifts(store.DriftQuery{PageSize: 3, PageToken: token})
		})
		same(t, got, want)
		got, _, err := r.Drifts(store.DriftQuery{Model: model, BatchID: "b0"})
		same(t, got, []store.DriftRow{want[1], want[3]})
		return err
	})
}
