package model

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
)

func newInspect(c *console.Console) *cobra.Command {
	format := render.Table
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show what a model file holds and how it will be scored",
		Long: `Show what a model file holds and how it will be scored: format, library, objective, features, trees, digest, the kernel
that the engine chose, and the columns that scoring adds. The table shows the first 50 features; json and yaml show all.

` + modelArgument,
		Example: `  ctl model inspect model.txt
  ctl model inspect models:/churn@Champion
  ctl model inspect model.ubj -o json | jq '.features[].name'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withModel(cmd.Context(), c, args[0], func(src source) error {
				p, err := engine.Compile(src.Model, engine.Options{})
				if err != nil {
					return fmt.Errorf("compiling %s: %w", src.Path, err)
				}
				d := describe(src, p)
				if format != render.Table {
					return render.Document(c.Out, format, d)
				}
				return d.table(c.Out, c.Width)
			})
		},
	}
	cmd.Flags().VarP(&format, "output", "o", "output format")
	return cmd
}

// description is the document of "ctl model inspect".
type description struct {
	Path              string        `json:"path"`
	Format            string        `json:"format"`
	Library           string        `json:"library"`
	Version           string        `json:"version"`
	Objective         string        `json:"objective"`
	Task              string        `json:"task"`
	Digest            string        `json:"digest"`
	Files             []forest.File `json:"files"` // of an MLflow model; empty for a single file
	InputType         string        `json:"input_type"`
	SumType           string        `json:"sum_type"`
	Outputs           int           `json:"outputs"`
	Iterations        int           `json:"iterations"`
	BestIteration     *int          `json:"best_iteration"` // null when the file names none
	StopsAfter        int           `json:"stops_after"`    // rounds that are scored unless --iterations says otherwise; 0: all
	Missing           string        `json:"missing"`        // number that the model reads as missing besides NaN; empty for none
	Estimator         string        `json:"estimator"`      // Python class; empty for a library's own file
	Trees             int           `json:"trees"`
	Nodes             int           `json:"nodes"`
	Leaves            int           `json:"leaves"`
	MaxDepth          int           `json:"max_depth"`
	Engine            string        `json:"engine"`
	Kernel            string        `json:"kernel"`
	RawColumns        []string      `json:"raw_columns"`
	PredictionColumns []string      `json:"prediction_columns"`
	Classes           []string      `json:"classes"`
	Features          []featureInfo `json:"features"`
}

type featureInfo struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	Used bool   `json:"used"`
	// Vocabulary holds strings, numbers or bools as the training table did; empty for features that take numbers or codes.
	Vocabulary []any `json:"vocabulary"`
	// UnknownCategory is "missing" or "error"; empty for numeric features.
	UnknownCategory string `json:"unknown_category"`
}

func describe(src source, p *engine.Program) description {
	m := src.Model
	d := description{
		Path: src.Path, Format: m.Provenance.Format, Library: m.Provenance.Library, Version: m.Provenance.Version,
		Objective: m.Provenance.Objective, Task: taskName(m.Task()), Digest: m.Provenance.Digest,
		InputType: floatName(m.Arithmetic.Input), SumType: floatName(m.Arithmetic.Sum),
		Outputs: m.Outputs, Iterations: m.Iterations, BestIteration: m.Provenance.BestIteration, Trees: len(m.Trees),
		StopsAfter: m.Stop, Estimator: m.Provenance.Estimator, Files: append([]forest.File{}, m.Provenance.Files...),
		Engine: engine.Build(), Kernel: p.Explain().String(),
		RawColumns: frame.RawColumns(p.Outputs()), PredictionColumns: frame.PredColumns(p.Width()),
		Classes:  append([]string{}, m.Classes...),
		Features: make([]featureInfo, len(m.Features)),
	}
	if m.Missing != nil {
		d.Missing = strconv.FormatFloat(*m.Missing, 'g', -1, 64)
	}
	for i := range m.Trees {
		t := &m.Trees[i]
		d.Nodes += len(t.Nodes)
		d.Leaves += t.NumLeaves()
		d.MaxDepth = max(d.MaxDepth, depth(t))
	}
	for i, f := range m.Features {
		d.Features[i] = describeFeature(f, p.Uses(i))
	}
	return d
}

func describeFeature(f forest.Feature, used bool) featureInfo {
	info := featureInfo{Name: f.Name, Kind: "numeric", Used: used, Vocabulary: []any{}}
	if f.Kind != forest.Categorical {
		return info
	}
	info.Kind, info.UnknownCategory = "categorical", "missing"
	if f.Unknown == forest.UnknownError {
		info.UnknownCategory = "error"
	}
	for _, v := range f.Vocabulary {
		switch v.Kind {
		case forest.CategoryNumber:
			info.Vocabulary = append(info.Vocabulary, v.Number)
		case forest.CategoryBool:
			info.Vocabulary = append(info.Vocabulary, v.Number != 0)
		default:
			info.Vocabulary = append(info.Vocabulary, v.Text)
		}
	}
	return info
}

// depth is the number of splits on the longest path. Children have larger indices than their parent (forest's I2), so
// one pass in index order sees each parent first.
func depth(t *forest.Tree) int {
	if len(t.Nodes) == 0 {
		return 0
	}
	level := make([]int, len(t.Nodes))
	level[0] = 1
	deepest := 1
	for i, n := range t.Nodes {
		deepest = max(deepest, level[i])
		for _, child := range [2]int32{n.Left, n.Right} {
			if child >= 0 {
				level[child] = level[i] + 1
			}
		}
	}
	return deepest
}

func taskName(t forest.Task) string {
	switch t {
	case forest.Binary:
		return "binary"
	case forest.Multiclass:
		return "multiclass"
	default:
		return "regression"
	}
}

func floatName(t forest.FloatType) string {
	if t == forest.Float32 {
		return "float32"
	}
	return "float64"
}

const mostFeatures = 50

func (d description) table(w io.Writer, width int) error {
	facts := render.NewGrid(width, "", "~")
	facts.Row("path", d.Path)
	facts.Row("format", d.Format)
	facts.Row("library", strings.TrimSpace(d.Library+" "+d.Version))
	if d.Estimator != "" {
		facts.Row("estimator", d.Estimator)
	}
	facts.Row("objective", render.OrDash(d.Objective))
	facts.Row("task", d.Task)
	facts.Row("digest", d.Digest)
	for i, f := range d.Files {
		if i > 0 {
			facts.Row("", f.Digest+" "+f.Name)
		}
	}
	facts.Row("arithmetic", "inputs "+d.InputType+", sums "+d.SumType)
	trees := render.Count(int64(d.Trees))
	if d.Iterations > 0 {
		trees += fmt.Sprintf(" in %s iterations", render.Count(int64(d.Iterations)))
	}
	facts.Row("trees", trees)
	switch {
	case d.StopsAfter > 0:
		facts.Row("scored", fmt.Sprintf("the first %s iterations, as the estimator predicts; --iterations %d for all",
			render.Count(int64(d.StopsAfter)), d.Iterations))
	case d.BestIteration != nil:
		facts.Row("best iteration", bestIteration(*d.BestIteration, d.Iterations))
	}
	if d.Missing != "" {
		facts.Row("missing", "NaN and "+d.Missing)
	}
	facts.Row("nodes", render.Count(int64(d.Nodes)))
	facts.Row("leaves", render.Count(int64(d.Leaves)))
	facts.Row("max depth", d.MaxDepth)
	facts.Row("engine", d.Engine)
	facts.Row("kernel", d.Kernel)
	facts.Row("adds", columnSpan(d.RawColumns)+", "+columnSpan(d.PredictionColumns))
	if len(d.Classes) > 0 {
		facts.Row("classes", enumerate(d.Classes))
	}
	if err := facts.Write(w); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n%s\n", render.Plural(int64(len(d.Features)), "feature")); err != nil {
		return err
	}
	features := render.NewGrid(width, ">#", "NAME", "KIND", "USED", "CATEGORIES")
	for i, f := range d.Features[:min(len(d.Features), mostFeatures)] {
		used := "yes"
		if !f.Used {
			used = "no"
		}
		features.Row(i, f.Name, f.Kind, used, categories(f))
	}
	if err := features.Write(w); err != nil {
		return err
	}
	if more := len(d.Features) - mostFeatures; more > 0 {
		_, err := fmt.Fprintf(w, "… and %s more: -o json lists all\n", render.Count(int64(more)))
		return err
	}
	return nil
}

// bestIteration says what the iteration at which early stopping would stop means for scoring.
func bestIteration(best, iterations int) string {
	text := fmt.Sprintf("%d, counted from 0", best)
	if n := stopsAt(&best, iterations); n > 0 {
		text += fmt.Sprintf("; all trees are scored, --iterations %d gives what scikit-learn's wrapper predicts", n)
	}
	return text
}

// stopsAt is the number of rounds that scikit-learn's wrapper scores where that is fewer than the model has, else 0.
func stopsAt(best *int, iterations int) int {
	if best == nil || *best >= iterations-1 {
		return 0
	}
	return *best + 1
}

func categories(f featureInfo) string {
	switch {
	case f.Kind == "numeric":
		return ""
	case len(f.Vocabulary) == 0:
		return "integer codes"
	}
	var names []string
	for _, v := range f.Vocabulary[:min(len(f.Vocabulary), 6)] {
		names = append(names, fmt.Sprint(v))
	}
	list := strings.Join(names, ", ")
	if len(f.Vocabulary) > len(names) {
		list += ", …"
	}
	return fmt.Sprintf("%d: %s", len(f.Vocabulary), list)
}

// columnSpan is "raw" or "raw_0..raw_9".
func columnSpan(names []string) string {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	return names[0] + ".." + names[len(names)-1]
}
