package model

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
)

func newVerify(c *console.Console) *cobra.Command {
	o := options{mem: memory.DefaultAllocator}
	var rowsFile string
	limit := 10
	format := render.Table
	cmd := &cobra.Command{
		Use:   "verify MODEL --rows F",
		Short: "Recompute the training library's own scores and compare them bit for bit",
		Long: `Recompute the training library's own scores and compare them bit for bit. F holds the feature columns and what the library
returned: raw (or raw_0..raw_k), pred (or pred_0..pred_k), or both. A null stands for a row that the library refused.
Any NaN equals any NaN; 0 and -0 differ.

Exit code 0: every value is identical. 3: some value differs.

` + modelArgument,
		Example: `  ctl model verify model.txt --rows golden.parquet
  ctl model verify models:/churn@Champion --rows golden.parquet
  ctl model verify model.ubj --rows golden.parquet --missing -999 -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withModel(cmd.Context(), c, args[0], func(src source) error {
				p, err := o.compile(src)
				if err != nil {
					return err
				}
				v, err := verify(cmd.Context(), src, p, o, rowsFile, limit)
				if err != nil {
					return err
				}
				if err := v.write(c, format); err != nil {
					return err
				}
				if v.Differences > 0 {
					return exit.Gate(differenceHint(src.Model, o.iterations),
						"%s of %s values differ", render.Count(v.Differences), render.Count(v.Values))
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&rowsFile, "rows", "", "file `F` with the features and the library's own raw and pred columns")
	f.IntVarP(&limit, "number", "n", limit, "show the first `N` differences")
	f.VarP(&format, "output", "o", "output format")
	o.flags(f)
	_ = cmd.MarkFlagRequired("rows") // fails only for a flag that does not exist
	return cmd
}

// differenceHint says what to look at when scores differ. An early-stopped model is told first: the library's own two ways
// to predict differ on it.
func differenceHint(m *forest.Model, iterations int) string {
	if n := stopsAt(m.Provenance.BestIteration, m.Iterations); n > 0 && iterations != n && m.Stop == 0 {
		return fmt.Sprintf("training stopped early: if F was made by scikit-learn's wrapper, give --iterations %d", n)
	}
	return "was F made by this very model, with the same --missing, --base-margin and --iterations?"
}

// verification is the document of "ctl model verify". Values are shortest decimal texts, so that NaN and infinities have
// one too.
type verification struct {
	Path             string       `json:"path"`
	Digest           string       `json:"digest"`
	RowsFile         string       `json:"rows_file"`
	Identical        bool         `json:"identical"`
	Rows             int64        `json:"rows"`
	Columns          []string     `json:"columns"`
	Values           int64        `json:"values"`
	Differences      int64        `json:"differences"`
	FirstDifferences []difference `json:"first_differences"`
}

type difference struct {
	Row          int64  `json:"row"`
	Column       string `json:"column"`
	Expected     string `json:"expected"`
	Computed     string `json:"computed"`
	ExpectedBits string `json:"expected_bits"`
	ComputedBits string `json:"computed_bits"`
}

func verify(ctx context.Context, src source, p *engine.Program, o options, rowsFile string, limit int) (*verification, error) {
	v := &verification{Path: src.Path, Digest: src.Model.Provenance.Digest, RowsFile: rowsFile, FirstDifferences: []difference{}}
	in, err := openRows(ctx, rowsFile, src.Model, p, o, func(columns []string) (_ []string, err error) {
		v.Columns, err = expectedColumns(rowsFile, src.Model, p, columns)
		return v.Columns, err
	})
	if err != nil {
		return nil, err
	}
	defer in.close()
	cmp, err := newComparison(p, in.stream.Schema(), v.Columns)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rowsFile, err)
	}
	sc := &scorer{program: p, binding: in.binding, block: p.NewBlock(), threads: o.threadCount(), null: true}
	var s scores
	for {
		rec, err := in.stream.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, readError(err)
		}
		first := sc.rows
		if err = sc.score(rec, &s); err == nil {
			v.compare(cmp, rec, &s, first, limit)
		}
		rec.Release()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", rowsFile, err)
		}
	}
	if sc.rows == 0 {
		return nil, exit.Hinted(fmt.Errorf("%s has no rows, so nothing was compared", rowsFile), "write golden rows with the training library")
	}
	v.Rows, v.Identical = sc.rows, v.Differences == 0
	return v, nil
}

// expectedColumns finds the library's columns among those of the file: all raw columns, all pred columns, or both.
func expectedColumns(rowsFile string, m *forest.Model, p *engine.Program, columns []string) ([]string, error) {
	var found []string
	for _, group := range [][]string{frame.RawColumns(p.Outputs()), frame.PredColumns(p.Width())} {
		var have, lack []string
		for _, name := range group {
			isFeature := slices.ContainsFunc(m.Features, func(f forest.Feature) bool { return f.Name == name })
			if slices.Contains(columns, name) && !isFeature {
				have = append(have, name)
			} else {
				lack = append(lack, name)
			}
		}
		if len(have) > 0 && len(lack) > 0 {
			return nil, exit.Usage("the model has "+columnSpan(group), "%s has %s but not %s", rowsFile,
				strings.Join(have, ", "), strings.Join(lack, ", "))
		}
		found = append(found, have...)
	}
	if len(found) == 0 {
		return nil, exit.Usage("add the library's own results as "+columnSpan(frame.RawColumns(p.Outputs()))+" and "+
			columnSpan(frame.PredColumns(p.Width())), "%s has neither raw nor pred columns, so there is nothing to compare", rowsFile)
	}
	return found, nil
}

// compare counts the differences of one record and keeps the first ones.
func (v *verification) compare(cmp *comparison, rec arrow.Record, s *scores, first int64, limit int) {
	for r := range int(rec.NumRows()) {
		for i := range cmp.columns {
			col := &cmp.columns[i]
			v.Values++
			want, got := col.expected(rec, r), col.computed(s, r)
			if want.equal(got) {
				continue
			}
			v.Differences++
			if len(v.FirstDifferences) < limit {
				v.FirstDifferences = append(v.FirstDifferences, difference{
					Row: first + int64(r), Column: col.name, Expected: want.String(), Computed: got.String(),
					ExpectedBits: want.pattern(), ComputedBits: got.pattern(),
				})
			}
		}
	}
}

func (v *verification) write(c *console.Console, format render.Format) error {
	if format != render.Table {
		return render.Document(c.Out, format, v)
	}
	verdict := "identical, bit for bit"
	if v.Differences > 0 {
		verdict = render.Plural(v.Differences, "difference")
	}
	if _, err := fmt.Fprintf(c.Out, "compared %s, %s in %s: %s\n", render.Plural(v.Rows, "row"), render.Plural(v.Values, "value"),
		strings.Join(v.Columns, ", "), verdict); err != nil {
		return err
	}
	if len(v.FirstDifferences) == 0 {
		return nil
	}
	g := render.NewGrid(c.Width, ">ROW", "COLUMN", ">EXPECTED", ">COMPUTED", "EXPECTED BITS", "COMPUTED BITS")
	for _, d := range v.FirstDifferences {
		g.Row(d.Row, d.Column, d.Expected, d.Computed, d.ExpectedBits, d.ComputedBits)
	}
	return g.Write(c.Out)
}
