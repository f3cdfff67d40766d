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
	"slices"
	"strings"
	"time"
)

const benchPython = ".venv-bench/bin/python"

// suite holds the engines of a run.
type suite struct {
	options  *options
	binary   string // bench/score, built
	models   string // directory of models and rows
	compiled string // directory of compiled peers
	scratch  string
	engines  []spec
	running  map[string]*process
	began    time.Time
}

func newSuite(ctx context.Context, o *options) (*suite, error) {
	s := &suite{options: o, running: map[string]*process{}, began: time.Now()}
	var err error
	if s.engines, err = specs(o); err != nil {
		return nil, err
	}
	for _, m := range list(o.models) {
		if !slices.Contains(models, m) {
			return nil, fmt.Errorf("-models %s: want some of %s", m, strings.Join(models, ","))
		}
	}
	if _, err := os.Stat(benchPython); err != nil {
		return nil, fmt.Errorf("the peers are not installed: %w; make python-bench installs them", err)
	}
	cache, err := cacheDirectory()
	if err != nil {
		return nil, err
	}
	s.compiled = filepath.Join(cache, "bench-compiled")
	if s.scratch, err = os.MkdirTemp("", "treeline-bench-"); err != nil {
		return nil, err
	}
	s.binary = filepath.Join(s.scratch, "score")
	if err := command(ctx, "go", "build", "-o", s.binary, "./bench/score").Run(); err != nil {
		return nil, fmt.Errorf("building bench/score: %w", err)
	}
	if s.models, err = modelDirectory(cache); err != nil {
		return nil, err
	}
	s.progress("models and rows in %s", s.models)
	if err := command(ctx, benchPython, "bench/peers/models.py", s.models).Run(); err != nil {
		return nil, fmt.Errorf("training the models: %w", err)
	}
	return s, nil
}

func cacheDirectory() (string, error) {
	if dir := os.Getenv("TREELINE_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "treeline"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache", "treeline"), err
}

// modelDirectory names the models by the script and the libraries that make them.
func modelDirectory(cache string) (string, error) {
	h := sha256.New()
	for _, file := range []string{"bench/peers/models.py", "tools/python/requirements-bench.lock"} {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%w; run from the root of the repository", err)
		}
		h.Write(data)
	}
	return filepath.Join(cache, "bench-models-"+hex.EncodeToString(h.Sum(nil))[:16]), nil
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	return cmd
}

func (s *suite) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0f s  "+format+"\n", append([]any{time.Since(s.began).Seconds()}, args...)...)
}

// engine returns an engine's process and starts it where it is not running.
func (s *suite) engine(ctx context.Context, e spec) (*process, error) {
	if p := s.running[e.name]; p != nil {
		return p, nil
	}
	p, err := startProcess(ctx, e, s.binary, s.scratch)
	if err != nil {
		return nil, err
	}
	if e.tier != "" && !strings.HasSuffix(p.versions["treeline"], " "+e.tier) {
		p.stop()
		return nil, fmt.Errorf("%s runs as %q", e.name, p.versions["treeline"])
	}
	s.running[e.name] = p
	return p, nil
}

// lost forgets an engine whose process is gone: the next model starts another.
func (s *suite) lost(name string, err error) {
	if errors.Is(err, errGone) {
		delete(s.running, name)
	}
}

func (s *suite) stop() {
	for _, p := range s.running {
		p.stop()
	}
	if len(s.running) > 0 {
		_ = os.RemoveAll(s.scratch) // logs of a run that went well
	}
}
