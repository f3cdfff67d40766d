package app_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"

	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// smallDisk is the size of the file system of these tests.
const smallDisk = 96 << 20

// onSmallDisk is a daemon whose data directory is a small file system of its own, which no other process sees: it runs in
// its own mount namespace (as root, or in a user namespace where the test is not). The path that it returns leads this
// process into that file system once the daemon runs.
func onSmallDisk(t *testing.T, config, dataDir string) (cmd *exec.Cmd, inside func(d *daemon) string) {
	t.Helper()
	mount := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	run := command(config, filepath.Join(mount, "data"))
	script := `mount --make-rprivate / && mount -t tmpfs -o size=` + fmt.Sprint(smallDisk) + ` tmpfs "$1" && cp -a "$2" "$1/data" && shift 2 && exec "$@"`
	cmd = exec.Command("sh", append([]string{"-c", script, "sh", mount, dataDir}, run.Args...)...)
	cmd.Env = run.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	return cmd, func(d *daemon) string {
		return filepath.Join("/proc", fmt.Sprint(d.cmd.Process.Pid), "root", mount)
	}
}

// fillUp leaves the given number of bytes free. The daemon writes in the background: what it takes meanwhile is not there to
// be filled.
func fillUp(t *testing.T, disk string, free uint64) (ballast string) {
	t.Helper()
	ballast = filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 100 {
		var st syscall.Statfs_t
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		have := st.Bavail * uint64(st.Bsize)
		if have < free {
			t.Fatalf("%d bytes are free, want %d", have, free)
		}
		err = syscall.Fallocate(int(f.Fd()), 0, 0, int64(have-free))
		if !errors.Is(err, syscall.ENOSPC) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return ballast
}

// A disk that fills up during a batch, at the snapshot, while rows are staged or in the commit: a clear error, nothing half
// written, the daemon goes on, and the same batch completes once there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	cmd, inside := onSmallDisk(t, config, dir)
	d := start(t, cmd)
	disk := inside(d)
	data := filepath.Join(disk, "data")
	// What is there already must survive all of it.
	kept := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small"), OutputTable: "kept.predictions.scores"})

	phases := map[string]int{}
	failures := 0
	for i, free := range []uint64{64, 16, 512, 8, 2048, 512, 4096, 2048} {
		free <<= 10
		r := &scoringv1.RunBatchRequest{Model: ref("churn"), OutputTable: fmt.Sprintf("full%02d.predictions.scores", i)}
		// The snapshot is shared by all runs; without it the first step needs room too.
		if i%2 == 0 {
			clearSnapshots(t, data)
		}
		ballast := fillUp(t, disk, free)
		id, phase, err := d.lastEvent(t, r)
		if err == nil {
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			continue // there was room enough
		}
		failures++
		phases[phase]++
		refused(t, err, codes.ResourceExhausted, "no space left")
		if left := staged(t, data); len(left) != 0 {
			t.Errorf("%d bytes free: left behind: %v", free, left)
		}
		if got := contents(t, data, fmt.Sprintf("full%02d", i), "predictions.scores"); len(got) != 0 {
			t.Errorf("%d bytes free: the table has %+v", free, got)
		}
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		b := d.succeed(t, r)
		if b.GetRows() != bigRows || b.GetReplaced() || id != "" && b.GetScoreBatchId() != id {
			t.Errorf("%d bytes free: re-run %v, first run %s", free, b, id)
		}
	}
	t.Logf("%d runs met a full disk, by phase: %v", failures, phases)
	if failures < 4 || phases["SNAPSHOT"] == 0 || phases["SCORE"] == 0 || phases["COMMIT"] == 0 {
		t.Errorf("the disk was not full where it should be: %v", phases)
	}
	again := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("small"), OutputTable: "kept.predictions.scores"})
	if again.GetScoreBatchId() != kept.GetScoreBatchId() || again.GetOutputDigest() != kept.GetOutputDigest() || !again.GetReplaced() {
		t.Errorf("before %v\nafter %v", kept, again)
	}
	if err := d.terminate(t); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// clearSnapshots removes what earlier batches pinned.
func clearSnapshots(t *testing.T, data string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "warehouse/snapshots/*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
}

// lastEvent runs a batch and returns its id and the phase of the last event that was not the end.
func (d *daemon) lastEvent(t *testing.T, r *scoringv1.RunBatchRequest) (id, phase string, err error) {
	t.Helper()
	stream, err := d.batches.RunBatch(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	for {
		got, err := stream.Recv()
		if err != nil {
			if err.Error() == "EOF" {
				return id, phase, nil
			}
			return id, phase, err
		}
		e := got.GetEvent()
		id = e.GetScoreBatchId()
		phase = strings.TrimPrefix(e.GetPhase().String(), "BATCH_PHASE_")
	}
}
