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

// modelArgument is what inspect, score and verify say of their models.
const modelArgument = `MODEL is a model file, a directory that holds one, or models:/NAME@ALIAS or models:/NAME/VERSION: a version in the MLflow
registry at MLFLOW_TRACKING_URI (with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN),
whose files are fetched and removed again.`

// New returns "ctl model" with its verbs.
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Inspect, score, verify and register models",
		Long: `Inspect, score and verify models without a daemon, from files or from MLflow's registry; register models and list what is registered.

The format of a model file is told by its content: LightGBM text, XGBoost JSON, UBJSON and the old binary format,
pickled and skops forests of scikit-learn, and MLflow model directories of these libraries.`,
		Example: `  ctl model inspect model.txt
  ctl model score --model model.txt --input rows.parquet --output scores.parquet
  ctl model score --model models:/churn@Champion --input rows.parquet --output scores.parquet
  ctl model register churn model.txt --golden golden.parquet`,
	}
	cmd.AddCommand(
		newInspect(c), newScore(c), newVerify(c),
		newRegister(c, access), newList(c, access), newVersions(c, access), newHistory(c, access), newCompare(c, access),
	)
	return cmd
}
