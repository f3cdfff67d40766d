package gate

import "context"

// Waive stores new evidence in which the named gates are waived by the actor for the reason, and moves the version to
// Validated when nothing else stands in the way. It fails with ErrInvalid, ErrNotWaivable or store.ErrNoEvidence.
func (s *Service) Waive(context.Context, WaiveRequest) (Report, error) {
	return Report{}, ErrNotWaivable
}
