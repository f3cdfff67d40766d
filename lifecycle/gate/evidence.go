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
	Format      int            `json:"format"` // 2; 1 had only the artifact and parity gates, both required
	Model       string         `json:"model"`
	Version     int64          `json:"version"`
	Digest      string         `json:"digest"`
	Engine      string         `json:"engine"`
	Policy      string         `json:"policy,omitempty"`   // digest of the configuration
	Holdout     string         `json:"holdout,omitempty"`  // digest of the holdout rows
	Champion    *opponent      `json:"champion,omitempty"` // that the version was compared with; nil when it was not
	Outcome     Outcome        `json:"outcome"`
	Explanation string         `json:"explanation"`
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
	Required bool              `json:"required"`

	WaivedBy     string           `json:"waived_by,omitempty"`
	WaivedReason string           `json:"waived_reason,omitempty"`
	Details      []evidenceDetail `json:"details,omitempty"`
}

type evidenceDetail struct {
	Name    string             `json:"name"`
	Outcome Outcome            `json:"outcome"`
	Summary string             `json:"summary"`
	Figures map[string]float64 `json:"figures"`
}

// opponent is the Champion that evidence is about; version 0 when there was none.
type opponent struct {
	Version int64  `json:"version"`
	Digest  string `json:"digest"`
}

func evidenceOf(gates []Result) []evidenceGate {
	out := make([]evidenceGate, 0, len(gates))
	for _, g := range gates {
		e := evidenceGate{
			Gate: g.Gate, Outcome: g.Outcome, Summary: g.Summary, Hint: g.Hint, Evidence: g.Evidence, Required: g.Required,
			WaivedBy: g.WaivedBy, WaivedReason: g.WaivedReason,
		}
		for _, d := range g.Details {
			e.Details = append(e.Details, evidenceDetail(d))
		}
		out = append(out, e)
	}
	return out
}

// results is the inverse of evidenceOf.
func (e *evidence) results() []Result {
	var out []Result
	for _, g := range e.Gates {
		r := Result{
			Gate: g.Gate, Outcome: g.Outcome, Summary: g.Summary, Hint: g.Hint, Evidence: g.Evidence,
			Required: g.Required || e.Format < 2, WaivedBy: g.WaivedBy, WaivedReason: g.WaivedReason,
		}
		for _, d := range g.Details {
			r.Details = append(r.Details, Detail(d))
		}
		out = append(out, r)
	}
	return out
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

// conclude stores the evidence of a run, moves the version and writes the audit entry, in one transaction.
func (s *Service) conclude(ctx context.Context, run *run, r Request) (Report, error) {
	e := evidence{
		Format: 2, Model: run.v.Model, Version: run.v.Version, Digest: run.v.Digest, Engine: engine.Build(),
		Policy: run.policy.Digest, Champion: run.champion,
	}
	if run.trial != nil {
		e.Holdout = run.trial.digest
	}
	return s.store(ctx, &e, run.gates, ruling{
		actor: r.Actor, authMethod: r.AuthMethod, requestID: r.RequestID, reason: summary(run.gates),
		action: func(from stage.Stage, o Outcome) (stage.Stage, string) {
			switch o {
			case Pass:
				return stage.Validated, stage.ActionValidate
			case Fail:
				return stage.Rejected, stage.ActionReject
			default:
				return from, stage.ActionValidate
			}
		},
		check: check,
	})
}

// ruling is who decides about a version, and what follows.
type ruling struct {
	actor, authMethod, requestID, reason string
	// action gives the stage that an outcome leads to and its name in the audit log.
	action func(from stage.Stage, o Outcome) (to stage.Stage, action string)
	// check looks at the version as it is in the transaction: the gates took a while, and someone may have moved it.
	check func(row store.Version) error
}

// store completes the evidence and makes it so.
func (s *Service) store(ctx context.Context, e *evidence, gates []Result, by ruling) (Report, error) {
	now := s.d.Now().UTC().Truncate(time.Microsecond)
	e.Outcome, e.Gates, e.ValidatedAt, e.Actor = overall(gates), evidenceOf(gates), now, by.actor
	e.Explanation = explain(e.Model, e.Version, gates)
	canonical, sum, err := e.encode()
	if err != nil {
		return Report{}, err
	}
	var report Report
	err = s.d.Store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.Version(e.Model, e.Version)
		if err != nil {
			return err
		}
		if err := by.check(row); err != nil {
			return err
		}
		m, err := tx.Model(e.Model)
		if err != nil {
			return err
		}
		from := stage.Stage(row.Stage)
		to, action := by.action(from, e.Outcome)
		if from != to {
			if err := tx.SetStage(e.Model, e.Version, string(from), string(to), now); err != nil {
				return err
			}
		}
		err = tx.PutEvidence(store.Evidence{
			Model: e.Model, Version: e.Version, Outcome: string(e.Outcome), Digest: sum, Report: canonical, At: now, Actor: by.actor,
		})
		if err != nil {
			return err
		}
		_, err = audit.Append(tx, audit.Entry{
			At: now, Actor: by.actor, AuthMethod: by.authMethod, Action: action, Model: e.Model, Version: e.Version,
			FromStage: string(from), ToStage: string(to), Generation: m.Generation, Reason: by.reason, EvidenceDigest: sum,
			RequestID: by.requestID,
		})
		if err != nil {
			return err
		}
		row, err = tx.Version(e.Model, e.Version)
		report = e.report(row, sum)
		return err
	})
	return report, err
}

// report is the evidence as callers read it.
func (e *evidence) report(row store.Version, digest string) Report {
	r := Report{
		Version: version.FromRow(row), Outcome: e.Outcome, Gates: e.results(), ValidatedAt: e.ValidatedAt, Actor: e.Actor,
		EvidenceDigest: digest, Explanation: e.Explanation,
	}
	if e.Format < 2 {
		r.Explanation = explain(e.Model, e.Version, r.Gates)
	}
	return r
}

// summary is the reason in the audit log: what the deciding gate said.
func summary(gates []Result) string {
	text := ""
	for _, want := range []Outcome{Fail, Inconclusive, Pass} {
		for _, g := range gates {
			if g.Outcome == want && text == "" && (g.Required || want == Pass) {
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
	row, e, digest, err := s.latest(ctx, model, v)
	if err != nil {
		return Report{}, err
	}
	return e.report(row, digest), nil
}

// latest reads the latest evidence of a version and checks it against its digest.
func (s *Service) latest(ctx context.Context, model string, v int64) (row store.Version, e evidence, sum string, err error) {
	var ev store.Evidence
	err = s.d.Store.View(ctx, func(tx store.Reader) (err error) {
		if ev, err = tx.Evidence(model, v); err != nil {
			return err
		}
		row, err = tx.Version(model, ev.Version)
		return err
	})
	if err != nil {
		return row, e, "", err
	}
	if got := digest(ev.Report); got != ev.Digest {
		return row, e, "", fmt.Errorf("the evidence of %s version %d has digest %s, not %s: %w", model, ev.Version, got, ev.Digest,
			store.ErrCorrupt)
	}
	if err := json.Unmarshal(ev.Report, &e); err != nil {
		return row, e, "", fmt.Errorf("the evidence of %s version %d: %w: %w", model, ev.Version, store.ErrCorrupt, err)
	}
	return row, e, ev.Digest, nil
}
