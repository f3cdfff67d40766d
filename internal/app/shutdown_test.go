package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// terminateDuring sends SIGTERM once a batch reads, and returns its last event or the call's error.
func (d *daemon) terminateDuring(t *testing.T, r *scoringv1.RunBatchRequest) (*scoringv1.BatchEvent, error) {
	t.Helper()
	stream, err := d.batches.RunBatch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var last *scoringv1.BatchEvent
	signalled := false
	for {
		got, err := stream.Recv()
		if err != nil {
			if last.GetBatch() != nil {
				err = nil
			}
			if !signalled {
				t.Fatalf("the batch ended before the signal: %v", err)
			}
			return last, err
		}
		last = got.GetEvent()
		if !signalled && last.GetRowsRead() > 0 {
			signalled = true
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestTerminateLetsABatchEnd(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	r := &scoringv1.RunBatchRequest{Model: ref("churn"), OutputTable: "drained.predictions.scores"}
	last, err := d.terminateDuring(t, r)
	if err != nil {
		t.Fatalf("the batch did not end: %v", err)
	}
	b := last.GetBatch()
	if b.GetState() != scoringv1.BatchState_BATCH_STATE_SUCCEEDED {
		t.Errorf("batch %v", b)
	}
	<-d.exited
	if d.err != nil {
		t.Errorf("exit: %v", d.err)
	}
	if got := contents(t, dir, "drained", "predictions.scores"); got[b.GetScoreBatchId()].Rows != bigRows {
		t.Errorf("the table has %+v", got)
	}
	d = start(t, command(config, dir))
	got, err := d.batches.GetBatch(t.Context(), &scoringv1.GetBatchRequest{ScoreBatchId: b.GetScoreBatchId()})
	if err != nil || got.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_SUCCEEDED {
		t.Errorf("after a restart: %v, %v", got, err)
	}
}

func TestTerminateInterruptsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	cmd := command(config, dir)
	cmd.Env = append(cmd.Env, "SCORER_SHUTDOWN_TIMEOUT=1ms")
	d := start(t, cmd)
	r := &scoringv1.RunBatchRequest{Model: ref("churn"), OutputTable: "cut.predictions.scores"}
	last, err := d.terminateDuring(t, r)
	if err != nil {
		refused(t, err, codes.Unavailable)
	} else if last.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_INTERRUPTED {
		t.Errorf("last event %v", last)
	}
	<-d.exited
	if d.err != nil {
		t.Errorf("exit: %v", d.err)
	}
	if got := contents(t, dir, "cut", "predictions.scores"); len(got) != 0 {
		t.Errorf("the table has %+v", got)
	}
	if left := staged(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	d = start(t, command(config, dir))
	got, err := d.batches.GetBatch(t.Context(), &scoringv1.GetBatchRequest{ScoreBatchId: last.GetScoreBatchId()})
	if err != nil || got.GetBatch().GetState() != scoringv1.BatchState_BATCH_STATE_INTERRUPTED {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	if b := d.succeed(t, r); b.GetScoreBatchId() != last.GetScoreBatchId() || b.GetRows() != bigRows || b.GetReplaced() {
		t.Errorf("re-run %v", b)
	}
}

// Version and help work without any configuration; their text is what people copy from.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	for arg, words := range map[string][]string{
		"version": {"scorer ", "treeline-engine/", "go1."},
		"--help":  {"scorer --config examples/scorer.yml", "--data-dir", "--listen", "--admin-listen", "SCORER_"},
	} {
		cmd := command("", "")
		cmd.Args = []string{scorer, arg}
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", arg, err)
		}
		for _, w := range words {
			if !strings.Contains(string(out), w) {
				t.Errorf("%s does not say %q: %s", arg, w, out)
			}
		}
	}
}

// The private files of the daemon are for its user only.
func TestDataDirIsPrivate(t *testing.T) {
	t.Parallel()
	fx, err := base()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new", "data")
	d := start(t, command(fx.config, dir))
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "LOCK", "state.db", "artifacts", "uploads"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q has mode %s", name, info.Mode())
		}
	}
}
