// Package run holds "ctl run", which runs the steps of one, several or all models, and the verbs of "ctl runs".
package run

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/listing"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// New returns "ctl run".
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.StartRunRequest{}
	var steps []string
	noWait := false
	format := render.Table
	cmd := &cobra.Command{
		Use:   "run --all | NAME...",
		Short: "Run the steps of models: features, train, validate, promote, score",
		Long: `Run the steps of one, several or all configured models: features, train, validate, promote, score. Independent models run side by
side; a model that fails stops only those that depend on it. On a terminal the models are shown with their steps as they go
on. Interrupting the command leaves the run going on in the daemon.

Exit code 0: every step succeeded or a policy left it out. 1: some step failed. 3: a gate said no.`,
		Example: `  ctl run --all
  ctl run churn fraud --steps features,score --date 2026-11-02
  ctl run churn --reason "new features" --git-sha 40dcfaf --no-wait`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case req.GetAll() && len(args) > 0:
				return exit.Usage("name models or give --all", "--all and %s", strings.Join(args, " "))
			case !req.GetAll() && len(args) == 0:
				return exit.Usage("name models, or run all with: ctl run --all", "no model is named")
			}
			var err error
			if req.Steps, err = parseSteps(steps); err != nil {
				return err
			}
			req.ModelNames, req.Actor = args, access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Runs.StartRun(ctx, req)
				if err != nil {
					return err
				}
				if noWait {
					return write(c, answer.GetRun(), format)
				}
				return finish(ctx, c, cl, answer.GetRun().GetRunId(), format)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&req.All, "all", false, "run every configured model")
	f.StringSliceVar(&steps, "steps", nil, "only these `STEPS` of features, train, validate, promote, score")
	f.StringVar(&req.ComputeDate, "date", "", "compute and score `DAY`, train on the rows up to it, as 2026-11-02 (default today in UTC)")
	f.StringVar(&req.Reason, "reason", "", "`WHY`, for the record")
	f.StringVar(&req.GitSha, "git-sha", "", "`COMMIT` of the training code")
	f.BoolVar(&noWait, "no-wait", false, "return as soon as the run has begun")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

// allSteps are the steps in their order.
func allSteps() []lifecyclev1.RunStep {
	return []lifecyclev1.RunStep{
		lifecyclev1.RunStep_RUN_STEP_FEATURES, lifecyclev1.RunStep_RUN_STEP_TRAIN, lifecyclev1.RunStep_RUN_STEP_VALIDATE,
		lifecyclev1.RunStep_RUN_STEP_PROMOTE, lifecyclev1.RunStep_RUN_STEP_SCORE,
	}
}

func parseSteps(names []string) ([]lifecyclev1.RunStep, error) {
	var out []lifecyclev1.RunStep
	for _, name := range names {
		found := false
		for _, s := range allSteps() {
			if render.Enum(s) == name {
				out, found = append(out, s), true
			}
		}
		if !found {
			return nil, exit.Usage("use features, train, validate, promote, score", "--steps: unknown step %q", name)
		}
	}
	return out, nil
}

// NewRuns returns "ctl runs" with its verbs.
func NewRuns(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List, show, watch and cancel runs",
		Long:  `List, show, watch and cancel runs: what "ctl run", schedules and triggers begin.`,
		Example: `  ctl runs list churn
  ctl runs watch 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f`,
	}
	cmd.AddCommand(newList(c, access), newShow(c, access), newWatch(c, access), newCancel(c, access))
	return cmd
}

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.Run]{
		Short: "List runs, newest first",
		Example: `  ctl runs list
  ctl runs list churn -n 5 -o json`,
		Model: listing.OptionalModel,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.Run, string, error) {
			a, err := cl.Runs.ListRuns(ctx, &lifecyclev1.ListRunsRequest{ModelName: p.Model, PageSize: p.Size, PageToken: p.Token})
			return a.GetRuns(), a.GetNextPageToken(), err
		},
		Header: []string{"RUN_ID", "STATE", "TRIGGER", "MODELS", "STARTED (UTC)", ">TOOK"},
		Cells: func(r *lifecyclev1.Run) []any {
			return []any{
				r.GetRunId(), render.Enum(r.GetState()), r.GetTrigger(), modelNames(r), render.Minute(r.GetStartedAt()),
				elapsed(r.GetStartedAt(), r.GetFinishedAt()),
			}
		},
	}.Command(c, access)
}

// modelNames are that of the first model, and how many more there are.
func modelNames(r *lifecyclev1.Run) string {
	names := models(r)
	if len(names) > 2 {
		return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
	}
	return strings.Join(names, ", ")
}

func newShow(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a run with its models and steps",
		Example: `  ctl runs show 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f -o json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Runs.GetRun(ctx, &lifecyclev1.GetRunRequest{RunId: args[0]})
				if err != nil {
					return err
				}
				return write(c, answer.GetRun(), format)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newWatch(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:     "watch ID",
		Short:   "Follow a run until it ends, then show it",
		Long:    `Follow a run until it ends, then show it. Interrupting the command leaves the run going on.`,
		Example: `  ctl runs watch 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				return finish(ctx, c, cl, args[0], format)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newCancel(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.CancelRunRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:     "cancel ID --reason R",
		Short:   "Stop a run; what it has promoted or scored stays",
		Example: `  ctl runs cancel 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f --reason "wrong day"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.RunId, req.Actor = args[0], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Runs.CancelRun(ctx, req)
				if err != nil {
					return err
				}
				return write(c, answer.GetRun(), format)
			})
		},
	}
	daemon.ReasonFlag(cmd, &req.Reason)
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}
