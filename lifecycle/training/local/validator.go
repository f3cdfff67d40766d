package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// ValidatorSpec is what a validator is told.
type ValidatorSpec struct {
	Class           string
	ModulePath      []string
	ModelDir        string // of the artifact
	Holdout         string // path of the holdout rows
	LabelCol        string
	Metrics         map[string]any
	Hyperparameters map[string]any
	Timeout         time.Duration // 0 means 30 minutes
}

// Verdict is what a validator says.
type Verdict struct {
	Passed  bool
	Summary string
	// Figures are its numbers; Notes are figures that are text, or no finite number.
	Figures map[string]float64
	Notes   map[string]string
}

// RunValidator runs "python -m treeline.validator" on the holdout of a version. It fails with ErrStart, or with ErrChild when
// there is no verdict.
func RunValidator(ctx context.Context, p Process, s ValidatorSpec) (v Verdict, err error) {
	dir, err := os.MkdirTemp("", "treeline-validator-")
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrStart, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	spec, output := filepath.Join(dir, "spec.json"), filepath.Join(dir, "verdict.json")
	paths := s.ModulePath
	if paths == nil {
		paths = []string{}
	}
	err = writeJSON(spec, map[string]any{
		"format": training.Format, "validator_class": s.Class, "module_path": paths, "model_dir": s.ModelDir,
		"holdout": s.Holdout, "label_col": s.LabelCol, "metrics": s.Metrics, "hyperparameters": s.Hyperparameters, "output": output,
	})
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrStart, err)
	}
	c, err := p.command("treeline.validator", dir, s.ModulePath, spec)
	if err != nil {
		return v, err
	}
	c.cmd.Stdout = c.out
	if err := c.run(ctx, s.Timeout, nil); err != nil {
		return v, fmt.Errorf("validator %s: %w", s.Class, err)
	}
	b, err := readBounded(output, maxResult)
	if err == nil {
		v, err = parseVerdict(b)
	}
	if err != nil {
		return v, fmt.Errorf("validator %s: %w: %w", s.Class, ErrChild, err)
	}
	return v, nil
}

// parseVerdict reads what a validator wrote.
func parseVerdict(b []byte) (Verdict, error) {
	var f struct {
		Passed  *bool          `json:"passed"`
		Summary string         `json:"summary"`
		Figures map[string]any `json:"figures"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return Verdict{}, fmt.Errorf("the verdict: %w", err)
	}
	if f.Passed == nil {
		return Verdict{}, errors.New(`the verdict has no "passed"`)
	}
	if len(f.Summary) > maxText || len(f.Figures) > maxEntries || strings.ContainsRune(f.Summary, 0) {
		return Verdict{}, fmt.Errorf("the verdict has a summary of %d bytes and %d figures, at most %d and %d are allowed",
			len(f.Summary), len(f.Figures), maxText, maxEntries)
	}
	v := Verdict{Passed: *f.Passed, Summary: f.Summary, Figures: map[string]float64{}, Notes: map[string]string{}}
	for name, figure := range f.Figures {
		if len(name) > maxText || !utf8.ValidString(name) {
			return Verdict{}, fmt.Errorf("a figure of the verdict has a name of %d bytes, at most %d", len(name), maxText)
		}
		switch x := figure.(type) {
		case float64:
			if math.IsInf(x, 0) || math.IsNaN(x) {
				v.Notes[name] = fmt.Sprint(x)
				continue
			}
			v.Figures[name] = x
		case bool:
			v.Figures[name] = 0
			if x {
				v.Figures[name] = 1
			}
		default:
			v.Notes[name] = fmt.Sprintf("%.1000s", fmt.Sprint(x))
		}
	}
	return v, nil
}
