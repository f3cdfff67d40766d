package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/store"
)

func newWorkflow(id, key string) store.Workflow {
	return store.Workflow{
		ID: id, Kind: "chain", Key: key, State: store.WorkflowRunning, Input: []byte(`{"a":1}`), Output: []byte("{}"), Error: "e",
		CancelRequested: "c", Attempt: 3, CreatedAt: t0, UpdatedAt: t0.Add(time.Second),
	}
}

func testWorkflows(t *testing.T, open Open) {
	s := start(t, open)
	w := newWorkflow("w1", "k")
	bare := store.Workflow{ID: "w0", Kind: "chain", State: store.WorkflowRunning, CreatedAt: t0, UpdatedAt: t0}
	loose := bare
	loose.ID = "w2" // an empty key is no key
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.InsertWorkflow(w), tx.InsertWorkflow(bare), tx.InsertWorkflow(loose))
	})
	view(t, s, func(r store.Reader) error {
		got, err := r.Workflow("w1")
		same(t, got, w)
		empty, err2 := r.Workflow("w0")
		same(t, empty, bare)
		keyed, err3 := r.WorkflowByKey("chain", "k")
		same(t, keyed, w)
		for _, bad := range [][2]string{{"run", "k"}, {"chain", "x"}, {"chain", ""}} {
			_, err := r.WorkflowByKey(bad[0], bad[1])
			wantErr(t, err, store.ErrWorkflowNotFound)
		}
		_, missing := r.Workflow("x")
		wantErr(t, missing, store.ErrWorkflowNotFound)
		got2 := pages(t, func(token string) ([]store.Workflow, string, error) {
			return r.Workflows(store.WorkflowQuery{PageSize: 2, PageToken: token})
		})
		same(t, got2, []store.Workflow{loose, w, bare})
		byKey, _, err4 := r.Workflows(store.WorkflowQuery{Kind: "chain", Key: "k", State: store.WorkflowRunning})
		same(t, byKey, []store.Workflow{w})
		return errors.Join(err, err2, err3, err4)
	})
	again := newWorkflow("w3", "k")
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertWorkflow(again) }), store.ErrConflict)
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertWorkflow(newWorkflow("w1", "z")) }), store.ErrConflict)

	// Its end is final, and frees its key.
	ended := w
	ended.State, ended.Output, ended.Error, ended.Attempt, ended.FinishedAt = store.WorkflowSucceeded, []byte("[]"), "", 4, t0.Add(time.Hour)
	sent := ended
	sent.Kind, sent.Key, sent.Input, sent.CreatedAt = "z", "z", nil, time.Time{} // none is changed
	update(t, s, func(tx store.Tx) error { return tx.UpdateWorkflow(sent) })
	view(t, s, func(r store.Reader) error {
		got, err := r.Workflow("w1")
		same(t, got, ended)
		return err
	})
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateWorkflow(w) }), store.ErrConflict)
	wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateWorkflow(newWorkflow("x", "")) }), store.ErrWorkflowNotFound)
	update(t, s, func(tx store.Tx) error { return tx.InsertWorkflow(again) })
}

func testWorkflowJournal(t *testing.T, open Open) {
	s := start(t, open)
	w := newWorkflow("w", "")
	one := store.WorkflowStep{WorkflowID: "w", Seq: 1, Name: "one", Output: []byte("1"), StartedAt: t0, FinishedAt: t0.Add(time.Second)}
	two := store.WorkflowStep{WorkflowID: "w", Seq: 2, Name: "two", Error: "no luck", StartedAt: t0, FinishedAt: t0}
	var signals []store.WorkflowSignal
	update(t, s, func(tx store.Tx) error {
		if err := tx.InsertWorkflow(w); err != nil {
			return err
		}
		for i, step := range []store.WorkflowStep{one, two} {
			step.Seq = 99 // the store counts
			seq, err := tx.AppendStep(step)
			same(t, seq, i+1)
			if err != nil {
				return err
			}
		}
		for _, name := range []string{"go", "stop", "go"} {
			sig := store.WorkflowSignal{WorkflowID: "w", Name: name, Payload: []byte(`"p"`), At: t0}
			id, err := tx.PutSignal(sig)
			if err != nil {
				return err
			}
			sig.ID = id
			signals = append(signals, sig)
		}
		return nil
	})
	for what, bad := range map[string]func(tx store.Tx) error{
		"step of the same name": func(tx store.Tx) error { _, err := tx.AppendStep(one); return err },
		"signal taken twice": func(tx store.Tx) error {
			return errors.Join(tx.TakeSignal(signals[0].ID), tx.TakeSignal(signals[0].ID))
		},
		"unknown signal": func(tx store.Tx) error { return tx.TakeSignal(99) },
	} {
		if err := s.Update(t.Context(), bad); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: error is %v, want %v", what, err, store.ErrConflict)
		}
	}
	update(t, s, func(tx store.Tx) error { return tx.TakeSignal(signals[1].ID) })
	check := func(r store.Reader) error {
		steps, err := r.WorkflowSteps("w")
		same(t, steps, []store.WorkflowStep{one, two})
		left, err2 := r.WorkflowSignals("w")
		same(t, left, []store.WorkflowSignal{signals[0], signals[2]})
		none, err3 := r.WorkflowSteps("x")
		same(t, none, []store.WorkflowStep(nil))
		nothing, err4 := r.WorkflowSignals("x")
		same(t, nothing, []store.WorkflowSignal(nil))
		return errors.Join(err, err2, err3, err4)
	}
	view(t, s, check)

	// A workflow that has ended takes neither.
	w.State, w.FinishedAt = store.WorkflowFailed, t0
	update(t, s, func(tx store.Tx) error { return tx.UpdateWorkflow(w) })
	three := one
	three.Name = "three"
	for id, want := range map[string]error{"w": store.ErrConflict, "x": store.ErrWorkflowNotFound} {
		three.WorkflowID = id
		wantErr(t, s.Update(t.Context(), func(tx store.Tx) error { _, err := tx.AppendStep(three); return err }), want)
		wantErr(t, s.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.PutSignal(store.WorkflowSignal{WorkflowID: id, Name: "go", At: t0})
			return err
		}), want)
	}
	view(t, s, check)
}
