// Package outbox holds the verbs of "ctl outbox" and "ctl registry": what the daemon tells other systems, and whether the
// external registry still says what the store says.
package outbox

import (
	"context"
	"fmt"
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

// New returns "ctl outbox" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "See and replay what the daemon tells other systems",
		Long: `See and replay what the daemon tells other systems: the external registry, the warehouse's audit table, the receivers of alerts.
What could not be delivered is tried again, with longer and longer waits, and in the end kept as a dead letter.`,
		Example: `  ctl outbox list --state dead
  ctl outbox replay --kind alert`,
	}
	cmd.AddCommand(newList(c, access), newReplay(c, access))
	return cmd
}

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	var kind, state string
	return listing.Spec[*lifecyclev1.Delivery]{
		Short: "List deliveries, newest first",
		Example: `  ctl outbox list
  ctl outbox list --kind registry --state dead -o json`,
		Flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&kind, "kind", "", "only this `KIND`: promotion, registry or alert")
			cmd.Flags().StringVar(&state, "state", "", "only in this `STATE`: pending, delivered or dead")
		},
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.Delivery, string, error) {
			s, err := parseState(state)
			if err != nil {
				return nil, "", err
			}
			a, err := cl.Outbox.ListDeliveries(ctx, &lifecyclev1.ListDeliveriesRequest{
				Kind: kind, State: s, PageSize: p.Size, PageToken: p.Token,
			})
			return a.GetDeliveries(), a.GetNextPageToken(), err
		},
		Header: []string{">ID", "KIND", "STATE", ">TRIES", "CREATED (UTC)", "NEXT (UTC)", "~LAST ERROR"},
		Cells: func(d *lifecyclev1.Delivery) []any {
			return []any{
				d.GetDeliveryId(), d.GetKind(), render.Enum(d.GetState()), d.GetAttempts(), render.Clock(d.GetCreatedAt()),
				render.Clock(d.GetNextAttemptAt()), render.OrDash(d.GetLastError()),
			}
		},
	}.Command(c, access)
}

func parseState(s string) (lifecyclev1.DeliveryState, error) {
	switch s {
	case "":
		return lifecyclev1.DeliveryState_DELIVERY_STATE_UNSPECIFIED, nil
	case "pending":
		return lifecyclev1.DeliveryState_DELIVERY_STATE_PENDING, nil
	case "delivered":
		return lifecyclev1.DeliveryState_DELIVERY_STATE_DELIVERED, nil
	case "dead":
		return lifecyclev1.DeliveryState_DELIVERY_STATE_DEAD, nil
	}
	return 0, exit.Usage("use pending, delivered or dead", "--state %q", s)
}

func newReplay(c *console.Console, access *daemon.Access) *cobra.Command {
	req := &lifecyclev1.ReplayDeliveriesRequest{}
	cmd := &cobra.Command{
		Use:   "replay [ID...]",
		Short: "Put dead letters back into the queue",
		Long:  `Put dead letters back into the queue: those with the given ids, or all of a kind. Their attempts count from the beginning.`,
		Example: `  ctl outbox replay 17 18
  ctl outbox replay --kind registry`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && req.GetKind() == "" {
				return exit.Usage("name ids, or a kind with --kind; list them with: ctl outbox list --state dead", "nothing to replay")
			}
			for _, a := range args {
				id, err := strconv.ParseInt(a, 10, 64)
				if err != nil || id < 1 {
					return exit.Usage("list them with: ctl outbox list --state dead", "%q is not the id of a delivery", a)
				}
				req.DeliveryIds = append(req.DeliveryIds, id)
			}
			req.Actor = access.Actor()
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Outbox.ReplayDeliveries(ctx, req)
				if err != nil {
					return err
				}
				n := "1 delivery is"
				if answer.GetReplayed() != 1 {
					n = render.Count(answer.GetReplayed()) + " deliveries are"
				}
				_, err = fmt.Fprintf(c.Out, "%s back in the queue\n", n)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&req.Kind, "kind", "", "all dead letters of this `KIND`: promotion, registry or alert")
	return cmd
}
