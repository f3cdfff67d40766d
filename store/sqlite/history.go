package sqlite

import (
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/store"
)

const selectPeriod = `
SELECT model, generation, version, below, since, until, action, actor, reason, audit_seq
FROM champion_period `

func scanPeriod(p *store.Period) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&p.Model, &p.Generation, &p.Version, &p.Below, stamp{&p.Since}, stamp{&p.Until}, &p.Action,
			&p.Actor, &p.Reason, &p.AuditSeq)
	}
}

// Periods lists a model's champion history, newest first.
func (r *reader) Periods(model string) ([]store.Period, error) {
	if _, err := r.Model(model); err != nil {
		return nil, err
	}
	var out []store.Period
	err := r.each(func(row scanner) error {
		var p store.Period
		err := scanPeriod(&p)(row)
		out = append(out, p)
		return err
	}, selectPeriod+`WHERE model = ? ORDER BY generation DESC`, model)
	return out, err
}

// OpenPeriod returns the period of the present Champion.
func (r *reader) OpenPeriod(model string) (store.Period, error) {
	var p store.Period
	if _, err := r.Model(model); err != nil {
		return p, err
	}
	err := r.one(fmt.Errorf("%s: %w", model, store.ErrNoChampion), scanPeriod(&p),
		selectPeriod+`WHERE model = ? AND until = ''`, model)
	return p, err
}

// BeginPeriod adds an open period.
func (t *tx) BeginPeriod(p store.Period) error {
	_, err := t.exec(`
INSERT INTO champion_period (model, generation, version, below, since, until, action, actor, reason, audit_seq)
VALUES (?, ?, ?, ?, ?, '', ?, ?, ?, ?)`,
		p.Model, p.Generation, p.Version, p.Below, at(p.Since), p.Action, p.Actor, p.Reason, p.AuditSeq)
	return err
}

// EndPeriod closes the open period.
func (t *tx) EndPeriod(model string, until time.Time) error {
	return t.exactly(fmt.Errorf("%s: %w", model, store.ErrNoChampion),
		`UPDATE champion_period SET until = ? WHERE model = ? AND until = ''`, at(until), model)
}

// Evidence returns the latest evidence of a version, or of the newest version that has any.
func (r *reader) Evidence(model string, version int64) (store.Evidence, error) {
	const columns = `SELECT id, model, version, outcome, digest, report, at, actor FROM evidence `
	var e store.Evidence
	scan := func(row scanner) error {
		return row.Scan(&e.ID, &e.Model, &e.Version, &e.Outcome, &e.Digest, &e.Report, stamp{&e.At}, &e.Actor)
	}
	if version == 0 {
		if _, err := r.Model(model); err != nil {
			return e, err
		}
		err := r.one(fmt.Errorf("%s: %w", model, store.ErrNoEvidence), scan,
			columns+`WHERE model = ? ORDER BY version DESC, id DESC LIMIT 1`, model)
		return e, err
	}
	if _, err := r.Version(model, version); err != nil {
		return e, err
	}
	err := r.one(fmt.Errorf("%s version %d: %w", model, version, store.ErrNoEvidence), scan,
		columns+`WHERE model = ? AND version = ? ORDER BY id DESC LIMIT 1`, model, version)
	return e, err
}

// PutEvidence adds evidence.
func (t *tx) PutEvidence(e store.Evidence) error {
	_, err := t.exec(`INSERT INTO evidence (model, version, outcome, digest, report, at, actor)
VALUES (?, ?, ?, ?, ?, ?, ?)`, e.Model, e.Version, e.Outcome, e.Digest, blob(e.Report), at(e.At), e.Actor)
	return err
}
