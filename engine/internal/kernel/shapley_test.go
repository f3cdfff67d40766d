package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// randomGame is a tree of random shape with what its rows do.
type randomGame struct {
	Game
	steps       []uint32
	root        int32
	children    [][2]int32
	repeat      []bool
	turns, open []uint64
	frames      int
	sums        int
}

// newRandomGame grows a tree of n nodes whose steps are those of a depth-first walk.
func newRandomGame(rng *rand.Rand, n, points int) *randomGame {
	g := &randomGame{Game: Game{Points: points}, sums: 5}
	for range n + 1 {
		g.Leaves = append(g.Leaves, rng.NormFloat64())
	}
	curves := 4
	for range curves * 2 * points {
		g.Curves = append(g.Curves, rng.Float64())
	}
	next, leaf := int32(0), int32(0)
	block := uint32(points)
	var grow func(nodes int, level, out uint32) int32
	grow = func(nodes int, level, out uint32) int32 {
		if nodes == 0 {
			leaf++
			return ^(leaf - 1)
		}
		i := next
		next++
		frame := block * (1 + 4*level)
		g.frames = max(g.frames, int(frame+4*block))
		g.Nodes = append(g.Nodes, GameNode{
			Share: float64(rng.IntN(11)) / 10, Frame: frame, Out: out, Sum: uint32(rng.IntN(g.sums)),
			Curve: uint32(rng.IntN(curves) * 2 * points),
		})
		repeat := rng.IntN(2) == 0
		g.repeat, g.children = append(g.repeat, repeat), append(g.children, [2]int32{})
		step := func(kind uint32) {
			s := uint32(i)<<4 | kind<<1
			if repeat {
				s |= 1
			}
			g.steps = append(g.steps, s)
		}
		left := rng.IntN(nodes)
		right := nodes - 1 - left
		switch {
		case left == 0 && right == 0:
			step(GamePair)
		case left == 0:
			step(GameDownRight)
		default:
			step(GameDownLeft)
		}
		l := grow(left, level+1, frame+2*block)
		if left > 0 && right > 0 {
			step(GameNextRight)
		}
		r := grow(right, level+1, frame+3*block)
		switch {
		case left == 0 && right == 0:
		case left == 0:
			step(GameUpRight)
		case right == 0:
			step(GameUpLeft)
		default:
			step(GameUp)
		}
		if left == 0 {
			g.Nodes[i].Left = uint32(^l)
		}
		if right == 0 {
			g.Nodes[i].Right = uint32(^r)
		}
		g.children[i] = [2]int32{l, r}
		return i
	}
	g.root = grow(n, 0, 0)
	for range n {
		g.turns, g.open = append(g.turns, rng.Uint64()), append(g.open, rng.Uint64())
	}
	return g
}

// play is the obvious recursion for one row and point: it returns the expectation below a node that is reached with
// probability p, and notes what each node's feature gains.
func (g *randomGame) play(at int32, p float64, row, point int, gain []float64) float64 {
	if at < 0 {
		return g.Leaves[^at]
	}
	n := &g.Nodes[at]
	tau, psi, pull := g.Curves[int(n.Curve)+point], 1.0, 1-n.Share
	if g.turns[at]>>row&1 == 1 {
		pull = 0 - n.Share
	}
	if g.repeat[at] {
		psi = g.Curves[int(n.Curve)+g.Points+point]
		if g.open[at]>>row&1 == 0 {
			pull = 0
		}
	}
	m := n.Share + float64(tau*pull)
	left := g.play(g.children[at][0], p*m, row, point, gain)
	right := g.play(g.children[at][1], p-float64(p*m), row, point, gain)
	gain[n.Sum] += pull * psi * p * (left - right)
	return right + float64(m*(left-right))
}

// Every tier gives the portable bits, and those are the recursion's values.
func TestShapley(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 400 {
		g := newRandomGame(rng, 1+rng.IntN(40), 1+rng.IntN(17))
		weights := make([]float64, g.Points)
		for i := range weights {
			weights[i] = rng.Float64()
		}
		rows := 1 + rng.IntN(MaxGameLanes)
		first, lanes := 8*rng.IntN(7), GameLanes(rows)
		start := make([]float64, g.sums*lanes)
		for i := range start {
			start[i] = rng.NormFloat64()
		}
		var want []float64
		for _, tier := range Tables() {
			frames := Aligned[float64](g.frames * MaxGameLanes)
			for i, w := range weights {
				for r := range lanes {
					frames[(g.Points+i)*lanes+r] = w
				}
			}
			got := append([]float64(nil), start...)
			for steps := g.steps; len(steps) > 0; {
				n := 1 + rng.IntN(len(steps))
				tier.Shapley(got, frames, g.turns, g.open, first, rows, &g.Game, steps[:n])
				steps = steps[n:]
			}
			if want == nil {
				want = got
				g.checkAgainstRecursion(t, got, start, weights, first, rows)
			}
			for i := range want {
				if i%lanes >= rows {
					continue
				}
				if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
					t.Fatalf("round %d, tier %s: sum %d is %v, want %v", round, tier.Tier, i, got[i], want[i])
				}
			}
		}
	}
}

func (g *randomGame) checkAgainstRecursion(t *testing.T, got, start, weights []float64, first, rows int) {
	t.Helper()
	lanes := GameLanes(rows)
	for r := range rows {
		gain := make([]float64, g.sums)
		for i, w := range weights {
			g.play(g.root, w, first+r, i, gain)
		}
		for f, want := range gain {
			want += start[f*lanes+r]
			if x := got[f*lanes+r]; !(math.Abs(x-want) <= 1e-11*max(1, math.Abs(want))) {
				t.Fatalf("%d nodes, %d points: row %d, feature %d: %v, want %v", len(g.Nodes), g.Points, r, f, x, want)
			}
		}
	}
}

// Comparisons are Go's, for ordinary and awkward values, in every tier; words that no test names stay.
func TestAbove(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	awkward := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 5e-324, -5e-324, 1, math.MaxFloat64}
	for _, tier := range Tables() {
		for range 300 {
			columns := 1 + rng.IntN(5)
			values := Aligned[float64](columns * 64)
			for i := range values {
				values[i] = rng.NormFloat64()
				if rng.IntN(3) == 0 {
					values[i] = awkward[rng.IntN(len(awkward))]
				}
			}
			n, rows := rng.IntN(70), 1+rng.IntN(64)
			tests := make([]Test, n)
			words := make([]uint64, 2*n+1)
			for i := range words {
				words[i] = rng.Uint64()
			}
			before := append([]uint64(nil), words...)
			for i := range tests {
				tests[i] = Test{Cut: rng.NormFloat64(), Place: uint32(64 * rng.IntN(columns)), Word: uint32(2*i + 1)}
				if rng.IntN(3) == 0 {
					tests[i].Cut = awkward[1+rng.IntN(len(awkward)-1)]
				}
			}
			for _, nan := range []bool{false, true} {
				if nan {
					tier.AboveOrNaN(words, values, rows, tests)
				} else {
					tier.Above(words, values, rows, tests)
				}
				for i, c := range tests {
					for r := range rows {
						x := values[int(c.Place)+r]
						want := x > c.Cut || nan && x != x
						if got := words[c.Word]>>r&1 == 1; got != want {
							t.Fatalf("tier %s: %v above %v (NaN counts: %v) is %v", tier.Tier, x, c.Cut, nan, got)
						}
					}
					if words[2*i] != before[2*i] {
						t.Fatalf("tier %s: word %d was written", tier.Tier, 2*i)
					}
				}
			}
		}
	}
}

func BenchmarkShapley(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	g := newRandomGame(rng, 30, 5)
	for _, tier := range Tables() {
		b.Run(fmt.Sprint(tier.Tier), func(b *testing.B) {
			frames, sums := Aligned[float64](g.frames*MaxGameLanes), Aligned[float64](g.sums*MaxGameLanes)
			for b.Loop() {
				for first := 0; first < 64; first += MaxGameLanes {
					tier.Shapley(sums, frames, g.turns, g.open, first, MaxGameLanes, &g.Game, g.steps)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/row")
		})
	}
}
