package forest

import (
	"errors"
	"fmt"
)

// The limits that Validate enforces. They are far above what the training libraries produce and keep a hostile file
// from costing more than its size.
const (
	MaxFeatures     = 1 << 24
	MaxOutputs      = 1 << 20
	MaxTrees        = 1 << 22
	MaxNodesPerTree = 1 << 26
	MaxDepth        = 1 << 16 // splits on the way to a leaf
	MaxSetWords     = 1 << 26 // a set holds codes of an int32
)

// ErrInvalid is wrapped by every error of Validate: whoever made the model must correct it.
var ErrInvalid = errors.New("forest: invalid model")

// Error places a broken invariant. Tree and Node are -1 where the fault is not in one.
type Error struct {
	Tree, Node int
	Problem    string
}

// Error says where and what.
func (e *Error) Error() string {
	switch {
	case e.Tree < 0:
		return fmt.Sprintf("%v: %s", ErrInvalid, e.Problem)
	case e.Node < 0:
		return fmt.Sprintf("%v: tree %d: %s", ErrInvalid, e.Tree, e.Problem)
	}
	return fmt.Sprintf("%v: tree %d, node %d: %s", ErrInvalid, e.Tree, e.Node, e.Problem)
}

// Unwrap makes errors.Is(err, ErrInvalid) hold.
func (e *Error) Unwrap() error { return ErrInvalid }

// Validate checks the invariants I1 to I5 and the limits. It takes time linear in the model and memory linear in its
// largest tree, whatever the model says. The error is an *Error.
func (m *Model) Validate() error {
	if err := m.validateHead(); err != nil {
		return err
	}
	v := validator{m: m}
	for t := range m.Trees {
		if node, problem := v.tree(&m.Trees[t]); problem != "" {
			return &Error{Tree: t, Node: node, Problem: problem}
		}
	}
	return nil
}

func (m *Model) validateHead() error {
	switch {
	case len(m.Features) > MaxFeatures:
		return headError("%d features, at most %d are allowed", len(m.Features), MaxFeatures)
	case m.Outputs < 1 || m.Outputs > MaxOutputs:
		return headError("%d outputs, want 1 to %d", m.Outputs, MaxOutputs)
	case len(m.Trees) > MaxTrees:
		return headError("%d trees, at most %d are allowed", len(m.Trees), MaxTrees)
	case len(m.Base) != m.Outputs:
		return headError("%d base values for %d outputs", len(m.Base), m.Outputs)
	case m.Bias != nil && len(m.Bias) != m.Outputs:
		return headError("%d bias values for %d outputs", len(m.Bias), m.Outputs)
	case !finite(m.Base) || !finite(m.Bias):
		return headError("a base or bias value is not finite")
	case m.Scale == 0 || !isFinite(m.Scale):
		return headError("scale is %v", m.Scale)
	case m.Iterations < 0:
		return headError("%d iterations", m.Iterations)
	case m.Stop < 0 || m.Stop > m.Iterations:
		return headError("stop after %d of %d iterations", m.Stop, m.Iterations)
	case m.Arithmetic.Input > Float32, m.Arithmetic.Sum > Float32, m.Arithmetic.CategoryCast > CastNonNegative:
		return headError("unknown arithmetic %+v", m.Arithmetic)
	}
	for f := range m.Features {
		if m.Features[f].Kind > Categorical || m.Features[f].Unknown > UnknownError {
			return headError("feature %d has an unknown kind or policy", f)
		}
	}
	for s, set := range m.Sets {
		if len(set) > MaxSetWords {
			return headError("category set %d has %d words, at most %d are allowed", s, len(set), MaxSetWords)
		}
	}
	return m.Link.validate()
}

func (l *Link) validate() error {
	switch {
	case l.Kind > Probability || l.Type > Float32:
		return headError("unknown link %+v", *l)
	case l.Divisor == 0 || !isFinite(l.Divisor):
		return headError("link divisor is %v", l.Divisor)
	case l.Slope == 0 || !isFinite(l.Slope):
		return headError("link slope is %v", l.Slope)
	}
	return nil
}

func headError(format string, args ...any) error {
	return &Error{Tree: -1, Node: -1, Problem: fmt.Sprintf(format, args...)}
}

// validator keeps its scratch memory from tree to tree.
type validator struct {
	m       *Model
	depth   []int32  // splits above each node; 0 for a node not reached yet (but the root)
	reached []uint64 // bit set of leaves
}

// tree returns the first problem, and its node or -1.
func (v *validator) tree(t *Tree) (node int, problem string) {
	m, n := v.m, len(t.Nodes)
	switch {
	case n > MaxNodesPerTree:
		return -1, fmt.Sprintf("%d nodes, at most %d are allowed", n, MaxNodesPerTree)
	case !t.Vector && (t.Output < 0 || t.Output >= m.Outputs):
		return -1, fmt.Sprintf("output %d of %d", t.Output, m.Outputs)
	case !t.Vector && len(t.Leaves) != n+1:
		return -1, fmt.Sprintf("%d leaf values for %d leaves", len(t.Leaves), n+1)
	case t.Vector && (len(t.Leaves)%m.Outputs != 0 || len(t.Leaves)/m.Outputs != n+1):
		return -1, fmt.Sprintf("%d leaf values for %d leaves of %d outputs", len(t.Leaves), n+1, m.Outputs)
	case t.NodeCover != nil && len(t.NodeCover) != n, t.Gain != nil && len(t.Gain) != n,
		t.LeafCover != nil && len(t.LeafCover) != n+1, t.LeafNames != nil && len(t.LeafNames) != n+1:
		return -1, "statistics do not fit the nodes"
	case !m.NonFiniteLeaves && !finite(t.Leaves):
		return -1, "a leaf value is not finite"
	}
	v.depth = zeroed(v.depth, n)
	v.reached = zeroed(v.reached, n/64+1)
	for i := range t.Nodes {
		if problem := v.node(t, i); problem != "" {
			return i, problem
		}
	}
	return -1, ""
}

// node checks node i, whose parent has been checked: children come after their parents (I2), so one pass in index
// order sees every node after the split that leads to it.
func (v *validator) node(t *Tree, i int) string {
	n := &t.Nodes[i]
	if i > 0 && v.depth[i] == 0 {
		return "not reachable from the root"
	}
	if v.depth[i] >= MaxDepth {
		return fmt.Sprintf("deeper than %d splits", MaxDepth)
	}
	if problem := v.split(n); problem != "" {
		return problem
	}
	for _, c := range [2]int32{n.Left, n.Right} {
		if c < 0 {
			leaf := int(^c)
			if leaf > len(t.Nodes) {
				return fmt.Sprintf("leaf %d of %d", leaf, len(t.Nodes)+1)
			}
			if v.reached[leaf>>6]>>(leaf&63)&1 == 1 {
				return fmt.Sprintf("leaf %d has two parents", leaf)
			}
			v.reached[leaf>>6] |= 1 << (leaf & 63)
			continue
		}
		child := int(c)
		switch {
		case child >= len(t.Nodes):
			return fmt.Sprintf("child %d of %d nodes", child, len(t.Nodes))
		case child <= i:
			return fmt.Sprintf("child %d does not come after its parent", child)
		case v.depth[child] != 0:
			return fmt.Sprintf("child %d has two parents", child)
		}
		v.depth[child] = v.depth[i] + 1
	}
	return ""
}

// split checks what the node compares.
func (v *validator) split(n *Node) string {
	if n.Feature < 0 || int(n.Feature) >= len(v.m.Features) {
		return fmt.Sprintf("feature %d of %d", n.Feature, len(v.m.Features))
	}
	switch n.Op {
	case LessEqual, Less:
		switch {
		case n.Threshold != n.Threshold:
			return "threshold is NaN"
		case v.m.Arithmetic.Input == Float32 && float64(float32(n.Threshold)) != n.Threshold:
			return fmt.Sprintf("threshold %v is not a float32 value", n.Threshold)
		case n.Zero > ZeroRight:
			return fmt.Sprintf("unknown zero rule %d", n.Zero)
		}
	case InSet, NotInSet:
		if n.Set < 0 || int(n.Set) >= len(v.m.Sets) {
			return fmt.Sprintf("category set %d of %d", n.Set, len(v.m.Sets))
		}
	default:
		return fmt.Sprintf("unknown operator %d", n.Op)
	}
	return ""
}

func zeroed[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

func isFinite(x float64) bool { return x-x == 0 }

func finite(v []float64) bool {
	for _, x := range v {
		if !isFinite(x) {
			return false
		}
	}
	return true
}
