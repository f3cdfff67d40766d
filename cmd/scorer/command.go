package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/internal/app"
	"github.com/treeline-ml/treeline/internal/buildinfo"
)

// usageError is a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode is 0 for success, 2 for a wrong command line or configuration, 1 otherwise.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage), errors.Is(err, config.ErrInvalid):
		return 2
	default:
		return 1
	}
}

// newCommand is the command line: flags -> config -> app.Run. env is as os.Environ gives it.
func newCommand(env []string) *cobra.Command {
	var file, dataDir, listen, adminListen string
	root := &cobra.Command{
		Use:   "scorer [--config FILE] [--data-dir DIR] [--listen ADDR] [--admin-listen ADDR]",
		Short: "Score tables and rows with tree ensembles, exactly as the library that trained them does",
		Long: `scorer is the Treeline daemon. It keeps model versions, decides which one is Champion, scores tables in atomic batches
and scores rows that callers send.

It serves gRPC on two loopback addresses: data (scoring, batches, catalog) and admin (registry, validation, promotion, audit).
Settings come from the configuration file, then from SCORER_ variables (SCORER_LISTENERS_DATA sets listeners.data), then
from flags. The first SIGTERM or SIGINT lets running batches end; the second one ends the process at once.`,
		Example: `  scorer --config examples/scorer.yml
  scorer --config scorer.yml --data-dir /srv/treeline --listen 127.0.0.1:7070 --admin-listen 127.0.0.1:7071
  SCORER_LOG_LEVEL=debug scorer --config scorer.yml`,
		Args:          usageArgs(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var flags []config.Flag
			for _, f := range []config.Flag{
				{Name: "--data-dir", Key: "data_dir", Value: dataDir},
				{Name: "--listen", Key: "listeners.data", Value: listen},
				{Name: "--admin-listen", Key: "listeners.admin", Value: adminListen},
			} {
				if f.Value != "" {
					flags = append(flags, f)
				}
			}
			c, err := config.Load(file, env, flags...)
			if err != nil {
				return err
			}
			return app.Run(cmd.Context(), c, app.Options{Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()})
		},
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see scorer --help", err)}
	})
	flags := root.Flags()
	flags.StringVar(&file, "config", "", "configuration `file`; without it the defaults are used and no model can be scored in batches")
	flags.StringVar(&dataDir, "data-dir", "", "`directory` of everything that the daemon keeps (default: data_dir of the configuration, or ./var)")
	flags.StringVar(&listen, "listen", "", "loopback `address` of scoring, batches and catalog (default 127.0.0.1:7070; port 0 picks a free one)")
	flags.StringVar(&adminListen, "admin-listen", "", "loopback `address` of the lifecycle services (default 127.0.0.1:7071)")
	root.AddCommand(&cobra.Command{
		Use:     "version",
		Short:   "Print the version, git revision and engine of this binary",
		Example: "  scorer version",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "scorer", buildinfo.Read())
			return err
		},
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see scorer --help", err)}
		}
		return nil
	}
}
