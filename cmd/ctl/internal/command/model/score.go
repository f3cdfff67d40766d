package model

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

func newScore(c *console.Console) *cobra.Command {
	o := options{mem: memory.DefaultAllocator}
	var path, input, output string
	cmd := &cobra.Command{
		Use:   "score --model MODEL --input F --output F",
		Short: "Score a file of rows with a model file, without a daemon",
		Long: `Score a file of rows with a model file, without a daemon. Input and output are .parquet, .arrow or .csv, told by their
names; columns are found by name, rows stay in order.

The output has the columns raw (or raw_0..raw_k), the margin in the library's own arithmetic, and pred (or
pred_0..pred_k), what the library's predict returns; float32 libraries give float32 columns. The output appears under
its name only when it is complete.

With --contributions it also has what each feature adds to the margin (SHAP values, as LightGBM's pred_contrib and XGBoost's
pred_contribs): contrib_<feature> and expected, which add up to raw; for several outputs contrib_<output>_<feature> and
expected_<output>. With --leaves it has leaf_<tree>, the leaf that the row reaches in each tree, numbered as the library's
own pred_leaf or apply.

` + modelArgument,
		Example: `  ctl model score --model model.txt --input rows.parquet --output scores.parquet
  ctl model score --model models:/churn@Champion --input rows.parquet --output scores.parquet
  ctl model score --model model.ubj --input rows.csv --output scores.csv --missing -999 --row-errors null
  ctl model score --model model.txt --input rows.parquet --output why.parquet --contributions`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFiles(input, output); err != nil {
				return err
			}
			return withModel(cmd.Context(), c, path, func(src source) error {
				p, err := o.compile(src)
				if err != nil {
					return err
				}
				j := job{source: src, program: p, options: o, input: input, output: output}
				begun := time.Now()
				bar := render.NewProgress(c.Err, c.ErrTTY, "rows")
				rows, err := j.run(cmd.Context(), bar)
				bar.Stop()
				if err != nil {
					return err
				}
				took := time.Since(begun)
				fmt.Fprintf(c.Err, "%s scored in %s (%s rows/s): %s\n", render.Plural(rows, "row"), render.Duration(took),
					render.Count(int64(float64(rows)/max(took.Seconds(), 1e-9))), output)
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "model", "", "`MODEL` file, directory that holds one, or version in MLflow")
	f.StringVar(&input, "input", "", "rows to score, a .parquet, .arrow or .csv file `F`")
	f.StringVar(&output, "output", "", "where the scores go, a .parquet, .arrow or .csv file `F`")
	f.BoolVar(&o.explanation.contributions, "contributions", false, "add what each feature contributes to the margin (SHAP values)")
	f.BoolVar(&o.explanation.leaves, "leaves", false, "add the leaf that the row reaches in each tree")
	o.flags(f)
	for _, name := range []string{"model", "input", "output"} {
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that does not exist
	}
	return cmd
}

// checkFiles finds what is wrong with the file names before any work is done.
func checkFiles(input, output string) error {
	for flag, name := range map[string]string{"input": input, "output": output} {
		if !isTable(name) {
			return exit.Usage("use a name that ends in .parquet, .arrow or .csv",
				"--%s %s: unknown file type %q", flag, name, filepath.Ext(name))
		}
	}
	in, err := os.Stat(input)
	if err != nil && !strings.ContainsAny(input, "*?[") {
		return exit.Hinted(fmt.Errorf("opening the input: %w", err), "name an existing file with --input")
	}
	dir, err := os.Stat(filepath.Dir(output))
	if err != nil || !dir.IsDir() {
		return exit.Hinted(fmt.Errorf("writing %s: the directory %s does not exist", output, filepath.Dir(output)),
			"make it first: mkdir -p "+filepath.Dir(output))
	}
	if out, err := os.Stat(output); err == nil {
		if !out.Mode().IsRegular() {
			return exit.Hinted(fmt.Errorf("writing %s: it exists and is not a regular file", output), "name another --output")
		}
		if in != nil && os.SameFile(in, out) {
			return exit.Usage("name another --output", "--input and --output are the same file, %s", output)
		}
	}
	return nil
}

// job is one run of "ctl model score".
type job struct {
	source        source
	program       *engine.Program
	options       options
	input, output string
}

// run reads, scores and writes at the same time. On error nothing is left under the output's name.
func (j *job) run(ctx context.Context, bar *render.Progress) (int64, error) {
	rows, err := openRows(ctx, j.input, j.source.Model, j.program, j.options, nil)
	if err != nil {
		return 0, err
	}
	defer rows.close()
	bar.Total(rows.total)
	fields := append(frame.ScoreFields(j.program, true), j.options.explanation.fields(j.program, j.source.Model.Features)...)
	schema := arrow.NewSchema(fields, nil)
	w, err := file.Create(j.output, schema, file.WriteOptions{Alloc: j.options.mem})
	if err != nil {
		return 0, writeError(err)
	}
	n, err := j.pipe(ctx, rows, schema, w, bar)
	if err != nil {
		return n, errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return n, writeError(err)
	}
	return n, nil
}

// writeError adds advice; the error names the file already.
func writeError(err error) error {
	if errors.Is(err, warehouse.ErrFull) {
		return exit.Hinted(fmt.Errorf("writing: %w", err), "free some space, or name an --output on another disk; nothing was left behind")
	}
	return fmt.Errorf("writing: %w", err)
}

func (j *job) pipe(ctx context.Context, in *rowSource, schema *arrow.Schema, w *file.Writer, bar *render.Progress) (int64, error) {
	var written int64
	records, results := make(chan arrow.Record, 1), make(chan arrow.Record, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return readAll(ctx, in.stream, records) })
	g.Go(func() error { return j.scoreAll(ctx, in.binding, schema, records, results) })
	g.Go(func() error {
		for rec := range results {
			err := w.Write(rec)
			written += rec.NumRows()
			rec.Release()
			if err != nil {
				return writeError(err)
			}
			bar.Set(written)
		}
		return nil
	})
	err := g.Wait()
	drain(records)
	drain(results)
	return written, err
}

// scoreAll scores records until in is closed, and closes out.
func (j *job) scoreAll(ctx context.Context, b *frame.Binding, schema *arrow.Schema, in <-chan arrow.Record, out chan<- arrow.Record) error {
	defer close(out)
	sc := &scorer{
		program: j.program, binding: b, block: j.program.NewBlock(), explanation: j.options.explanation,
		threads: j.options.threadCount(), null: j.options.rowErrors.null,
	}
	var s scores
	for rec := range in {
		rows := rec.NumRows()
		err := sc.score(rec, &s)
		rec.Release()
		if err != nil {
			return fmt.Errorf("%s: %w", j.input, err)
		}
		cols := frame.ScoreColumns(j.options.mem, j.program, s.margins, s.preds, true, s.refusedOrNil())
		cols = append(cols, j.options.explanation.columns(j.options.mem, j.program, &s, int(rows))...)
		scored := array.NewRecord(schema, cols, rows)
		for _, col := range cols {
			col.Release()
		}
		select {
		case out <- scored:
		case <-ctx.Done():
			scored.Release()
			return ctx.Err()
		}
	}
	return nil
}
