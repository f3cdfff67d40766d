package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
)

// daemon submits the work that its environment names, says so, and waits for its end by kill -9.
func daemon() int {
	o := local.Options{
		Process: local.Process{Python: os.Getenv("TREELINE_TEST_PYTHON"), PythonPath: []string{os.Getenv("TREELINE_TEST_FAKE")}},
		Dir:     os.Getenv(daemonVariable),
	}
	tr, err := local.New(o)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s := spec(os.Getenv("TREELINE_TEST_KIND"), map[string]any{"runs": os.Getenv("TREELINE_TEST_RUNS")})
	h, err := tr.Submit(context.Background(), "t1/1", s)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(string(h))
	<-time.After(time.Hour)
	return 0
}

// crash runs a daemon that starts a trainer of the kind, and kills it.
func crash(t *testing.T, kind string, before func(dir string)) (r *run, runs string) {
	t.Helper()
	o := options(t, t.TempDir())
	runs = filepath.Join(t.TempDir(), "runs")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), daemonVariable+"="+o.Dir, "TREELINE_TEST_PYTHON="+o.Python, "TREELINE_TEST_FAKE="+fake(t),
		"TREELINE_TEST_KIND="+kind, "TREELINE_TEST_RUNS="+runs)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "{") {
		t.Fatalf("the daemon says %q (%v)", line, err)
	}
	r = &run{t: t, o: o, key: "t1/1", h: training.Handle(strings.TrimSpace(line))}
	t.Cleanup(r.noProcesses)
	if before != nil {
		before(r.dir())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("the daemon ended with %v", err)
	}
	r.tr = newTrainer(t, o)
	return r, runs
}

func (r *run) wantRuns(runs string, n int) {
	r.t.Helper()
	if b, err := os.ReadFile(runs); err != nil || strings.Count(string(b), "\n") != n {
		r.t.Errorf("the trainer ran %q (%v), want %d times", b, err, n)
	}
}

// A trainer outlives its daemon; the next one goes on with it and starts none.
func TestOrphanIsAdopted(t *testing.T) {
	for name, forget := range map[string]bool{"with its record": false, "before its record": true} {
		t.Run(name, func(t *testing.T) {
			r, runs := crash(t, "gate", nil)
			r.waitLog("training churn")
			if forget { // as if the daemon had died between starting the process and writing it down
				if err := os.Remove(filepath.Join(r.dir(), "control", "work.json")); err != nil {
					t.Fatal(err)
				}
			}
			s := spec("gate", map[string]any{"runs": runs})
			h, err := r.tr.Submit(t.Context(), r.key, s)
			if err != nil || h != r.h {
				t.Fatalf("%s, %v; want %s", h, err, r.h)
			}
			if s := r.poll(func(s training.Status) bool { return s.Heartbeat.Step != "" }); s.State != training.StateRunning {
				t.Fatalf("adopted: %+v", s)
			}
			if n := len(processes(r.dir())); n != 2 {
				t.Errorf("%d processes, want the wrapper and the trainer", n)
			}
			if err := os.WriteFile(filepath.Join(r.dir(), "output", "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s2 := r.end()
			want(t, s2, training.StateExited, 0, false, "")
			if s2.Usage.User == 0 || s2.Usage.MaxRSS == 0 {
				t.Errorf("usage is %+v", s2.Usage)
			}
			if _, err := r.tr.Collect(t.Context(), r.h); err != nil {
				t.Error(err)
			}
			r.wantRuns(runs, 1)
			r.noProcesses()
		})
	}
}

// What ends while no daemon runs is found as it ended.
func TestOrphanThatEnds(t *testing.T) {
	r, runs := crash(t, "gate", func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o600); err != nil {
			t.Error(err)
		}
	})
	want(t, r.end(), training.StateExited, 0, false, "")
	if _, err := r.tr.Collect(t.Context(), r.h); err != nil {
		t.Error(err)
	}
	r.wantRuns(runs, 1)
}

// What dies with its daemon counts as lost.
func TestOrphanThatIsLost(t *testing.T) {
	r, runs := crash(t, "gate", func(dir string) {
		for _, pid := range processes(dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	want(t, r.end(), training.StateLost, 137, true, "")
	s := spec("gate", map[string]any{"runs": runs})
	if _, err := r.tr.Submit(t.Context(), r.key, s); err != nil {
		t.Fatal(err)
	}
	want(t, r.end(), training.StateLost, 137, true, "")
	r.noProcesses()
}

// An orphan is stopped like one's own.
func TestOrphanIsStopped(t *testing.T) {
	r, runs := crash(t, "ignores_term", nil)
	r.waitLog("ready")
	if err := r.tr.Cancel(t.Context(), r.h); err != nil {
		t.Fatal(err)
	}
	// The daemon that asked it to stop may die, too.
	r.tr = newTrainer(t, r.o)
	began := time.Now()
	want(t, r.end(), training.StateStopped, 137, false, "cancelled")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("stopping took %s", took)
	}
	r.wantRuns(runs, 1)
	r.noProcesses()
}
