// Package config holds "ctl config": checks configuration files without a daemon.
package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

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
	Models    []string   `json:"models"`
	Schedules []schedule `json:"schedules"`
	// Classes are what Python said about the classes that the models name; null when no Python was asked.
	Classes []class `json:"classes"`
	// Warnings are what is allowed and hardly what was meant.
	Warnings []string `json:"warnings"`
}

func newCheck(c *console.Console) *cobra.Command {
	var i interpreter
	format := render.Table
	cmd := &cobra.Command{
		Use:   "check F",
		Short: "Check a daemon's configuration or a model's config.yml",
		Long: `Check a daemon's configuration, with the config.yml files that it names, or one model's config.yml. Which of the two F is,
its keys tell. The environment is not looked at.

Quartz expressions are shown in words with their next times. The Python classes that models name are imported with --python, or
training.python of the daemon's configuration. Without either only names that treeline.training should have are looked for, and
the command says so.`,
		Example: `  ctl config check scorer.yml
  ctl config check models/churn/config.yml --python .venv/bin/python --package-path python
  ctl config check models/churn/config.yml -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := check(cmd.Context(), args[0], i, time.Now())
			if err != nil {
				return err
			}
			if format != render.Table {
				return render.Document(c.Out, format, r)
			}
			return write(c, r)
		},
	}
	f := cmd.Flags()
	f.StringVar(&i.python, "python", "", "import the classes that models name with this Python `F` (default training.python)")
	f.StringVar(&i.packagePath, "package-path", "", "`DIR` that holds the treeline package (default training.package_path)")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

func write(c *console.Console, r result) error {
	if _, err := fmt.Fprintf(c.Out, "%s: a valid %s configuration\n", r.Path, r.Kind); err != nil {
		return err
	}
	for _, m := range r.Models {
		if _, err := fmt.Fprintf(c.Out, "%s: a valid model configuration\n", m); err != nil {
			return err
		}
	}
	if len(r.Schedules) > 0 {
		g := render.NewGrid(c.Width, "MODEL", "JOB", "EXPRESSION", "ZONE", "NEXT", "~MEANING")
		for _, s := range r.Schedules {
			for n, at := range s.Next {
				if n == 0 {
					g.Row(s.Model, s.Job, s.Expression, s.Timezone, at, s.Description)
				} else {
					g.Row("", "", "", "", at)
				}
			}
		}
		if err := g.Write(c.Out); err != nil {
			return err
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(c.Err, "warning: "+w)
	}
	switch {
	case r.Classes == nil:
		fmt.Fprintln(c.Err, "the Python classes that models name were not imported: give --python")
	case len(r.Classes) > 0:
		g := render.NewGrid(c.Width, "MODEL", "KEY", "CLASS", "~IS")
		for _, k := range r.Classes {
			g.Row(k.Model, k.Key, k.Name, k.Resolved)
		}
		return g.Write(c.Out)
	}
	return nil
}

func check(ctx context.Context, path string, i interpreter, now time.Time) (result, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return result{}, exit.Hinted(fmt.Errorf("opening the configuration: %w", err), "name an existing file")
	}
	r := result{Path: path, Kind: "model", Models: []string{}, Schedules: []schedule{}, Warnings: []string{}}
	files := []string{path}
	if !isModel(doc) {
		cfg, err := config.Load(path, nil) //nolint:contextcheck // reading a file has no context
		if err != nil {
			return result{}, correct(err)
		}
		r.Kind, r.Models, files = "daemon", append(r.Models, cfg.Models...), cfg.Models
		i = i.orElse(cfg.Training)
	}
	var models []config.Model
	for _, file := range files {
		m, err := config.LoadModel(file)
		if err != nil {
			return result{}, correct(err)
		}
		models = append(models, m)
		if why := m.Unscored(); why != "" {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: trainer_class: versions of %s cannot be registered: %s",
				m.Where("trainer_class"), m.TrainerClass, why))
		}
	}
	if r.Kind == "daemon" {
		if err := config.ValidateModels(models); err != nil {
			return result{}, correct(err)
		}
	}
	if r.Schedules, err = schedules(models, now); err != nil {
		return result{}, correct(err)
	}
	if r.Classes, err = i.classes(ctx, models); err != nil {
		return result{}, err
	}
	return r, nil
}

func correct(err error) error { return exit.Hinted(err, "correct the named places and check again") }

// modelKeys finds top-level keys that only a model's config.yml has. Lines are looked at, not YAML: whatever is wrong with
// the file is for the loaders to say.
var modelKeys = regexp.MustCompile(`(?m)^["']?(model_key|registered_model_name|data|output)["']?[ \t]*:`)

func isModel(doc []byte) bool { return modelKeys.Match(doc) }

// orElse takes from a daemon's configuration what no flag says.
func (i interpreter) orElse(t config.Trainer) interpreter {
	if i.python == "" {
		i.python = t.Python
	}
	if i.packagePath == "" {
		i.packagePath = t.PackagePath
	}
	return i
}

// absolute is a path that means the same in another working directory; names without a separator are looked up in PATH.
func absolute(path string) (string, error) {
	if path == "" || filepath.Base(path) == path {
		return path, nil
	}
	return filepath.Abs(path)
}
