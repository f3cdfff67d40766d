package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// patience is how long a command other than a compilation may take.
const patience = 5 * time.Minute

// contender is an engine that has loaded the present model.
type contender struct {
	process *process
	results []*result // one a setting
	runs    [][]float64
}

// measure runs everything and returns the report.
func (s *suite) measure(ctx context.Context) (*report, error) {
	r := &report{Context: newContext(ctx, s.options)}
	// All engines are started first: a missing one shows before an hour has passed.
	for _, e := range s.engines {
		s.progress("starting %s", e.name)
		if _, err := s.engine(ctx, e); err != nil {
			return nil, err
		}
	}
	var err error
	if r.Context.Probe, err = s.probe(); err != nil {
		return nil, err
	}
	names := models
	if only := list(s.options.models); only != nil {
		names = only
	}
	for i, m := range names {
		s.progress("model %d of %d: %s", i+1, len(names), m)
		if err := s.model(ctx, r, m); err != nil {
			return nil, fmt.Errorf("%s: %w", m, err)
		}
	}
	if s.options.models == "" {
		if err := s.compile(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: %w", compileOnly, err)
		}
	}
	r.Context.Seconds = math.Round(time.Since(s.began).Seconds())
	return r, nil
}

func (s *suite) probe() (probe, error) {
	p := s.running[ours]
	if p == nil {
		return probe{}, nil
	}
	a, err := p.ask(patience, map[string]any{"op": "probe"})
	return a.probe, err
}

// compile loads the model that is only compiled.
func (s *suite) compile(ctx context.Context, r *report) error {
	for _, e := range s.engines {
		if e.name != ours {
			continue
		}
		p, err := s.engine(ctx, e)
		if err != nil {
			return err
		}
		_, err = s.load(p, r, compileOnly)
		return err
	}
	return nil
}

// model measures all engines on one model.
func (s *suite) model(ctx context.Context, r *report, m string) error {
	var contenders []*contender
	var reference []float64
	for _, e := range s.engines {
		if !s.options.wants(e.name, m) {
			continue
		}
		p, err := s.engine(ctx, e)
		if err != nil {
			return err
		}
		loaded, err := s.load(p, r, m)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if loaded {
			contenders = append(contenders, s.contender(p, r, m))
		}
	}
	// The native library says what is right.
	width := 0
	for _, c := range contenders {
		if c.process.spec.name != native(m) {
			continue
		}
		var err error
		if reference, width, err = s.predictions(c.process, setting{1, allRows}); err != nil {
			return fmt.Errorf("%s: %w", native(m), err)
		}
	}
	if reference == nil {
		return fmt.Errorf("%s did not load its own model", native(m))
	}
	kept := contenders[:0]
	for _, c := range contenders {
		if err := s.check(c, reference, width); err != nil {
			if slices.Contains([]string{ours, native(m)}, c.process.spec.name) {
				return fmt.Errorf("%s: %w", c.process.spec.name, err)
			}
			s.lost(c.process.spec.name, err)
			r.refuse(m, c.process.spec.name, err.Error())
			continue
		}
		kept = append(kept, c)
	}
	return s.rounds(r, kept, m)
}

// load makes an engine take a model and reports whether it did; its refusal is noted.
func (s *suite) load(p *process, r *report, m string) (bool, error) {
	s.progress("  %s loads %s", p.spec.name, m)
	limit := s.options.compileLimit(p.spec.name)
	a, err := p.ask(time.Duration(limit)*time.Second+patience, map[string]any{
		"op": "load", "directory": s.models, "model": m, "cache": s.compiled, "limit": limit,
	})
	switch {
	case p.spec.goes == "treeline":
		if a.Refused != "" {
			err = errors.New(a.Refused)
		}
		if err != nil {
			return false, err
		}
		a.program.Model, a.program.Engine = m, p.spec.name
		if a.CompileSeconds != nil {
			a.program.CompileSeconds = *a.CompileSeconds
		}
		r.Context.Programs = append(r.Context.Programs, a.program)
	case err != nil:
		s.lost(p.spec.name, err)
		r.refuse(m, p.spec.name, err.Error())
		return false, nil
	case a.Refused != "":
		r.refuse(m, p.spec.name, a.Refused)
		return false, nil
	case a.CompileSeconds != nil:
		r.Context.Compilations = append(r.Context.Compilations, compilation{m, p.spec.name, *a.CompileSeconds})
	}
	if a.Note != "" {
		r.Context.Notes = append(r.Context.Notes, remark{m, p.spec.name, a.Note})
	}
	return true, nil
}

func (s *suite) contender(p *process, r *report, m string) *contender {
	c := &contender{process: p}
	for _, t := range s.options.settings(p.spec.name) {
		c.results = append(c.results, &result{
			Model: m, Engine: p.spec.name, Threads: t.threads, Batch: t.batch, Machine: r.Context.Machine,
			Versions: p.versions, Command: r.Context.Command, Commit: r.Context.Commit, Mode: r.Context.Mode,
		})
	}
	c.runs = make([][]float64, len(c.results))
	return c
}

// predictions lets an engine score rows and returns what it gives, row-major, and the number of columns.
func (s *suite) predictions(p *process, t setting) ([]float64, int, error) {
	out := filepath.Join(s.scratch, "predictions")
	a, err := p.ask(patience, map[string]any{
		"op": "check", "threads": t.threads, "batch": t.batch, "rows": checked(t.batch), "out": out,
	})
	if err != nil {
		return nil, 0, err
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, 0, err
	}
	v := make([]float64, len(data)/8)
	for i := range v {
		v[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
	}
	if len(v) != a.Width*checked(t.batch) {
		return nil, 0, fmt.Errorf("%d predictions for %d rows of %d", len(v), checked(t.batch), a.Width)
	}
	return v, a.Width, nil
}

// check compares an engine's predictions with the native library's, with each setting.
func (s *suite) check(c *contender, reference []float64, width int) error {
	for i, t := range s.options.settings(c.process.spec.name) {
		if c.process.spec.name == native(c.results[i].Model) && t == (setting{1, allRows}) {
			c.results[i].Exact = true // the reference itself
			continue
		}
		v, w, err := s.predictions(c.process, t)
		if err != nil {
			return err
		}
		if w != width {
			return fmt.Errorf("gives %d columns where the native library gives %d", w, width)
		}
		c.results[i].Exact, c.results[i].MaxDiff = equal(v, reference[:len(v)])
	}
	return nil
}

// equal compares bit for bit; the difference is the largest one, +Inf where one is NaN.
func equal(got, want []float64) (bool, float64) {
	exact, most := true, 0.0
	for i := range want {
		if math.Float64bits(got[i]) == math.Float64bits(want[i]) {
			continue
		}
		exact = false
		d := math.Abs(got[i] - want[i])
		if math.IsNaN(d) {
			d = math.MaxFloat64
		}
		most = max(most, d)
	}
	return exact, most
}

// rounds runs each engine once a round with each setting. Who begins changes, so that nobody always follows the same
// neighbour.
func (s *suite) rounds(r *report, contenders []*contender, m string) error {
	n := s.options.roundCount()
	for round := range n {
		s.progress("  %s: round %d of %d, %d engines", m, round+1, n, len(contenders))
		for _, t := range s.options.settings(ours) { // ours has them all
			for j := range contenders {
				c := contenders[(j+round)%len(contenders)]
				if err := s.run(r, c, t); err != nil {
					return err
				}
			}
		}
	}
	for _, c := range contenders {
		for i, res := range c.results {
			if len(c.runs[i]) == 0 {
				continue
			}
			res.Runs, res.NsPerRow = len(c.runs[i]), round3(median(c.runs[i]))
			r.Results = append(r.Results, *res)
		}
	}
	return nil
}

// run lets an engine score with one setting, if it is measured with it.
func (s *suite) run(r *report, c *contender, t setting) error {
	i := slices.Index(s.options.settings(c.process.spec.name), t)
	if i < 0 || s.running[c.process.spec.name] != c.process { // or lost in an earlier round
		return nil
	}
	a, err := c.process.ask(patience, map[string]any{
		"op": "run", "threads": t.threads, "batch": t.batch, "seconds": s.options.seconds(t.batch),
	})
	switch {
	case err == nil:
		c.runs[i] = append(c.runs[i], a.NsPerRow)
	case c.process.spec.goes == "treeline":
		return err
	default:
		s.lost(c.process.spec.name, err)
		r.refuse(c.results[i].Model, c.process.spec.name, err.Error())
	}
	return nil
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

func round3(v float64) float64 { return math.Round(v*1000) / 1000 }
