package engine

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// Program is a compiled model. It is immutable and serves any number of goroutines at a time.
type Program struct {
	features []forest.Feature
	used     []bool // by feature
	reads    []int  // the used features
	outputs  int
	width    int
	single   bool // accumulators are float32
	link     forest.Link
	reading  reading
	kernel   *kernel.Table
	machine  evaluator
	explain  Explanation
	trees    int

	contributions *contributions // nil unless Options.Contributions
	leaves        *leafFinder    // nil unless Options.Leaves
}

// evaluator is a machine with either type of accumulator.
type evaluator interface {
	score(dst []float64, b *Block, from, to int)
	share(dst []float64, b *Block, next *atomic.Int64) // scores pieces of rows() rows from next on, until none is left
	rows() int                                         // that are worth a goroutine's turn
}

// Tier names the kernels that programs get unless Options.Tier says otherwise: what the environment variable
// TREELINE_ENGINE_TIER asks for, or the fastest that the processor has. The error says that there are no such kernels here.
func Tier() (string, error) {
	t, err := chooseTier()
	if err != nil {
		return "", err
	}
	return t.Tier.String(), nil
}

// Build names the engine and its kernel tier, for lineage: two programs with the same build and model give the same
// bits at the same speed.
func Build() string {
	t, err := chooseTier()
	if err != nil {
		return "treeline-engine/2"
	}
	return "treeline-engine/2 " + t.Tier.String()
}

// Features returns the number of model features: the columns that a Block has places for.
func (p *Program) Features() int { return len(p.features) }

// Uses reports whether some split reads the feature. Score needs no column for the others and does not look at theirs.
func (p *Program) Uses(feature int) bool {
	return feature >= 0 && feature < len(p.used) && p.used[feature]
}

// Outputs returns the number of margins per row.
func (p *Program) Outputs() int { return p.outputs }

// Width returns the number of prediction columns per row.
func (p *Program) Width() int { return p.width }

// Float32 reports whether margins and predictions are float32 values (held in float64s).
func (p *Program) Float32() bool { return p.single }

// Score writes Outputs() margins per row of b into dst, row-major: dst[r*Outputs()+k]. It runs on the calling goroutine
// and does not allocate once the program has served as many calls at a time before.
//
// It returns ErrShape if b belongs to another program, if dst has fewer than Rows()*Outputs() values, or if a used
// feature has no column; dst is untouched then. Summation follows the training library, so a row's margins do not
// depend on the other rows, the block's size, or how a caller splits rows over goroutines.
func (p *Program) Score(dst []float64, b *Block) error {
	if err := p.check(dst, b); err != nil {
		return err
	}
	p.machine.score(dst, b, 0, b.rows)
	return nil
}

// ScoreParallel is Score on up to threads goroutines, the calling one included; it returns when all are done. Rows are
// handed out in pieces, so the bits are those of Score.
func (p *Program) ScoreParallel(dst []float64, b *Block, threads int) error {
	if err := p.check(dst, b); err != nil {
		return err
	}
	piece := p.machine.rows()
	threads = min(threads, (b.rows+piece-1)/piece)
	if threads <= 1 {
		p.machine.score(dst, b, 0, b.rows)
		return nil
	}
	var next atomic.Int64
	work := func() { p.machine.share(dst, b, &next) }
	var group sync.WaitGroup
	for range threads - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
	return nil
}

func (p *Program) check(dst []float64, b *Block) error {
	if b.p != p {
		return fmt.Errorf("the block was made by another program: %w", ErrShape)
	}
	if n := b.rows * p.outputs; len(dst) < n {
		return fmt.Errorf("dst has %d values, want %d: %w", len(dst), n, ErrShape)
	}
	if b.wanted == 0 || b.rows == 0 {
		return nil
	}
	f := p.reads[slices.IndexFunc(p.reads, func(f int) bool { return !b.bound[f] })]
	return fmt.Errorf("feature %d (%q) has no column: %w", f, p.features[f].Name, ErrShape)
}
