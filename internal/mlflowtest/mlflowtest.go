// Package mlflowtest runs a real MLflow server for tests, a Python with its client, and a proxy that injects faults.
//
//	var mlflow mlflowtest.Shared
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(mlflow.Main(m)) }
//
//	func TestAliases(t *testing.T) { url := mlflow.Server(t).URL ... }
//
// The server is `mlflow server` of the project's Python environment (TREELINE_PYTHON, or .venv/bin/python of the
// checkout), on loopback, with SQLite and file artifacts in a directory of its own. A missing environment fails the test.
//
// # Invariants
//
//	T1  No process outlives the test binary, however that ends: a launcher holds the end of a pipe from the test binary
//	    and kills its own process group when that closes.
//	T2  Waiting is bounded, and a server that does not get ready fails the test with the end of its log.
//	T3  Nothing goes out to the network: telemetry is off, proxies are not used.
//
// # Concurrency
//
// A Server, a Shared and a Proxy may be used by any number of goroutines; Stop and Restart are called by one at a time.
package mlflowtest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Version is the release of MLflow that the tests are written against.
const Version = "3.17.2"

const (
	readyWithin = 3 * time.Minute // eight of these may start at once on two cores
	stopWithin  = 10 * time.Second
	pollEvery   = 50 * time.Millisecond
)

// Option changes how a server is started.
type Option func(*Server)

// WithEnv adds environment variables, "KEY=value".
func WithEnv(env ...string) Option { return func(s *Server) { s.env = append(s.env, env...) } }

// WithArgs adds arguments of `mlflow server`.
func WithArgs(args ...string) Option { return func(s *Server) { s.args = append(s.args, args...) } }

// Server is a running MLflow server.
type Server struct {
	// URL is "http://127.0.0.1:<port>", without a slash at the end.
	URL string

	python, dir string
	port        int
	env, args   []string
	process     *process // nil while stopped
	transport   *http.Transport
}

// Start starts a server that ends with the test.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := start(Python(t), t.TempDir(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("end of the MLflow server's log:\n%s", s.Log())
		}
	})
	return s
}

// start starts a server in dir. Another process may take the chosen port first, so it tries a few.
func start(python, dir string, opts ...Option) (*Server, error) {
	s := &Server{python: python, dir: dir, transport: &http.Transport{DisableKeepAlives: true}}
	for _, o := range opts {
		o(s)
	}
	var err error
	for range 3 {
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
		s.URL = fmt.Sprintf("http://127.0.0.1:%d", s.port)
		if err = s.run(); err == nil {
			return s, nil
		}
		if !strings.Contains(s.Log(), "address already in use") {
			break
		}
	}
	return nil, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Stop ends the server and waits until its process group is gone. Its store stays. Stopping twice is stopping once.
func (s *Server) Stop() {
	if s.process != nil {
		s.process.stop()
		s.process = nil
	}
}

// Restart stops the server if it runs and starts it again on the same port and store.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
}

// Log is the end of the server's log, without the requests that went well.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	var out []byte
	for line := range bytes.Lines(b) {
		if !bytes.Contains(line, []byte(`HTTP/1.1" 200`)) {
			out = append(out, line...)
		}
	}
	const most = 8 << 10
	return string(out[max(0, len(out)-most):])
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "mlflow.log") }

// run starts the process and waits until it serves.
func (s *Server) run() error {
	args := append([]string{
		"-m", "mlflow", "server",
		"--backend-store-uri", "sqlite:///" + filepath.Join(s.dir, "mlflow.db"),
		"--artifacts-destination", "file://" + filepath.Join(s.dir, "artifacts"), "--serve-artifacts",
		"--host", "127.0.0.1", "--port", strconv.Itoa(s.port), "--workers", "1",
	}, s.args...)
	env := append(Environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false")
	p, err := launch(s.python, args, append(env, s.env...), s.dir, s.logFile())
	if err != nil {
		return err
	}
	if err := s.ready(p); err != nil {
		p.stop()
		return fmt.Errorf("mlflowtest: %w; end of its log:\n%s", err, s.Log())
	}
	s.process = p
	return nil
}

// ready waits for /health and checks the release.
func (s *Server) ready(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if body, err := s.get(ctx, "/health"); err == nil && body == "OK" {
			break
		}
		select {
		case <-tick.C:
		case <-p.done:
			return errors.New("the server ended by itself")
		case <-ctx.Done():
			return fmt.Errorf("the server was not ready within %s", readyWithin)
		}
	}
	v, err := s.get(ctx, "/version")
	if err == nil && v != Version {
		err = fmt.Errorf("the server is MLflow %s, want %s", v, Version)
	}
	return err
}

func (s *Server) get(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: s.transport, Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	return string(bytes.TrimSpace(b)), err
}

// process is a child in a process group of its own.
type process struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser // closing it ends the group, see launch.py
	done chan struct{}  // closed when the launcher has ended, which it does after its child
}

//go:embed launch.py
var launcher string

// launch starts a Python command below the launcher.
func launch(python string, args, env []string, dir, logFile string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(python, append([]string{"-c", launcher}, args...)...) //nolint:noctx // ended by its group
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = env, dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("mlflowtest: start %s: %w", python, err)
	}
	p := &process{cmd: cmd, pipe: pipe, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // by a signal
	}()
	return p, nil
}

// stop asks the group to end, then kills what is left of it.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM) // gone already is fine
	select {
	case <-p.done:
	case <-time.After(stopWithin):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
	p.pipe.Close()
}
