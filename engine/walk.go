package engine

import "github.com/treeline-ml/treeline/forest"

// walkGroup evaluates a run of trees by walking them row by row, several walks at a time. It serves trees that are too
// large for masks, and all trees when there are only a few rows.
//
// Values are turned into integer keys, one per row and column. A column is a feature with one way of placing NaN and
// zero: they become the lowest or the highest key, so a step compares one integer and adds the outcome to the left
// child's index. Leaves lead to themselves.
type walkGroup[F float] struct {
	columns []walkColumn
	stride  int // keys per row: a power of two, at least len(columns)
	entries []entry
	trees   []walkTree // in training order
	leaves  []F
	sets    []walkSet // what setEntry entries test
	members []uint64  // bit sets of walkSet
	mixed   bool      // there are setEntry entries
}

// entry is a node or a leaf. A node's right child follows its left child.
type entry struct {
	key  int64  // goes right above; a setEntry's index in sets; highestKey for a leaf
	in   uint32 // column, with setEntry; a leaf's number in its tree's values
	next uint32 // left child; a leaf's own index
}

const setEntry = 1 << 31

type walkTree struct {
	root   uint32
	depth  int
	leaves int // offset of the leaf values
	output int
	vector bool
}

// walkSet is a set of column keys (see categoryKey): bit min(key, n-1) of members, from bit first on, is set iff the
// key goes right.
type walkSet struct{ first, n int }

// walkColumn says how a feature's values become keys.
type walkColumn struct {
	feature  int32
	category bool
	nanHigh  bool
	zero     forest.ZeroRule
}

// The keys of a categorical column: code c is c+2.
const (
	nanCategory = 0
	noCategory  = 1
)

// newWalkGroup compiles trees. numbers and offsets place their leaf values in leaves.
func newWalkGroup[F float](m *forest.Model, trees []forest.Tree, l *leafTable[F]) *walkGroup[F] {
	g := &walkGroup[F]{leaves: l.values}
	columns := make(map[walkColumn]uint32)
	sets := make(map[split]int64)
	total := 0
	for i := range trees {
		total += 2*len(trees[i].Nodes) + 1
	}
	g.entries = make([]entry, 0, total)
	for i := range trees {
		t := &trees[i]
		g.trees = append(g.trees, walkTree{
			root: uint32(len(g.entries)), leaves: l.offsets[i], output: t.Output, vector: t.Vector,
			depth: g.addTree(m, t, l.numbers[i], columns, sets),
		})
	}
	g.stride = 1
	for g.stride < len(g.columns) {
		g.stride *= 2
	}
	return g
}

// addTree appends a tree's entries, level by level, and returns its depth.
func (g *walkGroup[F]) addTree(m *forest.Model, t *forest.Tree, number []int, columns map[walkColumn]uint32, sets map[split]int64) int {
	type place struct{ child, at, depth int32 }
	root := len(g.entries)
	g.entries = append(g.entries, entry{})
	queue := make([]place, 1, len(t.Nodes)+1)
	queue[0] = place{at: int32(root)}
	if len(t.Nodes) == 0 {
		queue[0].child = ^0
	}
	depth := int32(0)
	for i := 0; i < len(queue); i++ {
		p := queue[i]
		depth = max(depth, p.depth)
		if p.child < 0 {
			g.entries[p.at] = entry{key: highestKey, in: uint32(number[^p.child]), next: uint32(p.at)}
			continue
		}
		n := &t.Nodes[p.child]
		left := int32(len(g.entries))
		e := g.node(m, newSplit(n, m.Arithmetic.FlushZero), columns, sets)
		e.next = uint32(left)
		g.entries[p.at] = e
		g.entries = append(g.entries, entry{}, entry{})
		queue = append(queue, place{n.Left, left, p.depth + 1}, place{n.Right, left + 1, p.depth + 1})
	}
	return int(depth)
}

// node returns a node's entry without its children.
func (g *walkGroup[F]) node(m *forest.Model, s split, columns map[walkColumn]uint32, sets map[split]int64) entry {
	c := walkColumn{feature: s.feature}
	e := entry{}
	switch s.kind {
	case setSplit:
		c.category = true
		at, ok := sets[s]
		if !ok {
			at = int64(len(g.sets))
			g.addSet(m.Sets[s.set], s)
			sets[s] = at
		}
		e.key, e.in = at, setEntry
		g.mixed = true
	default:
		c.nanHigh, c.zero = s.nanRight, s.zero
		switch s.kind {
		case everSplit:
			e.key = lowestKey
		case neverSplit:
			e.key = highestKey - 1
		default:
			e.key = key(s.cut)
		}
	}
	at, ok := columns[c]
	if !ok {
		at = uint32(len(g.columns))
		g.columns = append(g.columns, c)
		columns[c] = at
	}
	e.in |= at
	return e
}

// addSet appends the set of keys that go right.
func (g *walkGroup[F]) addSet(set forest.CategorySet, s split) {
	n := 32*len(set) + 3 // NaN, no code, the codes, and one code beyond them
	w := walkSet{first: 64 * len(g.members), n: n}
	g.members = append(g.members, make([]uint64, (n+63)/64)...)
	put := func(at int, right bool) {
		g.members[(w.first+at)>>6] |= uint64(one(right)) << ((w.first + at) & 63)
	}
	put(nanCategory, s.nanRight)
	put(noCategory, !s.otherLeft)
	for c := range n - 2 {
		put(c+2, set.Has(c) != s.inSet)
	}
	g.sets = append(g.sets, w)
}

// fill writes the keys of a column for rows from..from+n to every stride-th key.
func (c *walkColumn) fill(keys []int64, stride int, v []float64, a *arithmetic) {
	if c.category {
		for r, x := range v {
			k := nanCategory
			if x == x {
				k = categoryCode(x, a.cast) + 2
			}
			keys[r*stride] = int64(k)
		}
		return
	}
	nan := int64(lowestKey)
	if c.nanHigh {
		nan = highestKey
	}
	for r, x := range v {
		k := key(x)
		if x != x {
			k = nan
		}
		keys[r*stride] = k
	}
	if c.zero == forest.ZeroCompares {
		return
	}
	zero := int64(lowestKey)
	if c.zero == forest.ZeroRight {
		zero = highestKey
	}
	for r, x := range v {
		if isZero(x, a.flush) {
			keys[r*stride] = zero
		}
	}
}
