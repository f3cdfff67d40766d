package trigger

import (
	"slices"

	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/store"
)

// Runs is the Chain that is a run of one model with every step.
type Runs struct{ *orchestration.Service }

var _ Chain = Runs{}

// Begin begins the run. It fails with orchestration.ErrUnknownModel, or orchestration.ErrInvalid when the model has no
// trainer.
func (c Runs) Begin(tx store.Tx, r ChainRequest) (runID string, err error) {
	return c.Service.Begin(tx, orchestration.Request{
		Models: []string{r.Model}, Steps: orchestration.Steps(), ComputeDate: r.ComputeDate, Trigger: r.Trigger,
		Reason: r.Reason, Actor: r.Actor, GitSHA: r.GitSHA,
	})
}

// Outcome says what became of the model's candidate. That a batch failed is no matter here.
func (c Runs) Outcome(r store.Reader, runID, model string) (Outcome, error) {
	run, err := c.RunOf(r, runID)
	if err != nil {
		return Outcome{}, err
	}
	node := func(s orchestration.Step) orchestration.Node {
		i := slices.IndexFunc(run.Nodes, func(n orchestration.Node) bool { return n.Model == model && n.Step == s })
		if i < 0 {
			return orchestration.Node{}
		}
		return run.Nodes[i]
	}
	validate, promote := node(orchestration.StepValidate), node(orchestration.StepPromote)
	switch {
	case validate.Refused:
		return Outcome{ResultRefused, validate.FinishedAt}, nil
	case promote.State == orchestration.Succeeded || promote.State == orchestration.AwaitingApproval:
		return Outcome{ResultAccepted, promote.FinishedAt}, nil
	case promote.State.Ended():
		return Outcome{ResultFailed, promote.FinishedAt}, nil
	default:
		return Outcome{Result: ResultRunning}, nil
	}
}
