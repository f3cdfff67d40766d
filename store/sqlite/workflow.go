package sqlite

import (
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

const selectWorkflow = `
SELECT id, kind, key, state, input, output, error, cancel_requested, attempt, created_at, updated_at, finished_at
FROM workflow`

func scanWorkflow(w *store.Workflow) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&w.ID, &w.Kind, &w.Key, &w.State, &w.Input, &w.Output, &w.Error, &w.CancelRequested, &w.Attempt,
			stamp{&w.CreatedAt}, stamp{&w.UpdatedAt}, stamp{&w.FinishedAt})
	}
}

// Workflow returns a workflow by id.
func (r *reader) Workflow(id string) (store.Workflow, error) {
	var w store.Workflow
	err := r.one(fmt.Errorf("%s: %w", id, store.ErrWorkflowNotFound), scanWorkflow(&w), selectWorkflow+` WHERE id = ?`, id)
	return w, err
}

// WorkflowByKey returns the running workflow of a kind with a key.
func (r *reader) WorkflowByKey(kind, key string) (store.Workflow, error) {
	var w store.Workflow
	err := r.one(fmt.Errorf("running %s with key %.80q: %w", kind, key, store.ErrWorkflowNotFound), scanWorkflow(&w),
		selectWorkflow+` WHERE kind = ? AND key = ? AND key <> '' AND state = 'running'`, kind, key)
	return w, err
}

// Workflows lists workflows, newest first.
func (r *reader) Workflows(q store.WorkflowQuery) ([]store.Workflow, string, error) {
	l := listing[store.Workflow, [2]string]{
		from: selectWorkflow, order: `created_at, id`, scan: scanWorkflow, scope: "workflow",
		key: func(w *store.Workflow) [2]string { return [2]string{w.CreatedAt.Format(timeLayout), w.ID} },
	}
	l.equal(`kind`, q.Kind)
	l.equal(`key`, q.Key)
	l.equal(`state`, q.State)
	return l.page(r, q.PageSize, q.PageToken)
}

// WorkflowSteps lists the journal of a workflow.
func (r *reader) WorkflowSteps(id string) ([]store.WorkflowStep, error) {
	var out []store.WorkflowStep
	err := r.each(func(row scanner) error {
		var s store.WorkflowStep
		err := row.Scan(&s.WorkflowID, &s.Seq, &s.Name, &s.Output, &s.Error, stamp{&s.StartedAt}, stamp{&s.FinishedAt})
		out = append(out, s)
		return err
	}, `
SELECT workflow_id, seq, name, output, error, started_at, finished_at FROM workflow_step
WHERE workflow_id = ? ORDER BY seq`, id)
	return out, err
}

// WorkflowSignals lists the signals of a workflow that wait.
func (r *reader) WorkflowSignals(id string) ([]store.WorkflowSignal, error) {
	var out []store.WorkflowSignal
	err := r.each(func(row scanner) error {
		var s store.WorkflowSignal
		err := row.Scan(&s.ID, &s.WorkflowID, &s.Name, &s.Payload, stamp{&s.At})
		out = append(out, s)
		return err
	}, `SELECT id, workflow_id, name, payload, at FROM workflow_signal WHERE workflow_id = ? ORDER BY id`, id)
	return out, err
}

// InsertWorkflow adds a workflow.
func (t *tx) InsertWorkflow(w store.Workflow) error {
	_, err := t.exec(`
INSERT INTO workflow (id, kind, key, state, input, output, error, cancel_requested, attempt, created_at, updated_at,
                      finished_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.ID, w.Kind, w.Key, w.State, blob(w.Input), blob(w.Output), w.Error, w.CancelRequested, w.Attempt,
		at(w.CreatedAt), at(w.UpdatedAt), at(w.FinishedAt))
	return err
}

// UpdateWorkflow stores what may change of a running workflow.
func (t *tx) UpdateWorkflow(w store.Workflow) error {
	return t.exactly(fmt.Errorf("%s: %w", w.ID, store.ErrWorkflowNotFound), `
UPDATE workflow SET state = ?, output = ?, error = ?, cancel_requested = ?, attempt = ?, updated_at = ?, finished_at = ?
WHERE id = ?`,
		w.State, blob(w.Output), w.Error, w.CancelRequested, w.Attempt, at(w.UpdatedAt), at(w.FinishedAt), w.ID)
}

// AppendStep journals a step under the next number.
func (t *tx) AppendStep(s store.WorkflowStep) (int, error) {
	if _, err := t.Workflow(s.WorkflowID); err != nil {
		return 0, err
	}
	var seq int
	err := t.one(fmt.Errorf("step %q has no number: %w", s.Name, store.ErrConflict),
		func(row scanner) error { return row.Scan(&seq) }, `
INSERT INTO workflow_step (workflow_id, seq, name, output, error, started_at, finished_at)
SELECT ?1, coalesce(max(seq), 0) + 1, ?2, ?3, ?4, ?5, ?6 FROM workflow_step WHERE workflow_id = ?1
RETURNING seq`,
		s.WorkflowID, s.Name, blob(s.Output), s.Error, at(s.StartedAt), at(s.FinishedAt))
	return seq, err
}

// PutSignal keeps a signal.
func (t *tx) PutSignal(s store.WorkflowSignal) (int64, error) {
	if _, err := t.Workflow(s.WorkflowID); err != nil {
		return 0, err
	}
	var id int64
	err := t.one(fmt.Errorf("signal %q has no id: %w", s.Name, store.ErrConflict),
		func(row scanner) error { return row.Scan(&id) },
		`INSERT INTO workflow_signal (workflow_id, name, payload, at) VALUES (?, ?, ?, ?) RETURNING id`,
		s.WorkflowID, s.Name, blob(s.Payload), at(s.At))
	return id, err
}

// TakeSignal consumes a signal.
func (t *tx) TakeSignal(id int64) error {
	return t.exactly(fmt.Errorf("signal %d is not there: %w", id, store.ErrConflict),
		`DELETE FROM workflow_signal WHERE id = ?`, id)
}
