package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"
)

// worker carries out commands on an engine.
type worker struct {
	engine engine
	model  *model
	dst    []float64
}

// batches says how many different batches a run goes through; the Python workers do the same (bench/peers/data.py).
func batches(batch int) int {
	switch batch {
	case 1:
		return 1000
	case 64:
		return 128
	case 1000:
		return 32
	default:
		return 1
	}
}

func (w *worker) do(c *command) (map[string]any, error) {
	switch c.Op {
	case "load":
		return w.load(c)
	case "check":
		return w.check(c)
	case "run":
		return w.run(c)
	case "probe":
		return probe(), nil
	default:
		return nil, fmt.Errorf("op %q", c.Op)
	}
}

func (w *worker) load(c *command) (map[string]any, error) {
	m, err := openModel(c.Directory, c.Model)
	if err != nil {
		return nil, err
	}
	answer, err := w.engine.load(m)
	if err != nil {
		return map[string]any{"refused": err.Error()}, nil //nolint:nilerr // a refusal is an answer: the table shows it
	}
	w.model, w.dst = m, make([]float64, m.meta.N*w.engine.width())
	return answer, nil
}

func (w *worker) check(c *command) (map[string]any, error) {
	width := w.engine.width()
	for lo := 0; lo < c.Rows; lo += c.Batch {
		hi := min(lo+c.Batch, c.Rows)
		if err := w.engine.score(w.dst[lo*width:hi*width], lo, hi, c.Threads); err != nil {
			return nil, err
		}
	}
	out := make([]byte, 8*c.Rows*width)
	for i, v := range w.dst[:c.Rows*width] {
		binary.LittleEndian.PutUint64(out[8*i:], math.Float64bits(v))
	}
	return map[string]any{"width": width}, os.WriteFile(c.Out, out, 0o600)
}

// warm is the part of a run's time that passes before its measured part.
const warm = 0.2

// run scores batch after batch until the time is over. The first calls wake threads and fill caches; a call that is long
// by itself counts all the same.
func (w *worker) run(c *command) (map[string]any, error) {
	limit := time.Duration(c.Seconds * float64(time.Second))
	warmUp := time.Duration(warm * float64(limit))
	n := min(batches(c.Batch), max(1, w.model.meta.N/c.Batch))
	step := (n + 19) / 20
	var rows int
	var measured time.Duration
	started, isWarm := time.Now(), false
	for first := 0; ; first = (first + step) % n {
		last := min(first+step, n)
		start := time.Now()
		done, err := w.batches(c, first, last)
		if err != nil {
			return nil, err
		}
		took := time.Since(start)
		if !isWarm {
			isWarm = time.Since(started) >= warmUp
			if took < warmUp {
				continue
			}
		}
		rows += done
		if measured += took; measured >= limit {
			return map[string]any{"ns_per_row": float64(measured.Nanoseconds()) / float64(rows)}, nil
		}
	}
}

// batches scores the batches first to last and returns their rows.
func (w *worker) batches(c *command, first, last int) (int, error) {
	width, n := w.engine.width(), w.model.meta.N
	rows := 0
	for i := first; i < last; i++ {
		lo := i * c.Batch
		hi := min(lo+c.Batch, n)
		if err := w.engine.score(w.dst[:(hi-lo)*width], lo, hi, c.Threads); err != nil {
			return 0, err
		}
		rows += hi - lo
	}
	return rows, nil
}
