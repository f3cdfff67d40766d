package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// CompileDeep returns a compiler that has every tree evaluated by a deepGroup of the tier.
func CompileDeep(k *kernel.Table) func(*forest.Model, Options) (*Program, error) {
	return func(m *forest.Model, o Options) (*Program, error) {
		p, err := Compile(m, o)
		if err != nil {
			return nil, err
		}
		if o.Iterations == 0 {
			o.Iterations = m.Stop
		}
		trees, _, err := rounds(m, o.Iterations)
		if p.single {
			p.machine = newDeepEvaluator[float32](p, m, trees, k)
		} else {
			p.machine = newDeepEvaluator[float64](p, m, trees, k)
		}
		return p, err
	}
}

// deepEvaluator is a machine of one deepGroup. It has no pool: every call makes its memory.
type deepEvaluator[F float] struct {
	p *Program
	m *forest.Model
	k *kernel.Table
	g *deepGroup[F]
	n []F
}

func newDeepEvaluator[F float](p *Program, m *forest.Model, trees []forest.Tree, k *kernel.Table) *deepEvaluator[F] {
	return &deepEvaluator[F]{p, m, k, newDeepGroup[F](m, trees, k), treeCounts[F](trees, m.Outputs)}
}

func (e *deepEvaluator[F]) rows() int { return e.g.rows }

func (e *deepEvaluator[F]) score(dst []float64, b *Block, from, to int) {
	s := e.g.newScratch(e.k, e.p.reading, e.m.Arithmetic.CategoryCast)
	outputs := e.m.Outputs
	acc := make([]F, outputs*e.g.rows)
	for from < to {
		n := min(e.g.rows, to-from)
		for k := range outputs {
			for r := range n {
				acc[k*e.g.rows+r] = F(e.m.Base[k])
				if b.margin != nil {
					acc[k*e.g.rows+r] = F(b.margin[(from+r)*outputs+k])
				}
			}
		}
		e.g.add(s, b, from, n, acc, e.g.rows)
		for k := range outputs {
			for r := range n {
				v := acc[k*e.g.rows+r]
				if e.m.Arithmetic.Average && e.n[k] > 0 {
					v /= e.n[k]
				}
				if e.m.Scale != 1 {
					v = F(F(e.m.Scale) * v)
				}
				if e.m.Bias != nil {
					v += F(e.m.Bias[k])
				}
				dst[(from+r)*outputs+k] = float64(v)
			}
		}
		from += n
	}
}
