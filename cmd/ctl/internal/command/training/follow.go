package training

import (
	"context"
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// follow prints the output of a training and, with states, a line at each change of state on standard error, and returns
// the training as it ended. The context's end leaves it running; the error then says how to come back to it.
func follow(ctx context.Context, c *console.Console, cl *client.Client, id string, states bool) (*lifecyclev1.Training, error) {
	var last *lifecyclev1.Training
	shown, partial := "", false
	for e, err := range cl.WatchTraining(ctx, id, 0) {
		if err != nil {
			if ctx.Err() != nil && last != nil {
				return nil, exit.Hinted(fmt.Errorf("interrupted; training %s goes on in the daemon", id),
					fmt.Sprintf("ctl training logs %s, or ctl training cancel %s --reason R", id, id))
			}
			return nil, err
		}
		if log := e.GetLog(); log != nil {
			if log.GetTruncated() {
				fmt.Fprintln(c.Err, "... output beyond the capture limit was dropped ...")
			}
			text := render.Lines(log.GetText())
			fmt.Fprint(c.Err, text)
			if text != "" {
				partial = text[len(text)-1] != '\n'
			}
			continue
		}
		last = e.GetTraining()
		if s := state(last); states && s != shown {
			if partial {
				fmt.Fprintln(c.Err)
				partial = false
			}
			shown = s
			fmt.Fprintf(c.Err, "%s version %d: %s\n", last.GetModelName(), last.GetVersion(), s)
		}
	}
	if partial {
		fmt.Fprintln(c.Err)
	}
	if last == nil {
		return nil, exit.Hinted(errors.New("the daemon ended the stream without saying how the training stands"), "see ctl training show "+id)
	}
	return last, nil
}

// outcome is nil for a training that succeeded, else an error that says how it ended and what to do.
func outcome(t *lifecyclev1.Training) error {
	switch t.GetState() {
	case lifecyclev1.TrainingState_TRAINING_STATE_FAILED:
		hint := t.GetHint()
		if hint == "" {
			hint = "see its output: ctl training logs " + t.GetTrainingId()
		}
		return exit.Hinted(fmt.Errorf("training %s failed: %s", t.GetTrainingId(), render.OrDash(t.GetError())), hint)
	case lifecyclev1.TrainingState_TRAINING_STATE_CANCELLED:
		return exit.Hinted(fmt.Errorf("training %s was cancelled: %s", t.GetTrainingId(), render.OrDash(t.GetError())),
			"run the same command again to train after all")
	}
	return nil
}
