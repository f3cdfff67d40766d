package app_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"google.golang.org/grpc/codes"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
	"github.com/treeline-ml/treeline/internal/mlflowtest"
)

const hooks = `"""Hooks of a user."""

import os
import pathlib
import time

from treeline.training.inference import Inference


class Scale(Inference):
    def process(self, rows):
        print("scaling", len(rows), list(rows.columns))
        rows["churn_probability"] = rows["churn_probability"] * 0.9
        return rows


class Drop(Inference):
    def process(self, rows):
        return rows.iloc[1:]


class Raise(Inference):
    def process(self, rows):
        raise ValueError("no calibration for today")


class Hang(Inference):
    def process(self, rows):
        pathlib.Path(__file__).with_name("hanging").write_text(str(os.getpid()))  # a pipe, which the test reads
        time.sleep(3600)
`

// The models of the fixture, all on the same rows, with these classes.
func hookedModels() map[string]string {
	return map[string]string{
		"churn": "", "small": "hooks.Scale", "empty": "hooks.Drop", "duplicate": "hooks.Raise", "wrong": "hooks.Hang", "absent": "hooks.Nowhere",
	}
}

// hooked writes a configuration in which models have classes, and the classes.
func hooked(t *testing.T, python, timeout string, models map[string]string) (config, root string) {
	t.Helper()
	fx, err := base()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	pkg, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "warehouse:\n  memory_limit: 256MiB\n  seed: [{table: uat.features.small, file: %s}]\n", filepath.Join(filepath.Dir(fx.config), "small.parquet"))
	if python != "" {
		fmt.Fprintf(&b, "training: {python: %s, package_path: %s, inference_timeout: %s}\n", python, pkg, timeout)
	}
	b.WriteString("models:\n")
	for name, class := range models {
		model := fmt.Sprintf("model_key: churn\nregistered_model_name: %s\ndata: {features_table: uat.features.small, label_col: churn, key_cols: [account_id]}\n"+
			"output: {catalog: hooked, schema: predictions, table: %s}\n", name, name)
		if class != "" {
			model += "inference_class: " + class + "\n"
		}
		if err := os.WriteFile(filepath.Join(root, name+".yml"), []byte(model), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "  - %s.yml\n", name)
	}
	if err := os.WriteFile(filepath.Join(root, "hooks.py"), []byte(hooks), 0o600); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(root, "scorer.yml")
	if err := os.WriteFile(config, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return config, root
}

// A model's own class changes the scores of its batches, with the real Python: what it makes is what is stored, and
// whatever goes wrong in it leaves nothing.
func TestInferenceClass(t *testing.T) {
	t.Parallel()
	python := mlflowtest.Python(t)
	_, dir := newDataDir(t)
	config, root := hooked(t, python, "20s", hookedModels())
	d := start(t, command(config, dir))

	plain := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn")})
	scaled := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	if plain.GetPostProcessor() != "" || scaled.GetPostProcessor() != "hooks.Scale" || !strings.HasPrefix(scaled.GetPostProcessorDigest(), "sha256:") {
		t.Errorf("receipts say %q and %q (%s)", plain.GetPostProcessor(), scaled.GetPostProcessor(), scaled.GetPostProcessorDigest())
	}
	if plain.GetOutputDigest() == scaled.GetOutputDigest() || plain.GetScoreMax() <= scaled.GetScoreMax() {
		t.Errorf("the receipt is of the scores before the class: digest %s, max %v", scaled.GetOutputDigest(), scaled.GetScoreMax())
	}
	kept, err := d.batches.GetBatch(t.Context(), &scoringv1.GetBatchRequest{ScoreBatchId: scaled.GetScoreBatchId()})
	if err != nil || kept.GetBatch().GetPostProcessor() != "hooks.Scale" || kept.GetBatch().GetPostProcessorDigest() != scaled.GetPostProcessorDigest() {
		t.Errorf("the ledger says %v, %v", kept, err)
	}
	again := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small")})
	if again.GetScoreBatchId() != scaled.GetScoreBatchId() || again.GetOutputDigest() != scaled.GetOutputDigest() || !again.GetReplaced() {
		t.Errorf("the same batch again: %v", again)
	}

	for model, says := range map[string][]string{
		"empty":     {"hooks.Drop", "rows for 200"},
		"duplicate": {"hooks.Raise", "no calibration for today"},
	} {
		_, err := d.runBatch(t.Context(), &scoringv1.RunBatchRequest{Model: ref(model)})
		refused(t, err, codes.FailedPrecondition, says...)
		if got := d.newest(t); got.GetState() != scoringv1.BatchState_BATCH_STATE_FAILED || got.GetRows() != 0 || !strings.Contains(got.GetError(), says[0]) {
			t.Errorf("%s: ledger %v", model, got)
		}
	}
	unknown := &scoringv1.ModelRef{Name: "absent", Version: 1}
	_, err = d.runBatch(t.Context(), &scoringv1.RunBatchRequest{Model: unknown})
	refused(t, err, codes.FailedPrecondition, "hooks.Nowhere", "no class Nowhere", "Scale")

	// Online, the same model would have other scores than in its batches.
	_, err = d.scoring.Score(t.Context(), &scoringv1.ScoreRequest{Model: ref("small"), ArrowIpc: emptyStream(t)})
	refused(t, err, codes.FailedPrecondition, "hooks.Scale", "run a batch")

	// A class that hangs is cancelled at once; nothing of it stays.
	hanging := &scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "wrong", Version: 1}}
	mark := filepath.Join(root, "hanging")
	if err := syscall.Mkfifo(mark, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := d.runBatch(t.Context(), hanging)
		done <- err
	}()
	pid, err := os.ReadFile(mark) // which waits for the class
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := d.batches.CancelBatch(t.Context(), &scoringv1.CancelBatchRequest{ScoreBatchId: d.newest(t).GetScoreBatchId()}); err != nil {
		t.Fatal(err)
	}
	refused(t, <-done, codes.Canceled)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("cancelling took %s", took)
	}
	if _, err := os.Stat("/proc/" + string(pid)); err == nil {
		t.Errorf("process %s of the class still runs", pid)
	}

	// Other code is another batch.
	if err := os.WriteFile(filepath.Join(root, "hooks.py"), []byte(strings.ReplaceAll(hooks, "* 0.9", "* 0.8")), 0o600); err != nil {
		t.Fatal(err)
	}
	edited := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small"), OutputTable: "hooked.predictions.edited"})
	if edited.GetPostProcessorDigest() == scaled.GetPostProcessorDigest() {
		t.Error("edited code has the same digest")
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	if left := staged(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	comparePostProcessed(t, dir)
}

// emptyStream is an Arrow stream of one column and no rows.
func emptyStream(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// comparePostProcessed looks at the tables themselves.
func comparePostProcessed(t *testing.T, dir string) {
	t.Helper()
	db, err := sql.Open("duckdb", filepath.Join(dir, "warehouse", "hooked.duckdb")+"?access_mode=read_only")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows, wrong, flipped int
	err = db.QueryRowContext(t.Context(), `SELECT count(*), count(*) FILTER (s.churn_probability IS DISTINCT FROM p.churn_probability * 0.9::DOUBLE
			OR s.churn_predicted IS DISTINCT FROM CAST(s.churn_probability >= 0.5 AS INTEGER)),
			count(*) FILTER (s.churn_predicted <> p.churn_predicted)
		FROM predictions.churn p JOIN predictions.small s USING (account_id)`).Scan(&rows, &wrong, &flipped)
	if err != nil || rows != 200 || wrong != 0 {
		t.Errorf("of %d rows %d are not nine tenths of the engine's (%v)", rows, wrong, err)
	}
	if flipped == 0 {
		t.Error("no prediction changed, so that the test says nothing of them")
	}
	var tables int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'predictions' AND estimated_size > 0
		AND table_name IN ('empty', 'duplicate', 'wrong', 'absent')`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables of classes that failed have rows (%v)", tables, err)
	}
}

func TestInferenceClassThatHangs(t *testing.T) {
	t.Parallel()
	python := mlflowtest.Python(t)
	_, dir := newDataDir(t)
	config, root := hooked(t, python, "4s", map[string]string{"churn": "hooks.Hang"})
	d := start(t, command(config, dir))
	_, err := d.runBatch(t.Context(), &scoringv1.RunBatchRequest{Model: ref("churn")})
	refused(t, err, codes.FailedPrecondition, "hooks.Hang", "longer than 4s")
	if pid, err := os.ReadFile(filepath.Join(root, "hanging")); err == nil {
		if _, err := os.Stat("/proc/" + string(pid)); err == nil {
			t.Errorf("process %s of the class still runs", pid)
		}
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	if left := staged(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Without Python the class could not run, and scores without it would be wrong.
func TestInferenceClassWithoutPython(t *testing.T) {
	t.Parallel()
	config, root := hooked(t, "", "", map[string]string{"churn": "hooks.Scale"})
	said := fails(t, command(config, filepath.Join(root, "data")))
	for _, want := range []string{"churn.yml:5", "inference_class", "hooks.Scale", "training.python"} {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q: %s", want, said)
		}
	}
}
