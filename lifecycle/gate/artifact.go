package gate

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/frame"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
)

// loaded is a version that the artifact gate accepted.
type loaded struct {
	dir     string
	files   []string // their names
	model   *forest.Model
	program *engine.Program
}

// artifact is the gate of that name. It returns nil for loaded when it failed.
func (s *Service) artifact(ctx context.Context, v version.Version, columns bool) (Result, *loaded, error) {
	r := Result{Gate: Artifact, Outcome: Pass, Evidence: map[string]string{"digest": v.Digest}}
	fail := func(hint, format string, args ...any) (Result, *loaded, error) {
		r.Outcome, r.Hint, r.Summary = Fail, hint, fmt.Sprintf(format, args...)
		return r, nil, nil
	}

	dir, a, err := s.d.Versions.Artifact(ctx, v)
	switch {
	case errors.Is(err, registry.ErrDigest):
		return fail("the stored bytes changed after they were registered; look for the cause, then register the files again",
			"%v", err)
	case err != nil:
		return Result{}, nil, err
	}
	var size int64
	for _, f := range a.Files {
		size += f.Size
	}
	r.Evidence["files"] = strconv.Itoa(len(a.Files))
	r.Evidence["bytes"] = strconv.FormatInt(size, 10)

	m, err := s.d.Versions.Load(ctx, v)
	switch {
	case errors.Is(err, version.ErrModel):
		return fail("save the model with its library again and register it as a new version", "%s",
			strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""))
	case err != nil:
		return Result{}, nil, err
	}
	if want := fileDigest(a, v.ModelFile); m.Provenance.Digest != want {
		return fail("something writes to the registry's directory while it is read; find it and validate again",
			"the loader read %s from %s, the artifact has %s", m.Provenance.Digest, v.ModelFile, want)
	}
	if len(m.Features) != v.Features || len(m.Trees) != v.Trees {
		return fail("another release registered it and reads the file otherwise; register it as a new version",
			"it loads with %d features and %d trees, and was registered with %d and %d", len(m.Features), len(m.Trees),
			v.Features, v.Trees)
	}
	p, err := engine.Compile(m, engine.Options{})
	if err != nil {
		return fail("the engine does not take this model; report it with the file", "%v", err)
	}
	if problem := signature(m); problem != "" {
		return fail("train on named, distinct columns, so that a table's columns can be found by name", "%s", problem)
	}
	r.Evidence["features"] = strconv.Itoa(len(m.Features))
	r.Evidence["trees"] = strconv.Itoa(len(m.Trees))
	r.Evidence["outputs"] = strconv.Itoa(m.Outputs)
	r.Evidence["kernels"] = p.Explain().String()
	r.Summary = fmt.Sprintf("%d files with %d bytes match their digests; %d trees over %d named features load and compile",
		len(a.Files), size, len(m.Trees), len(m.Features))
	l := &loaded{dir: dir, model: m, program: p}
	for _, f := range a.Files {
		l.files = append(l.files, f.Name)
	}
	if columns {
		if err := s.columns(ctx, v.Model, l, &r); err != nil {
			return Result{}, nil, err
		}
	}
	return r, l, nil
}

func fileDigest(a registry.Artifact, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Digest
		}
	}
	return ""
}

// signature says what is wrong with the feature names, or "".
func signature(m *forest.Model) string {
	if len(m.Features) == 0 {
		return "the model has no features"
	}
	seen := make(map[string]int, len(m.Features))
	for i, f := range m.Features {
		if strings.TrimSpace(f.Name) == "" {
			return fmt.Sprintf("feature %d has no name", i)
		}
		if j, ok := seen[f.Name]; ok {
			return fmt.Sprintf("features %d and %d are both named %q", j, i, f.Name)
		}
		seen[f.Name] = i
	}
	return ""
}

// columns tries to bind the model to its configured feature table, where there is one, as a batch would. A table that
// does not fit leaves the gate inconclusive: the version is not at fault, and can be validated again once the table is.
func (s *Service) columns(ctx context.Context, model string, l *loaded, r *Result) error {
	if s.d.Columns == nil {
		return nil
	}
	table, configured, err := s.d.Columns.FeatureColumns(ctx, model)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.Outcome = Inconclusive
		r.Summary += fmt.Sprintf("; the feature table cannot be looked at: %v", err)
		r.Hint = "see to the feature table in the model's config.yml and validate again"
		return nil
	case !configured:
		r.Evidence["feature_table"] = "none configured"
		return nil
	}
	r.Evidence["feature_table"] = fmt.Sprintf("%d columns", table.Schema.NumFields())
	if problems := table.problems(l, r.Evidence); problems != nil {
		r.Outcome = Inconclusive
		r.Summary += fmt.Sprintf("; but every batch on the feature table %s would fail: %s", table.Name, strings.Join(problems, "; "))
		r.Hint = "the version itself is in order and stays what it is: correct the table, or the model's config.yml, and validate again"
		return nil
	}
	r.Summary += fmt.Sprintf("; the feature table has all of them among its %d columns, in types that can be read",
		table.Schema.NumFields())
	return nil
}

// problems says why a batch on the table would fail, and counts the columns at fault.
func (t FeatureTable) problems(l *loaded, evidence map[string]string) (problems []string) {
	var keys []string
	for _, k := range t.Keys {
		if !t.Schema.HasField(k) {
			keys = append(keys, strconv.Quote(k))
		}
	}
	if keys != nil {
		evidence["missing_keys"] = strconv.Itoa(len(keys))
		problems = append(problems, "it lacks key columns "+strings.Join(keys, ", "))
	}
	_, err := frame.NewBinding(l.model, l.program, t.Schema, frame.BindOptions{
		Allowed: slices.Concat(t.Keys, t.Allowed), IgnoreExtra: true,
	})
	if err == nil {
		return problems
	}
	if fault, ok := errors.AsType[*frame.SchemaError](err); ok {
		evidence["missing_columns"] = strconv.Itoa(len(fault.Missing))
		evidence["wrong_columns"] = strconv.Itoa(len(fault.Wrong))
	}
	return append(problems, err.Error())
}
