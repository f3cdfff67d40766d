package projection_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
)

// TestChaos does random operations on the store while MLflow drops, forgets and garbles one request in eight and
// somebody else moves aliases there. In the end MLflow shows what the store says, for every model, with no version twice.
// TREELINE_SOAK=1 does ten times as much.
func TestChaos(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.settings["fraud"] = projection.Settings{Name: unique(t, "fraud"), Publish: true}
	operations := 50
	if os.Getenv("TREELINE_SOAK") != "" {
		operations *= 10
	}
	var mu sync.Mutex // requests of a publication may overlap with those of a check
	weather := rand.New(rand.NewPCG(1, 7))
	faults := 0
	storm := func(*http.Request) mlflowtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if weather.IntN(8) > 0 {
			return nil
		}
		faults++
		return []mlflowtest.Fault{
			mlflowtest.Drop(), mlflowtest.LoseReply(), mlflowtest.LoseReply(), mlflowtest.HTML(200), mlflowtest.HTML(502),
			mlflowtest.Truncate(), mlflowtest.WrongLength(), mlflowtest.TooMany(60),
		}[weather.IntN(8)]
	}
	w.proxy.When(storm)
	rng := rand.New(rand.NewPCG(3, 5))
	latest := map[string]int64{}
	for i := range operations {
		model := []string{"churn", "churn", "fraud"}[rng.IntN(3)]
		v := max(1, latest[model]-int64(rng.IntN(3)))
		var err error
		switch rng.IntN(10) {
		case 0, 1:
			if n, e := w.register(ctx, model, strconv.Itoa(i)); e == nil {
				latest[model] = n
			} else {
				err = e
			}
		case 2, 3, 4:
			err = w.judge(ctx, model, v, stage.Validated)
		case 5:
			err = w.judge(ctx, model, v, stage.Rejected)
		case 6, 7:
			_, err = w.promotions.Promote(ctx, promotion.Request{Model: model, Reason: "chaos", Actor: "c"})
		case 8:
			_, _, err = w.promotions.Rollback(ctx, promotion.RollbackRequest{Model: model, Reason: "chaos", Keep: rng.IntN(2) == 0})
		default:
			// Somebody else; the alias may not be there to be moved.
			_ = w.client.SetAlias(ctx, w.settings[model].Name, []string{"Champion", "Challenger"}[rng.IntN(2)], strconv.Itoa(1+rng.IntN(3)))
		}
		if err != nil && !harmless(err) {
			t.Fatalf("operation %d: %v", i, err)
		}
		switch rng.IntN(4) {
		case 0:
			_ = w.relay.Drain(ctx) // the rows that failed stay
		case 1:
			_, _ = w.Check(ctx, model, false)
		}
	}
	w.proxy.Always(mlflowtest.Pass())
	w.drain(t)
	for model, s := range w.settings {
		s.Policy = projection.Revert // of what somebody else did last
		w.settings[model] = s
		if _, err := w.Check(ctx, model, false); err != nil {
			t.Fatal(err)
		}
		if found, err := w.Check(ctx, model, false); err != nil || len(found) > 0 {
			t.Errorf("%s: found %+v (%v)", model, found, err)
		}
	}
	rows, _, err := w.relay.List(ctx, store.DeliveryQuery{Kind: audit.OutboxKind, State: store.DeliveryPending})
	if err != nil || len(rows) > 0 {
		t.Errorf("%d rows are pending (%v)", len(rows), err)
	}
	w.converged(t, "churn")
	w.name = w.settings["fraud"].Name
	if latest["fraud"] == 0 || latest["churn"] < 3 || faults < 20 {
		t.Errorf("%d and %d versions, %d faults: too little happened", latest["churn"], latest["fraud"], faults)
	}
	seen, want := w.seen(t, w.name), w.wanted(t, "fraud")
	if fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("fraud: MLflow has %+v, the store %+v", seen, want)
	}
	t.Logf("%d operations, %d faults, %d and %d versions", operations, faults, latest["churn"], latest["fraud"])
}

// harmless are refusals that random operations meet.
func harmless(err error) bool {
	for _, fine := range []error{
		stage.ErrWrong, promotion.ErrGeneration, promotion.ErrNoEarlier, store.ErrModelNotFound, store.ErrVersionNotFound,
		store.ErrNoChampion, store.ErrNoEvidence,
	} {
		if errors.Is(err, fine) {
			return true
		}
	}
	return false
}
