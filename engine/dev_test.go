package engine

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func minTime(n int, f func()) float64 {
	best := time.Duration(1 << 60)
	for range n {
		t := time.Now()
		f()
		best = min(best, time.Since(t))
	}
	return float64(best.Nanoseconds())
}

func TestDev(t *testing.T) {
	if os.Getenv("DEV") == "" {
		t.Skip()
	}
	for _, s := range benchShapes {
		if os.Getenv("DEV") != "all" && s.name != os.Getenv("DEV") {
			continue
		}
		m := s.model()
		for _, c := range []kernelChoice{masksOnly, walksOnly} {
			p, err := compile(m, Options{}, c)
			if err != nil {
				t.Fatal(err)
			}
			const rows = 512
			blk := benchBlock(p, &s, rows)
			dst := make([]float64, rows*p.Outputs())
			total := minTime(200, func() { _ = p.Score(dst, blk) }) / rows
			one := minTime(2000, func() { p.machine.score(dst, blk, 0, 1) })
			fmt.Printf("%-24s %d total %.0f ns/row  one row %.0f", s.name, c, total, one)
			if x, ok := p.machine.(*machine[float64]); ok && x.groups[0].bits != nil {
				devParts(x, blk, rows)
			}
			if x, ok := p.machine.(*machine[float32]); ok && x.groups[0].bits != nil {
				devParts(x, blk, rows)
			}
			fmt.Println()
		}
	}
}

func devParts[F float](x *machine[F], blk *Block, rows int) {
	g := x.groups[0].bits
	sc := x.take()
	fmt.Printf("  masks(%d) %.0f", g.plan.size, minTime(200, func() {
		for r := 0; r < rows; r += word {
			g.plan.run(&sc.ranking, blk, r, word, &x.arithmetic)
		}
	})/float64(rows))
	fmt.Printf("  number %.0f", minTime(200, func() {
		for r := 0; r < rows; r += word {
			for i := range g.trees {
				g.trees[i].number(sc.ranking.masks, &sc.slots, g.spread, &sc.numbers[i&(bitBatch-1)])
			}
		}
	})/float64(rows))
	fmt.Printf("  add %.0f", minTime(200, func() {
		for r := 0; r < rows; r += word {
			g.add(sc, sc.sums, x.outputs)
		}
	})/float64(rows))
	n := 0
	for i := range g.trees {
		n += len(g.trees[i].gathers)
	}
	fmt.Printf("  gathers/tree %.1f", float64(n)/float64(len(g.trees)))
}
