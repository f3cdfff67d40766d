package engine

import (
	"fmt"
	"sync"

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

// deepEvaluator is a machine of one deepGroup.
type deepEvaluator[F float] struct {
	p    *Program
	m    *forest.Model
	k    *kernel.Table
	g    *deepGroup[F]
	n    []F
	pool sync.Pool
}

func newDeepEvaluator[F float](p *Program, m *forest.Model, trees []forest.Tree, k *kernel.Table) *deepEvaluator[F] {
	e := &deepEvaluator[F]{p: p, m: m, k: k, g: newDeepGroup[F](m, trees, k), n: treeCounts[F](trees, m.Outputs)}
	e.pool.New = func() any { return e.g.newScratch(k, p.reading, m.Arithmetic.CategoryCast) }
	return e
}

func (e *deepEvaluator[F]) rows() int { return e.g.rows }

func (e *deepEvaluator[F]) score(dst []float64, b *Block, from, to int) {
	s := e.pool.Get().(*deepScratch)
	defer e.pool.Put(s)
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

// DeepInfo is for benchmarks.
func DeepInfo(p *Program) string {
	switch e := p.machine.(type) {
	case *deepEvaluator[float64]:
		return e.g.info()
	case *deepEvaluator[float32]:
		return e.g.info()
	}
	return ""
}

func (g *deepGroup[F]) info() string {
	s := ""
	for i := range g.parts {
		p := &g.parts[i]
		s += fmt.Sprintf("part %d trees %d columns %d width %d leaves %d", i, len(p.trees), len(p.plan.columns), p.width, len(p.leaves))
		if p.blocks != nil {
			s += fmt.Sprintf(" blocks shifted %v bytes %d", p.blocks.shifted, p.blocks.bytes())
		}
		if p.nodes != nil {
			s += fmt.Sprintf(" nodes %d", len(p.nodes.nodes))
		}
	}
	return s + fmt.Sprint(" rows ", g.rows)
}
