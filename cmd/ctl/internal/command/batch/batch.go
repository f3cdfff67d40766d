// Package batch holds the verbs of "ctl batch", and the receipt and the progress of a batch that "ctl score" shows too.
package batch

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/listing"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// New returns "ctl batch" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "batch",
		Short: "List, show, watch and cancel batches",
		Long:  `List, show, watch and cancel batches. "ctl score" starts one.`,
		Example: `  ctl batch list churn
  ctl batch show 6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e --rows 5`,
	}
	cmd.AddCommand(newList(c, access), newShow(c, access), newWatch(c, access), newCancel(c, access))
	return cmd
}

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*scoringv1.Batch]{
		Short: "List batches, newest first",
		Example: `  ctl batch list
  ctl batch list churn -n 5 -o json`,
		Model: listing.OptionalModel,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*scoringv1.Batch, string, error) {
			a, err := cl.Batches.ListBatches(ctx, &scoringv1.ListBatchesRequest{ModelName: p.Model, PageSize: p.Size, PageToken: p.Token})
			return a.GetBatches(), a.GetNextPageToken(), err
		},
		Header: []string{"SCORE_BATCH_ID", "MODEL", "STATE", ">ROWS", "DATE", "STARTED (UTC)"},
		Cells: func(b *scoringv1.Batch) []any {
			model := b.GetLineage().GetModelName() + " " + render.Version(b.GetLineage().GetModelVersion())
			return []any{
				b.GetScoreBatchId(), model, render.Enum(b.GetState()), render.Count(b.GetRows()), render.OrDash(b.GetInputDate()),
				render.Clock(b.GetStartedAt()),
			}
		},
	}.Command(c, access)
}

func newShow(c *console.Console, access *daemon.Access) *cobra.Command {
	var rows int
	format := render.Table
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show the receipt of a batch and a histogram of its scores",
		Example: `  ctl batch show 6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e
  ctl batch show 6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e --rows 5 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := CheckRows(rows); err != nil {
				return err
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Batches.GetBatch(ctx, &scoringv1.GetBatchRequest{ScoreBatchId: args[0]})
				if err != nil {
					return err
				}
				return Receipt{Batch: answer.GetBatch(), Rows: rows, Plot: true}.Write(ctx, c, cl, format)
			})
		},
	}
	cmd.Flags().IntVar(&rows, "rows", 0, "show the first `N` rows that it wrote as well")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newWatch(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:     "watch ID",
		Short:   "Follow a batch until it ends, then show its receipt",
		Long:    `Follow a batch until it ends, then show its receipt. Interrupting the command leaves the batch running.`,
		Example: `  ctl batch watch 6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				bar := render.NewProgress(c.Err, c.ErrTTY, "rows")
				b, err := Follow(ctx, c, bar, cl.WatchBatch(ctx, args[0]))
				bar.Stop()
				if err != nil {
					return err
				}
				if err := (Receipt{Batch: b}).Write(ctx, c, cl, format); err != nil {
					return err
				}
				return Outcome(b)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newCancel(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:     "cancel ID",
		Short:   "Stop a running batch; none of its rows become visible",
		Example: `  ctl batch cancel 6f0c1f0e-2f7a-5c55-9b3e-0d5a8b1c2d3e`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Batches.CancelBatch(ctx, &scoringv1.CancelBatchRequest{ScoreBatchId: args[0]})
				if err != nil {
					err = daemon.Describe(err)
					if exit.Hint(err) == "" {
						hint := "list the batches with: ctl batch list"
						if client.Describe(err).Reason == lifecyclev1.ErrorReason_ERROR_REASON_BATCH_NOT_RUNNING {
							hint = "see how it ended: ctl batch show " + args[0]
						}
						err = exit.Hinted(err, hint)
					}
					return err
				}
				b := answer.GetBatch()
				if format != render.Table {
					return render.Document(c.Out, format, render.Message(b))
				}
				if _, err = fmt.Fprintf(c.Out, "batch %s: %s\n", b.GetScoreBatchId(), render.Enum(b.GetState())); err != nil {
					return err
				}
				fmt.Fprintln(c.Err, "none of its rows are visible; to score it after all, run its ctl score again")
				return nil
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}
