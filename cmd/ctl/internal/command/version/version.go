// Package version holds "ctl version".
package version

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/internal/buildinfo"
)

// Info is the document of "ctl version".
type Info struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Engine   string `json:"engine"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Build describes this binary. Version is "devel" and Revision empty when it was not built from a checkout.
func Build() Info {
	b := buildinfo.Read()
	return Info{
		Version: b.Version, Revision: b.Revision, Modified: b.Modified, Engine: b.Engine, Go: b.Go,
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// New returns "ctl version".
func New(c *console.Console) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this command",
		Example: `  ctl version
  ctl version -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info := Build()
			if format != render.Table {
				return render.Document(c.Out, format, info)
			}
			g := render.NewGrid(c.Width, "", "~")
			g.Row("version", info.Version)
			revision := render.OrDash(info.Revision)
			if info.Modified {
				revision += " with local changes"
			}
			g.Row("revision", revision)
			g.Row("engine", info.Engine)
			g.Row("go", info.Go+" "+info.Platform)
			return g.Write(c.Out)
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}
