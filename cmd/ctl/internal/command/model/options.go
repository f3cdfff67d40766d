package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/spf13/pflag"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
)

// options are the flags that change what is computed; score and verify share them.
type options struct {
	missing     missingValue
	baseMargin  string
	iterations  int
	threads     int
	rowErrors   rowErrors
	ignoreExtra bool
	explanation explanation
	mem         memory.Allocator // of records
}

func (o *options) flags(f *pflag.FlagSet) {
	f.Var(&o.missing, "missing", "value read as missing, besides NaN (XGBoost's \"missing\", which is not in the file)")
	f.StringVar(&o.baseMargin, "base-margin", "", "each row's base margin is in `COLUMN`, or COLUMN_0..COLUMN_k (XGBoost)")
	f.IntVar(&o.iterations, "iterations", 0, "score the first `N` boosting rounds only (default all)")
	f.IntVar(&o.threads, "threads", 0, "scoring threads; the results do not depend on it (default one a processor)")
	f.Var(&o.rowErrors, "row-errors", "what rows that the library refuses become: an error, or null scores")
	f.BoolVar(&o.ignoreExtra, "ignore-extra", false, "accept columns that are no features of the model")
}

// check finds flags that do not fit the model: silently ignoring one would give other scores than the caller expects.
func (o *options) check(m *forest.Model) error {
	if m.Provenance.Library != "xgboost" {
		hint := "leave it out: " + m.Provenance.Library + " has no such parameter at prediction"
		if o.missing.set {
			return exit.Usage(hint, "--missing is for XGBoost models, this one is %s", m.Provenance.Format)
		}
		if o.baseMargin != "" {
			return exit.Usage(hint, "--base-margin is for XGBoost models, this one is %s", m.Provenance.Format)
		}
	}
	if o.iterations < 0 || (m.Iterations > 0 && o.iterations > m.Iterations) {
		return exit.Usage(fmt.Sprintf("give a number from 1 to %d, or leave the flag out for all", m.Iterations),
			"--iterations %d: the model has %d", o.iterations, m.Iterations)
	}
	if o.threads < 0 {
		return exit.Usage("give a positive number, or leave the flag out for one a processor", "--threads %d", o.threads)
	}
	return nil
}

func (o *options) compile(src source) (*engine.Program, error) {
	if err := o.check(src.Model); err != nil {
		return nil, err
	}
	eo := engine.Options{
		Iterations: o.iterations, Contributions: o.explanation.contributions, Leaves: o.explanation.leaves,
	}
	if o.missing.set {
		eo.Missing = &o.missing.value
	}
	p, err := engine.Compile(src.Model, eo)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", src.Path, err)
	}
	return p, nil
}

// missingValue is the flag --missing: a number or nan.
type missingValue struct {
	value float64
	set   bool
}

func (v *missingValue) String() string {
	if !v.set {
		return ""
	}
	return strconv.FormatFloat(v.value, 'g', -1, 64)
}

func (v *missingValue) Type() string { return "V" }

func (v *missingValue) Set(s string) error {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return errors.New("must be a number, such as -999")
	}
	// NaN is always missing: that is the library's default, not a second value.
	v.value, v.set = x, !math.IsNaN(x)
	return nil
}

// rowErrors is the flag --row-errors. The zero value is "fail".
type rowErrors struct{ null bool }

func (r *rowErrors) String() string {
	if r.null {
		return "null"
	}
	return "fail"
}

func (r *rowErrors) Type() string { return "fail|null" }

func (r *rowErrors) Set(s string) error {
	switch s {
	case "fail", "null":
		r.null = s == "null"
		return nil
	}
	return errors.New("must be fail or null")
}
