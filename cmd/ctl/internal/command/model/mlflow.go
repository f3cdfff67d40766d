package model

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/registry/mlflow"
)

// scheme begins a model argument that names a version of MLflow's registry instead of a file.
const scheme = "models:/"

// gitTags name the commit of a run's code: ours, and the one that MLflow sets by itself.
var gitTags = [2]string{"git_sha", "mlflow.source.git.commit"}

// reference is a version of a registered model as people write it.
type reference struct {
	name, version string // version is a number, "latest", or an alias with its "@"
}

// parseReference reads "models:/churn@Champion", "models:/churn/3" and "models:/churn/latest".
func parseReference(text string) (reference, error) {
	rest := strings.TrimPrefix(text, scheme)
	at := strings.LastIndexAny(rest, "@/")
	if at <= 0 || at == len(rest)-1 || strings.Contains(rest[:at], "/") {
		return reference{}, exit.Usage("write models:/NAME@ALIAS, models:/NAME/VERSION or models:/NAME/latest",
			"%s does not name a version of a registered model", text)
	}
	r := reference{name: rest[:at], version: rest[at+1:]}
	switch {
	case rest[at] == '@':
		r.version = "@" + r.version
	case r.version != "latest" && strings.Trim(r.version, "0123456789") != "":
		return reference{}, exit.Usage(fmt.Sprintf("for an alias write models:/%s@%s; MLflow's stages are not read", r.name, r.version),
			"%s: %q is not the number of a version", text, r.version)
	}
	return r, nil
}

// mlflowVersion is a version in MLflow's registry.
type mlflowVersion struct {
	client  *mlflow.Client
	version mlflow.Version
}

// uri names the version by its number, so that it means the same tomorrow.
func (v *mlflowVersion) uri() string { return scheme + v.version.Name + "/" + v.version.Version }

// find asks the server that MLflow's environment variables name for a version. The client of the result must be closed.
func find(ctx context.Context, c *console.Console, text string) (*mlflowVersion, error) {
	ref, err := parseReference(text)
	if err != nil {
		return nil, err
	}
	o := mlflow.Options{}.FromEnv(c.Getenv)
	if o.TrackingURI == "" {
		return nil, exit.Hinted(fmt.Errorf("%s is in MLflow, and MLFLOW_TRACKING_URI is not set", text),
			"say where the server is: export MLFLOW_TRACKING_URI=http://HOST:5000; or name a model file")
	}
	client, err := mlflow.New(o)
	if err != nil {
		return nil, exit.Hinted(err, "correct MLFLOW_TRACKING_URI and the variables beside it; it is the address of a server, not of its database")
	}
	v, err := client.Resolve(ctx, ref.name, ref.version)
	if err != nil {
		err = mlflowError(text, err, func() string { return known(ctx, client, ref.name) })
		client.Close()
		return nil, err
	}
	if found := (&mlflowVersion{version: v}).uri(); found != text {
		fmt.Fprintf(c.Err, "%s is version %s\n", text, v.Version)
	}
	return &mlflowVersion{client, v}, nil
}

// mlflowError adds what to do. missing is asked for it when something is not there.
func mlflowError(what string, err error, missing func() string) error {
	hint := ""
	switch {
	case errors.Is(err, mlflow.ErrNotFound):
		hint = missing()
	case errors.Is(err, mlflow.ErrDenied):
		hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to an account that may read it"
	case errors.Is(err, mlflow.ErrUnavailable):
		hint = "is the MLflow server up, and is MLFLOW_TRACKING_URI its address?"
	}
	return exit.Hinted(fmt.Errorf("%s: %w", what, err), hint)
}

// known says what could have been named instead of a version that is not there.
func known(ctx context.Context, client *mlflow.Client, name string) string {
	m, err := client.Model(ctx, name)
	if errors.Is(err, mlflow.ErrNotFound) {
		models, err := client.Models(ctx)
		if err != nil {
			return ""
		}
		names := make([]string, len(models))
		for i := range models {
			names[i] = models[i].Name
		}
		return "the server has these registered models: " + enumerate(names)
	}
	versions, other := client.Versions(ctx, name)
	if err != nil || other != nil {
		return ""
	}
	var aliases, numbers []string
	for _, a := range slices.Sorted(maps.Keys(m.Aliases)) {
		aliases = append(aliases, "@"+a)
	}
	for i := range versions {
		numbers = append(numbers, versions[i].Version)
	}
	return fmt.Sprintf("%s has the aliases %s and the versions %s; set an alias there, or name a version: %s%s/VERSION", name,
		enumerate(aliases), enumerate(numbers), scheme, name)
}

// fetch copies the version's files to the directory "model" below dir and returns it.
func (v *mlflowVersion) fetch(ctx context.Context, dir string) (string, error) {
	to := filepath.Join(dir, "model")
	if _, err := v.client.Fetch(ctx, v.version, to); err != nil {
		return "", mlflowError("fetching "+v.uri(), err, func() string {
			return "its files are gone from the server's artifact store: name another version"
		})
	}
	return to, nil
}

// origin is what is known of the training that made a version.
type origin struct {
	runID, gitSHA   string
	trainedAt       time.Time
	golden, holdout string // paths; empty where the run logged none
}

// origin reads the run of the version and copies its golden and holdout rows to the directory "rows" below dir. A run that
// was deleted leaves the rest of the origin empty.
func (v *mlflowVersion) origin(ctx context.Context, dir string) (origin, error) {
	o := origin{runID: v.version.RunID, gitSHA: v.version.Tags[gitTags[0]]}
	if o.runID == "" {
		return o, nil
	}
	run, err := v.client.Run(ctx, o.runID)
	if errors.Is(err, mlflow.ErrNotFound) {
		return o, nil
	}
	if err != nil {
		return o, mlflowError("reading run "+o.runID, err, nil)
	}
	for _, tag := range gitTags {
		setDefault(&o.gitSHA, run.Tags[tag])
	}
	if o.trainedAt = run.End; o.trainedAt.IsZero() {
		o.trainedAt = run.Start // it never ended, or was not told to
	}
	rows := filepath.Join(dir, "rows")
	got, err := v.client.FetchFiles(ctx, run.ArtifactURI, rows, goldenName, holdoutName)
	switch {
	case errors.Is(err, mlflow.ErrSource), errors.Is(err, mlflow.ErrNotFound):
		return o, nil
	case err != nil:
		return o, mlflowError("fetching the rows of run "+o.runID, err, nil)
	}
	for _, f := range got.Files {
		switch path := filepath.Join(rows, f.Name); f.Name {
		case goldenName:
			o.golden = path
		case holdoutName:
			o.holdout = path
		}
	}
	return o, nil
}

// withModel opens a model file, a directory that holds one, or a version of MLflow's registry, for as long as f runs.
func withModel(ctx context.Context, c *console.Console, arg string, f func(source) error) error {
	if !strings.HasPrefix(arg, scheme) {
		src, err := open(arg)
		if err != nil {
			return err
		}
		return f(src)
	}
	v, err := find(ctx, c, arg)
	if err != nil {
		return err
	}
	defer v.client.Close()
	return withTemporary(func(dir string) error {
		at, err := v.fetch(ctx, dir)
		if err != nil {
			return err
		}
		src, err := open(at)
		if err != nil {
			return fmt.Errorf("%s: %w", v.uri(), err)
		}
		src.Path = v.uri() // the copy is not there any more when somebody reads this
		return f(src)
	})
}

// withTemporary gives f a directory that is removed afterwards.
func withTemporary(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "ctl-mlflow-")
	if err != nil {
		return exit.Hinted(fmt.Errorf("fetching the model: %w", err), "let TMPDIR name a directory with room for it")
	}
	err = f(dir)
	if other := os.RemoveAll(dir); other != nil && err == nil {
		return fmt.Errorf("removing the copy of the model: %w", other)
	}
	return err
}
