package orchestration

import (
	"errors"
	"fmt"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// Alert is ...
type Alert struct {
	Key, Severity string
	Model         string
	Version       int64
	Title, Text   string
	Owner         string
	Command       string
	Link          string
	At            time.Time
	Resolved      bool
}

// Alerts tells people.
type Alerts interface {
	Put(tx store.Tx, a Alert) error
}

// promoteCommand promotes what the run would have.
func promoteCommand(model string, version, generation int64) string {
	return fmt.Sprintf("ctl promote %s --version %d --expected-generation %d --reason WHY", model, version, generation)
}

// nodeAlerts are the alerts of nodes that fail.
func nodeAlert(step Step) (severity, title string) {
	switch step {
	case StepFeatures:
		return "page", "features of %s could not be computed"
	case StepTrain:
		return "ticket", "training of %s failed"
	case StepValidate:
		return "ticket", "candidate of %s could not be validated"
	case StepPromote:
		return "ticket", "candidate of %s was not promoted"
	default:
		return "page", "batch inference of %s failed"
	}
}

// alertNode alerts of a node that failed, or resolves the alert of an earlier one.
func (w *walk) alertNode(tx store.Tx, step Step, o outcome) error {
	if w.s.d.Alerts == nil {
		return nil
	}
	severity, title := nodeAlert(step)
	a := Alert{
		Key: "node/" + nodeID(w.in.Model, step), Severity: severity, Model: w.in.Model, Title: fmt.Sprintf(title, w.in.Model),
		Text: o.Message + o.keeps(), Owner: w.in.Owner, Command: "ctl run show " + w.in.RunID, At: w.s.now(), Resolved: o.State == Succeeded,
	}
	if err := w.put(tx, a); err != nil || o.State != Succeeded {
		return err
	}
	if step == StepValidate || step == StepPromote {
		return w.resolveCandidates(tx)
	}
	return nil
}

// put raises an alert, or resolves one that is open.
func (w *walk) put(tx store.Tx, a Alert) error {
	if a.Resolved {
		if _, err := tx.Alert(a.Key); errors.Is(err, store.ErrAlertNotFound) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return w.s.d.Alerts.Put(tx, a)
}

func candidateKey(model string, version int64) string {
	return fmt.Sprintf("candidate/%s/%d", model, version)
}

// alertRefused alerts of a candidate that the gates refused.
func (w *walk) alertRefused(tx store.Tx, o outcome) error {
	if w.s.d.Alerts == nil {
		return nil
	}
	return w.put(tx, Alert{
		Key: candidateKey(w.in.Model, w.cand.Version), Severity: "ticket", Model: w.in.Model, Version: w.cand.Version,
		Title: fmt.Sprintf("version %d of %s was refused", w.cand.Version, w.in.Model), Text: o.Message + o.keeps(),
		Owner: w.in.Owner, Command: fmt.Sprintf("ctl validate %s --version %d", w.in.Model, w.cand.Version), At: w.s.now(),
	})
}

// alertProposal asks a person to promote.
func (w *walk) alertProposal(tx store.Tx, o outcome) error {
	if w.s.d.Alerts == nil {
		return nil
	}
	return w.put(tx, Alert{
		Key: candidateKey(w.in.Model, w.cand.Version), Severity: "ticket", Model: w.in.Model, Version: w.cand.Version,
		Title: fmt.Sprintf("version %d of %s awaits approval", w.cand.Version, w.in.Model), Text: o.Message, Owner: w.in.Owner,
		Command: promoteCommand(w.in.Model, w.cand.Version, w.cand.Generation), At: w.s.now(),
	})
}

// lookBack is how many versions before a candidate may have open alerts that it resolves.
const lookBack = 50

// resolveCandidates resolves the alerts of earlier candidates: a later one was accepted.
func (w *walk) resolveCandidates(tx store.Tx) error {
	for v := w.cand.Version; v > max(0, w.cand.Version-lookBack); v-- {
		err := w.put(tx, Alert{
			Key: candidateKey(w.in.Model, v), Severity: "ticket", Model: w.in.Model, Version: v,
			Title: fmt.Sprintf("version %d of %s was accepted", w.cand.Version, w.in.Model), Owner: w.in.Owner, At: w.s.now(), Resolved: true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
