package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const python = ".venv/bin/python"

// job is what is scored.
type job struct {
	name     string // of the model, and of the results file
	title    string
	key      string // column
	features string // Parquet file
	model    string // LightGBM text
	golden   string
	config   string // the daemon's
	table    string // schema and table of its output
	catalog  string
	scratch  string // for the daemon's data and all outputs
}

// flightsJob makes the table of all flights when it is not there.
func flightsJob(ctx context.Context) (job, error) {
	scratch, err := filepath.Abs("bench/data/flights")
	if err != nil {
		return job{}, err
	}
	j := job{
		name: "flights", title: "flights: 300 x 31 leaves, categories", key: "flight_id",
		features: filepath.Join(filepath.Dir(scratch), "flights.parquet"),
		model:    "examples/flights/lightgbm/model.txt", golden: "examples/flights/lightgbm/golden.parquet", config: "examples/scorer.yml",
		catalog: "nyc", table: "predictions.flight_scores", scratch: scratch,
	}
	if _, err := os.Stat(j.features); err == nil {
		return j, nil
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return job{}, err
	}
	if err := command(ctx, python, "examples/flights/train.py", "--full", j.features).Run(); err != nil {
		return job{}, fmt.Errorf("making the full flights table (is .venv there? make python): %w", err)
	}
	return j, nil
}

// syntheticJob makes data and model in the cache, which clones share, when they are not there. Their folder is named after
// the script that makes them.
func syntheticJob(ctx context.Context) (job, error) {
	const script = "bench/pipeline/synthetic.py"
	source, err := os.ReadFile(script)
	if err != nil {
		return job{}, err
	}
	sum := sha256.Sum256(source)
	cache := os.Getenv("TREELINE_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return job{}, fmt.Errorf("finding a cache (set TREELINE_CACHE): %w", err)
		}
		cache = filepath.Join(dir, "treeline")
	}
	dir := filepath.Join(cache, "pipeline-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "making the synthetic table and its model, once")
		if err := make2M(ctx, script, dir); err != nil {
			return job{}, err
		}
	}
	scratch, err := filepath.Abs("bench/data/synthetic")
	if err != nil {
		return job{}, err
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	return job{
		name: "synthetic", title: "2 M rows x 28 doubles: 100 x 31 leaves", key: "id", features: at("features.parquet"),
		model: at("model.txt"), golden: at("golden.parquet"), config: at("scorer.yml"),
		catalog: "bench", table: "predictions.synthetic_scores", scratch: scratch,
	}, nil
}

// make2M leaves a complete folder or none.
func make2M(ctx context.Context, script, dir string) error {
	tmp := dir + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return err
	}
	if err := command(ctx, python, script, tmp).Run(); err != nil {
		return fmt.Errorf("making the synthetic table (is .venv there? make python): %w", err)
	}
	return os.Rename(tmp, dir)
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	return cmd
}
