package run

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// finish follows a run to its end, shows it and returns its outcome.
func finish(ctx context.Context, c *console.Console, cl *client.Client, id string, format render.Format) error {
	r, err := follow(ctx, c, cl, id)
	if err != nil {
		return err
	}
	if err := write(c, r, format); err != nil {
		return err
	}
	return outcome(r)
}

// follow reports the steps of a run on standard error and returns it as it ended. The context's end leaves it going on.
func follow(ctx context.Context, c *console.Console, cl *client.Client, id string) (*lifecyclev1.Run, error) {
	fmt.Fprintf(c.Err, "run %s\n", id)
	show := newDisplay(c)
	defer show.stop()
	var last *lifecyclev1.Run
	for e, err := range cl.WatchRun(ctx, id) {
		if err != nil {
			if ctx.Err() != nil && last != nil {
				return nil, exit.Hinted(fmt.Errorf("interrupted; run %s goes on in the daemon", id),
					fmt.Sprintf("ctl runs watch %s, or ctl runs cancel %s --reason R", id, id))
			}
			return nil, err
		}
		last = e.GetRun()
		show.update(last)
	}
	if last == nil {
		return nil, exit.Hinted(errors.New("the daemon ended the stream without saying how the run stands"), "see ctl runs show "+id)
	}
	return last, nil
}

// outcome is nil for a run whose steps all succeeded or were left out by a policy.
func outcome(r *lifecyclev1.Run) error {
	switch r.GetState() {
	case lifecyclev1.RunState_RUN_STATE_CANCELLED:
		return exit.Hinted(fmt.Errorf("run %s was cancelled: %s", r.GetRunId(), render.OrDash(r.GetError())), "run the same command again to complete it")
	case lifecyclev1.RunState_RUN_STATE_FAILED:
	default:
		return nil
	}
	refused := true // a gate said no, and nothing else went wrong
	var failed []string
	model := ""
	for _, n := range r.GetNodes() {
		if n.GetState() != lifecyclev1.RunState_RUN_STATE_FAILED {
			continue
		}
		refused = refused && n.GetStep() == lifecyclev1.RunStep_RUN_STEP_VALIDATE
		failed = append(failed, n.GetId())
		if model == "" {
			model = n.GetModelName()
		}
	}
	if len(failed) == 0 {
		return exit.Hinted(fmt.Errorf("run %s failed: %s", r.GetRunId(), render.OrDash(r.GetError())), "see ctl runs show "+r.GetRunId())
	}
	if refused {
		return exit.Gate("the Champion stays; see why: ctl validate "+model+" --show", "gates blocked %s", strings.Join(failed, ", "))
	}
	return exit.Hinted(fmt.Errorf("run %s failed at %s", r.GetRunId(), strings.Join(failed, ", ")),
		"correct the cause and run the same command again; what a training wrote: ctl training list "+model)
}
