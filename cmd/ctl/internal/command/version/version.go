// Package version holds "ctl version".
package version

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/engine"
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

// Build describes this binary. Version is "(devel)" and Revision empty when it was not built from a checkout.
func Build() Info {
	info := Info{
		Version: "(devel)", Engine: engine.Build(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return info
	}
	if b.Main.Version != "" {
		info.Version = b.Main.Version
	}
	for _, s := range b.Settings {
		switch s.Key {
		case "vcs.revision":
			info.Revision = s.Value
		case "vcs.modified":
			info.Modified = s.Value == "true"
		}
	}
	return info
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
			g := render.NewGrid(c.Width, "", "")
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
