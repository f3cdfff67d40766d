package trigger

import (
	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/store"
)

// alert asks a person to start a retraining, or says that one has been started.
func (s *Service) alert(tx store.Tx, p Policy, d Decision, started bool) error {
	if s.d.Alert == nil {
		return nil
	}
	return s.d.Alert(tx, alert.Alert{
		Key: "proposal/" + p.Model, Severity: alert.Ticket, Model: p.Model, Owner: p.Owner, At: d.At, Resolved: started,
		Title: "retraining of " + p.Model + " is proposed", Text: d.Reason, Command: command(p.Model),
	})
}
