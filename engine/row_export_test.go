package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// RowScorer scores single rows by a rowGroup of all the trees that p scores.
type RowScorer struct {
	single *rowGroup[float32]
	double *rowGroup[float64]
	s      *rowScratch
	acc32  []float32
}

// NewRowScorer compiles m's trees for rows in the tier of that name; nil if a rowGroup does not serve them.
func NewRowScorer(p *Program, m *forest.Model, o Options, tier string) (*RowScorer, error) {
	t, err := kernel.Choose(tier)
	if err != nil {
		return nil, err
	}
	if o.Iterations == 0 {
		o.Iterations = m.Stop
	}
	trees, _, err := rounds(m, o.Iterations)
	if err != nil {
		return nil, err
	}
	s := &RowScorer{s: &rowScratch{}, acc32: make([]float32, m.Outputs)}
	if p.single {
		s.single = newRowGroup(m, trees, newLeafTable[float32](trees, m.Outputs), &t.Row, p.reading)
	} else {
		s.double = newRowGroup(m, trees, newLeafTable[float64](trees, m.Outputs), &t.Row, p.reading)
	}
	if s.single == nil && s.double == nil {
		return nil, nil
	}
	return s, nil
}

// Score adds a row's leaves to acc.
func (s *RowScorer) Score(b *Block, row int, acc []float64) {
	if s.double != nil {
		s.double.score(s.s, b, row, acc)
		return
	}
	for i, v := range acc {
		s.acc32[i] = float32(v)
	}
	s.single.score(s.s, b, row, s.acc32)
	for i, v := range s.acc32 {
		acc[i] = float64(v)
	}
}

// Kinds names the kinds of the parts.
func (s *RowScorer) Kinds() []string {
	var parts []rowPart
	if s.double != nil {
		parts = s.double.parts
	} else {
		parts = s.single.parts
	}
	var names []string
	for i := range parts {
		names = append(names, map[rowKind]string{rowFlat: "flat", rowHeap: "heap", rowBlocks: "blocks", rowWalk: "walk"}[parts[i].kind])
	}
	return names
}
