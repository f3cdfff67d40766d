package gate

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/treeline-ml/treeline/lifecycle/version"
)

// path is where a file of the artifact lies.
func (l *loaded) path(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }

// modelDir is the directory of the model file.
func (l *loaded) modelDir(v version.Version) string { return l.path(path.Dir(v.ModelFile)) }

// holdoutName names the holdout rows of a version.
func holdoutName(v version.Version) string {
	if v.HoldoutFile == "" {
		return holdoutFile
	}
	return v.HoldoutFile
}

// validator runs the model's own validator outside.
func (s *Service) validator(ctx context.Context, v version.Version, l *loaded, p Policy) (Result, error) {
	r := Result{Gate: Validator, Outcome: Inconclusive, Evidence: map[string]string{"validator_class": p.Validator.Class}}
	r.Hint = "see to the validator and validate again"
	if s.d.Runner == nil {
		r.Summary = "Validator " + p.Validator.Class + " cannot be run: this daemon has no Python"
		return r, nil
	}
	holdout := holdoutName(v)
	if !slices.Contains(l.files, holdout) {
		return noTrial(Validator, "no holdout rows came with the version"), nil
	}
	spec := ValidatorSpec{External: *p.Validator, Model: v.Model, Version: v.Version, Label: p.Label}
	spec.ModelDir, spec.Holdout = l.modelDir(v), l.path(holdout)
	verdict, err := s.d.Runner.RunValidator(ctx, spec)
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		r.Summary = fmt.Sprintf("Validator %s gave no verdict: %v", p.Validator.Class, err)
		return r, nil
	}
	for name, value := range verdict.Figures {
		r.Evidence["figure."+clip(name, 64)] = clip(fmt.Sprint(value), 256)
	}
	r.Outcome, r.Hint = Pass, ""
	verb := "accepts"
	if !verdict.Passed {
		r.Outcome, verb = Fail, "rejects"
		r.Hint = "its words say why; train a better version"
	}
	r.Summary = sentence(fmt.Sprintf("Validator %s %s version %d: %s", p.Validator.Class, verb, v.Version, clip(verdict.Summary, 1024)))
	return r, nil
}
