package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/internal/mlflowtest"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/outbox"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// TestLife follows a model through its stages: after each step MLflow shows what the store says.
func TestLife(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	step := func(name string, f func() error) {
		t.Helper()
		if err := f(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.drain(t)
		w.converged(t, name)
	}
	promote := func(v int64) func() error {
		return func() error {
			_, err := w.promotions.Promote(ctx, promotion.Request{Model: "churn", Version: v, Reason: "better", Actor: "ann"})
			return err
		}
	}
	judge := func(v int64, to stage.Stage) func() error {
		return func() error { return w.judge(ctx, "churn", v, to) }
	}
	step("registered", func() error { w.trained(t); return nil })
	step("validated", judge(1, stage.Validated))
	step("promoted", promote(1))
	step("second", func() error { w.trained(t); return nil })
	step("second validated", judge(2, stage.Validated))
	step("third validated", func() error { return errors.Join(judge(w.trained(t), stage.Validated)()) })
	step("third rejected", judge(3, stage.Rejected)) // the challenger is version 2 again
	step("second promoted", promote(2))
	step("archived is validated again", judge(1, stage.Validated))
	step("rolled back", func() error {
		w.promote(t, 1)
		_, _, err := w.promotions.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "bad"})
		return err
	})
	p := w.seen(t, w.name)
	if p.Champion != "2" || len(p.Versions) != 3 || !strings.HasPrefix(p.Versions["1"], "Quarantined ") || !strings.HasPrefix(p.Versions["3"], "Rejected ") {
		t.Errorf("at the end MLflow has %+v", p)
	}
	// Old rows again, in whatever order, cost two reads and change nothing (R3).
	var rows []store.OutboxRow
	if err := w.store.View(ctx, func(r store.Reader) (err error) {
		rows, err = r.OutboxAll()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	rows = slices.DeleteFunc(rows, func(r store.OutboxRow) bool { return r.Kind != audit.OutboxKind })
	slices.Reverse(rows)
	w.proxy.Requests()
	if err := w.Deliver(ctx, rows); err != nil || len(rows) < 10 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	if r := w.proxy.Requests(); len(r) != 2 {
		t.Errorf("converged, and still %v", r)
	}
	if found, err := w.Check(ctx, "churn", false); err != nil || len(found) > 0 {
		t.Errorf("diverged: %+v (%v)", found, err)
	}
	if r := w.proxy.Requests(); len(r) != 2 {
		t.Errorf("a check of a converged model made %v", r)
	}
}

// TestPythonLoadsTheChampion: the user's own snippet, and what it loads.
func TestPythonLoadsTheChampion(t *testing.T) {
	w := setup(t)
	w.champion(t)
	var trees int
	w.peer.Do(t, &trees, `
		import mlflow.lightgbm
		v = client.get_model_version_by_alias(args[0], "Champion")
		out = mlflow.lightgbm.load_model(f"models:/{args[0]}@Champion").num_trees() if v.status == "READY" else 0`, w.name)
	row, err := w.version(t, 1)
	if err != nil || trees == 0 || trees != row.Trees {
		t.Errorf("MLflow loads %d trees, our engine %d (%v)", trees, row.Trees, err)
	}
}

// TestWithoutPublishing: versions that are there are kept in step, others stay out of it.
func TestWithoutPublishing(t *testing.T) {
	w := setup(t)
	w.set(func(s *projection.Settings) { s.Publish = false })
	ctx := t.Context()
	first := w.trained(t)
	w.validate(t, first)
	w.promote(t, first)
	w.drain(t)
	if _, err := w.client.Model(ctx, w.name); !errors.Is(err, registry.ErrNotFound) {
		t.Fatalf("the registered model was made: %v", err)
	}
	// A trainer logged the second one.
	if err := w.client.EnsureModel(ctx, w.name); err != nil {
		t.Fatal(err)
	}
	second := w.trained(t)
	w.logged(t, second)
	w.validate(t, second)
	w.drain(t)
	if p := w.seen(t, w.name); p.Champion != "" || p.Challenger != "2" || len(p.Versions) != 1 {
		t.Errorf("MLflow has %+v", p)
	}
	found, err := w.Check(ctx, "churn", false)
	if err != nil || len(found) != 1 || found[0].Subject != projection.Champion || !strings.Contains(found[0].Message, "not published") {
		t.Errorf("found %+v (%v)", found, err)
	}
	w.promote(t, second)
	w.drain(t)
	if p := w.seen(t, w.name); p.Champion != "2" || p.Challenger != "" {
		t.Errorf("MLflow has %+v", p)
	}
	// Back to the one that MLflow does not have: an alias that names the wrong version would be worse than none.
	if _, _, err := w.promotions.Rollback(ctx, promotion.RollbackRequest{Model: "churn", Reason: "bad", Keep: true}); err != nil {
		t.Fatal(err)
	}
	w.drain(t)
	if p := w.seen(t, w.name); p.Champion != "" {
		t.Errorf("MLflow has %+v", p)
	}
}

// TestOutage: rows wait while MLflow is away, whatever way it is away, and converge afterwards.
func TestOutage(t *testing.T) {
	w := diverging(t, false)
	pass := func() { w.proxy.Always(mlflowtest.Pass()) }
	for name, x := range map[string]struct{ down, up func() }{
		"refused":     {w.proxy.Down, func() { w.proxy.Up(t) }},
		"page":        {func() { w.proxy.Always(mlflowtest.HTML(200)) }, pass},
		"error page":  {func() { w.proxy.Always(mlflowtest.HTML(500)) }, pass},
		"not found":   {func() { w.proxy.Always(mlflowtest.HTML(404)) }, pass},
		"overloaded":  {func() { w.proxy.Always(mlflowtest.TooMany(3600)) }, pass},
		"lost":        {func() { w.proxy.Always(mlflowtest.LoseReply()) }, pass},
		"half":        {func() { w.proxy.Always(mlflowtest.Truncate()) }, pass},
		"wrong":       {func() { w.proxy.Always(mlflowtest.WrongLength()) }, pass},
		"other place": {func() { w.proxy.Always(mlflowtest.Redirect("/")) }, pass},
	} {
		x.down()
		v := w.other(t)
		if err := w.relay.Drain(t.Context()); err == nil || !strings.Contains(err.Error(), "not available") {
			t.Errorf("%s: error is %v", name, err)
		}
		if _, err := w.Check(t.Context(), "churn", false); !errors.Is(err, registry.ErrUnavailable) {
			t.Errorf("%s: check: error is %v", name, err)
		}
		if p := w.seen(t, w.name); p.Champion == fmt.Sprint(v) {
			t.Errorf("%s: MLflow has %+v already", name, p)
		}
		x.up()
		w.drain(t)
		w.converged(t, name)
	}
	if len(w.told) > 0 {
		t.Errorf("told of %+v", w.told)
	}
}

// other makes the other one of versions 1 and 2 the Champion and returns it.
func (w *world) other(t *testing.T) int64 {
	t.Helper()
	v := int64(1)
	if w.wanted(t, "churn").Champion == "1" {
		v = 2
	}
	w.validate(t, v)
	w.promote(t, v)
	return v
}

// TestCutAtEachRequest cuts the projection of a promotion at each of its requests: the reply is lost, or the request is.
// It is repeated and converges.
func TestCutAtEachRequest(t *testing.T) {
	w := diverging(t, false)
	w.other(t)
	w.drain(t)
	n := len(w.proxy.Requests())
	if n < 8 {
		t.Fatalf("%d requests only", n)
	}
	noticed := 0
	for i := range n {
		fault := mlflowtest.LoseReply()
		if i%3 == 0 {
			fault = mlflowtest.Drop()
		}
		w.proxy.Next(append(make([]mlflowtest.Fault, i), fault)...)
		w.other(t)
		if err := w.relay.Drain(t.Context()); err != nil {
			noticed++ // others were reads that net/http repeats
		}
		w.drain(t)
		w.converged(t, fmt.Sprintf("cut at %d of %d", i, n))
	}
	if noticed < n/3 {
		t.Errorf("%d of %d faults were noticed", noticed, n)
	}
}

// TestRelay runs the real relay in the background while MLflow goes away and comes back.
func TestRelay(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	if err := w.relay.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer w.relay.Stop(ctx)
	if err := w.Start(ctx); err != nil { // its checks meet the deliveries
		t.Fatal(err)
	}
	defer w.Stop(ctx)
	w.proxy.Down()
	v := w.trained(t)
	w.validate(t, v)
	w.promote(t, v)
	w.relay.Wake()
	await(t, func() bool {
		rows, _, err := w.relay.List(ctx, store.DeliveryQuery{Kind: audit.OutboxKind, State: store.DeliveryPending})
		return err == nil && len(rows) > 0 && rows[0].Attempts > 1
	})
	w.proxy.Up(t)
	await(t, func() bool {
		w.Wake()
		rows, _, err := w.relay.List(ctx, store.DeliveryQuery{Kind: audit.OutboxKind, State: store.DeliveryPending})
		return err == nil && len(rows) == 0
	})
	w.converged(t, "back")
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.told) > 0 {
		t.Errorf("told of %+v", w.told)
	}
}

// await polls until ok, for at most a minute.
func await(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("waited for a minute")
		}
	}
}

// TestOthersAreNotHeldUp: one model's refusal is its own; rows of models that are not projected are done with.
func TestOthersAreNotHeldUp(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.settings["fraud"] = projection.Settings{Name: unique(t, "fraud"), Publish: true}
	for m, others := range map[string][]string{"fraud": {"a#b"}, "plain": nil, "churn": nil} { // MLflow takes no name with a #
		if _, err := w.register(ctx, m, m, others...); err != nil {
			t.Fatal(err)
		}
	}
	err := w.relay.Drain(ctx)
	if err == nil || !strings.Contains(err.Error(), "fraud") || !strings.Contains(err.Error(), "Invalid path") {
		t.Errorf("error is %v", err)
	}
	rows, _, err := w.relay.List(ctx, store.DeliveryQuery{Kind: audit.OutboxKind, State: store.DeliveryPending})
	if err != nil || len(rows) != 1 || !strings.Contains(string(rows[0].Payload), "fraud") {
		t.Errorf("pending: %+v (%v)", rows, err)
	}
	w.converged(t, "churn")
	found, err := w.Check(ctx, "fraud", false)
	if err != nil || len(found) != 1 || found[0].Subject != "our version 1" || !strings.Contains(found[0].Message, "Invalid path") {
		t.Errorf("found %+v (%v)", found, err)
	}
	w.proxy.Requests()
	if _, err := w.Check(ctx, "fraud", false); err != nil || len(w.writes()) > 0 {
		t.Errorf("a refused publication is tried at each check (%v)", err)
	}
}

// TestBadPayload: a row that nobody can read is a dead letter, and the others are told.
func TestBadPayload(t *testing.T) {
	w := setup(t)
	w.trained(t)
	good, err := json.Marshal(audit.StageChange{Model: "churn", Version: 1, To: "trained"})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Deliver(t.Context(), []store.OutboxRow{{ID: 1, Payload: []byte("{")}, {ID: 2, Payload: good}, {ID: 3, Payload: []byte(`{"model":"nope"}`)}})
	var part *outbox.Partial
	if !errors.As(err, &part) || len(part.Failed) != 1 || !outbox.IsPermanent(part.Failed[1]) {
		t.Errorf("error is %v", err)
	}
	w.converged(t, "the good row")
}
