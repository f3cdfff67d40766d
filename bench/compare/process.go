package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a running engine.
type process struct {
	spec     spec
	cmd      *exec.Cmd
	in       io.WriteCloser
	answers  chan []byte
	versions map[string]string
}

// answer is what engines say; the fields of other commands are zero.
type answer struct {
	Versions map[string]string `json:"versions"`
	Missing  string            `json:"missing"`
	Error    string            `json:"error"`
	Refused  string            `json:"refused"`
	Note     string            `json:"note"`
	Width    int               `json:"width"`
	NsPerRow float64           `json:"ns_per_row"`

	CompileSeconds *float64 `json:"compile_seconds"`
	program

	probe
}

// errGone says that an engine's process ended or did not answer in time; it is no longer there.
var errGone = errors.New("engine is gone")

// startProcess starts an engine and reads its first line: its versions.
func startProcess(ctx context.Context, s spec, binary, log string) (*process, error) {
	cmd := exec.CommandContext(ctx, binary, s.goes)
	if s.goes == "" {
		cmd = exec.CommandContext(ctx, benchPython, "bench/peers/worker.py", s.name)
	}
	// A group of its own: compilers that a worker started end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore", "TREELINE_ENGINE_TIER="+s.tier)
	stderr, err := os.OpenFile(filepath.Join(log, s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w; make python-bench installs the peers", s.name, err)
	}
	p := &process{spec: s, cmd: cmd, in: in, answers: make(chan []byte)}
	go p.read(out)
	hello, err := p.receive(2 * time.Minute)
	if err != nil {
		return nil, fmt.Errorf("%s does not start: see %s: %w", s.name, stderr.Name(), err)
	}
	if hello.Missing != "" {
		p.stop()
		return nil, fmt.Errorf("the peer %s is not installed (%s): make python-bench installs it", s.name, hello.Missing)
	}
	p.versions = hello.Versions
	return p, nil
}

// read passes lines on until the process ends; stop and receive take them.
func (p *process) read(out io.Reader) {
	defer close(p.answers)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.answers <- append([]byte(nil), lines.Bytes()...)
	}
}

func (p *process) receive(limit time.Duration) (answer, error) {
	var a answer
	select {
	case line, ok := <-p.answers:
		if !ok {
			return a, fmt.Errorf("its process ended: %w", errors.Join(errGone, p.cmd.Wait()))
		}
		return a, json.Unmarshal(line, &a)
	case <-time.After(limit):
		p.kill()
		return a, fmt.Errorf("no answer in %.0f s: %w", limit.Seconds(), errGone)
	}
}

// ask sends a command and waits for its answer. What the engine calls an error is one here.
func (p *process) ask(limit time.Duration, command map[string]any) (answer, error) {
	line, err := json.Marshal(command)
	if err != nil {
		return answer{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.kill()
		return answer{}, fmt.Errorf("its process does not listen: %w", errGone)
	}
	a, err := p.receive(limit)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	return a, err
}

func (p *process) kill() {
	_ = p.cmd.Cancel() // it may have ended already
	for range p.answers {
		continue // until its output is closed
	}
	_ = p.cmd.Wait()
}

// stop lets an engine end by itself.
func (p *process) stop() {
	p.in.Close()
	for range p.answers {
		continue
	}
	_ = p.cmd.Wait() // it has answered everything
}
