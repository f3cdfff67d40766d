// Package training holds "ctl train" and the verbs of "ctl training".
package training

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/listing"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// NewTrain returns "ctl train".
func NewTrain(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.TriggerTrainingRequest{}
	noWait := false
	format := render.Table
	cmd := &cobra.Command{
		Use:   "train NAME",
		Short: "Train a model and register the version",
		Long: `Train a model with the trainer that its config.yml names, on the rows up to a day, and register the result as a trained
version. The trainer's output is shown as it comes. A model has one training at a time: a second one joins it. Interrupting
the command leaves the training running.

This trains and nothing else; "ctl run NAME" also validates, promotes and scores.
Exit code 0: the version is trained. 1: the training failed.`,
		Example: `  ctl train churn --reason "new features"
  ctl train churn --date 2026-11-02 --git-sha 40dcfaf --no-wait`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Actor = args[0], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Training.TriggerTraining(ctx, req)
				if err != nil {
					return err
				}
				t := answer.GetTraining()
				fmt.Fprintf(c.Err, "training %s of %s version %d\n", t.GetTrainingId(), t.GetModelName(), t.GetVersion())
				if answer.GetAlreadyRunning() {
					fmt.Fprintf(c.Err, "joined the training that %s began: %s\n", t.GetActor(), render.OrDash(t.GetReason()))
				}
				if noWait {
					return write(c, t, format)
				}
				if t, err = follow(ctx, c, cl, t.GetTrainingId(), true); err != nil {
					return err
				}
				if err := write(c, t, format); err != nil {
					return err
				}
				return outcome(t)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.ComputeDate, "date", "", "train on the rows up to and including `DAY`, as 2026-11-02 (default today in UTC)")
	f.StringVar(&req.Reason, "reason", "", "`WHY`, for the record")
	f.StringVar(&req.GitSha, "git-sha", "", "`COMMIT` of the training code")
	f.StringVar(&req.IdempotencyKey, "key", "", "the same `KEY` again is the same training, for scripts that retry")
	f.BoolVar(&noWait, "no-wait", false, "return as soon as the training is accepted")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

// New returns "ctl training" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "training",
		Short: "List, show, follow and cancel trainings",
		Long:  `List, show, follow and cancel trainings. "ctl train" starts one.`,
		Example: `  ctl training list churn
  ctl training logs 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f`,
	}
	cmd.AddCommand(newList(c, access), newShow(c, access), newLogs(c, access), newCancel(c, access))
	return cmd
}

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.Training]{
		Short: "List trainings, newest first",
		Example: `  ctl training list
  ctl training list churn -n 5 -o json`,
		Model: listing.OptionalModel,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.Training, string, error) {
			a, err := cl.Training.ListTrainings(ctx, &lifecyclev1.ListTrainingsRequest{ModelName: p.Model, PageSize: p.Size, PageToken: p.Token})
			return a.GetTrainings(), a.GetNextPageToken(), err
		},
		Header: []string{"TRAINING_ID", "MODEL", "STATE", "TRIGGER", ">AUC", "CREATED (UTC)", ">TOOK"},
		Cells: func(t *lifecyclev1.Training) []any {
			auc := "-"
			if v, ok := t.GetMetrics()["auc"]; ok {
				auc = strconv.FormatFloat(v, 'f', 4, 64)
			}
			return []any{
				t.GetTrainingId(), t.GetModelName() + " " + render.Version(t.GetVersion()), render.Enum(t.GetState()), t.GetTrigger(), auc,
				render.Minute(t.GetCreatedAt()), took(t),
			}
		},
	}.Command(c, access)
}

func newShow(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a training: what asked for it, what it used, what came out",
		Example: `  ctl training show 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f -o json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Training.GetTraining(ctx, &lifecyclev1.GetTrainingRequest{TrainingId: args[0]})
				if err != nil {
					return err
				}
				return write(c, answer.GetTraining(), format)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newLogs(c *console.Console, access *daemon.Access) *cobra.Command {
	return &cobra.Command{
		Use:   "logs ID",
		Short: "Print what the trainer wrote, and follow it until it ends",
		Long: `Print what the trainer wrote, on standard output. A training that is running is followed until it ends; interrupting the
command leaves it running.`,
		Example: `  ctl training logs 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				_, err := follow(ctx, &console.Console{Err: c.Out}, cl, args[0], false)
				return err
			})
		},
	}
}

func newCancel(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.CancelTrainingRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:     "cancel ID --reason R",
		Short:   "Stop a training; its version ends as failed",
		Example: `  ctl training cancel 0198c0de-7d1c-7000-8000-5a1b2c3d4e5f --reason "wrong branch"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.TrainingId, req.Actor = args[0], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Training.CancelTraining(ctx, req)
				if err != nil {
					return err
				}
				return write(c, answer.GetTraining(), format)
			})
		},
	}
	daemon.ReasonFlag(cmd, &req.Reason)
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

// took is how long a training ran, or has run.
func took(t *lifecyclev1.Training) string {
	if t.GetStartedAt() == nil {
		return "-"
	}
	end := time.Now()
	if t.GetFinishedAt() != nil {
		end = t.GetFinishedAt().AsTime()
	}
	return render.Duration(max(0, end.Sub(t.GetStartedAt().AsTime())))
}

func write(c *console.Console, t *lifecyclev1.Training, format render.Format) error {
	if format != render.Table {
		return render.Document(c.Out, format, render.Message(t))
	}
	g := render.NewGrid(c.Page(), "", "~")
	g.Row("training_id", t.GetTrainingId())
	g.Row("model", fmt.Sprintf("%s version %d", t.GetModelName(), t.GetVersion()))
	g.Row("state", state(t))
	g.Row("asked for by", asked(t))
	g.Row("trainer", render.OrDash(t.GetTrainerClass()))
	g.Row("rows", fmt.Sprintf("%s up to %s", render.Count(t.GetInputRows()), t.GetComputeDate()))
	g.Row("input version", render.OrDash(t.GetInputVersion()))
	g.Row("config digest", render.OrDash(t.GetConfigDigest()))
	if t.GetGitSha() != "" {
		g.Row("git sha", t.GetGitSha())
	}
	if t.GetRunId() != "" {
		g.Row("mlflow run", t.GetRunName()+" "+t.GetRunId())
	}
	if t.GetRegistryVersion() != "" {
		g.Row("mlflow version", t.GetRegistryVersion())
	}
	for i, name := range slices.Sorted(maps.Keys(t.GetMetrics())) {
		label := ""
		if i == 0 {
			label = "metrics"
		}
		g.Row(label, fmt.Sprintf("%-12s %s", name, strconv.FormatFloat(t.GetMetrics()[name], 'g', 6, 64)))
	}
	g.Row("created", render.Time(t.GetCreatedAt()))
	if t.GetStartedAt() != nil {
		g.Row("took", took(t))
	}
	if u := t.GetUsage(); u.GetMaxRssBytes() > 0 {
		g.Row("used", fmt.Sprintf("%.1f s CPU, %s MiB memory", u.GetUserCpuSeconds()+u.GetSystemCpuSeconds(), render.Count(u.GetMaxRssBytes()>>20)))
	}
	if t.GetError() != "" {
		g.Row("error", t.GetError())
	}
	if t.GetHint() != "" {
		g.Row("what to do", t.GetHint())
	}
	return g.Write(c.Out)
}

func state(t *lifecyclev1.Training) string {
	s := render.Enum(t.GetState())
	if t.GetState() == lifecyclev1.TrainingState_TRAINING_STATE_RUNNING && t.GetStep() != "" {
		s += ", " + t.GetStep()
	}
	if t.GetAttempt() > 1 {
		s += fmt.Sprintf(" (attempt %d)", t.GetAttempt())
	}
	return s
}

func asked(t *lifecyclev1.Training) string {
	s := render.OrDash(t.GetActor()) + ", " + t.GetTrigger()
	if t.GetReason() != "" {
		s += ": " + t.GetReason()
	}
	return s
}
