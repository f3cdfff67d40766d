// Package score holds "ctl score": a batch on the daemon, with progress and a receipt.
package score

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/batch"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/warehouse"
)

// New returns "ctl score".
func New(c *console.Console, access *daemon.Access) *cobra.Command {
	var r request
	format := render.Table
	cmd := &cobra.Command{
		Use:   "score NAME",
		Short: "Score a table or file on the daemon",
		Long: `Score a table or file on the daemon with the model's Champion, or another version. Without --input and --upload the
configured features table is scored. The predictions become visible all at once, and running the same batch again replaces
them: the receipt's score_batch_id is the same.

Interrupting the command leaves the batch running: see ctl batch watch and ctl batch cancel.`,
		Example: `  ctl score churn --date 2024-06-01 --rows 5
  ctl score churn --input features.parquet --output-file scores.parquet
  ctl score churn --upload rows.parquet --version 3 --output-table uat.predictions.churn_try`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.name = args[0]
			if err := r.check(); err != nil {
				return err
			}
			return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
				return r.run(ctx, c, cl, format)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.date, "date", "", "score the day `YYYY-MM-DD` of the features table (default the whole table)")
	f.StringVar(&r.input, "input", "", "score a .parquet, .arrow or .csv file `F`, or a glob, that the daemon reads")
	f.StringVar(&r.upload, "upload", "", "score a .parquet, .arrow or .csv file `F` that is sent to the daemon")
	f.Var((*daemon.Version)(&r.version), "version", "`VERSION` to score with (default the Champion)")
	f.StringVar(&r.table, "output-table", "", "table `T` (catalog.schema.table) instead of the configured output")
	f.StringVar(&r.file, "output-file", "", "write the .parquet file `F`, on the daemon's machine, instead of a table")
	f.IntVar(&r.rows, "rows", 0, "show the first `N` rows that were written")
	f.VarP(&format, "output", "o", "output format")
	cmd.MarkFlagsMutuallyExclusive("date", "input", "upload")
	cmd.MarkFlagsMutuallyExclusive("output-table", "output-file")
	return cmd
}

// request is one run of "ctl score".
type request struct {
	name, date, input, upload, table, file string
	version                                int64
	rows                                   int
}

func (r *request) check() error {
	if r.date != "" {
		if _, err := time.Parse(time.DateOnly, r.date); err != nil {
			return exit.Usage("write it as 2024-06-01", "--date %q is not a day", r.date)
		}
	}
	if r.upload != "" {
		info, err := os.Stat(r.upload)
		if err != nil {
			return exit.Hinted(fmt.Errorf("opening the rows: %w", err), "name an existing .parquet, .arrow or .csv file with --upload")
		}
		if !info.Mode().IsRegular() {
			return exit.Hinted(fmt.Errorf("opening the rows: %s is not a regular file", r.upload), "name a .parquet, .arrow or .csv file")
		}
	}
	if r.input != "" {
		// The daemon has a working directory of its own.
		path, err := filepath.Abs(r.input)
		if err != nil {
			return err
		}
		r.input = path
	}
	if r.file != "" {
		path, err := filepath.Abs(r.file)
		if err != nil {
			return err
		}
		r.file = path
		if _, err := warehouse.OutputFile(path); err != nil {
			return exit.Usage("name a .parquet file with --output-file", "%v", err)
		}
	}
	return batch.CheckRows(r.rows)
}

func (r *request) run(ctx context.Context, c *console.Console, cl *client.Client, format render.Format) error {
	bar := render.NewProgress(c.Err, c.ErrTTY, "rows")
	b, err := batch.Follow(ctx, c, bar, r.events(ctx, cl, bar))
	bar.Stop()
	if err != nil {
		return err
	}
	if err := (batch.Receipt{Batch: b, Rows: r.rows}).Write(ctx, c, cl, format); err != nil {
		return err
	}
	return batch.Outcome(b)
}

func (r *request) events(ctx context.Context, cl *client.Client, bar *render.Progress) client.Events {
	ref := &scoringv1.ModelRef{Name: r.name, Version: r.version}
	if r.upload == "" {
		return cl.RunBatch(ctx, &scoringv1.RunBatchRequest{Model: ref, Date: r.date, Input: r.input, OutputTable: r.table, OutputFile: r.file})
	}
	bar.Label("upload (bytes)")
	return cl.UploadBatch(ctx, &scoringv1.UploadBatchStart{Model: ref, OutputTable: r.table, OutputFile: r.file}, r.upload, func(sent, total int64) {
		bar.Total(total)
		bar.Set(sent)
	})
}
