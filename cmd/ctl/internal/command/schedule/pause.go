package schedule

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
)

func newPause(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.PauseScheduleRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:     "pause NAME JOB --reason R",
		Short:   "Keep a schedule from firing, also after a restart, until it is resumed",
		Example: `  ctl schedule pause churn train --reason "labels are late this week"`,
		Args:    job,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Job, req.Actor = args[0], args[1], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Schedules.PauseSchedule(ctx, req)
				if err != nil {
					return err
				}
				return one(c, format, answer.GetSchedule())
			})
		},
	}
	daemon.ReasonFlag(cmd, &req.Reason)
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newResume(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.ResumeScheduleRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:     "resume NAME JOB",
		Short:   "Let a paused schedule fire again; what it missed meanwhile stays missed",
		Example: `  ctl schedule resume churn train`,
		Args:    job,
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Job, req.Actor = args[0], args[1], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Schedules.ResumeSchedule(ctx, req)
				if err != nil {
					return err
				}
				return one(c, format, answer.GetSchedule())
			})
		},
	}
	cmd.Flags().StringVar(&req.Reason, "reason", "", "`WHY`, for the daemon's log")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

// job wants a model and one of the two jobs.
func job(cmd *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(2)(cmd, args); err != nil {
		return err
	}
	if args[1] != schedule.Train && args[1] != schedule.BatchInference {
		return exit.Usage("use "+schedule.Train+" or "+schedule.BatchInference, "unknown job %q", args[1])
	}
	return nil
}

func one(c *console.Console, format render.Format, s *lifecyclev1.Schedule) error {
	if format != render.Table {
		return render.Document(c.Out, format, render.Message(s))
	}
	g := render.NewGrid(c.Width, header()...)
	g.Row(cells(s)...)
	return g.Write(c.Out)
}
