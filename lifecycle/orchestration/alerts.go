package orchestration

import (
	"fmt"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/store"
)

// promoteCommand promotes what the run would have.
func promoteCommand(model string, version, generation int64) string {
	return fmt.Sprintf("ctl promote %s --version %d --expected-generation %d --reason WHY", model, version, generation)
}

// nodeAlert is the alert of a node that failed.
func nodeAlert(step Step) (severity alert.Severity, title string) {
	switch step {
	case StepFeatures:
		return alert.Page, "features of %s could not be computed"
	case StepTrain:
		return alert.Ticket, "training of %s failed"
	case StepValidate:
		return alert.Ticket, "candidate of %s could not be validated"
	case StepPromote:
		return alert.Ticket, "candidate of %s was not promoted"
	default:
		return alert.Page, "batch inference of %s failed"
	}
}

// alertNode alerts of a node that failed, or resolves the alert of an earlier one.
func (w *walk) alertNode(tx store.Tx, step Step, o outcome) error {
	severity, title := nodeAlert(step)
	a := alert.Alert{
		Key: nodeID(w.in.Model, step), Severity: severity, Title: fmt.Sprintf(title, w.in.Model),
		Text: o.Message + o.keeps(), Command: "ctl runs show " + w.in.RunID, Resolved: o.State == Succeeded,
	}
	if err := w.put(tx, a); err != nil || o.State != Succeeded {
		return err
	}
	if step == w.in.last() {
		if err := w.put(tx, alert.Alert{Key: brokenKey(w.in.Model), Severity: alert.Page, Title: "a run of " + w.in.Model + " ended well", Resolved: true}); err != nil {
			return err
		}
	}
	if step == StepValidate || step == StepPromote {
		return w.resolveCandidates(tx)
	}
	return nil
}

func brokenKey(model string) string { return model + "/run" }

// put raises an alert, or resolves it.
func (w *walk) put(tx store.Tx, a alert.Alert) error { return w.s.raise(tx, w.in.chainPlan, a) }

func (s *Service) raise(tx store.Tx, c chainPlan, a alert.Alert) error {
	if s.d.Alert == nil {
		return nil
	}
	a.Model, a.Owner, a.At = c.Model, c.Owner, s.now()
	return s.d.Alert(tx, a)
}

// alertBroken alerts of a chain that ended in an error of its own, not of a node's work.
func (p *part) alertBroken(tx store.Tx, runID, text string) error {
	return p.s.raise(tx, p.chainPlan, alert.Alert{
		Key: brokenKey(p.Model), Severity: alert.Page, Title: "a run of " + p.Model + " broke off", Text: line(text),
		Command: "ctl runs show " + runID,
	})
}

func candidateKey(model string, version int64) string {
	return fmt.Sprintf("candidate/%s/%d", model, version)
}

// alertRefused alerts of a candidate that the gates refused, or could not judge.
func (w *walk) alertRefused(tx store.Tx, o outcome, conclusive bool) error {
	command := fmt.Sprintf("ctl promote %s --version %d --force --reason WHY", w.in.Model, w.cand.Version)
	if !conclusive {
		command = fmt.Sprintf("ctl validate %s --version %d", w.in.Model, w.cand.Version)
	}
	return w.put(tx, alert.Alert{
		Key: candidateKey(w.in.Model, w.cand.Version), Severity: alert.Ticket, Version: w.cand.Version,
		Title: fmt.Sprintf("version %d of %s was refused", w.cand.Version, w.in.Model), Text: o.Message + o.keeps(),
		Command: command,
	})
}

// alertProposal asks a person to promote.
func (w *walk) alertProposal(tx store.Tx, o outcome) error {
	return w.put(tx, alert.Alert{
		Key: candidateKey(w.in.Model, w.cand.Version), Severity: alert.Ticket, Version: w.cand.Version,
		Title: fmt.Sprintf("version %d of %s awaits approval", w.cand.Version, w.in.Model), Text: o.Message,
		Command: promoteCommand(w.in.Model, w.cand.Version, w.cand.Generation),
	})
}

// lookBack is how many versions before a candidate may have open alerts that it resolves.
const lookBack = 50

// resolveCandidates resolves the alerts of earlier candidates: a later one was accepted.
func (w *walk) resolveCandidates(tx store.Tx) error {
	for v := w.cand.Version; v > max(0, w.cand.Version-lookBack); v-- {
		err := w.put(tx, alert.Alert{
			Key: candidateKey(w.in.Model, v), Severity: alert.Ticket, Version: v,
			Title: fmt.Sprintf("version %d of %s was accepted", w.cand.Version, w.in.Model), Resolved: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
