package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// The tests of this package run the real binary: DuckDB, SQLite, gRPC, signals and files are all as in production.

// scorer is the daemon's binary, built once.
var scorer string

// work holds the binary and the data directories of all tests.
var work string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "treeline-app")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	work, scorer = dir, filepath.Join(dir, "scorer")
	build := exec.Command("go", "build", "-o", scorer, "github.com/treeline-ml/treeline/cmd/scorer")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the daemon: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// daemon is a running scorer process.
type daemon struct {
	cmd         *exec.Cmd
	data, admin string // addresses
	stderr      *logBuffer
	exited      chan struct{} // closed when the process has ended
	err         error         // of the process, once exited

	conns     []*grpc.ClientConn
	batches   scoringv1.BatchServiceClient
	scoring   scoringv1.ScoringServiceClient
	registry  lifecyclev1.RegistryServiceClient
	gates     lifecyclev1.ValidationServiceClient
	promotion lifecyclev1.PromotionServiceClient
	audit     lifecyclev1.AuditServiceClient
}

// logBuffer is what a process writes to stderr.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// command is a daemon on free ports that has not started yet.
func command(config, dataDir string, args ...string) *exec.Cmd {
	cmd := exec.Command(scorer, append([]string{
		"--config", config, "--data-dir", dataDir, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
	}, args...)...)
	cmd.Env = environment()
	return cmd
}

// environment is this process's without settings that would reach the daemon.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "SCORER_") && !strings.HasPrefix(e, "OTEL_") {
			env = append(env, e)
		}
	}
	return env
}

// start runs a daemon and waits until it is ready. The test ends it.
func start(t *testing.T, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{cmd: cmd, stderr: new(logBuffer), exited: make(chan struct{})}
	cmd.Stderr = d.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- line
		_, _ = io.Copy(io.Discard, out)
		d.err = cmd.Wait()
		close(d.exited)
	}()
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("log of process %d:\n%s", cmd.Process.Pid, tail(d.stderr.String(), 60))
		}
	})
	match := regexp.MustCompile(`^scorer is ready: data (\S+), admin (\S+)\n$`).FindStringSubmatch(<-ready)
	if match == nil {
		<-d.exited
		t.Fatalf("the daemon did not start: %v\n%s", d.err, d.stderr)
	}
	d.data, d.admin = match[1], match[2]
	d.connect(t)
	return d
}

func (d *daemon) connect(t *testing.T) {
	t.Helper()
	dial := func(addr string) *grpc.ClientConn {
		c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		d.conns = append(d.conns, c)
		return c
	}
	data, admin := dial(d.data), dial(d.admin)
	d.batches, d.scoring = scoringv1.NewBatchServiceClient(data), scoringv1.NewScoringServiceClient(data)
	d.registry, d.gates = lifecyclev1.NewRegistryServiceClient(admin), lifecyclev1.NewValidationServiceClient(admin)
	d.promotion, d.audit = lifecyclev1.NewPromotionServiceClient(admin), lifecyclev1.NewAuditServiceClient(admin)
}

// kill ends the process as a power cut would.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.exited
	d.disconnect()
}

// terminate asks the process to end and returns its error.
func (d *daemon) terminate(t *testing.T) error {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.exited:
	case <-time.After(time.Minute):
		t.Fatalf("did not stop within a minute:\n%s", tail(d.stderr.String(), 40))
	}
	d.disconnect()
	return d.err
}

func (d *daemon) disconnect() {
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.conns = nil
}

// fails runs a daemon that must not start, and returns what it says.
func fails(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		t.Fatalf("started and stopped: %s%s", out, stderr.String())
	}
	if len(out) != 0 {
		t.Errorf("said on stdout: %s", out)
	}
	return stderr.String()
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
