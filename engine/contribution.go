package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// ErrNoCover reports a model that has no usable node weights (training row counts or Hessian sums), which contributions
// are computed with. Whoever saved the model must save it with them.
var ErrNoCover = errors.New("engine: model has no node weights")

// ErrNotCompiled reports a call for an output that Options did not ask for. The caller must compile with it.
var ErrNotCompiled = errors.New("engine: program was compiled without this output")

// Contributions writes each row's Shapley values: Rows() x Outputs() x (Features()+1) values, row-major. Value f of an
// output is what feature f adds to that output's margin, the last one the expected margin, that is the margin when no
// feature is known; all of them add up to the margin.
//
// The values are those of path-dependent TreeSHAP (Lundberg, Erion, Lee 2018), as LightGBM's pred_contrib and XGBoost's
// pred_contribs give them: where a feature is not known, rows go both ways in the proportion of the training rows'
// weights. They are computed in double precision, whatever the library's arithmetic, and depth costs no accuracy: for a
// model with double sums they add up to the margin within 1e-12 of the largest of the values. A row's own base margin
// (SetBaseMargin) is part of the expected value. Features that no split reads contribute 0. Leaves that are not finite,
// which forest.Model.NonFiniteLeaves announces, make values that are not.
//
// It returns ErrShape as Score does, and ErrNotCompiled unless the program was compiled with Options.Contributions. A
// row's values do not depend on other rows or on how rows are split over calls and goroutines. It does not allocate once
// the program has served as many calls at a time before.
func (p *Program) Contributions(dst []float64, b *Block) error {
	return p.ContributionsParallel(dst, b, 1)
}

// ContributionsParallel is Contributions on up to threads goroutines, the calling one included, with the same bits.
func (p *Program) ContributionsParallel(dst []float64, b *Block, threads int) error {
	c := p.contributions
	if c == nil {
		return fmt.Errorf("contributions: %w: set Options.Contributions", ErrNotCompiled)
	}
	if err := p.checkBlock(b); err != nil {
		return err
	}
	if n := b.rows * p.outputs * (len(p.features) + 1); len(dst) < n {
		return fmt.Errorf("dst has %d values, want %d: %w", len(dst), n, ErrShape)
	}
	if threads <= 1 || b.rows <= c.rows {
		c.explain(dst, b, 0, b.rows)
		return nil
	}
	parallel(b.rows, c.rows, threads, func(from, to int) { c.explain(dst, b, from, to) })
	return nil
}

// parallel calls work for pieces of the rows, on up to threads goroutines.
func parallel(rows, piece, threads int, work func(from, to int)) {
	var next atomic.Int64
	serve := func() {
		for {
			from := int(next.Add(int64(piece))) - piece
			if from >= rows {
				return
			}
			work(from, min(from+piece, rows))
		}
	}
	var group sync.WaitGroup
	for range min(threads, (rows+piece-1)/piece) - 1 {
		group.Go(serve)
	}
	serve()
	group.Wait()
}

// checkBlock refuses a block that is not p's or lacks a used feature.
func (p *Program) checkBlock(b *Block) error {
	if b.p != p {
		return fmt.Errorf("the block was made by another program: %w", ErrShape)
	}
	for _, f := range p.reads {
		if !b.bound[f] && b.rows > 0 {
			return fmt.Errorf("feature %d (%q) has no column: %w", f, p.features[f].Name, ErrShape)
		}
	}
	return nil
}
