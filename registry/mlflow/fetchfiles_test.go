package mlflow_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/registry/mlflow"
)

func TestFetchFiles(t *testing.T) {
	c := live(t)
	var run string
	shared.Peer(t).Do(t, &run, `
		with mlflow.start_run() as run:
		    mlflow.log_text("rows", "golden.parquet"); mlflow.log_text("more", "other.txt")
		    mlflow.log_text("deep", "holdout.parquet/part.txt")
		out = run.info.run_id`)
	r, err := c.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "rows")
	a, err := c.FetchFiles(t.Context(), r.ArtifactURI, dir, "golden.parquet", "holdout.parquet", "absent")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"golden.parquet": []byte("rows")} // holdout.parquet is a directory
	if d := cmp.Diff(want, readDir(t, dir)); d != "" {
		t.Errorf("files (-want +got)\n%s", d)
	}
	checkArtifact(t, a, want)

	none := filepath.Join(t.TempDir(), "none")
	if a, err := c.FetchFiles(t.Context(), r.ArtifactURI, none, "absent"); err != nil || len(a.Files) != 0 {
		t.Errorf("absent files give %v (%v), want none", a.Files, err)
	}
	if _, err := os.Stat(none); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of no files: %v, want none", err)
	}
	if _, err := c.FetchFiles(t.Context(), "s3://bucket/run", none, "absent"); !errors.Is(err, mlflow.ErrSource) {
		t.Errorf("another store gives %v, want ErrSource", err)
	}
}
