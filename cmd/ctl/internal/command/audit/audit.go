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

// pageSize is the most that the daemon returns at once.
const pageSize = 1000

// mostReason is how many characters of a reason the table shows on a terminal.
const mostReason = 60

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	limit := 100
	format := render.Table
	cmd := &cobra.Command{
		Use:   "list [NAME]",
		Short: "List who changed what and why, newest first",
		Example: `  ctl audit list
  ctl audit list churn -n 10 -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return exit.Usage("give a positive number", "--number %d", limit)
			}
			req := &lifecyclev1.ListEntriesRequest{}
			if len(args) == 1 {
				req.ModelName = args[0]
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				entries, err := list(ctx, cl, req, limit)
				if err != nil {
					return err
				}
				if len(entries) == 0 && len(args) == 1 {
					if err := daemon.Known(ctx, cl, args[0]); err != nil {
						return err
					}
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Messages(entries))
				}
				return writeList(c, entries)
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "number", "n", limit, "list the newest `N`")
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func list(ctx context.Context, cl *client.Client, req *lifecyclev1.ListEntriesRequest, limit int) ([]*lifecyclev1.AuditEntry, error) {
	var out []*lifecyclev1.AuditEntry
	for {
		req.PageSize = int32(min(limit-len(out), pageSize))
		answer, err := cl.Audit.ListEntries(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, answer.GetEntries()...)
		if len(out) >= limit || answer.GetNextPageToken() == "" {
			return out[:min(len(out), limit)], nil
		}
		req.PageToken = answer.GetNextPageToken()
	}
}

func writeList(c *console.Console, entries []*lifecyclev1.AuditEntry) error {
	g := render.NewGrid(c.Width, ">SEQ", "AT (UTC)", "ACTOR", "ACTION", "MODEL", "STAGE", "HASH", "~REASON")
	shortened := false
	for _, e := range entries {
		stage := e.GetToStage()
		if e.GetFromStage() != "" {
			stage = e.GetFromStage() + " -> " + stage
		}
		reason := e.GetReason()
		if c.OutTTY {
			reason = render.Brief(reason, mostReason)
			shortened = shortened || reason != e.GetReason()
		}
		g.Row(e.GetSeq(), render.Clock(e.GetAt()), e.GetActor(), e.GetAction(),
			e.GetModelName()+" "+render.Version(e.GetVersion()), stage, render.Digest(e.GetHash()), reason)
	}
	if err := g.Write(c.Out); err != nil {
		return err
	}
	if shortened {
		fmt.Fprintln(c.Err, "reasons that end in … are shortened; -o json has them whole")
	}
	return nil
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
