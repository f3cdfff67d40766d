package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/treeline-ml/treeline/client"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/daemon"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/render"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// Files that a directory of a model may hold besides the model.
const (
	goldenName  = "golden.parquet"
	holdoutName = "holdout.parquet"
	versionName = "version.json"
)

func newRegister(c *console.Console, access *daemon.Access) *cobra.Command {
	var r registration
	format := render.Table
	cmd := &cobra.Command{
		Use:   "register NAME MODEL",
		Short: "Register a model file as a new version",
		Long: `Register a model file as a new version: its bytes are streamed to the daemon, which loads every tree before the version enters
as trained. The same bytes again give the earlier version.

MODEL may be a directory with one model file; golden.parquet beside it is then sent as the golden rows, holdout.parquet as the
holdout rows, and run_id, git_sha and trained_at are taken from version.json where it exists and no flag says otherwise.

MODEL may be models:/NAME@ALIAS or models:/NAME/VERSION: the version is fetched from the MLflow registry at
MLFLOW_TRACKING_URI. Its run gives run id, commit and time of training, and golden.parquet and holdout.parquet where it
logged them; the tag mlflow_version says which version it was. Flags come first.`,
		Example: `  ctl model register churn model.txt --golden golden.parquet --run-id 8f2c --git-sha 40dcfaf --trained-at 2024-06-01T10:00:00Z
  ctl model register churn models:/churn@Champion
  ctl model register churn models/churn-v2 --tag team=retention`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.name = args[0]
			r.meta.Actor = access.Actor()
			send := func(path string) error {
				if err := r.resolve(path); err != nil {
					return err
				}
				return access.With(cmd.Context(), func(ctx context.Context, cl *client.Client) error {
					return r.run(ctx, c, cl, format)
				})
			}
			if strings.HasPrefix(args[1], scheme) {
				return r.fromMLflow(cmd.Context(), c, args[1], send)
			}
			return send(args[1])
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.golden, "golden", "", "Parquet file `F` with features and the library's own raw and pred, for the parity gate")
	f.StringVar(&r.meta.Holdout, "holdout", "", "Parquet file `F` with rows that the training did not see: features, label, raw and pred")
	f.StringVar(&r.meta.RunID, "run-id", "", "`ID` of the training run that made the model")
	f.StringVar(&r.meta.GitSHA, "git-sha", "", "`COMMIT` of the training code")
	f.StringVar(&r.trainedAt, "trained-at", "", "`TIME` when it was trained, as 2024-06-01T10:00:00Z")
	f.StringToStringVar(&r.meta.Tags, "tag", nil, "tag `k=v` of the version, may be repeated")
	f.VarP(&format, "output", "o", "output format")
	return cmd
}

// registration is one run of "ctl model register".
type registration struct {
	name, path, golden, trainedAt string
	meta                          client.RegisterMeta
}

// versionTag names the version in MLflow that a registered one was fetched from.
const versionTag = "mlflow_version"

// fromMLflow fetches a version and what its run says of it, and sends its directory.
func (r *registration) fromMLflow(ctx context.Context, c *console.Console, ref string, send func(path string) error) error {
	v, err := find(ctx, c, ref)
	if err != nil {
		return err
	}
	defer v.client.Close()
	return withTemporary(func(dir string) error {
		path, err := v.fetch(ctx, dir)
		if err != nil {
			return err
		}
		o, err := v.origin(ctx, dir)
		if err != nil {
			return err
		}
		setDefault(&r.meta.RunID, o.runID)
		setDefault(&r.meta.GitSHA, o.gitSHA)
		setDefault(&r.golden, o.golden)
		setDefault(&r.meta.Holdout, o.holdout)
		if !o.trainedAt.IsZero() {
			setDefault(&r.trainedAt, o.trainedAt.UTC().Format(time.RFC3339Nano))
		}
		if r.meta.Tags == nil {
			r.meta.Tags = map[string]string{}
		}
		if _, set := r.meta.Tags[versionTag]; !set {
			r.meta.Tags[versionTag] = v.uri()
		}
		return send(path)
	})
}

// resolve finds the files and reads the times before the daemon is spoken to.
func (r *registration) resolve(path string) error {
	r.path = path
	info, err := os.Stat(path)
	if err != nil {
		return exit.Hinted(fmt.Errorf("opening the model: %w", err), "name a model file, or a directory that holds one")
	}
	if info.IsDir() {
		if err := r.resolveDirectory(path); err != nil {
			return err
		}
	}
	if r.golden != "" {
		if _, err := os.Stat(r.golden); err != nil {
			return exit.Hinted(fmt.Errorf("opening the golden rows: %w", err), "name an existing Parquet file with --golden")
		}
	}
	if r.meta.Holdout != "" {
		if _, err := os.Stat(r.meta.Holdout); err != nil {
			return exit.Hinted(fmt.Errorf("opening the holdout rows: %w", err), "name an existing Parquet file with --holdout")
		}
	}
	if r.trainedAt != "" {
		if r.meta.TrainedAt, err = time.Parse(time.RFC3339, r.trainedAt); err != nil {
			return exit.Usage("write it as 2024-06-01T10:00:00Z", "--trained-at %q is not an RFC 3339 time", r.trainedAt)
		}
	}
	return nil
}

func (r *registration) resolveDirectory(dir string) error {
	src, err := open(dir)
	if err != nil {
		return err
	}
	r.path = src.Path
	for name, into := range map[string]*string{goldenName: &r.golden, holdoutName: &r.meta.Holdout} {
		if path := filepath.Join(dir, name); *into == "" && isFile(path) {
			*into = path
		}
	}
	doc, err := os.ReadFile(filepath.Join(dir, versionName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var v struct {
		RunID     string `json:"run_id"`
		GitSHA    string `json:"git_sha"`
		TrainedAt string `json:"trained_at"`
	}
	if err := json.Unmarshal(doc, &v); err != nil {
		return exit.Hinted(fmt.Errorf("%s: %w", filepath.Join(dir, versionName), err), "correct or remove the file")
	}
	setDefault(&r.meta.RunID, v.RunID)
	setDefault(&r.meta.GitSHA, v.GitSHA)
	setDefault(&r.trainedAt, v.TrainedAt)
	return nil
}

func setDefault(s *string, otherwise string) {
	if *s == "" {
		*s = otherwise
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func (r *registration) run(ctx context.Context, c *console.Console, cl *client.Client, format render.Format) error {
	bar := render.NewProgress(c.Err, c.ErrTTY, "bytes")
	bar.Label("upload")
	answer, err := cl.RegisterPath(ctx, r.name, r.path, r.golden, r.meta, func(sent, total int64) {
		bar.Total(total)
		bar.Set(sent)
	})
	bar.Stop()
	if err != nil {
		return err
	}
	v := answer.GetVersion()
	if format != render.Table {
		return render.Document(c.Out, format, render.Message(answer))
	}
	what := "registered"
	if answer.GetAlreadyRegistered() {
		what = "was registered before as"
	}
	fmt.Fprintf(c.Out, "%s %s version %d (%s)\n", v.GetModelName(), what, v.GetVersion(), render.Enum(v.GetStage()))
	if err := versionFacts(c.Width, v).Write(c.Out); err != nil {
		return err
	}
	if r.golden == "" {
		fmt.Fprintf(c.Err, "no golden rows were given: the parity gate cannot pass without them (--golden F)\n")
	}
	if v.GetStage() == lifecyclev1.Stage_STAGE_TRAINED {
		fmt.Fprintf(c.Err, "next: ctl validate %s --version %d\n", v.GetModelName(), v.GetVersion())
	}
	return nil
}

func versionFacts(width int, v *lifecyclev1.ModelVersion) *render.Grid {
	g := render.NewGrid(width, "", "~")
	g.Row("digest", v.GetModelDigest())
	g.Row("format", v.GetFormat())
	g.Row("library", v.GetLibrary())
	g.Row("objective", render.OrDash(v.GetObjective()))
	g.Row("features", v.GetFeatures())
	g.Row("trees", v.GetTrees())
	g.Row("run id", render.OrDash(v.GetRunId()))
	g.Row("git sha", render.OrDash(v.GetGitSha()))
	g.Row("trained", render.Time(v.GetTrainedAt()))
	g.Row("registered", render.Time(v.GetRegisteredAt())+" by "+v.GetRegisteredBy())
	return g
}
