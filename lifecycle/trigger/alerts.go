package trigger

import "github.com/treeline-ml/treeline/store"

// Alerts tells people, by what it writes in the transaction.
type Alerts interface{}

func (s *Service) alert(tx store.Tx, p Policy, d *Decision, resolved bool) error { return nil }
