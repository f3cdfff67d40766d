package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
	"github.com/treeline-ml/treeline/scoring"
)

// postProcess makes the post-processors of the models that have an inference_class.
func (s *settings) postProcess(of func(config.Model) (scoring.PostProcessor, error)) error {
	s.post = map[string]scoring.PostProcessor{}
	for _, name := range s.order {
		m := s.models[name]
		if m.InferenceClass == "" {
			continue
		}
		p, err := of(m)
		if err != nil {
			return err
		}
		s.post[name] = p
	}
	return nil
}

func (d *daemon) postProcessor(m config.Model) (scoring.PostProcessor, error) {
	process, ok := d.python()
	if !ok {
		return nil, fmt.Errorf("%s: inference_class: this daemon has no Python to run %s with: set training.python in its configuration, or remove inference_class: %w",
			m.Where("inference_class"), m.InferenceClass, config.ErrInvalid)
	}
	return &postProcessor{process: process, class: m.InferenceClass, modulePath: modulePath(m), timeout: d.cfg.Training.InferenceTimeout}, nil
}

// postProcessor satisfies scoring.PostProcessor with a Python class.
type postProcessor struct {
	process    local.Process
	class      string
	modulePath string
	timeout    time.Duration
}

// Class is the inference_class of config.yml.
func (p *postProcessor) Class() string { return p.class }

// maxSource bounds the file of a class.
const maxSource = 64 << 20

// Digest is that of the file of the class's module below the folder of config.yml; "" when the module is elsewhere.
func (p *postProcessor) Digest() (string, error) {
	dot := strings.LastIndexByte(p.class, '.')
	if dot < 0 {
		return "", nil // one that package treeline has
	}
	module := filepath.Join(p.modulePath, filepath.FromSlash(strings.ReplaceAll(p.class[:dot], ".", "/")))
	for _, path := range []string{filepath.Join(module, "__init__.py"), module + ".py"} { // the order in which Python looks
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		h := sha256.New()
		n, err := io.Copy(h, io.LimitReader(f, maxSource+1))
		if err = errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		if n > maxSource {
			return "", fmt.Errorf("%s has more than %d bytes, which is no module: %w", path, maxSource, config.ErrInvalid)
		}
		return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
	}
	return "", nil
}

// Process runs the class.
func (p *postProcessor) Process(ctx context.Context, s scoring.Scores) error {
	return local.PostProcess(ctx, p.process, local.PostProcessSpec{
		Class: p.class, ModulePath: []string{p.modulePath}, Timeout: p.timeout, Schema: s.Schema, Keys: s.Keys, Next: s.Next, Emit: s.Emit,
	})
}
