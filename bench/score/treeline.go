package main

import (
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/bench/importer"
	treelineengine "github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
)

// treeline is the engine of this repository: columns in place, one Block a batch.
type treeline struct {
	program *treelineengine.Program
	block   *treelineengine.Block
	columns []column
	margins []float64
}

func (*treeline) versions() map[string]string {
	return map[string]string{"treeline": treelineengine.Build(), "go": runtime.Version()}
}

func (t *treeline) width() int { return t.program.Width() }

// compilations is how often a model is compiled to time it; the median counts.
const compilations = 3

func (t *treeline) load(m *model) (map[string]any, error) {
	// What an earlier model held must be gone before memory is counted.
	*t = treeline{}
	var f *forest.Model
	var err error
	if m.meta.Ours != "" {
		f, err = importer.Open(m.path(m.meta.Ours))
	} else {
		f, err = loader.Open(m.path(m.meta.File))
	}
	if err != nil {
		return nil, err
	}
	nodes, splits, passed := 0, 0, 0.0
	for i := range f.Trees {
		passed += walkLength(&f.Trees[i])
		splits += len(f.Trees[i].Nodes)
		nodes += len(f.Trees[i].Nodes) + f.Trees[i].NumLeaves()
	}
	times := make([]float64, compilations)
	before := heap()
	for i := range times {
		t.program = nil
		start := time.Now()
		if t.program, err = treelineengine.Compile(f, treelineengine.Options{}); err != nil {
			return nil, err
		}
		times[i] = float64(time.Since(start).Microseconds()) / 1000
	}
	size := heap() - before
	runtime.KeepAlive(f)
	slices.Sort(times)
	if t.columns, err = m.columns(); err != nil {
		return nil, err
	}
	t.block = t.program.NewBlock()
	t.margins = make([]float64, m.meta.N*t.program.Outputs())
	allocations, err := t.allocations()
	if err != nil {
		return nil, err
	}
	bytes := 0
	for i := range t.columns {
		if t.program.Uses(i) {
			bytes += t.columns[i].size()
		}
	}
	return map[string]any{
		"compile_seconds": times[compilations/2] / 1000, "program_bytes": size, "nodes": nodes, "splits": splits, "walk": math.Round(passed),
		"trees": len(f.Trees), "bytes_per_row": bytes, "allocations": allocations, "explain": t.program.Explain().String(),
	}, nil
}

// walkLength is how many splits a row passes on its way through a tree, on average over the training rows where the file
// has their weights at the leaves, over the leaves otherwise.
func walkLength(t *forest.Tree) float64 {
	depth := make([]int, len(t.Nodes))
	sum, weight := 0.0, 0.0
	for i := range t.Nodes {
		for _, child := range []int32{t.Nodes[i].Left, t.Nodes[i].Right} {
			if child >= 0 {
				depth[child] = depth[i] + 1
				continue
			}
			w := 1.0
			if len(t.LeafCover) > 0 {
				w = t.LeafCover[^child]
			}
			sum += w * float64(depth[i]+1)
			weight += w
		}
	}
	if weight == 0 {
		return 0
	}
	return sum / weight
}

func (c *column) size() int {
	if c.doubles != nil {
		return 8
	}
	return 4
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // the first one may only finish what was under way
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// allocations returns the heap allocations of a Score in the steady state.
func (t *treeline) allocations() (uint64, error) {
	const rows, times = 1000, 20
	dst := make([]float64, rows*t.width())
	for range 3 {
		if err := t.score(dst, 0, rows, 1); err != nil {
			return 0, err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if err := t.score(dst, 0, rows, 1); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return (after.Mallocs - before.Mallocs) / times, nil
}

func (t *treeline) score(dst []float64, lo, hi, threads int) error {
	t.block.Reset(hi - lo)
	for f := range t.columns {
		if err := t.block.Set(f, t.columns[f].view(lo, hi)); err != nil {
			return err
		}
	}
	margins := t.margins[:(hi-lo)*t.program.Outputs()]
	if threads == 1 {
		if err := t.program.Score(margins, t.block); err != nil {
			return err
		}
		return t.program.Predict(dst, margins)
	}
	if err := t.program.ScoreParallel(margins, t.block, threads); err != nil {
		return err
	}
	return t.predict(dst, margins, hi-lo, threads)
}

// predict spreads Predict over threads where there are rows enough to pay for the goroutines.
func (t *treeline) predict(dst, margins []float64, rows, threads int) error {
	const few = 2048
	if rows < few {
		return t.program.Predict(dst, margins)
	}
	width, outputs := t.program.Width(), t.program.Outputs()
	errs := make([]error, threads)
	var wait sync.WaitGroup
	for i := range threads {
		lo, hi := rows*i/threads, rows*(i+1)/threads
		wait.Go(func() { errs[i] = t.program.Predict(dst[lo*width:hi*width], margins[lo*outputs:hi*outputs]) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *column) view(lo, hi int) treelineengine.Column {
	switch {
	case c.doubles != nil:
		return treelineengine.Float64s(c.doubles[lo:hi])
	case c.singles != nil:
		return treelineengine.Float32s(c.singles[lo:hi])
	default:
		return treelineengine.Int32s(c.codes[lo:hi])
	}
}
