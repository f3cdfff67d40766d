package engine

import "fmt"

// Block is a set of rows, column by column, bound to one Program. It holds no values of its own: columns are borrowed
// until the next Reset. One goroutine writes a Block; once written it may be scored by many.
type Block struct {
	p      *Program
	rows   int
	cols   []Column
	bound  []bool
	wanted int // features that some split reads and that have no column yet
	margin []float64
}

// NewBlock returns an empty Block for p.
func (p *Program) NewBlock() *Block {
	return &Block{p: p, cols: make([]Column, p.Features()), bound: make([]bool, p.Features()), wanted: len(p.reads)}
}

// Reset drops all columns and the base margin and sets the number of rows.
func (b *Block) Reset(rows int) {
	b.rows, b.margin, b.wanted = max(rows, 0), nil, len(b.p.reads)
	clear(b.cols)
	clear(b.bound)
}

// Rows returns the number of rows.
func (b *Block) Rows() int { return b.rows }

// Set binds a column to a feature. It returns ErrShape if there is no such feature, if the column's length is not
// Rows(), if a bitmap is too short, or if a dictionary index is out of range.
func (b *Block) Set(feature int, c Column) error {
	if feature < 0 || feature >= len(b.cols) {
		return fmt.Errorf("feature %d of %d: %w", feature, len(b.cols), ErrShape)
	}
	if c.n != b.rows {
		return fmt.Errorf("feature %d: column has %d rows, want %d: %w", feature, c.n, b.rows, ErrShape)
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("feature %d: %w", feature, err)
	}
	if !b.bound[feature] && b.p.used[feature] {
		b.wanted--
	}
	b.cols[feature], b.bound[feature] = c, true
	return nil
}

// SetBaseMargin gives every row its own starting margins, Rows()*Outputs() values row-major, instead of the model's.
// nil goes back to the model's. The slice is borrowed.
func (b *Block) SetBaseMargin(c []float64) error {
	if c != nil && len(c) != b.rows*b.p.Outputs() {
		return fmt.Errorf("base margin has %d values, want %d: %w", len(c), b.rows*b.p.Outputs(), ErrShape)
	}
	b.margin = c
	return nil
}
