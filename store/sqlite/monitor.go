package sqlite

import (
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

// Profile returns the statistics of a batch or training.
func (r *reader) Profile(model, kind, subject string) (store.Profile, error) {
	var p store.Profile
	err := r.one(fmt.Errorf("%s %s of %s: %w", kind, subject, model, store.ErrStatisticsNotFound),
		func(row scanner) error {
			return row.Scan(&p.Model, &p.Kind, &p.Subject, &p.Version, &p.Rows, stamp{&p.At}, &p.Body)
		}, `
SELECT model, kind, subject, version, rows, at, body FROM profile WHERE model = ? AND kind = ? AND subject = ?`,
		model, kind, subject)
	return p, err
}

// PutProfile stores statistics.
func (t *tx) PutProfile(p store.Profile) error {
	_, err := t.exec(`
INSERT INTO profile (model, kind, subject, version, rows, at, body) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (model, kind, subject) DO UPDATE SET version = excluded.version, rows = excluded.rows, at = excluded.at,
       body = excluded.body`,
		p.Model, p.Kind, p.Subject, p.Version, p.Rows, at(p.At), blob(p.Body))
	return err
}

func scanDrift(d *store.DriftRow) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&d.ID, &d.Model, &d.Version, &d.BatchID, &d.Reference, &d.Mode, &d.Verdict, float{&d.Share},
			stamp{&d.At}, &d.Body)
	}
}

// Drifts lists drift reports, newest first.
func (r *reader) Drifts(q store.DriftQuery) ([]store.DriftRow, string, error) {
	l := listing[store.DriftRow, int64]{
		from:  `SELECT id, model, version, batch_id, reference, mode, verdict, share, at, body FROM drift`,
		order: `id`, scan: scanDrift, key: func(d *store.DriftRow) int64 { return d.ID }, scope: "drift",
	}
	l.equal(`model`, q.Model)
	l.equal(`batch_id`, q.BatchID)
	return l.page(r, q.PageSize, q.PageToken)
}

// PutDrift adds a drift report.
func (t *tx) PutDrift(d store.DriftRow) (int64, error) {
	var id int64
	err := t.one(fmt.Errorf("drift report of %s has no id: %w", d.Model, store.ErrConflict),
		func(row scanner) error { return row.Scan(&id) }, `
INSERT INTO drift (model, version, batch_id, reference, mode, verdict, share, at, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		d.Model, d.Version, d.BatchID, d.Reference, d.Mode, d.Verdict, float{&d.Share}, at(d.At), blob(d.Body))
	return id, err
}
