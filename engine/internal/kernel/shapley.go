package kernel

// Game is one tree prepared for Shapley values, read by Shapley. A tree's expectation when every feature is present with
// probability t, independently, is a polynomial in t; a feature's Shapley value is the integral over t of its derivative
// by that feature's presence. The integral is a sum over the points of a Gauss-Legendre rule, exact for the degree.
//
// At a node and a point, rows go left with probability m = Share + tau*k, where k is 1-Share for a row that its values
// send left, -Share for one that they send right, and 0 for one whose values do not lead here as far as the node's
// feature is concerned. Of the node's two sides with expectations L and R, the node's is R + m*(L-R), and its feature's
// value grows by k times the sum over points of P*psi*(L-R), P being the probability to come here times the weight of
// the point.
type Game struct {
	Points int       // of the rule
	Curves []float64 // from GameNode.Curve on: tau for each point, and for repeated features psi for each point
	Nodes  []GameNode
	Leaves []float64
}

// GameNode is an inner node. A lane group is what rows that are played for together have of a number: GameLanes float64s.
type GameNode struct {
	Share       float64 // of the training rows that went left
	Frame       uint32  // lane group of the first of P, M, L and R, Points groups each; the next level's frame follows
	Out         uint32  // lane group of the node's first expectation: L or R of its parent's frame
	Sum         uint32  // lane group of the feature's sums
	Curve       uint32  // in float64s
	Left, Right uint32  // leaves, for the sides that are
}

// A step of a game is a node's index times 16, a kind times 2, and 1 if the node's feature is split above it, too.
const (
	GamePair      = iota // both sides are leaves
	GameDownLeft         // makes M, and P of the left side
	GameDownRight        // makes M, and P of the right side
	GameNextRight        // makes P of the right side
	GameUp               // both sides are done
	GameUpLeft           // the left side is done, the right one is a leaf
	GameUpRight          // the right side is done, the left one is a leaf
)

// MaxGameLanes is the largest number of rows that Shapley plays for at a time.
const MaxGameLanes = 16

// GameLanes is the size of a lane group for a number of rows.
func GameLanes(rows int) int {
	if rows > 8 {
		return 16
	}
	return 8
}

// shapley is Table.Shapley.
func shapley(sums, frames []float64, turns, open []uint64, first, rows int, g *Game, steps []uint32) {
	p := player{g: g, frames: frames, rows: min(rows, MaxGameLanes), size: GameLanes(rows)}
	p.k = p.pulls[:p.rows]
	for _, s := range steps {
		at := s >> 4
		n := &g.Nodes[at]
		p.tau = g.Curves[n.Curve:][:g.Points]
		p.psi = nil
		right, reached := turns[at]>>first, ^uint64(0)
		if s&1 == 1 {
			p.psi = g.Curves[n.Curve:][g.Points : 2*g.Points]
			reached = open[at] >> first
		}
		pull := [4]float64{0, 0, 1 - n.Share, 0 - n.Share}
		for r := range p.k {
			p.k[r] = pull[reached>>r&1<<1|right>>r&1]
		}
		sum := sums[int(n.Sum)*p.size:][:p.rows]
		switch s >> 1 & 7 {
		case GamePair:
			p.pair(n, sum)
		case GameDownLeft:
			p.down(n, true)
		case GameDownRight:
			p.down(n, false)
		case GameNextRight:
			p.next(n)
		default:
			p.up(n, sum, s>>1&7)
		}
	}
}

// player is the state of a call of shapley.
type player struct {
	g          *Game
	frames     []float64
	rows, size int
	tau, psi   []float64
	k          []float64 // by row
	pulls      [MaxGameLanes]float64
}

// lanes is the i-th lane group of a frame's array.
func (p *player) lanes(at uint32, array, i int) []float64 {
	return p.frames[(int(at)+array*p.g.Points+i)*p.size:][:p.rows]
}

func (p *player) pair(n *GameNode, sum []float64) {
	left, right := p.g.Leaves[n.Left], p.g.Leaves[n.Right]
	d := left - right
	mean := right + float64(n.Share*d)
	var sums [MaxGameLanes]float64
	k := p.k
	s := sums[:len(k)]
	for r := range k {
		k[r] *= d
	}
	for i, tau := range p.tau {
		psi := 1.0
		if p.psi != nil {
			psi = p.psi[i]
		}
		out, prob := p.lanes(n.Out, 0, i)[:len(k)], p.lanes(n.Frame, 0, i)[:len(k)]
		for r, k := range k {
			out[r] = mean + float64(tau*k)
			s[r] += float64(psi * prob[r])
		}
	}
	sum = sum[:len(k)]
	for r, k := range k {
		sum[r] += float64(k * s[r])
	}
}

func (p *player) down(n *GameNode, left bool) {
	k := p.k
	for i, tau := range p.tau {
		prob, m, next := p.lanes(n.Frame, 0, i)[:len(k)], p.lanes(n.Frame, 1, i)[:len(k)], p.lanes(n.Frame, 4, i)[:len(k)]
		for r, k := range k {
			x := n.Share + float64(tau*k)
			m[r] = x
			next[r] = prob[r] * x
		}
		if left {
			continue
		}
		for r := range next {
			next[r] = prob[r] - next[r]
		}
	}
}

func (p *player) next(n *GameNode) {
	for i := range p.tau {
		next := p.lanes(n.Frame, 4, i)
		prob, m := p.lanes(n.Frame, 0, i)[:len(next)], p.lanes(n.Frame, 1, i)[:len(next)]
		for r := range next {
			next[r] = prob[r] - float64(prob[r]*m[r])
		}
	}
}

func (p *player) up(n *GameNode, sum []float64, kind uint32) {
	var sums, leaf [MaxGameLanes]float64
	k := p.k
	s := sums[:len(k)]
	switch kind {
	case GameUpLeft:
		fillLanes(&leaf, p.g.Leaves[n.Right])
	case GameUpRight:
		fillLanes(&leaf, p.g.Leaves[n.Left])
	}
	for i := range p.tau {
		prob, m, out := p.lanes(n.Frame, 0, i)[:len(s)], p.lanes(n.Frame, 1, i)[:len(s)], p.lanes(n.Out, 0, i)[:len(s)]
		left, right := leaf[:len(s)], leaf[:len(s)]
		if kind != GameUpRight {
			left = p.lanes(n.Frame, 2, i)[:len(s)]
		}
		if kind != GameUpLeft {
			right = p.lanes(n.Frame, 3, i)[:len(s)]
		}
		psi := 1.0
		if p.psi != nil {
			psi = p.psi[i]
		}
		for r := range s {
			d := left[r] - right[r]
			s[r] += float64(float64(psi*prob[r]) * d)
			out[r] = right[r] + float64(m[r]*d)
		}
	}
	sum = sum[:len(k)]
	for r, k := range k {
		sum[r] += float64(k * s[r])
	}
}

func fillLanes(v *[MaxGameLanes]float64, x float64) {
	for r := range v {
		v[r] = x
	}
}

// Test is a comparison of 64 values with a cut.
type Test struct {
	Cut   float64
	Place uint32 // of the first value
	Word  uint32 // of the result
}

// testAbove is Table.Above.
func testAbove(words []uint64, values []float64, rows int, tests []Test) {
	for i := range tests {
		t := &tests[i]
		cut, w := t.Cut, uint64(0)
		for r, x := range values[t.Place:][:rows] {
			w |= uint64(one(x > cut)) << (r & 63)
		}
		words[t.Word] = w
	}
}

// testAboveOrNaN is Table.AboveOrNaN.
func testAboveOrNaN(words []uint64, values []float64, rows int, tests []Test) {
	for i := range tests {
		t := &tests[i]
		cut, w := t.Cut, uint64(0)
		for r, x := range values[t.Place:][:rows] {
			w |= uint64(one(!(x <= cut))) << (r & 63)
		}
		words[t.Word] = w
	}
}
