package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is the time of the test clock.
var start = time.Date(2026, 11, 2, 3, 0, 0, 0, time.UTC)

// runs is a Chain whose runs are workflow rows that nobody works on; tests end them.
type runs struct {
	mu    sync.Mutex
	n     int
	ends  map[string]Outcome
	err   error // of Begin
	begun []ChainRequest
	woken int
}

func (c *runs) Begin(tx store.Tx, r ChainRequest) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return "", c.err
	}
	c.n++
	c.begun = append(c.begun, r)
	id := "run-" + strconv.Itoa(c.n)
	return id, tx.InsertWorkflow(store.Workflow{ID: id, Kind: "run", Key: r.Model, State: store.WorkflowRunning, Input: []byte("{}"), CreatedAt: start})
}

func (c *runs) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken++
}

func (c *runs) Active(r store.Reader, model string) (string, error) {
	w, err := r.WorkflowByKey("run", model)
	if errors.Is(err, store.ErrWorkflowNotFound) {
		return "", nil
	}
	return w.ID, err
}

func (c *runs) Outcome(_ store.Reader, runID, _ string) (Outcome, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.ends[runID]; ok {
		return o, nil
	}
	return Outcome{Result: ResultRunning}, nil
}

// sources are the conditions' sources.
type sources struct {
	reports []DriftReport
	change  DataChange
	matured Measurement
	err     error
}

func (s *sources) Latest(_ context.Context, _ string, n int) ([]DriftReport, error) {
	return s.reports[:min(n, len(s.reports))], s.err
}
func (s *sources) Change(context.Context, string) (DataChange, error)   { return s.change, s.err }
func (s *sources) Matured(context.Context, string) (Measurement, error) { return s.matured, s.err }

func shares(v ...float64) (out []DriftReport) {
	for i, share := range v {
		out = append(out, DriftReport{BatchID: fmt.Sprint("b", i), Version: 1, Share: share})
	}
	return out
}

// world is a Service on a real store.
type world struct {
	*Service
	*sources

	t     testing.TB
	store store.Store
	chain *runs
	clock time.Time
}

// empty is the file of an empty store: making one takes longer than most tests.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "trigger")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "state.db")
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func newWorld(t testing.TB, policies ...Policy) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	b, err := empty()
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return newWorldOn(t, s, policies...)
}

func newWorldOn(t testing.TB, s store.Store, policies ...Policy) *world {
	w := &world{t: t, store: s, sources: &sources{}, chain: &runs{ends: map[string]Outcome{}}, clock: start}
	w.Service = New(Deps{
		Store: s, Policies: policies, Chain: w.chain, Drift: w.sources, Data: w.sources, Performance: w.sources,
		Alert: alert.Put, Now: func() time.Time { return w.clock },
	})
	return w
}

// fire asks for a retraining and wants an outcome.
func (w *world) fire(r Request, want string) Decision {
	w.t.Helper()
	r.Model = "churn"
	d, err := w.Fire(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	if d.Outcome != want {
		w.t.Fatalf("%s at %s: %s (%s), want %s", d.Kind, w.clock, d.Outcome, d.Reason, want)
	}
	return d
}

// evaluate looks at the conditions and wants an outcome of the first.
func (w *world) evaluate(want string) Decision {
	w.t.Helper()
	all, err := w.Evaluate(w.t.Context(), "churn", "test", false)
	if err != nil || len(all) == 0 {
		w.t.Fatal(all, err)
	}
	if all[0].Outcome != want {
		w.t.Fatalf("%s at %s: %s (%s), want %s", all[0].Kind, w.clock, all[0].Outcome, all[0].Reason, want)
	}
	return all[0]
}

// end ends the run under way.
func (w *world) end(d Decision, result Result) {
	w.t.Helper()
	w.chain.mu.Lock()
	w.chain.ends[d.RunID] = Outcome{result, w.clock}
	w.chain.mu.Unlock()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		row, err := tx.Workflow(d.RunID)
		if err != nil {
			return err
		}
		row.State, row.FinishedAt = store.WorkflowSucceeded, w.clock
		return tx.UpdateWorkflow(row)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// stored are the stored decisions, oldest first.
func (w *world) stored() (out []Decision) {
	w.t.Helper()
	all, _, err := w.Decisions(w.t.Context(), store.DecisionQuery{PageSize: store.MaxPageSize})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range all {
		out = append(out, all[len(all)-1-i])
	}
	return out
}

// alert is the latest alert.
func (w *world) alert() (a alert.Alert) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(r store.Reader) error {
		rows, err := r.OutboxAll()
		if err == nil && len(rows) > 0 {
			err = json.Unmarshal(rows[len(rows)-1].Payload, &a)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}
