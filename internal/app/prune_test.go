package app_test

import (
	"os"
	"path/filepath"
	"testing"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// A pinned input is kept as long as a batch names it; one that no batch names goes at the next start.
func TestStartRemovesSnapshotsThatNoBatchNeeds(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	batch := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn")})
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	snapshots := filepath.Join(dir, "warehouse", "snapshots")
	needed := filepath.Join(snapshots, batch.GetInputVersion()+".parquet")
	data, err := os.ReadFile(needed)
	if err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(snapshots, "t1-00000000000000000000000000000000.parquet")
	if err := os.WriteFile(stray, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d = start(t, command(config, dir))
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("a snapshot that no batch names is still there: %v", err)
	}
	if _, err := os.Stat(needed); err != nil {
		t.Errorf("the snapshot of batch %s: %v", batch.GetScoreBatchId(), err)
	}
	if again := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("churn")}); again.GetScoreBatchId() != batch.GetScoreBatchId() {
		t.Errorf("the batch has id %s after a restart, had %s", again.GetScoreBatchId(), batch.GetScoreBatchId())
	}
}
