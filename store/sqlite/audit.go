package sqlite

import (
	"fmt"
	"math"
	"strings"

	"github.com/treeline-ml/treeline/store"
)

const selectAudit = `
SELECT seq, at, actor, auth_method, action, model, version, from_stage, to_stage, generation, reason, evidence_digest,
       request_id, prev_hash, hash
FROM audit `

func scanAudit(a *store.AuditRow) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&a.Seq, stamp{&a.At}, &a.Actor, &a.AuthMethod, &a.Action, &a.Model, &a.Version, &a.FromStage,
			&a.ToStage, &a.Generation, &a.Reason, &a.EvidenceDigest, &a.RequestID, &a.PrevHash, &a.Hash)
	}
}

func (r *reader) auditRows(query string, args ...any) ([]store.AuditRow, error) {
	var out []store.AuditRow
	err := r.each(func(row scanner) error {
		var a store.AuditRow
		if err := scanAudit(&a)(row); err != nil {
			return fmt.Errorf("audit row after seq %d: %w: %w", lastSeq(out), store.ErrCorrupt, err)
		}
		out = append(out, a)
		return nil
	}, query, args...)
	return out, err
}

func lastSeq(rows []store.AuditRow) int64 {
	if len(rows) == 0 {
		return 0
	}
	return rows[len(rows)-1].Seq
}

// AuditHead returns the recorded end of the chain.
func (r *reader) AuditHead() (store.AuditHead, error) {
	var h store.AuditHead
	err := r.one(fmt.Errorf("the record of the audit chain's end is gone: %w", store.ErrCorrupt),
		func(row scanner) error { return row.Scan(&h.Seq, &h.Hash) }, `SELECT seq, hash FROM audit_head WHERE id = 1`)
	return h, err
}

// Audit lists entries, newest first.
func (r *reader) Audit(q store.AuditQuery) ([]store.AuditRow, string, error) {
	before := int64(math.MaxInt64)
	scope := fmt.Sprintf("audit/%s/%d/%s", q.Model, q.Version, q.Action)
	if q.PageToken != "" {
		if err := openToken(scope, q.PageToken, &before); err != nil {
			return nil, "", err
		}
	}
	where, args := []string{`seq < ?`}, []any{before}
	if q.Model != "" {
		where, args = append(where, `model = ?`), append(args, q.Model)
	}
	if q.Version != 0 {
		where, args = append(where, `version = ?`), append(args, q.Version)
	}
	if q.Action != "" {
		where, args = append(where, `action = ?`), append(args, q.Action)
	}
	size := pageSize(q.PageSize)
	rows, err := r.auditRows(selectAudit+`WHERE `+strings.Join(where, ` AND `)+` ORDER BY seq DESC LIMIT ?`,
		append(args, size+1)...)
	if err != nil || len(rows) <= size {
		return rows, "", err
	}
	rows = rows[:size]
	token, err := sealToken(scope, lastSeq(rows))
	return rows, token, err
}

// WalkAudit visits all entries in order of seq, a page at a time, so that a long log needs little memory.
func (r *reader) WalkAudit(f func(store.AuditRow) error) error {
	const page = 512
	from := int64(math.MinInt64)
	for {
		rows, err := r.auditRows(selectAudit+`WHERE seq >= ? ORDER BY seq LIMIT ?`, from, page)
		for _, row := range rows {
			if err := f(row); err != nil {
				return err
			}
		}
		if err != nil || len(rows) < page {
			return err
		}
		from = lastSeq(rows) + 1
	}
}

// AppendAudit adds an entry. The table's triggers check that it continues the chain and move the head.
func (t *tx) AppendAudit(a store.AuditRow) error {
	_, err := t.exec(`
INSERT INTO audit (seq, at, actor, auth_method, action, model, version, from_stage, to_stage, generation, reason,
                   evidence_digest, request_id, prev_hash, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		a.Seq, at(a.At), a.Actor, a.AuthMethod, a.Action, a.Model, a.Version, a.FromStage, a.ToStage, a.Generation,
		a.Reason, a.EvidenceDigest, a.RequestID, a.PrevHash, a.Hash)
	return err
}
