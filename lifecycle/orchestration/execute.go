package orchestration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
)

// begun is the journaled attempt to begin a model's chain, or the reason not to.
type begun struct {
	Chain  string `json:"chain,omitempty"`  // its id
	Joined string `json:"joined,omitempty"` // the run that it belongs to, when that is another one
	Busy   bool   `json:"busy,omitempty"`   // it does something else: to be waited for, then tried again
	Skip   string `json:"skip,omitempty"`   // the model is left out
}

// beginStep is the step that tries for the n-th time (1, 2, ...) to begin a chain. A run has a branch a model.
func beginStep(n int) string { return fmt.Sprintf("begin#%d", n) }

// beginName is its name in the journal, where workflow.Parallel puts the branch before the step.
func beginName(model string, n int) string { return model + "::" + beginStep(n) }

// part is one model's part of a run under way.
type part struct {
	s    *Service
	plan plan
	chainPlan

	needs []*part       // that this one waits for
	ended chan struct{} // closed when this one has
	why   string        // set before: why those that depend on this are left out, "" when they are not
}

// run is the workflow of a run: a branch a model. Each waits for those that it depends on, begins its chain and waits for
// that.
func (s *Service) run(c *workflow.Context, raw json.RawMessage) (any, error) {
	var p plan
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("input of run %s: %w", c.ID(), err)
	}
	parts := map[string]*part{}
	branches := make([]workflow.Branch, len(p.Chains))
	for i, m := range p.Chains { // what a model depends on comes before it
		one := &part{s: s, plan: p, chainPlan: m, ended: make(chan struct{})}
		for _, d := range m.DependsOn {
			one.needs = append(one.needs, parts[d])
		}
		parts[m.Model] = one
		branches[i] = workflow.Branch{Name: m.Model, Run: one.run}
	}
	return nil, errors.Join(workflow.Parallel(c, branches...)...)
}

func (p *part) run(c *workflow.Context) (err error) {
	defer func() {
		if err != nil {
			p.why = err.Error()
		}
		close(p.ended)
		p.s.live.notify()
	}()
	skip := ""
	for _, n := range p.needs {
		select {
		case <-n.ended:
		case <-c.Done():
			return context.Cause(c)
		}
		if skip == "" {
			skip = n.why
		}
	}
	for attempt := 1; ; attempt++ {
		b, err := p.begin(c, attempt, skip)
		if err != nil {
			return err
		}
		if b.Skip != "" {
			p.why = b.Skip
			return nil
		}
		w, err := p.s.d.Engine.Wait(c, b.Chain)
		if err != nil {
			return p.abort(c, b, err)
		}
		if b.Busy || b.Joined != "" && w.State == store.WorkflowCancelled {
			continue // this run wants it all the same
		}
		if b.Joined == "" && w.State == store.WorkflowFailed {
			_, err := workflow.StepTx(c, "broken", func(tx store.Tx) (bool, error) {
				return true, p.alertBroken(tx, c.ID(), w.Error)
			})
			if err != nil {
				return err
			}
		}
		return p.conclude(c, w)
	}
}

// begin begins the chain, or joins the one that runs.
func (p *part) begin(c *workflow.Context, attempt int, skip string) (begun, error) {
	in := chainInput{
		chainPlan: p.chainPlan, RunID: c.ID(), Date: p.plan.Date, Trigger: p.plan.Trigger, Reason: p.plan.Reason,
		Actor: p.plan.Actor, GitSHA: p.plan.GitSHA,
	}
	b, err := workflow.StepTx(c, beginStep(attempt), func(tx store.Tx) (begun, error) {
		if skip != "" {
			return begun{Skip: skip}, nil
		}
		id, joined, err := p.s.d.Engine.BeginTx(tx, kindChain, p.Model, in)
		if err != nil || !joined {
			return begun{Chain: id}, err
		}
		w, err := tx.Workflow(id)
		if err != nil {
			return begun{}, err
		}
		var other chainInput
		if err := json.Unmarshal(w.Input, &other); err != nil {
			return begun{}, fmt.Errorf("input of chain %s: %w", id, err)
		}
		return begun{Chain: id, Joined: other.RunID, Busy: w.CancelRequested != "" || !other.covers(in)}, nil
	})
	p.s.Wake()
	p.s.live.notify()
	return b, err
}

// conclude notes how the last node ended.
func (p *part) conclude(ctx context.Context, w store.Workflow) error {
	return p.s.d.Store.View(ctx, func(r store.Reader) error {
		nodes, err := chainNodes(r, p.chainPlan, w, nil)
		if err != nil {
			return err
		}
		last := nodes[len(nodes)-1]
		switch last.State {
		case Succeeded, AwaitingApproval:
		case Skipped: // its message is short: it names the node that failed
			p.why = fmt.Sprintf("%s %s: %s", last.ID, words(last.State), last.Message)
		default:
			p.why = last.ID + " " + words(last.State)
		}
		return nil
	})
}

// abort ends the chain when the run was cancelled, unless it is another run's, and waits for its end. When the engine
// stops, the chain goes on after its next start.
func (p *part) abort(c *workflow.Context, b begun, err error) error {
	cause := context.Cause(c)
	if !errors.Is(cause, workflow.ErrCancelled) {
		return err
	}
	if b.Joined != "" {
		return cause
	}
	ctx := c.Cleanup()
	reason := p.s.cancelReason(ctx, c.ID())
	if err := p.s.d.Engine.Cancel(ctx, b.Chain, reason); err != nil && !errors.Is(err, workflow.ErrEnded) {
		return err
	}
	if _, err := p.s.d.Engine.Wait(ctx, b.Chain); err != nil {
		return err
	}
	return cause
}

// cancelReason is why a workflow was cancelled.
func (s *Service) cancelReason(ctx context.Context, id string) string {
	w, err := s.d.Engine.Get(ctx, id)
	if err != nil || w.CancelRequested == "" {
		return "the run was cancelled"
	}
	return w.CancelRequested
}

// words is a state after the name of a node.
func words(s State) string {
	switch s {
	case Failed:
		return "failed"
	case Cancelled:
		return "was cancelled"
	case Skipped:
		return "was skipped"
	default:
		return "is " + string(s)
	}
}
