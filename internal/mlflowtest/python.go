package mlflowtest

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Python is the interpreter of the project's environment: TREELINE_PYTHON, or .venv/bin/python of the checkout that the
// test runs in. The test fails without it.
func Python(t testing.TB) string {
	t.Helper()
	p, err := findPython()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func findPython() (string, error) {
	path := os.Getenv("TREELINE_PYTHON")
	if path == "" {
		dir, err := os.Getwd()
		if err != nil {
			return "", err
		}
		for {
			path = filepath.Join(dir, ".venv", "bin", "python")
			if _, err := os.Stat(path); err == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				return "", errors.New("mlflowtest: no .venv/bin/python above the package: run `make python`, or set TREELINE_PYTHON")
			}
			dir = filepath.Dir(dir)
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("mlflowtest: %w: run `make python`, or set TREELINE_PYTHON", err)
	}
	return path, nil
}

// Environment is that of the test without anything that would change MLflow: its own variables, proxies and Python's.
func Environment() []string {
	out := []string{"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "GIT_PYTHON_REFRESH=quiet", "PYTHONUNBUFFERED=1"}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(strings.ToUpper(e), "=")
		if strings.HasPrefix(name, "MLFLOW_") || strings.HasPrefix(name, "PYTHON") || strings.HasSuffix(name, "_PROXY") {
			continue
		}
		out = append(out, e)
	}
	return out
}

// Peer is a Python process with MLflow's own client: the oracle of what a server holds.
type Peer struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

//go:embed peer.py
var peerScript string

// StartPeer starts a peer whose tracking URI is url and that ends with the test.
func StartPeer(t testing.TB, url string) *Peer {
	t.Helper()
	p, err := startPeer(Python(t), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

func startPeer(python, url string) (*Peer, error) {
	p := &Peer{cmd: exec.Command(python, "-c", peerScript)} //nolint:noctx // ends with its standard input
	p.cmd.Env = append(Environment(), "MLFLOW_TRACKING_URI="+url, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *Peer) stop() {
	p.in.Close()
	kill := time.AfterFunc(stopWithin, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	_ = p.cmd.Wait() // ended by its standard input
}

// Do runs Python statements and decodes what they leave in the variable `out` into result, which may be nil. The
// variables `mlflow`, `client` (an MlflowClient), `url` and `args` are there, and those of earlier calls. It fails the
// test when the code raises.
func (p *Peer) Do(t testing.TB, result any, code string, args ...any) {
	t.Helper()
	if err := p.Try(result, code, args...); err != nil {
		t.Fatal(err)
	}
}

// Try is Do that returns what the code raised.
func (p *Peer) Try(result any, code string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if args == nil {
		args = []any{}
	}
	request, err := json.Marshal(map[string]any{"code": dedent(code), "args": args})
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("mlflowtest: Python ended: %w", err)
	}
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("mlflowtest: Python ended: %w", err)
	}
	var answer struct {
		Out   json.RawMessage `json:"out"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("mlflowtest: answer %.200q: %w", line, err)
	}
	if answer.Error != "" {
		return fmt.Errorf("mlflowtest: Python: %s", answer.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Out, result)
}

// dedent removes the first line's indentation from all lines, so that code can be indented like the Go around it.
func dedent(code string) string {
	code = strings.Trim(code, "\n")
	indent := code[:len(code)-len(strings.TrimLeft(code, " \t"))]
	lines := strings.Split(code, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, indent)
	}
	return strings.TrimRight(strings.Join(lines, "\n"), " \t\n")
}
