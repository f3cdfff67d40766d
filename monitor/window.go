package monitor

import (
	"context"

	"github.com/treeline-ml/treeline/store"
)

// windowReports bounds the stored reports that Windows looks through.
const windowReports = 5000

// Windows returns what a trigger asks "k of the last n" about: of each of the last n batches of a version that could be
// judged, the latest report in the model's configured mode against the version's training data, newest first. It looks
// through at most 5000 reports.
func (s *Service) Windows(ctx context.Context, model string, version int64, n int) ([]Report, error) {
	o, err := s.d.Options(model).withDefaults()
	if err != nil {
		return nil, err
	}
	reference := TrainingOf(model, version).String()
	seen := map[string]bool{}
	var out []Report
	q := store.DriftQuery{Model: model, PageSize: 200}
	for looked := 0; looked < windowReports && len(out) < n; {
		reports, next, err := s.Reports(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range reports {
			if r.Version != version || r.Mode != o.Mode || r.Reference != reference || seen[r.BatchID] {
				continue
			}
			seen[r.BatchID] = true
			if r.Verdict != Inconclusive && len(out) < n {
				out = append(out, r)
			}
		}
		if looked += len(reports); next == "" {
			break
		}
		q.PageToken = next
	}
	return out, nil
}
