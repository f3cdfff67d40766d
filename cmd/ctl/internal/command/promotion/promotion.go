// Package promotion holds the verbs that decide which version is Champion: validate, promote, rollback.
package promotion

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// NewPromote returns "ctl promote".
func NewPromote(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.PromoteRequest{}
	var generation int64
	format := render.Table
	cmd := &cobra.Command{
		Use:   "promote NAME --reason R",
		Short: "Make a validated version the Champion",
		Long: `Make a validated version the Champion. The old Champion is archived in the same transaction. Batches that are running finish
on the version that they started with.

--force promotes a version that gates stand in the way of: it waives them, in your name and with the reason, and then
promotes. What the artifact and parity gates find cannot be waived.`,
		Example: `  ctl promote churn --reason "passed all gates"
  ctl promote churn --version 5 --force --reason "AUC .742 accepted by risk until the new features land"
  ctl promote churn --version 4 --expected-generation 7 --dry-run --reason "holdout AUC +0.4"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Actor = args[0], access.Actor()
			req.ExpectedGeneration = ifChanged(cmd, generation)
			if err := daemon.CheckReason(req.GetReason()); err != nil {
				return err
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Promotion.Promote(ctx, req)
				if err != nil {
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Message(answer))
				}
				return writeChange(c, answer.GetChange())
			})
		},
	}
	f := cmd.Flags()
	f.Var((*daemon.Version)(&req.Version), "version", "`VERSION` to promote (default the newest validated one; with --force the newest that has a report)")
	f.BoolVar(&req.Force, "force", false, "waive the gates that stand in the way, then promote")
	decisionFlags(cmd, &req.Reason, &generation, &req.DryRun, &format)
	return cmd
}

// NewRollback returns "ctl rollback".
func NewRollback(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.RollbackRequest{}
	var generation int64
	format := render.Table
	cmd := &cobra.Command{
		Use:   "rollback NAME --reason R",
		Short: "Make an earlier Champion the Champion again",
		Long: `Make an earlier Champion the Champion again. The version that is replaced is quarantined, unless --keep is given, and the
batches that it scored are listed.`,
		Example: `  ctl rollback churn --reason "complaints about the new scores"
  ctl rollback churn --to 2 --keep --dry-run --reason "compare with the old scores"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.ModelName, req.Actor = args[0], access.Actor()
			req.ExpectedGeneration = ifChanged(cmd, generation)
			if err := daemon.CheckReason(req.GetReason()); err != nil {
				return err
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Promotion.Rollback(ctx, req)
				if err != nil {
					err = daemon.Describe(err)
					if client.Describe(err).Reason == lifecyclev1.ErrorReason_ERROR_REASON_NO_CHAMPION {
						err = exit.Hinted(err, "see who was Champion with: ctl model history "+args[0]+
							"; another version goes live with: ctl validate, then ctl promote")
					}
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Message(answer))
				}
				if err := writeChange(c, answer.GetChange()); err != nil {
					return err
				}
				return writeAffected(c, answer)
			})
		},
	}
	f := cmd.Flags()
	f.Var((*daemon.Version)(&req.ToVersion), "to", "`VERSION` to go back to (default the Champion before the present one)")
	f.BoolVar(&req.Keep, "keep", false, "keep the replaced version promotable: archived, not quarantined")
	decisionFlags(cmd, &req.Reason, &generation, &req.DryRun, &format)
	return cmd
}

const generationFlag = "expected-generation"

func decisionFlags(cmd *cobra.Command, reason *string, generation *int64, dryRun *bool, format *render.Format) {
	f := cmd.Flags()
	f.StringVar(reason, "reason", "", "`WHY`, for the audit trail")
	f.Int64Var(generation, generationFlag, 0, "refuse unless the model's generation is `G`: guards against someone else's change")
	f.BoolVar(dryRun, "dry-run", false, "show the effects, change nothing")
	f.VarP(format, "output", "o", "output format")
	_ = cmd.MarkFlagRequired("reason") // fails only for a flag that does not exist
}

func ifChanged(cmd *cobra.Command, generation int64) *int64 {
	if !cmd.Flags().Changed(generationFlag) {
		return nil
	}
	return &generation
}

func writeChange(c *console.Console, ch *lifecyclev1.ChampionChange) error {
	verb := "Champion of %s is now version %d"
	if ch.GetDryRun() {
		verb = "dry run, nothing was changed: Champion of %s would be version %d"
	}
	if _, err := fmt.Fprintf(c.Out, verb+"\n", ch.GetModelName(), ch.GetToVersion()); err != nil {
		return err
	}
	g := render.NewGrid(c.Page(), "", "~")
	if ch.GetFromVersion() != 0 {
		g.Row("  before", fmt.Sprintf("version %d, %s", ch.GetFromVersion(), render.Enum(ch.GetFromVersionStage())))
	} else {
		g.Row("  before", "none")
	}
	g.Row("  generation", ch.GetGeneration())
	if !ch.GetDryRun() {
		g.Row("  at", render.Time(ch.GetAt()))
		g.Row("  audit", fmt.Sprintf("entry %d, %s", ch.GetAuditSeq(), render.Digest(ch.GetAuditHash())))
	}
	for i, e := range ch.GetEffects() {
		label := ""
		if i == 0 {
			label = "  effects"
		}
		g.Row(label, e)
	}
	return g.Write(c.Out)
}

func writeAffected(c *console.Console, answer *lifecyclev1.RollbackResponse) error {
	ids := answer.GetAffectedBatches()
	if len(ids) == 0 {
		_, err := fmt.Fprintln(c.Out, "no batch was scored by the replaced version since it became Champion")
		return err
	}
	were := "batches were"
	if len(ids) == 1 {
		were = "batch was"
	}
	if _, err := fmt.Fprintf(c.Out, "%d %s scored by version %d since it became Champion:\n", len(ids), were,
		answer.GetChange().GetFromVersion()); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := fmt.Fprintln(c.Out, "  "+id); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.Err, "to score one again with the Champion, run its ctl score again; see ctl batch show ID")
	return nil
}
