package engine

import (
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// Options change how a model is compiled. The zero value scores all trees and takes only NaN and null as missing.
type Options struct {
	// Iterations is the number of boosting rounds to score, at most the model's; 0 means the model's own choice, which
	// is all unless it says forest.Model.Stop.
	Iterations int
	// Missing is a value read as missing as well as NaN (XGBoost's `missing`), compared in the model's input type.
	// nil means the model's own, forest.Model.Missing.
	Missing *float64
	// Tier forces a tier of kernels, "portable", "avx2" or "avx512"; empty means what the environment variable
	// TREELINE_ENGINE_TIER says, or else the fastest that the processor has. All give the same bits.
	Tier string
	// Contributions compiles what Program.Contributions needs, some 130 bytes a node; Leaves what Program.Leaves and
	// Program.TreeMargins need, some 60.
	Contributions, Leaves bool
}

// Compile validates m and compiles it. The error is ErrModel, or ErrTier where there are no kernels of the tier that was
// asked for; a broken model's also is the *forest.Error. The program keeps m's feature names but nothing else of m.
func Compile(m *forest.Model, o Options) (*Program, error) { return compile(m, o, anyKernel) }

// tierVariable forces a tier of kernels.
const tierVariable = "TREELINE_ENGINE_TIER"

// chooseTier is the tier that the process was started with.
var chooseTier = sync.OnceValues(func() (*kernel.Table, error) {
	t, err := kernel.Choose(os.Getenv(tierVariable))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tierVariable, err)
	}
	return t, nil
})

// kernelChoice restricts the kernels, for tests.
type kernelChoice uint8

const (
	anyKernel kernelChoice = iota
	bitsOnly
	deepOnly
)

func compile(m *forest.Model, o Options, c kernelChoice) (*Program, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if o.Iterations == 0 {
		o.Iterations = m.Stop
	}
	if o.Missing == nil {
		o.Missing = m.Missing
	}
	tier, err := chooseTier()
	if o.Tier != "" {
		tier, err = kernel.Choose(o.Tier)
	}
	if err != nil {
		return nil, err
	}
	trees, link, err := rounds(m, o.Iterations)
	if err != nil {
		return nil, err
	}
	p := &Program{
		features: m.Features,
		used:     make([]bool, len(m.Features)),
		outputs:  m.Outputs,
		width:    link.Width(m.Outputs),
		single:   m.Arithmetic.Sum == forest.Float32,
		link:     link,
		kernel:   tier,
	}
	p.reading.single = m.Arithmetic.Input == forest.Float32
	if o.Missing != nil && !math.IsNaN(*o.Missing) {
		p.reading.hasMissing, p.reading.missing = true, *o.Missing
		if p.reading.single {
			p.reading.missing = float64(float32(*o.Missing))
		}
	}
	entries := 0
	for i := range trees {
		entries += 2*len(trees[i].Nodes) + 1
		for j := range trees[i].Nodes {
			p.used[trees[i].Nodes[j].Feature] = true
		}
	}
	if entries > math.MaxInt32 {
		return nil, fmt.Errorf("%w: %d nodes and leaves, at most %d are supported", ErrModel, entries, math.MaxInt32)
	}
	for f, used := range p.used {
		if used {
			p.reads = append(p.reads, f)
		}
	}
	a := arithmetic{reading: p.reading, flush: m.Arithmetic.FlushZero, cast: m.Arithmetic.CategoryCast}
	if p.single {
		p.machine, p.explain = newMachine[float32](m, trees, a, tier, c)
	} else {
		p.machine, p.explain = newMachine[float64](m, trees, a, tier, c)
	}
	p.trees = len(trees)
	if err := p.addOutputs(m, trees, a, tier, o); err != nil {
		return nil, err
	}
	return p, nil
}

// addOutputs compiles the outputs besides margins that o asks for.
func (p *Program) addOutputs(m *forest.Model, trees []forest.Tree, a arithmetic, tier *kernel.Table, o Options) (err error) {
	if !o.Contributions && !o.Leaves {
		return nil
	}
	d, decisions := newDecider(m, trees, p.reads, a, tier)
	if o.Leaves {
		p.leaves = newLeafFinder(m, trees, d, decisions)
	}
	if o.Contributions {
		p.contributions, err = newContributions(m, trees, d, decisions)
	}
	return err
}

// rounds returns the trees of the first n boosting rounds and the link for that many.
func rounds(m *forest.Model, n int) ([]forest.Tree, forest.Link, error) {
	link := m.Link
	switch {
	case n == 0:
		return m.Trees, link, nil
	case n < 0 || n > m.Iterations:
		return nil, link, fmt.Errorf("%w: %d iterations asked for, the model has %d", ErrModel, n, m.Iterations)
	case len(m.Trees)%m.Iterations != 0:
		return nil, link, fmt.Errorf("%w: %d trees do not divide into %d iterations", ErrModel, len(m.Trees), m.Iterations)
	}
	if link.Divisor == float64(m.Iterations) {
		link.Divisor = float64(n) // LightGBM's average_output divides by the rounds that were used
	}
	return m.Trees[:len(m.Trees)/m.Iterations*n], link, nil
}

// leafTable holds all leaf values in the accumulator's type, tree after tree, each tree's from left to right.
type leafTable[F float] struct {
	values  []F
	offsets []int   // by tree
	numbers [][]int // by tree and leaf: its place among the tree's
}

func newLeafTable[F float](trees []forest.Tree, outputs int) *leafTable[F] {
	l := &leafTable[F]{}
	total := maxBitLeaves
	for i := range trees {
		total += len(trees[i].Leaves)
	}
	l.values = make([]F, total)
	at := 0
	for i := range trees {
		t := &trees[i]
		number := leafNumbers(t)
		size := 1
		if t.Vector {
			size = outputs
		}
		for leaf, place := range number {
			for k := range size {
				l.values[at+place*size+k] = F(t.Leaves[leaf*size+k])
			}
		}
		l.offsets = append(l.offsets, at)
		l.numbers = append(l.numbers, number)
		at += len(t.Leaves)
	}
	return l
}

// leafNumbers numbers a tree's leaves from left to right.
func leafNumbers(t *forest.Tree) []int {
	number := make([]int, t.NumLeaves())
	if len(t.Nodes) == 0 {
		return number
	}
	next := 0
	for stack := []int32{0}; len(stack) > 0; {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at < 0 {
			number[^at] = next
			next++
			continue
		}
		stack = append(stack, t.Nodes[at].Right, t.Nodes[at].Left)
	}
	return number
}
