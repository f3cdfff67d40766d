package orchestration

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// view derives a run from its workflow, those of its models, their journals, and what is known of the nodes under way.
func view(r store.Reader, w store.Workflow, live map[string]liveNode) (Run, error) {
	var p plan
	if err := json.Unmarshal(w.Input, &p); err != nil {
		return Run{}, fmt.Errorf("input of run %s: %w", w.ID, err)
	}
	run := Run{
		ID: w.ID, State: Running, Trigger: p.Trigger, Reason: p.Reason, Actor: p.Actor, ComputeDate: p.Date,
		StartedAt: w.CreatedAt, FinishedAt: w.FinishedAt, Error: line(w.Error),
	}
	journal, err := journalOf(r, w.ID)
	if err != nil {
		return Run{}, err
	}
	pending := map[string][]string{} // what the first node of a model waits for
	for _, n := range p.nodes() {
		if _, seen := pending[n.Model]; !seen {
			pending[n.Model] = n.DependsOn
		}
	}
	for _, c := range p.Chains {
		nodes, err := modelNodes(r, w, c, journal, live, pending[c.Model])
		if err != nil {
			return Run{}, err
		}
		run.Nodes = append(run.Nodes, nodes...)
	}
	for i, n := range p.nodes() {
		run.Nodes[i].DependsOn = n.DependsOn
	}
	run.conclude(w)
	return run, nil
}

// conclude sets the state of the run.
func (r *Run) conclude(w store.Workflow) {
	switch w.State {
	case store.WorkflowRunning:
		if w.CancelRequested != "" {
			r.Error = "is being cancelled: " + w.CancelRequested
		}
		return
	case store.WorkflowCancelled:
		r.State, r.Error = Cancelled, w.CancelRequested
		return
	case store.WorkflowFailed:
		r.State = Failed
		return
	}
	r.State = Succeeded
	failed := 0
	for _, n := range r.Nodes {
		switch n.State {
		case Failed, Cancelled:
			if failed++; failed == 1 {
				r.Error = fmt.Sprintf("%s %s: %s", n.ID, words(n.State), n.Message)
			}
		}
	}
	if failed > 0 {
		r.State = Failed
	}
	if failed > 1 {
		r.Error += fmt.Sprintf(" (and %d more)", failed-1)
	}
}

// journal is the journal of a workflow by name.
type journal map[string]store.WorkflowStep

func journalOf(r store.Reader, id string) (journal, error) {
	steps, err := r.WorkflowSteps(id)
	if err != nil {
		return nil, err
	}
	j := make(journal, len(steps))
	for _, s := range steps {
		j[s.Name] = s
	}
	return j, nil
}

// read decodes a journal entry; found is false when there is none, or it is that of a step that failed.
func read[T any](j journal, name string) (v T, at time.Time, found bool, err error) {
	s, ok := j[name]
	if !ok || s.Error != "" {
		return v, at, false, nil
	}
	if err := json.Unmarshal(s.Output, &v); err != nil {
		return v, at, false, fmt.Errorf("journal entry %s of workflow %s: %w", name, s.WorkflowID, err)
	}
	return v, s.FinishedAt, true, nil
}

// modelNodes are the nodes of one model of a run.
func modelNodes(r store.Reader, w store.Workflow, c chainPlan, j journal, live map[string]liveNode, waits []string) ([]Node, error) {
	var (
		b  begun
		at time.Time
	)
	for n := 1; ; n++ {
		next, t, found, err := read[begun](j, beginName(c.Model, n))
		if err != nil {
			return nil, err
		}
		if !found {
			break
		}
		b, at = next, t
	}
	all := func(s State, message string) []Node {
		nodes := make([]Node, len(c.Steps))
		for i, step := range c.Steps {
			nodes[i] = Node{ID: nodeID(c.Model, step), Model: c.Model, Step: step, State: s, Message: message}
			if s.Ended() {
				nodes[i].StartedAt, nodes[i].FinishedAt = at, at
			}
		}
		return nodes
	}
	if b.Skip != "" {
		return all(Skipped, b.Skip), nil
	}
	if b.Chain == "" || b.Busy {
		if w.State != store.WorkflowRunning {
			at = w.FinishedAt
			return all(notBegun(w)), nil
		}
		nodes := all(Pending, "")
		if b.Busy {
			nodes[0].Message = "waits for run " + b.Joined + ", which is working on the model"
		} else if len(waits) > 0 {
			nodes[0].Message = "waits for " + strings.Join(waits, ", ")
		}
		return nodes, nil
	}
	chain, err := r.Workflow(b.Chain)
	if err != nil {
		return nil, err
	}
	nodes, err := chainNodes(r, c, chain, live)
	if err != nil || b.Joined == "" {
		return nodes, err
	}
	for i := range nodes {
		nodes[i].Message = strings.TrimSuffix("joined run "+b.Joined+": "+nodes[i].Message, ": ")
	}
	if w.State != store.WorkflowRunning {
		// The run has left a chain that goes on.
		for i := range nodes {
			if !nodes[i].State.Ended() {
				nodes[i].State, nodes[i].FinishedAt = Cancelled, w.FinishedAt
			}
		}
	}
	return nodes, nil
}

// notBegun is the end of nodes whose run ended before they began.
func notBegun(w store.Workflow) (State, string) {
	if w.State == store.WorkflowCancelled {
		return Cancelled, "not begun: " + w.CancelRequested
	}
	return Skipped, "not begun: " + w.Error
}

// chainNodes are the nodes of a chain: those with an outcome, the one under way, those to come.
func chainNodes(r store.Reader, c chainPlan, chain store.Workflow, live map[string]liveNode) ([]Node, error) {
	j, err := journalOf(r, chain.ID)
	if err != nil {
		return nil, err
	}
	var nodes []Node
	since := chain.CreatedAt
	under := true // the next node without an outcome is under way
	for _, step := range c.Steps {
		n := Node{ID: nodeID(c.Model, step), Model: c.Model, Step: step, State: Pending}
		o, at, found, err := read[outcome](j, string(step))
		if err != nil {
			return nil, err
		}
		l := live[chain.ID]
		switch {
		case found:
			n.State, n.Message, n.Subject, n.Refused = o.State, o.Message, o.Subject, o.Refused
			n.StartedAt, n.FinishedAt = o.StartedAt, at
			since = at
		case chain.State == store.WorkflowRunning && under && l.step == step:
			n.State, n.Message, n.Subject, n.StartedAt = l.state, l.message, l.subject, l.at
		case chain.State == store.WorkflowRunning && under:
			n.State, n.StartedAt = Running, since
		case chain.State == store.WorkflowRunning:
		case chain.State == store.WorkflowCancelled:
			n.State, n.Message, n.FinishedAt = Cancelled, chain.CancelRequested, chain.FinishedAt
		case under:
			n.State, n.Message, n.StartedAt, n.FinishedAt = Failed, line(chain.Error), since, chain.FinishedAt
		default:
			n.State, n.Message, n.FinishedAt = Skipped, line(chain.Error), chain.FinishedAt
		}
		under = under && found
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// Active returns the run that is about to train the model, does, or has its candidate in hand, "" when there is none. It
// may be asked inside a transaction.
func (s *Service) Active(r store.Reader, model string) (runID string, err error) {
	err = eachRun(r, store.WorkflowRunning, func(w store.Workflow) (bool, error) {
		if w.CancelRequested != "" {
			return true, nil
		}
		run, err := view(r, w, nil)
		if err != nil {
			return false, err
		}
		if i := slices.IndexFunc(run.Nodes, func(n Node) bool { return n.Model == model && n.Step == StepTrain }); i >= 0 {
			for _, n := range run.Nodes[i:] {
				if n.Model == model && !n.State.Ended() && n.Step != StepScore {
					runID = run.ID
					return false, nil
				}
			}
		}
		return true, nil
	})
	return runID, err
}

// eachRun calls f for the runs in a state, the newest first, until it returns false.
func eachRun(r store.Reader, state string, f func(w store.Workflow) (bool, error)) error {
	for token := ""; ; {
		page, next, err := r.Workflows(store.WorkflowQuery{Kind: kindRun, State: state, PageToken: token})
		if err != nil {
			return err
		}
		for _, w := range page {
			if more, err := f(w); err != nil || !more {
				return err
			}
		}
		if token = next; token == "" {
			return nil
		}
	}
}

// RunOf is Get inside a transaction, without the progress of the nodes under way.
func (s *Service) RunOf(r store.Reader, id string) (Run, error) {
	w, err := runWorkflow(r, id)
	if err != nil {
		return Run{}, err
	}
	return view(r, w, nil)
}

func runWorkflow(r store.Reader, id string) (store.Workflow, error) {
	w, err := r.Workflow(id)
	if errors.Is(err, store.ErrWorkflowNotFound) || err == nil && w.Kind != kindRun {
		return store.Workflow{}, fmt.Errorf("%w: %q; list them with: ctl runs list", ErrRunNotFound, id)
	}
	return w, err
}
