// Package model holds the verbs of "ctl model": inspect, score and verify work on files without a daemon; register, list,
// versions, history and compare speak to the daemon's registry.
//
// Offline scoring is a pipeline of three goroutines (read, score, write) with a bounded number of records between them, so
// memory does not grow with the input.
package model

import (
	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
)

// New returns "ctl model" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Inspect, score, verify and register models",
		Long: `Inspect, score and verify model files without a daemon; register models and list what is registered.

The format of a model file is told by its content: LightGBM text, XGBoost JSON, UBJSON and the old binary format,
pickled and skops forests of scikit-learn, and MLflow model directories of these libraries.`,
		Example: `  ctl model inspect model.txt
  ctl model score --model model.txt --input rows.parquet --output scores.parquet
  ctl model register churn model.txt --golden golden.parquet`,
	}
	cmd.AddCommand(
		newInspect(c), newScore(c), newVerify(c),
		newRegister(c, access), newList(c, access), newVersions(c, access), newHistory(c, access), newCompare(c, access),
	)
	return cmd
}
