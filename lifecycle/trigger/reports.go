package trigger

import (
	"context"
	"errors"

	"github.com/treeline-ml/treeline/store"
)

// Reports is the DriftSource of stored drift reports.
type Reports struct{ Store store.Store }

// verdictInconclusive is monitor's word for a report that could not be judged.
const verdictInconclusive = "inconclusive"

// Latest returns the latest reports of batches that the present Champion scored since it is Champion, the newest of each
// batch, leaving out those that could not be judged. A batch that is compared again is still one window.
func (s Reports) Latest(ctx context.Context, model string, n int) (out []DriftReport, err error) {
	err = s.Store.View(ctx, func(r store.Reader) error {
		out = nil
		seen := map[string]bool{}
		period, err := r.OpenPeriod(model)
		if errors.Is(err, store.ErrNoChampion) || errors.Is(err, store.ErrModelNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		for token := ""; ; {
			page, next, err := r.Drifts(store.DriftQuery{Model: model, PageToken: token})
			if err != nil {
				return err
			}
			for _, d := range page {
				if len(out) == n || d.At.Before(period.Since) {
					return nil
				}
				if d.Version == period.Version && d.Verdict != verdictInconclusive && !seen[d.BatchID] {
					seen[d.BatchID] = true
					out = append(out, DriftReport{BatchID: d.BatchID, Version: d.Version, Share: d.Share, At: d.At})
				}
			}
			if token = next; token == "" {
				return nil
			}
		}
	})
	return out, err
}
