package sqlite

import (
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

func scanDecision(d *store.Decision) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&d.ID, &d.Model, &d.Kind, stamp{&d.At}, &d.Outcome, &d.Reason, &d.Actor, &d.RunID,
			document{&d.Evidence})
	}
}

// Decisions lists decisions, newest first.
func (r *reader) Decisions(q store.DecisionQuery) ([]store.Decision, string, error) {
	l := listing[store.Decision, int64]{
		from: `SELECT id, model, kind, at, outcome, reason, actor, run_id, evidence FROM decision`, order: `id`,
		scan: scanDecision, key: func(d *store.Decision) int64 { return d.ID }, scope: "decision",
	}
	l.equal(`model`, q.Model)
	l.equal(`kind`, q.Kind)
	l.equal(`outcome`, q.Outcome)
	if !q.Since.IsZero() {
		l.scope += "/" + q.Since.UTC().Format(timeLayout)
		l.where, l.args = append(l.where, `at >= ?`), append(l.args, at(q.Since))
	}
	return l.page(r, q.PageSize, q.PageToken)
}

// PutDecision adds a decision.
func (t *tx) PutDecision(d store.Decision) (int64, error) {
	var id int64
	err := t.one(fmt.Errorf("decision of %s has no id: %w", d.Model, store.ErrConflict),
		func(row scanner) error { return row.Scan(&id) }, `
INSERT INTO decision (model, kind, at, outcome, reason, actor, run_id, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
RETURNING id`,
		d.Model, d.Kind, at(d.At), d.Outcome, d.Reason, d.Actor, d.RunID, document{d.Evidence})
	return id, err
}

// Schedules lists the schedules that have a state.
func (r *reader) Schedules() ([]store.Schedule, error) {
	var out []store.Schedule
	err := r.each(func(row scanner) error {
		var s store.Schedule
		err := row.Scan(&s.Model, &s.Job, stamp{&s.LastAt}, &s.LastOutcome, &s.Paused, &s.PauseReason)
		out = append(out, s)
		return err
	}, `SELECT model, job, last_at, last_outcome, paused, pause_reason FROM schedule ORDER BY model, job`)
	return out, err
}

// PutSchedule stores the state of a schedule.
func (t *tx) PutSchedule(s store.Schedule) error {
	_, err := t.exec(`
INSERT INTO schedule (model, job, last_at, last_outcome, paused, pause_reason) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (model, job) DO UPDATE SET last_at = excluded.last_at, last_outcome = excluded.last_outcome,
       paused = excluded.paused, pause_reason = excluded.pause_reason`,
		s.Model, s.Job, at(s.LastAt), s.LastOutcome, s.Paused, s.PauseReason)
	return err
}
