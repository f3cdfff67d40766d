// Package audit holds the verbs of "ctl audit": the append-only record of every change, and the proof that it is whole.
package audit

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
)

// New returns "ctl audit" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the record of every change",
		Example: `  ctl audit list churn
  ctl audit verify`,
	}
	cmd.AddCommand(newList(c, access), newVerify(c, access))
	return cmd
}

// mostReason is how many characters of a reason the table shows on a terminal.
const mostReason = 60

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	brief := func(reason string) string {
		if c.OutTTY {
			return render.Brief(reason, mostReason)
		}
		return reason
	}
	return listing.Spec[*lifecyclev1.AuditEntry]{
		Short: "List who changed what and why, newest first",
		Example: `  ctl audit list
  ctl audit list churn -n 10 -o json`,
		Model: listing.OptionalModel,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.AuditEntry, string, error) {
			a, err := cl.Audit.ListEntries(ctx, &lifecyclev1.ListEntriesRequest{ModelName: p.Model, PageSize: p.Size, PageToken: p.Token})
			return a.GetEntries(), a.GetNextPageToken(), err
		},
		Header: []string{">SEQ", "AT (UTC)", "ACTOR", "ACTION", "MODEL", "STAGE", "HASH", "~REASON"},
		Cells: func(e *lifecyclev1.AuditEntry) []any {
			stage := e.GetToStage()
			if e.GetFromStage() != "" {
				stage = e.GetFromStage() + " -> " + stage
			}
			return []any{
				e.GetSeq(), render.Clock(e.GetAt()), e.GetActor(), e.GetAction(),
				e.GetModelName() + " " + render.Version(e.GetVersion()), stage, render.Digest(e.GetHash()), brief(e.GetReason()),
			}
		},
		After: func(c *console.Console, entries []*lifecyclev1.AuditEntry) {
			for _, e := range entries {
				if brief(e.GetReason()) != e.GetReason() {
					fmt.Fprintln(c.Err, "reasons that end in … are shortened; -o json has them whole")
					return
				}
			}
		},
	}.Command(c, access)
}

func newVerify(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Recompute every hash of the audit trail",
		Long: `Recompute every hash of the audit trail from the first entry on.

Exit code 0: the chain is whole. 3: an entry does not fit.`,
		Example: `  ctl audit verify
  ctl audit verify -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				r, err := cl.Audit.VerifyChain(ctx, &lifecyclev1.VerifyChainRequest{})
				if err != nil {
					return err
				}
				if format != render.Table {
					err = render.Document(c.Out, format, render.Message(r))
				} else if r.GetValid() {
					_, err = fmt.Fprintf(c.Out, "the chain of %d entries is whole\nhead %s\n", r.GetEntries(), r.GetHeadHash())
				}
				if err == nil && !r.GetValid() {
					err = exit.Gate("entries were changed outside the daemon: compare with a backup of the store before anything else",
						"the chain is broken at entry %d: %s", r.GetBrokenSeq(), r.GetProblem())
				}
				return err
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}
