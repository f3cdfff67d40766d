package engine

import (
	"fmt"
	"math"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// contributions is the compiled form of a model for Program.Contributions.
type contributions struct {
	decider  *decider
	rows     int // that are explained at a time, 8 to 64
	features int // of the model
	outputs  int
	base     []float64
	expected []float64 // by output: the sum of the trees' expectations
	factor   []float64 // by output: what a sum of leaf values is multiplied with
	divisor  []float64 // by output: and before that divided by
	bias     []float64 // by output
	games    []game
	widest   size
	free     chan *contributionScratch
}

// game is one tree.
type game struct {
	decisions []decision
	batch     batch
	repeats   []repeat
	steps     []uint32
	nodes     []kernel.GameNode
	rule      *rule
	curves    [][]float64 // by lap of the rule
	leaves    []float64   // leaf values, output after output
	outputs   int         // of leaves
	first     int         // the first of those outputs
}

// repeat is a node whose feature is split above it, too: its values lead here as far as that feature is concerned iff
// they lead to node above, and take the side there.
type repeat struct {
	node, above int32
	right       bool // the side
	first       bool // above is no repeat itself
}

// rule is a Gauss-Legendre rule, cut into laps of the same number of points, so that deep trees need little memory.
type rule struct {
	points          int // in a lap
	laps            int
	places, weights []float64
}

// size is what scratch memory a tree needs.
type size struct{ nodes, frames int }

func (s size) max(o size) size { return size{max(s.nodes, o.nodes), max(s.frames, o.frames)} }

const (
	lapPoints   = 16      // at most in a lap
	maxFrames   = 1 << 19 // float64s that frames may have, where laps of a point do with that
	maxSums     = 1 << 22 // float64s that the sums of the rows at a time may have, if there are more than 8 rows
	maxIdle     = 1 << 25 // words of the scratches that an idle program keeps, if they are more than one
	gameFrames  = 4       // arrays in a frame: kernel.GameNode.Frame
	maxGameNode = 1<<28 - 1
)

// newContributions compiles trees. The error is ErrNoCover, or ErrModel for a tree that is too large.
func newContributions(m *forest.Model, trees []forest.Tree, d *decider, all [][]decision) (*contributions, error) {
	c := &contributions{
		decider: d, features: len(m.Features), outputs: m.Outputs,
		expected: make([]float64, m.Outputs), factor: make([]float64, m.Outputs), divisor: make([]float64, m.Outputs),
		bias: make([]float64, m.Outputs),
	}
	counts := treeCounts[float64](trees, m.Outputs)
	for k := range m.Outputs {
		c.factor[k], c.divisor[k] = m.Scale, 1
		if m.Arithmetic.Average && counts[k] > 0 {
			c.divisor[k] = counts[k]
		}
		if m.Bias != nil {
			c.bias[k] = m.Bias[k]
		}
	}
	c.rows = d.stride
	for c.rows > 8 && c.rows*len(d.reads)*m.Outputs > maxSums {
		c.rows /= 2
	}
	c.base = append(c.base, m.Base...)
	b := gameBuilder{c: c, rules: make(map[[2]int]*rule), above: make([]edge, len(d.reads))}
	for i := range trees {
		g, err := b.game(&trees[i], all[i])
		if err != nil {
			return nil, fmt.Errorf("contributions: tree %d: %w", i, err)
		}
		if len(g.nodes) > 0 {
			c.games = append(c.games, g)
		}
	}
	words := c.widest.frames + 2*c.widest.nodes + len(d.reads)*(d.stride+m.Outputs*c.rows) + 1
	c.free = make(chan *contributionScratch, min(idleScratch, max(1, maxIdle/words)))
	return c, nil
}

// edge is a way on from a node that splits on some feature, with what is known about that feature on it.
type edge struct {
	node   int32
	right  bool
	repeat bool
	seen   int32   // splits on the feature up to here; 0: none, the rest has no meaning
	share  float64 // of the training rows that go all these ways
}

// gameBuilder compiles trees one after another.
type gameBuilder struct {
	c     *contributions
	rules map[[2]int]*rule // by points in a lap and laps
	above []edge           // by feature's place: its last edge on the way from the root

	tree      *forest.Tree
	decisions []decision
	g         game
	share     []float64 // by node
	level     []int32   // by node: inner nodes above it
	before    []float64 // by node: the share of its feature's edge above, 1 without
	unique    int       // features on the way
	widest    int       // most features on a way
	deepest   int32
}

// visit is a node to enter, or to leave, in depth-first order.
type visit struct {
	node  int32
	stage uint8
	old   edge // what above said of the node's feature
}

func (b *gameBuilder) game(t *forest.Tree, decisions []decision) (game, error) {
	b.tree, b.decisions, b.g = t, decisions, game{first: t.Output, outputs: 1, decisions: decisions, batch: b.c.decider.batch(decisions)}
	if t.Vector {
		b.g.first, b.g.outputs = 0, b.c.outputs
	}
	n := len(t.Nodes)
	b.g.leaves = make([]float64, 0, len(t.Leaves))
	for k := range b.g.outputs {
		for leaf := range n + 1 {
			b.g.leaves = append(b.g.leaves, t.Leaves[leaf*b.g.outputs+k])
		}
	}
	if n > maxGameNode {
		return game{}, fmt.Errorf("%w: %d nodes, at most %d are supported", ErrModel, n, maxGameNode)
	}
	if err := b.shares(); err != nil {
		return game{}, err
	}
	b.expect()
	if n == 0 {
		return game{}, nil
	}
	b.walk()
	b.place()
	return b.g, nil
}

// shares finds how the training rows were split.
func (b *gameBuilder) shares() error {
	t := b.tree
	b.share = b.share[:0]
	if len(t.Nodes) == 0 {
		return nil
	}
	if t.NodeCover == nil || t.LeafCover == nil {
		return fmt.Errorf("%w: save the model with its statistics (LightGBM's internal_count and leaf_count, XGBoost's sum_hessian)", ErrNoCover)
	}
	cover := func(i int, child int32) (float64, error) {
		what, at, weights := "node", child, t.NodeCover
		if child < 0 {
			what, at, weights = "leaf", ^child, t.LeafCover
		}
		if w := weights[at]; !(w >= 0) || math.IsInf(w, 0) {
			return 0, fmt.Errorf("node %d: %w that can be used: that of %s %d is %v", i, ErrNoCover, what, at, w)
		}
		return weights[at], nil
	}
	for i := range t.Nodes {
		left, err := cover(i, t.Nodes[i].Left)
		if err != nil {
			return err
		}
		right, err := cover(i, t.Nodes[i].Right)
		if err != nil {
			return err
		}
		share := left / (left + right)
		switch {
		case left == 0 && right == 0:
			share = 0.5 // as XGBoost does
		case math.IsInf(left+right, 0):
			share = left / 2 / (left/2 + right/2)
		}
		b.share = append(b.share, share)
	}
	return nil
}

// expect adds the tree's expectation: the means of the subtrees, bottom-up.
func (b *gameBuilder) expect() {
	t, n := b.tree, len(b.tree.Nodes)
	mean := make([]float64, n)
	for k := range b.g.outputs {
		leaves := b.g.leaves[k*(n+1):]
		at := func(child int32) float64 {
			if child < 0 {
				return leaves[^child]
			}
			return mean[child]
		}
		for i := n - 1; i >= 0; i-- {
			left, right := at(t.Nodes[i].Left), at(t.Nodes[i].Right)
			mean[i] = float64(b.share[i]*left) + float64((1-b.share[i])*right)
		}
		root := int32(0)
		if n == 0 {
			root = ^0
		}
		b.c.expected[b.g.first+k] += at(root)
	}
}

// walk writes the steps and the nodes' leaves and repeats, and finds how deep the tree is.
func (b *gameBuilder) walk() {
	t := b.tree
	n := len(t.Nodes)
	b.g.nodes = make([]kernel.GameNode, n)
	b.level = append(b.level[:0], make([]int32, n)...)
	b.before = append(b.before[:0], make([]float64, n)...)
	b.unique, b.widest, b.deepest = 0, 0, 0
	stack := []visit{{node: 0}}
	for len(stack) > 0 {
		v := &stack[len(stack)-1]
		node := &t.Nodes[v.node]
		place := b.decisions[v.node].place
		stage := v.stage
		v.stage++
		switch stage {
		case 0: // to the left
			v.old = b.above[place]
			b.enter(v.node, v.old)
			b.take(v.node, place, v.old, false)
			if node.Left >= 0 {
				b.level[node.Left] = b.level[v.node] + 1
				stack = append(stack, visit{node: node.Left})
			}
		case 1: // to the right
			b.take(v.node, place, v.old, true)
			if node.Left >= 0 && node.Right >= 0 {
				b.step(v.node, kernel.GameNextRight)
			}
			if node.Right >= 0 {
				b.level[node.Right] = b.level[v.node] + 1
				stack = append(stack, visit{node: node.Right})
			}
		default: // back up
			if v.old.seen == 0 {
				b.unique--
			}
			b.above[place] = v.old
			switch {
			case node.Left < 0 && node.Right < 0:
			case node.Left < 0:
				b.step(v.node, kernel.GameUpRight)
			case node.Right < 0:
				b.step(v.node, kernel.GameUpLeft)
			default:
				b.step(v.node, kernel.GameUp)
			}
			stack = stack[:len(stack)-1]
		}
	}
}

// enter begins with a node; old is its feature's edge above.
func (b *gameBuilder) enter(i int32, old edge) {
	node, out := &b.tree.Nodes[i], &b.g.nodes[i]
	out.Share, b.before[i] = b.share[i], 1
	if old.seen == 0 {
		b.unique++
		b.widest = max(b.widest, b.unique)
	} else {
		b.before[i] = old.share
		b.g.repeats = append(b.g.repeats, repeat{node: i, above: old.node, right: old.right, first: !old.repeat})
	}
	b.deepest = max(b.deepest, b.level[i])
	if node.Left < 0 {
		out.Left = uint32(^node.Left)
	}
	if node.Right < 0 {
		out.Right = uint32(^node.Right)
	}
	switch {
	case node.Left < 0 && node.Right < 0:
		b.step(i, kernel.GamePair)
	case node.Left < 0:
		b.step(i, kernel.GameDownRight)
	default:
		b.step(i, kernel.GameDownLeft)
	}
}

// take goes to one side of node i.
func (b *gameBuilder) take(i, place int32, old edge, right bool) {
	share := b.share[i]
	if right {
		share = 1 - share
	}
	b.above[place] = edge{node: i, right: right, repeat: old.seen > 0, seen: old.seen + 1, share: b.before[i] * share}
}

// step appends a step; place marks those of repeats.
func (b *gameBuilder) step(i int32, kind uint32) {
	b.g.steps = append(b.g.steps, uint32(i)<<4|kind<<1)
}

// place settles the rule, and where everything lies.
func (b *gameBuilder) place() {
	g, n := &b.g, len(b.tree.Nodes)
	points := rulePoints(b.widest)
	levels := int(b.deepest) + 1
	lap := max(1, min(lapPoints, maxFrames/(gameFrames*levels*kernel.MaxGameLanes)))
	g.rule = b.rule(points, lap)
	block := uint32(g.rule.points)
	repeated := make([]uint64, n/64+1)
	for _, r := range g.repeats {
		repeated[r.node>>6] |= 1 << (r.node & 63)
	}
	for i, s := range g.steps {
		node := s >> 4
		g.steps[i] |= uint32(repeated[node>>6] >> (node & 63) & 1)
	}
	places := map[float64]uint32{1: 0} // by share of the edge above
	shares := []float64{1}
	for i := range n {
		out := &g.nodes[i]
		out.Frame = block * uint32(1+gameFrames*b.level[i])
		out.Sum = uint32(b.decisions[i].place)
		if repeated[i>>6]>>(i&63)&1 == 1 {
			at, ok := places[b.before[i]]
			if !ok {
				at = uint32(2 * g.rule.points * len(shares))
				places[b.before[i]] = at
				shares = append(shares, b.before[i])
			}
			out.Curve = at
		}
		for side, child := range [2]int32{b.tree.Nodes[i].Left, b.tree.Nodes[i].Right} {
			if child >= 0 {
				g.nodes[child].Out = out.Frame + uint32(2+side)*block
			}
		}
	}
	g.curves = g.rule.curves(shares)
	b.c.widest = b.c.widest.max(size{nodes: n, frames: kernel.MaxGameLanes * int(block) * (1 + gameFrames*levels)})
}

// rule returns a rule of at least n points in laps of at most lap.
func (b *gameBuilder) rule(n, lap int) *rule {
	laps := (n + lap - 1) / lap
	key := [2]int{(n + laps - 1) / laps, laps}
	r, ok := b.rules[key]
	if !ok {
		r = &rule{points: key[0], laps: key[1]}
		r.places, r.weights = gaussLegendre(r.points * r.laps)
		b.rules[key] = r
	}
	return r
}

// curves returns, for each lap and each share z of the training rows, tau = t/(z*(1-t)+t) for each point t of the lap,
// and psi = z/(z*(1-t)+t)^2, tau's derivative.
func (r *rule) curves(shares []float64) [][]float64 {
	out := make([][]float64, r.laps)
	for lap := range out {
		places := r.places[lap*r.points:][:r.points]
		c := make([]float64, 0, 2*r.points*len(shares))
		for _, z := range shares {
			for _, t := range places {
				c = append(c, t/(float64(z*(1-t))+t))
			}
			for _, t := range places {
				x := float64(z*(1-t)) + t
				c = append(c, z/(x*x))
			}
		}
		out[lap] = c
	}
	return out
}
