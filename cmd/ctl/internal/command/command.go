// Package command builds ctl's command tree and runs it. Each noun or verb group is a package below; what they share is
// in render (output), console (the process), daemon (connections) and exit (exit codes).
package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/audit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/batch"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/config"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/doctor"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/drift"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/model"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/outbox"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/promotion"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/run"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/schedule"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/score"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/training"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/trigger"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/version"
	"github.com/treeline-ml/treeline/loader"
)

// New returns the root of the command tree.
func New(c *console.Console) *cobra.Command {
	root := &cobra.Command{
		Use:   "ctl",
		Short: "Score tree ensembles and run the lifecycle around them",
		Long: `ctl scores tree ensembles exactly as the library that trained them does, and drives a scorer daemon.

"ctl model inspect", "score" and "verify", "ctl config check" and "ctl schedule next" need no daemon; all other commands talk to
one.
Results go to standard output; progress, logs and errors to standard error. The documents of -o json and -o yaml are
stable: keys are snake_case and always present, integers are numbers, times are RFC 3339 in UTC or null.
Exit codes: 0 done, 1 error, 2 usage, 3 a gate said no.`,
		Example: `  ctl model inspect model.txt
  ctl model score --model model.txt --input rows.parquet --output scores.parquet
  ctl score churn --date 2024-06-01
  ctl run --all
  ctl promote churn --reason "passed all gates"`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	access := &daemon.Access{Console: c}
	access.Flags(root)
	root.AddCommand(
		model.New(c, access),
		score.New(c, access),
		batch.New(c, access),
		training.NewTrain(c, access),
		training.New(c, access),
		promotion.NewValidate(c, access),
		promotion.NewPromote(c, access),
		promotion.NewRollback(c, access),
		run.New(c, access),
		run.NewRuns(c, access),
		schedule.New(c, access),
		trigger.New(c, access),
		drift.New(c, access),
		outbox.New(c, access),
		outbox.NewRegistry(c, access),
		audit.New(c, access),
		config.New(c),
		doctor.New(c, access),
		version.New(c),
	)
	root.InitDefaultHelpCmd()
	groups(root)
	return root
}

// groups makes every command that only holds others answer an unknown verb as the root does: with the nearest ones.
func groups(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		groups(sub)
	}
	if cmd.HasParent() && cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.SuggestionsMinimumDistance = 2
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit.Usage("see "+cmd.CommandPath()+" --help", "a verb is missing: %s", verbs(cmd))
			}
			hint := "see " + cmd.CommandPath() + " --help"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return exit.Usage(hint, "unknown verb %q of %s", args[0], cmd.CommandPath())
		}
	}
}

func verbs(cmd *cobra.Command) string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return strings.Join(names, ", ")
}

// Execute runs one command line, prints its error, and returns the exit code.
func Execute(ctx context.Context, c *console.Console, args []string) int {
	root := New(c) //nolint:contextcheck // commands take the context from cobra, which gets it below
	ran := false
	watchRuns(root, &ran)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exit.OK
	}
	// What cobra reports before a command runs is a fault in the command line.
	if !ran && !exit.Has(err) {
		hint := "see " + cmd.CommandPath() + " --help"
		if cmd.Runnable() {
			hint = "usage: " + strings.TrimSuffix(cmd.UseLine(), " [flags]") + "; " + hint
		}
		err = exit.Usage(hint, "%w", err)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = &exit.Error{Code: exit.Failure, Hint: exit.Hint(err), Err: errors.New("interrupted")}
	}
	report(c, cmd.CommandPath(), err)
	return exit.Code(err)
}

func watchRuns(cmd *cobra.Command, ran *bool) {
	for _, sub := range cmd.Commands() {
		watchRuns(sub, ran)
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			*ran = true
			return run(cmd, args)
		}
	}
}

// report prints an error and its advice.
func report(c *console.Console, path string, err error) {
	text := strings.TrimSpace(spoken(err))
	hint := exit.Hint(err)
	if e, ok := errors.AsType[*loader.Error](err); ok && hint == "" {
		hint = e.Hint
	}
	fmt.Fprintf(c.Err, "%s: %s\n", path, text)
	if hint != "" {
		fmt.Fprintf(c.Err, "hint: %s\n", hint)
	}
}
