package trigger

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestLatestDay(t *testing.T) {
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	day := func() (got string) {
		err := st.View(t.Context(), func(r store.Reader) (err error) {
			got, err = LatestDay(r, "churn")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := day(); got != "" {
		t.Errorf("without batches: %q, want none", got)
	}
	ledger := store.NewLedger(st)
	start := time.Date(2026, 11, 5, 6, 0, 0, 0, time.UTC)
	for i, b := range []struct{ id, model, date, state string }{
		{"a", "churn", "2026-11-04", store.BatchSucceeded},
		{"b", "churn", "2026-11-05", store.BatchSucceeded},
		{"c", "churn", "2026-11-06", store.BatchFailed},
		{"d", "fraud", "2026-11-07", store.BatchSucceeded},
	} {
		row, err := ledger.BeginBatch(t.Context(), store.BatchRow{
			ID: b.id, State: store.BatchRunning, Phase: store.PhaseScore, Lineage: store.Lineage{ModelName: b.model, ModelVersion: 1},
			InputDate: b.date, OutputTable: "a.b.c", StartedAt: start.Add(time.Duration(i) * time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		row.State, row.Phase = b.state, store.PhaseDone
		if err := ledger.FinishBatch(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if got := day(); got != "2026-11-05" {
		t.Errorf("latest day %q, want that of the latest batch that succeeded", got)
	}
}
