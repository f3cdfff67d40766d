// Package config holds "ctl config": checks configuration files without a daemon.
package config

import (
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/config"
)

// New returns "ctl config" with its verbs.
func New(c *console.Console) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Check configuration files",
		Example: `  ctl config check scorer.yml`,
	}
	cmd.AddCommand(newCheck(c))
	return cmd
}

// result is the document of "ctl config check".
type result struct {
	Path string `json:"path"`
	Kind string `json:"kind"`
	// Models are the config.yml files that a daemon's configuration names; they were checked too.
	Models []string `json:"models"`
}

func newCheck(c *console.Console) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "check F",
		Short: "Check a daemon's configuration or a model's config.yml",
		Long: `Check a daemon's configuration, with the config.yml files that it names, or one model's config.yml. Which of the two F is,
its keys tell. The environment is not looked at.`,
		Example: `  ctl config check scorer.yml
  ctl config check models/churn/config.yml -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := check(args[0])
			if err != nil {
				return err
			}
			if format != render.Table {
				return render.Document(c.Out, format, r)
			}
			if _, err := fmt.Fprintf(c.Out, "%s: a valid %s configuration\n", r.Path, r.Kind); err != nil {
				return err
			}
			for _, m := range r.Models {
				if _, err := fmt.Fprintf(c.Out, "%s: a valid model configuration\n", m); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

func check(path string) (result, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return result{}, exit.Hinted(fmt.Errorf("opening the configuration: %w", err), "name an existing file")
	}
	if isModel(doc) {
		_, err := config.LoadModel(path)
		return result{Path: path, Kind: "model", Models: []string{}}, correct(err)
	}
	cfg, err := config.Load(path, nil)
	if err != nil {
		return result{}, correct(err)
	}
	r := result{Path: path, Kind: "daemon", Models: append([]string{}, cfg.Models...)}
	for _, m := range cfg.Models {
		if _, err := config.LoadModel(m); err != nil {
			return result{}, correct(err)
		}
	}
	return r, nil
}

func correct(err error) error { return exit.Hinted(err, "correct the named places and check again") }

// modelKeys finds top-level keys that only a model's config.yml has. Lines are looked at, not YAML: whatever is wrong with
// the file is for the loaders to say.
var modelKeys = regexp.MustCompile(`(?m)^["']?(model_key|registered_model_name|data|output)["']?[ \t]*:`)

func isModel(doc []byte) bool { return modelKeys.Match(doc) }
