package promotion

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
)

// plan is a change of Champion, worked out from one snapshot of the store. A dry run stops here.
type plan struct {
	model    store.Model
	action   string // stage.ActionPromote or stage.ActionRollback
	reason   string
	by       by
	dryRun   bool
	old      *store.Period // the present Champion's, nil for none
	oldTo    stage.Stage   // where the present Champion goes
	target   store.Version
	below    int64 // generation of the period to go back to from the new one
	returned *store.Period
	policy   string   // digest of the model's configuration; "" when evidence need not name it
	evidence string   // digest of the target's validation report
	verified string   // what the Verifier said of the target
	affected []string // batches of the replaced version
	skipped  []string // periods that a rollback passed over, in words
}

type by struct{ actor, authMethod, requestID string }

// base reads what both kinds of change start from, and checks the expected generation before anything else: who lost a
// race should hear that, not what the winner's change did to the version's stage.
func base(tx store.Reader, model string, expected *int64) (plan, error) {
	m, err := tx.Model(model)
	if err != nil {
		return plan{}, err
	}
	p := plan{model: m}
	if expected != nil && *expected != m.Generation {
		return p, lost(tx, m, *expected)
	}
	open, err := tx.OpenPeriod(model)
	switch {
	case err == nil:
		p.old = &open
	case !errors.Is(err, store.ErrNoChampion):
		return p, err
	}
	return p, nil
}

// lost is ErrGeneration with the name of who won.
func lost(tx store.Reader, m store.Model, expected int64) error {
	won, err := tx.OpenPeriod(m.Name)
	switch {
	case errors.Is(err, store.ErrNoChampion):
		return fmt.Errorf("%w: %s was never promoted and is at generation %d, expected %d", ErrGeneration, m.Name,
			m.Generation, expected)
	case err != nil:
		return err
	}
	verb := "promoted"
	if won.Action == stage.ActionRollback {
		verb = "rolled back to"
	}
	return fmt.Errorf("%w: %s is at generation %d, expected %d: %s %s version %d at %s (%s)", ErrGeneration, m.Name,
		m.Generation, expected, won.Actor, verb, won.Version, won.Since.Format(time.RFC3339), won.Reason)
}

// wrong is ErrWrongStage with what to do first.
func wrong(v store.Version, want string) error {
	s := stage.Stage(v.Stage)
	return fmt.Errorf("%w: %s version %d is %s, %s; %s", ErrWrongStage, v.Model, v.Version, s.Title(), want,
		stage.Next(s, v.Model, v.Version))
}

func planPromotion(tx store.Reader, r Request, policy string) (plan, error) {
	p, err := base(tx, r.Model, r.ExpectedGeneration)
	if err != nil {
		return plan{}, err
	}
	p.policy = policy
	p.action, p.reason, p.dryRun = stage.ActionPromote, r.Reason, r.DryRun
	p.by = by{r.Actor, r.AuthMethod, r.RequestID}
	p.oldTo = stage.Archived
	if p.old != nil {
		p.below = p.old.Generation
	}
	if r.Version == 0 {
		p.target, err = tx.NewestVersion(r.Model, string(stage.Validated))
		if errors.Is(err, store.ErrVersionNotFound) {
			return plan{}, noneValidated(tx, p.model)
		}
	} else {
		p.target, err = tx.Version(r.Model, r.Version)
	}
	if err != nil {
		return plan{}, err
	}
	waived := r.Waived && r.DryRun && stage.Can(stage.Stage(p.target.Stage), stage.Validated, stage.ActionWaive)
	if p.target.Stage != string(stage.Validated) && !waived {
		return plan{}, wrong(p.target, "not Validated")
	}
	e, err := tx.Evidence(r.Model, p.target.Version)
	if err != nil {
		return plan{}, err
	}
	if e.Outcome != "pass" && !waived {
		return plan{}, fmt.Errorf("%w: the latest validation of %s version %d ended as %s; validate it again: ctl validate %s --version %d",
			ErrWrongStage, r.Model, p.target.Version, e.Outcome, r.Model, p.target.Version)
	}
	p.evidence = e.Digest
	return p, p.fresh(e)
}

// fresh refuses evidence about something else than what would become Champion now: other files, another configuration, or
// a comparison with another Champion.
func (p *plan) fresh(e store.Evidence) error {
	var about struct {
		Digest   string `json:"digest"`
		Policy   string `json:"policy"`
		Champion *struct {
			Version int64 `json:"version"`
		} `json:"champion"`
	}
	if err := json.Unmarshal(e.Report, &about); err != nil {
		return fmt.Errorf("the evidence of %s version %d: %w: %w", e.Model, e.Version, store.ErrCorrupt, err)
	}
	stale := func(format string, args ...any) error {
		return fmt.Errorf("%w: the evidence of %s version %d is older than what it is to prove: %s; validate it again: ctl validate %s --version %d",
			ErrWrongStage, e.Model, e.Version, fmt.Sprintf(format, args...), e.Model, e.Version)
	}
	switch {
	case about.Digest != p.target.Digest:
		return stale("it is about the files %q, the version has %s", about.Digest, p.target.Digest)
	case p.policy != "" && about.Policy != p.policy:
		return stale("the model's configuration changed since")
	case about.Champion == nil:
		return nil
	}
	var champion int64
	if p.old != nil {
		champion = p.old.Version
	}
	if about.Champion.Version == champion {
		return nil
	}
	was := "there was no champion"
	if about.Champion.Version != 0 {
		was = fmt.Sprintf("it was compared with version %d", about.Champion.Version)
	}
	if champion == 0 {
		return stale("%s, and now there is none", was)
	}
	return stale("%s, and version %d is Champion now", was, champion)
}

// noneValidated says what to do with the newest version when there is none to promote.
func noneValidated(tx store.Reader, m store.Model) error {
	v, err := tx.Version(m.Name, m.Latest)
	if err != nil {
		return err
	}
	return wrong(v, "and no version is Validated")
}

func planRollback(tx store.Reader, r RollbackRequest) (plan, error) {
	p, err := base(tx, r.Model, r.ExpectedGeneration)
	if err != nil {
		return plan{}, err
	}
	if p.old == nil {
		return plan{}, fmt.Errorf("%s: %w", r.Model, store.ErrNoChampion)
	}
	p.action, p.reason, p.dryRun = stage.ActionRollback, r.Reason, r.DryRun
	p.by = by{r.Actor, r.AuthMethod, r.RequestID}
	p.oldTo = stage.Quarantined
	if r.Keep {
		p.oldTo = stage.Archived
	}
	periods, err := tx.Periods(r.Model)
	if err != nil {
		return plan{}, err
	}
	if r.To == 0 {
		err = p.walk(tx, periods)
	} else {
		err = p.find(tx, periods, r.To)
	}
	if err != nil {
		return plan{}, err
	}
	p.below = p.returned.Below
	if e, err := tx.Evidence(r.Model, p.target.Version); err == nil {
		p.evidence = e.Digest
	} else if !errors.Is(err, store.ErrNoEvidence) {
		return plan{}, err
	}
	// A version may have been Champion more than once; what it scored in its earlier periods is as doubtful.
	first := *p.old
	for _, q := range periods {
		if q.Version == p.old.Version {
			first = q // periods come newest first
		}
	}
	p.affected, err = tx.BatchesOf(r.Model, p.old.Version, first.Generation, first.Since)
	return p, err
}

// walk follows the history down from the present Champion to the nearest version that can be Champion again.
func (p *plan) walk(tx store.Reader, periods []store.Period) error {
	byGeneration := map[int64]*store.Period{}
	for i := range periods {
		byGeneration[periods[i].Generation] = &periods[i]
	}
	// below is always an older generation (the schema checks it), so this ends.
	for q := byGeneration[p.old.Below]; q != nil; q = byGeneration[q.Below] {
		v, err := tx.Version(p.model.Name, q.Version)
		if err != nil {
			return err
		}
		if v.Stage == string(stage.Archived) {
			p.target, p.returned = v, q
			return nil
		}
		if v.Version != p.old.Version {
			p.skipped = append(p.skipped, fmt.Sprintf("version %d is %s", v.Version, stage.Stage(v.Stage).Title()))
		}
	}
	if p.skipped != nil {
		return fmt.Errorf("%w: below %s version %d, %s", ErrNoEarlier, p.model.Name, p.old.Version, strings.Join(p.skipped, ", "))
	}
	return fmt.Errorf("%w: nothing is below %s version %d", ErrNoEarlier, p.model.Name, p.old.Version)
}

// find takes the named version's period: the newest of those below the present Champion, or the newest of all.
func (p *plan) find(tx store.Reader, periods []store.Period, to int64) error {
	v, err := tx.Version(p.model.Name, to)
	if err != nil {
		return err
	}
	under := p.old.Below
	for i := range periods { // newest first, so each generation below is met after the one above it
		q := &periods[i]
		if q.Generation == under {
			if q.Version == to {
				p.returned = q
				break
			}
			under = q.Below
		}
		if q.Version == to && p.returned == nil {
			p.returned = q
		}
	}
	switch {
	case p.returned == nil:
		return fmt.Errorf("%w: %s version %d was never Champion; promote it instead (it is %s: %s)", ErrWrongStage,
			p.model.Name, to, stage.Stage(v.Stage).Title(), stage.Next(stage.Stage(v.Stage), v.Model, v.Version))
	case v.Stage != string(stage.Archived):
		return wrong(v, "not Archived")
	}
	p.target = v
	return nil
}

// apply makes the change.
func (p *plan) apply(tx store.Tx, now time.Time) (Change, error) {
	c := p.change(now)
	model, generation := p.model.Name, p.model.Generation+1
	if p.old != nil {
		err := p.move(tx, p.old.Version, stage.Champion, p.oldTo, c.At, "")
		if err != nil {
			return Change{}, err
		}
		if err := tx.EndPeriod(model, c.At); err != nil {
			return Change{}, err
		}
	}
	if err := tx.SetGeneration(model, p.model.Generation, generation); err != nil {
		return Change{}, err
	}
	if err := p.move(tx, p.target.Version, stage.Stage(p.target.Stage), stage.Champion, c.At, p.evidence); err != nil {
		return Change{}, err
	}
	head, err := tx.AuditHead()
	if err != nil {
		return Change{}, err
	}
	c.AuditSeq, c.AuditHash = head.Seq, head.Hash
	return c, tx.BeginPeriod(store.Period{
		Model: model, Generation: generation, Version: p.target.Version, Below: p.below, Since: c.At, Action: p.action,
		Actor: p.actor(), Reason: p.reason, AuditSeq: c.AuditSeq,
	})
}

// actor is the name that the audit log has.
func (p *plan) actor() string {
	if p.by.actor == "" {
		return "unknown"
	}
	return p.by.actor
}

// move changes one version's stage with its audit entry and its outbox row.
func (p *plan) move(tx store.Tx, v int64, from, to stage.Stage, at time.Time, evidence string) error {
	m, ok := stage.Find(from, to)
	if !ok {
		return fmt.Errorf("%w: %s version %d cannot go from %s to %s", ErrWrongStage, p.model.Name, v, from.Title(), to.Title())
	}
	if err := tx.SetStage(p.model.Name, v, string(from), string(to), at); err != nil {
		return err
	}
	e, err := audit.Append(tx, audit.Entry{
		At: at, Actor: p.by.actor, AuthMethod: p.by.authMethod, Action: m.Action, Model: p.model.Name, Version: v,
		FromStage: string(from), ToStage: string(to), Generation: p.model.Generation + 1, Reason: p.reason,
		EvidenceDigest: evidence, RequestID: p.by.requestID,
	})
	if err != nil {
		return err
	}
	return enqueue(tx, e)
}

// change is the effect of the plan, in figures and words.
func (p *plan) change(now time.Time) Change {
	c := Change{
		Model: p.model.Name, ToVersion: p.target.Version, Generation: p.model.Generation + 1, At: now, DryRun: p.dryRun,
	}
	say := func(format string, args ...any) { c.Effects = append(c.Effects, fmt.Sprintf(format, args...)) }
	if p.old != nil {
		c.FromVersion, c.FromVersionStage = p.old.Version, p.oldTo
		if now.Before(p.old.Since) {
			c.At = p.old.Since // the clock went back; history does not
		}
	}
	name := p.model.Name
	switch p.action {
	case stage.ActionPromote:
		say("%s version %d, now %s, becomes Champion", name, c.ToVersion, stage.Stage(p.target.Stage).Title())
		if p.old != nil {
			say("version %d is archived; a rollback goes back to it", c.FromVersion)
		}
	default:
		say("%s version %d becomes Champion again; it was Champion from %s to %s", name, c.ToVersion,
			p.returned.Since.Format(time.RFC3339), p.returned.Until.Format(time.RFC3339))
		for _, s := range p.skipped {
			say("%s and is passed over", s)
		}
		if p.verified != "" {
			say("version %d was checked again: %s", c.ToVersion, p.verified)
		}
		if p.oldTo == stage.Quarantined {
			say("version %d is quarantined and cannot be Champion again", c.FromVersion)
		} else {
			say("version %d is archived and can be validated and promoted again", c.FromVersion)
		}
		if n := len(p.affected); n == 1 {
			say("1 batch that version %d scored is affected; run it again to replace its rows", c.FromVersion)
		} else {
			say("%d batches that version %d scored are affected; run them again to replace their rows", n, c.FromVersion)
		}
	}
	say("the generation of %s goes from %d to %d", name, p.model.Generation, c.Generation)
	if p.old == nil {
		say("batches and requests score with version %d from now on", c.ToVersion)
	} else {
		say("batches and requests that start from now on score with version %d; running ones finish on version %d",
			c.ToVersion, c.FromVersion)
	}
	say("the change goes to the audit log and to mlflow.model.promotions")
	return c
}
