package engine

import (
	"math"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
)

// BenchmarkRow scores rows one at a time, another one each time, by every tier.
func BenchmarkRow(b *testing.B) {
	for _, s := range benchShapes {
		m := s.model()
		nodes := 0
		for i := range m.Trees {
			nodes += len(m.Trees[i].Nodes)
		}
		p, err := Compile(m, Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, t := range kernel.Tables() {
			b.Run(s.name+"/"+t.Tier.String(), func(b *testing.B) {
				if s.single {
					g := newRowGroup(m, m.Trees, newLeafTable[float32](m.Trees, m.Outputs), &t.Row, p.reading)
					benchRows(b, p, &s, g, nodes)
				} else {
					g := newRowGroup(m, m.Trees, newLeafTable[float64](m.Trees, m.Outputs), &t.Row, p.reading)
					benchRows(b, p, &s, g, nodes)
				}
			})
		}
	}
}

func benchRows[F float](b *testing.B, p *Program, s *benchShape, g *rowGroup[F], nodes int) {
	if g == nil {
		b.Skip("not served")
	}
	const rows, turns = 64, 16
	blk := benchBlock(p, s, rows)
	acc := make([]F, p.Outputs())
	scratch := &rowScratch{}
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		for r := range turns {
			clear(acc)
			g.score(scratch, blk, (b.N*turns+r)%rows, acc)
		}
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(best.Nanoseconds())/turns, "best-ns/row")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/turns, "ns/row")
	b.ReportMetric(g.cost(), "cost-ns/row")
	b.ReportMetric(float64(g.bytes())/float64(nodes), "B/node")
}
