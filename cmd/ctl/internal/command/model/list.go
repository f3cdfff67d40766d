package model

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the registered models",
		Example: `  ctl model list
  ctl model list -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Registry.ListModels(ctx, &lifecyclev1.ListModelsRequest{})
				if err != nil {
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Messages(answer.GetModels()))
				}
				g := render.NewGrid(c.Width, "MODEL", ">CHAMPION", ">GENERATION", ">VERSIONS", ">LATEST")
				for _, m := range answer.GetModels() {
					g.Row(m.GetName(), render.Version(m.GetChampionVersion()), m.GetGeneration(), m.GetVersions(),
						render.Version(m.GetLatestVersion()))
				}
				return g.Write(c.Out)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newVersions(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "versions NAME",
		Short: "List the versions of a model, newest first",
		Example: `  ctl model versions churn
  ctl model versions churn -o json | jq '.[] | select(.stage == "champion")'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{ModelName: args[0]})
				if err != nil {
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Messages(answer.GetVersions()))
				}
				g := render.NewGrid(c.Width, ">VERSION", "STAGE", "DIGEST", "LIBRARY", ">TREES", "RUN", "REGISTERED (UTC)", "BY")
				for _, v := range answer.GetVersions() {
					g.Row(render.Version(v.GetVersion()), render.Enum(v.GetStage()), render.Digest(v.GetModelDigest()),
						v.GetLibrary(), v.GetTrees(), render.OrDash(v.GetRunId()), render.Clock(v.GetRegisteredAt()), v.GetRegisteredBy())
				}
				return g.Write(c.Out)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func newHistory(c *console.Console, access *daemon.Access) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "List the Champions of a model, newest first",
		Example: `  ctl model history churn
  ctl model history churn -o yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				answer, err := cl.Promotion.GetHistory(ctx, &lifecyclev1.GetHistoryRequest{ModelName: args[0]})
				if err != nil {
					return err
				}
				if format != render.Table {
					return render.Document(c.Out, format, render.Messages(answer.GetPeriods()))
				}
				g := render.NewGrid(c.Width, ">GEN", ">VERSION", "ACTION", "SINCE (UTC)", "UNTIL (UTC)", "BY", "~REASON")
				for _, p := range answer.GetPeriods() {
					until := "now"
					if p.GetUntil() != nil {
						until = render.Clock(p.GetUntil())
					}
					g.Row(p.GetGeneration(), render.Version(p.GetVersion()), p.GetAction(), render.Clock(p.GetSince()), until,
						p.GetActor(), p.GetReason())
				}
				return g.Write(c.Out)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}
