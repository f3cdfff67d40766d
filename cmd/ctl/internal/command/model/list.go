package model

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/listing"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

func newList(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.RegisteredModel]{
		Short: "List the registered models",
		Example: `  ctl model list
  ctl model list -o json`,
		Whole: true,
		Fetch: func(ctx context.Context, cl *client.Client, _ listing.Page) ([]*lifecyclev1.RegisteredModel, string, error) {
			a, err := cl.Registry.ListModels(ctx, &lifecyclev1.ListModelsRequest{})
			return a.GetModels(), "", err
		},
		Header: []string{"MODEL", ">CHAMPION", ">GENERATION", ">VERSIONS", ">LATEST"},
		Cells: func(m *lifecyclev1.RegisteredModel) []any {
			return []any{
				m.GetName(), render.Version(m.GetChampionVersion()), m.GetGeneration(), m.GetVersions(),
				render.Version(m.GetLatestVersion()),
			}
		},
	}.Command(c, access)
}

func newVersions(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.ModelVersion]{
		Verb:  "versions",
		Short: "List the versions of a model, newest first",
		Example: `  ctl model versions churn
  ctl model versions churn -o json | jq '.[] | select(.stage == "champion")'`,
		Model: listing.RequiredModel,
		Whole: true,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.ModelVersion, string, error) {
			a, err := cl.Registry.ListVersions(ctx, &lifecyclev1.ListVersionsRequest{ModelName: p.Model})
			return a.GetVersions(), "", err
		},
		Header: []string{">VERSION", "STAGE", "DIGEST", "LIBRARY", ">TREES", "RUN", "REGISTERED (UTC)", "BY"},
		Cells: func(v *lifecyclev1.ModelVersion) []any {
			return []any{
				render.Version(v.GetVersion()), render.Enum(v.GetStage()), render.OrDash(render.Digest(v.GetModelDigest())),
				render.OrDash(v.GetLibrary()), v.GetTrees(), render.OrDash(v.GetRunId()), render.Clock(v.GetRegisteredAt()),
				render.OrDash(v.GetRegisteredBy()),
			}
		},
	}.Command(c, access)
}

func newHistory(c *console.Console, access *daemon.Access) *cobra.Command {
	return listing.Spec[*lifecyclev1.ChampionPeriod]{
		Verb:  "history",
		Short: "List the Champions of a model, newest first",
		Example: `  ctl model history churn
  ctl model history churn -o yaml`,
		Model: listing.RequiredModel,
		Whole: true,
		Fetch: func(ctx context.Context, cl *client.Client, p listing.Page) ([]*lifecyclev1.ChampionPeriod, string, error) {
			a, err := cl.Promotion.GetHistory(ctx, &lifecyclev1.GetHistoryRequest{ModelName: p.Model})
			return a.GetPeriods(), "", err
		},
		Header: []string{">GEN", ">VERSION", "ACTION", "SINCE (UTC)", "UNTIL (UTC)", "BY", "~REASON"},
		Cells: func(p *lifecyclev1.ChampionPeriod) []any {
			until := "now"
			if p.GetUntil() != nil {
				until = render.Clock(p.GetUntil())
			}
			return []any{
				p.GetGeneration(), render.Version(p.GetVersion()), p.GetAction(), render.Clock(p.GetSince()), until,
				p.GetActor(), p.GetReason(),
			}
		},
	}.Command(c, access)
}
