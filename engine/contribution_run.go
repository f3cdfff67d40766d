package engine

import "github.com/treeline-ml/treeline/engine/internal/kernel"

// contributionScratch is the working memory of one goroutine that computes contributions.
type contributionScratch struct {
	moment moment
	turns  []uint64  // by node: the rows that go right
	open   []uint64  // by node that repeats a feature: the rows that the feature's values lead here
	frames []float64 // see kernel.Game
	sums   []float64 // by group of lanes, output and place
	game   kernel.Game
}

// stepsAtATime bounds a call of the kernel.
const stepsAtATime = 1024

func (c *contributions) take() *contributionScratch {
	select {
	case s := <-c.free:
		return s
	default:
	}
	return &contributionScratch{
		moment: c.decider.newMoment(),
		turns:  make([]uint64, c.widest.nodes),
		open:   make([]uint64, c.widest.nodes),
		frames: kernel.Aligned[float64](c.widest.frames),
		sums:   kernel.Aligned[float64](len(c.decider.reads) * c.outputs * c.rows),
	}
}

func (c *contributions) give(s *contributionScratch) {
	select {
	case c.free <- s:
	default:
	}
}

// explain writes the contributions of rows from..to of b to dst, which starts at row 0.
func (c *contributions) explain(dst []float64, b *Block, from, to int) {
	s := c.take()
	for ; from < to; from += c.rows {
		n := min(c.rows, to-from)
		c.decider.read(&s.moment, b, from, n)
		clear(s.sums)
		for i := range c.games {
			c.play(&c.games[i], s)
		}
		c.finish(dst, b, s, from, n)
	}
	c.give(s)
}

// play adds a tree's contributions to the sums of the moment's rows.
func (c *contributions) play(g *game, s *contributionScratch) {
	c.decider.decide(s.turns, &g.batch, g.decisions, &s.moment)
	for _, r := range g.repeats {
		w := s.turns[r.above]
		if !r.right {
			w = ^w
		}
		if !r.first {
			w &= s.open[r.above]
		}
		s.open[r.node] = w
	}
	k := &s.game
	k.Points, k.Nodes = g.rule.points, g.nodes
	for first := 0; first < s.moment.rows; first += kernel.MaxGameLanes {
		rows := min(kernel.MaxGameLanes, s.moment.rows-first)
		lanes := kernel.GameLanes(rows)
		perOutput := len(c.decider.reads) * lanes
		sums := s.group(c, first)[g.first*perOutput:]
		for lap, curves := range g.curves {
			k.Curves = curves
			for i, w := range g.rule.weights[lap*g.rule.points:][:g.rule.points] {
				group := s.frames[(g.rule.points+i)*lanes:][:lanes]
				for r := range group {
					group[r] = w
				}
			}
			for out := range g.outputs {
				k.Leaves = g.leaves[out*(len(g.nodes)+1):]
				for steps := g.steps; len(steps) > 0; {
					n := min(stepsAtATime, len(steps))
					c.decider.kernel.Shapley(sums[out*perOutput:], s.frames, s.turns, s.open, first, rows, k, steps[:n])
					steps = steps[n:]
				}
			}
		}
	}
}

// group returns the sums of the rows from first on that are played for together.
func (s *contributionScratch) group(c *contributions, first int) []float64 {
	return s.sums[first*c.outputs*len(c.decider.reads):]
}

// finish writes the sums of n rows.
func (c *contributions) finish(dst []float64, b *Block, s *contributionScratch, from, n int) {
	width := c.features + 1
	places := len(c.decider.reads)
	for r := range n {
		first := r &^ (kernel.MaxGameLanes - 1)
		lanes := kernel.GameLanes(n - first)
		for k := range c.outputs {
			row := dst[((from+r)*c.outputs+k)*width:][:width]
			clear(row)
			sums := s.group(c, first)[k*places*lanes:]
			for i, f := range c.decider.reads {
				row[f] = sums[i*lanes+r-first] / c.divisor[k] * c.factor[k]
			}
			base := c.base[k]
			if b.margin != nil {
				base = b.margin[(from+r)*c.outputs+k]
			}
			row[c.features] = float64((base+c.expected[k])/c.divisor[k]*c.factor[k]) + c.bias[k]
		}
	}
}
