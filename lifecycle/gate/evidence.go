package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/store"
)

// evidence is the stored form of a report.
type evidence struct {
	Format      int            `json:"format"` // 1
	Model       string         `json:"model"`
	Version     int64          `json:"version"`
	Digest      string         `json:"digest"`
	Engine      string         `json:"engine"`
	Outcome     Outcome        `json:"outcome"`
	Gates       []evidenceGate `json:"gates"`
	ValidatedAt time.Time      `json:"validated_at"` // UTC, microseconds
	Actor       string         `json:"actor"`
}

type evidenceGate struct {
	Gate     string            `json:"gate"`
	Outcome  Outcome           `json:"outcome"`
	Summary  string            `json:"summary"`
	Hint     string            `json:"hint"`
	Evidence map[string]string `json:"evidence"`
}

// encode returns the canonical JSON and its digest.
func (e evidence) encode() ([]byte, string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, "", err
	}
	canonical := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return canonical, digest(canonical), nil
}

func digest(b []byte) string {
	h := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(h[:])
}

// conclude stores the evidence, moves the version and writes the audit entry, in one transaction.
func (s *Service) conclude(ctx context.Context, v version.Version, r Request, gates []Result) (Report, error) {
	now := s.d.Now().UTC().Truncate(time.Microsecond)
	report := Report{Outcome: overall(gates), Gates: gates, ValidatedAt: now, Actor: r.Actor}
	e := evidence{
		Format: 1, Model: v.Model, Version: v.Version, Digest: v.Digest, Engine: engine.Build(), Outcome: report.Outcome,
		ValidatedAt: now, Actor: r.Actor,
	}
	for _, g := range gates {
		e.Gates = append(e.Gates, evidenceGate{
			Gate: g.Gate, Outcome: g.Outcome, Summary: g.Summary, Hint: g.Hint, Evidence: g.Evidence,
		})
	}
	canonical, sum, err := e.encode()
	if err != nil {
		return Report{}, err
	}
	report.EvidenceDigest = sum
	err = s.d.Store.Update(ctx, func(tx store.Tx) error {
		// The gates took a while: someone may have moved the version meanwhile.
		row, err := tx.Version(v.Model, v.Version)
		if err != nil {
			return err
		}
		if err := check(row); err != nil {
			return err
		}
		m, err := tx.Model(v.Model)
		if err != nil {
			return err
		}
		from, to, action := stage.Stage(row.Stage), stage.Stage(row.Stage), stage.ActionValidate
		switch report.Outcome {
		case Pass:
			to = stage.Validated
		case Fail:
			to, action = stage.Rejected, stage.ActionReject
		case Inconclusive:
		}
		if from != to {
			if err := tx.SetStage(v.Model, v.Version, string(from), string(to), now); err != nil {
				return err
			}
		}
		err = tx.PutEvidence(store.Evidence{
			Model: v.Model, Version: v.Version, Outcome: string(report.Outcome), Digest: sum, Report: canonical, At: now,
			Actor: r.Actor,
		})
		if err != nil {
			return err
		}
		_, err = audit.Append(tx, audit.Entry{
			At: now, Actor: r.Actor, AuthMethod: r.AuthMethod, Action: action, Model: v.Model, Version: v.Version,
			FromStage: string(from), ToStage: string(to), Generation: m.Generation, Reason: summary(gates),
			EvidenceDigest: sum, RequestID: r.RequestID,
		})
		if err != nil {
			return err
		}
		row, err = tx.Version(v.Model, v.Version)
		report.Version = version.FromRow(row)
		return err
	})
	return report, err
}

// summary is the reason in the audit log: what the deciding gate said.
func summary(gates []Result) string {
	text := ""
	for _, want := range []Outcome{Fail, Inconclusive, Pass} {
		for _, g := range gates {
			if g.Outcome == want && text == "" {
				text = fmt.Sprintf("%s %s: %s", g.Gate, g.Outcome, g.Summary)
			}
		}
	}
	return clip(text, audit.MaxText)
}

// clip cuts a text to a number of bytes, between characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := 0
	for i := range s {
		if i <= most-3 {
			cut = i
		}
	}
	return s[:cut] + "..."
}

// Report returns the latest report on a version; 0 means the newest version that has one. It fails with
// store.ErrModelNotFound, store.ErrVersionNotFound, store.ErrNoEvidence, or store.ErrCorrupt when the stored evidence is
// not what its digest says.
func (s *Service) Report(ctx context.Context, model string, v int64) (Report, error) {
	var (
		row store.Version
		ev  store.Evidence
	)
	err := s.d.Store.View(ctx, func(tx store.Reader) (err error) {
		if ev, err = tx.Evidence(model, v); err != nil {
			return err
		}
		row, err = tx.Version(model, ev.Version)
		return err
	})
	if err != nil {
		return Report{}, err
	}
	if got := digest(ev.Report); got != ev.Digest {
		return Report{}, fmt.Errorf("the evidence of %s version %d has digest %s, not %s: %w", model, ev.Version, got,
			ev.Digest, store.ErrCorrupt)
	}
	var e evidence
	if err := json.Unmarshal(ev.Report, &e); err != nil {
		return Report{}, fmt.Errorf("the evidence of %s version %d: %w: %w", model, ev.Version, store.ErrCorrupt, err)
	}
	report := Report{
		Version: version.FromRow(row), Outcome: e.Outcome, ValidatedAt: e.ValidatedAt, Actor: e.Actor,
		EvidenceDigest: ev.Digest,
	}
	for _, g := range e.Gates {
		report.Gates = append(report.Gates, Result{
			Gate: g.Gate, Outcome: g.Outcome, Summary: g.Summary, Hint: g.Hint, Evidence: g.Evidence,
		})
	}
	return report, nil
}
