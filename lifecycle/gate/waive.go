package gate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
)

// Waive stores new evidence in which the named gates are waived by the actor for the reason, and moves a Trained or
// Rejected version to Validated when nothing else stands in the way. The figures of the gates stay as they were measured.
// It fails with ErrInvalid without a reason or an actor, ErrNotWaivable for the artifact and parity gates and for gates that
// do not stand in the way, stage.ErrWrong when the evidence is about another artifact or configuration or the version is in
// another stage, store.ErrNoEvidence, store.ErrModelNotFound or store.ErrVersionNotFound; nothing is changed then.
func (s *Service) Waive(ctx context.Context, r WaiveRequest) (Report, error) {
	reason := strings.TrimSpace(r.Reason)
	switch {
	case reason == "":
		return Report{}, fmt.Errorf("%w: a waiver needs a reason; it goes to the audit log", ErrInvalid)
	case strings.TrimSpace(r.Actor) == "":
		return Report{}, fmt.Errorf("%w: a waiver needs the name of who waives", ErrInvalid)
	case len(reason) > audit.MaxText:
		return Report{}, fmt.Errorf("%w: the reason has %d bytes, at most %d", ErrInvalid, len(reason), audit.MaxText)
	}
	row, e, _, err := s.latest(ctx, r.Model, r.Version)
	if err != nil {
		return Report{}, err
	}
	if err := s.waivable(row, &e); err != nil {
		return Report{}, err
	}
	gates := e.results()
	if err := waive(gates, r, reason); err != nil {
		return Report{}, err
	}
	e.Format = 2
	report, err := s.store(ctx, &e, gates, ruling{
		actor: r.Actor, authMethod: r.AuthMethod, requestID: r.RequestID, reason: reason,
		action: func(from stage.Stage, o Outcome) (stage.Stage, string) {
			if o == Pass {
				return stage.Validated, stage.ActionWaive
			}
			return from, stage.ActionWaive
		},
		check: func(row store.Version) error { return s.waivable(row, &e) },
	})
	if errors.Is(err, store.ErrConflict) {
		return Report{}, fmt.Errorf("%w: the files of %s version %d were registered again as another version; waive that one: %w",
			stage.ErrWrong, r.Model, row.Version, err)
	}
	if err != nil {
		return Report{}, err
	}
	s.d.Logger.InfoContext(ctx, "gates waived", "model", e.Model, "version", e.Version, "outcome", report.Outcome,
		"stage", report.Version.Stage, "evidence", report.EvidenceDigest, "actor", r.Actor, "reason", reason)
	return report, nil
}

// waivable refuses stages that a waiver does not start from, and evidence that is about something else.
func (s *Service) waivable(row store.Version, e *evidence) error {
	from := stage.Stage(row.Stage)
	if !stage.Can(from, stage.Validated, stage.ActionWaive) {
		return fmt.Errorf("%w: %s version %d is %s, and only Trained and Rejected versions have gates to waive", stage.ErrWrong,
			row.Model, row.Version, from.Title())
	}
	again := "validate it again: ctl validate %s --version %d"
	if from == stage.Rejected {
		again = "register its files again: they become a new version of %s that can be validated (this one is version %d)"
	}
	again = fmt.Sprintf(again, row.Model, row.Version)
	if e.Digest != row.Digest {
		return fmt.Errorf("%w: the evidence of %s version %d is about other files; %s", stage.ErrWrong, row.Model, row.Version, again)
	}
	if s.d.Policies == nil {
		return nil
	}
	if p, ok := s.d.Policies(row.Model); ok && p.Digest != e.Policy {
		return fmt.Errorf("%w: the configuration of %s changed since version %d was validated; %s", stage.ErrWrong, row.Model,
			row.Version, again)
	}
	return nil
}

// waive marks the gates.
func waive(gates []Result, r WaiveRequest, reason string) error {
	blocks := func(g *Result) bool { return g.Required && g.Outcome != Pass && g.Outcome != Waived }
	var fixed []string
	named := r.Gates
	for i := range gates {
		g := &gates[i]
		if !blocks(g) {
			continue
		}
		if g.Gate == Artifact || g.Gate == Parity {
			fixed = append(fixed, g.Gate)
		} else if len(r.Gates) == 0 {
			named = append(named, g.Gate)
		}
	}
	for _, name := range named {
		at := slices.IndexFunc(gates, func(g Result) bool { return g.Gate == name })
		switch {
		case name == Artifact || name == Parity:
			return fmt.Errorf("%w: the %s gate; a version that it does not pass cannot be scored as it was trained", ErrNotWaivable, name)
		case at < 0:
			return fmt.Errorf("%w: the report has no gate %q; it has %s", ErrNotWaivable, name, names(gates))
		case !blocks(&gates[at]):
			return fmt.Errorf("%w: the %s gate does not stand in the way (%s)", ErrNotWaivable, name, gates[at].Outcome)
		}
		g := &gates[at]
		g.Evidence = maps.Clone(g.Evidence)
		if g.Evidence == nil {
			g.Evidence = map[string]string{}
		}
		g.Evidence["waived_outcome"] = string(g.Outcome)
		g.Outcome, g.WaivedBy, g.WaivedReason = Waived, r.Actor, reason
	}
	if len(named) == 0 {
		if fixed != nil {
			return fmt.Errorf("%w: only %s stand in the way, which cannot be waived", ErrNotWaivable, strings.Join(fixed, " and "))
		}
		return fmt.Errorf("%w: nothing stands in the way", ErrNotWaivable)
	}
	if fixed != nil && len(r.Gates) == 0 {
		return fmt.Errorf("%w: %s stand in the way too", ErrNotWaivable, strings.Join(fixed, " and "))
	}
	return nil
}
