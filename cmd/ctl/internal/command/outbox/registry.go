package outbox

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

// NewRegistry returns "ctl registry" with its verb.
func NewRegistry(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registry",
		Short: "Compare the external registry with the daemon's record",
		Example: `  ctl registry check churn
  ctl registry check --dry-run`,
	}
	cmd.AddCommand(newCheck(c, access))
	return cmd
}

func newCheck(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.ReconcileRegistryRequest{}
	format := render.Table
	cmd := &cobra.Command{
		Use:   "check [NAME]",
		Short: "Compare aliases and tags in the external registry with the store, and act by policy",
		Long: `Compare aliases and tags in the external registry (MLflow) with what the store says, and do with each difference what the model's
registry.divergence says: alert, revert or adopt. With --dry-run nothing is changed.

Exit code 0: nothing differs, or what differed was put right. 3: something differs still.`,
		Example: `  ctl registry check churn
  ctl registry check --dry-run -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				req.ModelName = args[0]
			}
			req.Actor = access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Outbox.ReconcileRegistry(ctx, req)
				if err != nil {
					return err
				}
				if format != render.Table {
					err = render.Document(c.Out, format, render.Message(answer))
				} else {
					err = writeDivergences(c, answer)
				}
				if err != nil {
					return err
				}
				return stillDiffers(answer)
			})
		},
	}
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "report only, whatever the policy says")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func writeDivergences(c *console.Console, r *lifecyclev1.ReconcileRegistryResponse) error {
	if len(r.GetDivergences()) == 0 {
		_, err := fmt.Fprintf(c.Out, "%s checked, nothing differs\n", render.Plural(int64(r.GetModelsChecked()), "model"))
		return err
	}
	g := render.NewGrid(c.Page(), "MODEL", "SUBJECT", "EXPECTED", "FOUND", "ACTION", "~MEANING")
	for _, d := range r.GetDivergences() {
		g.Row(d.GetModelName(), d.GetSubject(), render.OrDash(d.GetExpected()), render.OrDash(d.GetFound()), d.GetAction(), d.GetMessage())
	}
	return g.Write(c.Out)
}

// stillDiffers is the answer "no" when something was only told and not put right.
func stillDiffers(r *lifecyclev1.ReconcileRegistryResponse) error {
	n := 0
	for _, d := range r.GetDivergences() {
		if d.GetAction() != "reverted" && d.GetAction() != "adopted" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return exit.Gate("set registry.divergence to revert or adopt in the model's config.yml, or put it right in the registry",
		"%s between the registry and the store", render.Plural(int64(n), "difference"))
}
