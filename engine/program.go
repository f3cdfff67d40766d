package engine

import (
	"fmt"

	"github.com/treeline-ml/treeline/forest"
)

// Options change how a model is compiled. The zero value scores all trees.
type Options struct {
	// Iterations is the number of boosting rounds to score; 0 means all.
	Iterations int
	// Missing is a value read as missing as well as NaN (XGBoost's `missing`), compared in the model's input type.
	// nil means none.
	Missing *float64
}

// Program is a compiled model: immutable, safe for any number of goroutines.
type Program struct{ m *forest.Model }

// Explanation says which kernel evaluates which trees and why.
type Explanation struct{ text string }

// String is one line.
func (e Explanation) String() string { return e.text }

// Compile validates m and compiles it. The error is ErrModel.
func Compile(m *forest.Model, o Options) (*Program, error) { return &Program{m: m}, nil }

// Features returns the number of model features.
func (p *Program) Features() int { return len(p.m.Features) }

// Uses reports whether some split reads the feature.
func (p *Program) Uses(feature int) bool { return true }

// Outputs returns the number of margins per row.
func (p *Program) Outputs() int { return p.m.Outputs }

// Width returns the number of prediction columns per row.
func (p *Program) Width() int { return p.m.Link.Width(p.m.Outputs) }

// Float32 reports whether margins and predictions are float32 values.
func (p *Program) Float32() bool { return p.m.Arithmetic.Sum == forest.Float32 }

// Score writes Outputs() margins per row of b into dst, row-major.
func (p *Program) Score(dst []float64, b *Block) error { return fmt.Errorf("%w", ErrModel) }

// ScoreParallel is Score with the rows split over threads goroutines.
func (p *Program) ScoreParallel(dst []float64, b *Block, threads int) error { return p.Score(dst, b) }

// Predict applies the link.
func (p *Program) Predict(dst, margins []float64) error { return fmt.Errorf("%w", ErrModel) }

// Explain says how the program scores.
func (p *Program) Explain() Explanation { return Explanation{} }

// Build names the engine and the kernel tier.
func Build() string { return "treeline-engine/1 portable" }
