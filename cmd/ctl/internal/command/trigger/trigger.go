// Package trigger holds the verbs of "ctl trigger": what retrains a model without being asked, and what was decided.
package trigger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/listing"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// New returns "ctl trigger" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trigger",
		Short: "See, try and fire what retrains models",
		Long: `See, try and fire what retrains models: schedule, drift, new data, performance and age, as the models' config.yml files say, and
by hand. Every decision is kept with its figures, also those not to train.`,
		Example: `  ctl trigger list churn
  ctl trigger fire churn --reason "new pricing since Monday"`,
	}
	cmd.AddCommand(newList(c, access), newFire(c, access), newEvaluate(c, access), newHistory(c, access))
	return cmd
}

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.TriggerPolicy]{
		Short: "List the triggers: what they wait for, when they fired, whether they may fire now",
		Example: `  ctl trigger list
  ctl trigger list churn -o json`,
		Model: listing.OptionalModel,
		Whole: true,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.TriggerPolicy, string, error) {
			a, err := cl.Triggers.ListTriggers(ctx, &lifecyclev1.ListTriggersRequest{ModelName: p.Model})
			return a.GetTriggers(), "", err
		},
		Header: []string{"MODEL", "KIND", "STATE", "LAST (UTC)", ">WEEK", "~WHEN"},
		Cells: func(t *lifecyclev1.TriggerPolicy) []any {
			state := "off"
			switch {
			case t.GetEnabled() && t.GetCooldownUntil() != nil:
				state = "until " + render.Clock(t.GetCooldownUntil())
			case t.GetEnabled() && t.GetProposeOnly():
				state = "proposes"
			case t.GetEnabled():
				state = "on"
			}
			week := strconv.Itoa(int(t.GetFiredThisWeek()))
			if t.GetMaxPerWeek() > 0 {
				week += fmt.Sprintf("/%d", t.GetMaxPerWeek())
			}
			return []any{t.GetModelName(), t.GetKind(), state, render.Clock(t.GetLastFiredAt()), week, t.GetDescription()}
		},
	}.Command(c, access)
}

func newFire(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.FireTriggerRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:   "fire NAME --reason R",
		Short: "Retrain a model now: train, validate, promote by policy, score",
		Long: `Start the retraining chain of a model by hand: train, validate, promote by the model's policy, score. A chain that is under way is
joined. Follow it with "ctl runs watch".

Exit code 0: it runs. 3: a cooldown, a weekly limit or a blackout forbids it.`,
		Example: `  ctl trigger fire churn --reason "new pricing since Monday"
  ctl trigger fire churn --date 2026-11-02 --ignore-cooldown --reason "labels were corrected"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Actor = args[0], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Triggers.FireTrigger(ctx, req)
				if err != nil {
					return err
				}
				d := answer.GetDecision()
				if format != render.Table {
					err = render.Document(c.Out, format, render.Message(d))
				} else {
					err = writeDecision(c, d)
				}
				switch {
				case err != nil:
					return err
				case d.GetRunId() == "":
					return exit.Gate("fire it all the same with --ignore-cooldown", "%s was not fired: %s", d.GetModelName(), render.Enum(d.GetOutcome()))
				case format == render.Table:
					fmt.Fprintf(c.Err, "next: ctl runs watch %s\n", d.GetRunId())
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&req.ComputeDate, "date", "", "train on the rows up to and including `DAY`, as 2026-11-02 (default today in UTC)")
	f.BoolVar(&req.IgnoreCooldown, "ignore-cooldown", false, "fire in spite of a cooldown, a weekly limit or a blackout")
	daemon.ReasonFlag(cmd, &req.Reason)
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

func newEvaluate(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.EvaluateTriggersRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:   "evaluate NAME",
		Short: "Look at every trigger of a model now, as the daemon does by itself",
		Long:  `Look at every trigger of a model now, as the daemon does by itself. With --dry-run nothing is started or recorded.`,
		Example: `  ctl trigger evaluate churn --dry-run
  ctl trigger evaluate churn -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Actor = args[0], access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Triggers.EvaluateTriggers(ctx, req)
				if err != nil {
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Messages(answer.GetDecisions()))
				}
				if req.GetDryRun() {
					fmt.Fprintln(c.Err, "dry run: nothing was started or recorded")
				}
				g := render.NewGrid(c.Page(), "KIND", "OUTCOME", "RUN", "~REASON")
				for _, d := range answer.GetDecisions() {
					g.Row(d.GetKind(), render.Enum(d.GetOutcome()), render.OrDash(d.GetRunId()), d.GetReason())
				}
				return g.Write(c.Out)
			})
		},
	}
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "show what would be decided, start and record nothing")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newHistory(c *console.Console, access *daemon.Access) *cobra.Command {
	fired := false
	return listing.Spec[*lifecyclev1.TriggerDecision]{
		Verb:  "history",
		Short: "List the decisions to train and not to, newest first",
		Example: `  ctl trigger history churn
  ctl trigger history churn --fired -n 5 -o json`,
		Model: listing.OptionalModel,
		Flags: func(cmd *cobra.Command) {
			cmd.Flags().BoolVar(&fired, "fired", false, "only decisions to train")
		},
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.TriggerDecision, string, error) {
			a, err := cl.Triggers.ListDecisions(ctx, &lifecyclev1.ListDecisionsRequest{
				ModelName: p.Model, PageSize: p.Size, PageToken: p.Token, FiredOnly: fired,
			})
			return a.GetDecisions(), a.GetNextPageToken(), err
		},
		Header: []string{"AT (UTC)", "MODEL", "KIND", "OUTCOME", "RUN", "~REASON"},
		Cells: func(d *lifecyclev1.TriggerDecision) []any {
			return []any{
				render.Clock(d.GetAt()), d.GetModelName(), d.GetKind(), render.Enum(d.GetOutcome()), render.OrDash(d.GetRunId()), d.GetReason(),
			}
		},
	}.Command(c, access)
}

func writeDecision(c *console.Console, d *lifecyclev1.TriggerDecision) error {
	g := render.NewGrid(c.Page(), "", "~")
	g.Row("outcome", render.Enum(d.GetOutcome()))
	g.Row("reason", d.GetReason())
	if d.GetRunId() != "" {
		g.Row("run_id", d.GetRunId())
	}
	for i, key := range slices.Sorted(maps.Keys(d.GetEvidence())) {
		label := ""
		if i == 0 {
			label = "evidence"
		}
		g.Row(label, key+": "+d.GetEvidence()[key])
	}
	return g.Write(c.Out)
}
