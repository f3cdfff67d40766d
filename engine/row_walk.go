package engine

import (
	"math"
	"unsafe"

	"github.com/treeline-ml/treeline/forest"
)

// rowWalks are trees of any size that are walked for one row, comparing its values themselves: C is the type that can
// hold every input and so every cut, too. Input i has column 2*i, in which NaN is left as it is, so above no cut, and
// column 2*i+1, in which it is above all. Then come the columns of slots (slotColumn), for category sets.
type rowWalks[C float] struct {
	rowInputs
	slots   []slotColumn
	cast    forest.CategoryCast
	nodes   []rowNode[C]
	sets    []uint32 // by node, if there are category sets: the set's first word in members
	members []uint64
	roots   []int32 // by tree; a leaf is ^number
}

// rowNode is a node. The upper bytes of left and right are the column, with setColumn for category sets; the rest is a
// child: the distance to its node, or childLeaf and a leaf's number.
type rowNode[C float] struct {
	cut      C // rows go right above; NaN for category sets
	children [2]uint32
}

const (
	childLeaf     = 1 << 23
	childMask     = 1<<24 - 1
	setColumn     = 1 << 15
	maxWalkLeaves = childLeaf // of a tree
)

// rowWalker is a rowWalks of either type.
type rowWalker interface {
	fill(s *rowScratch, b *Block, row int, rd *reading)
	find(s *rowScratch, first int, found []uint32)
	bytes() int
}

// walkCodes are the columns of a row in scratch memory.
type walkCodes struct {
	singles []float32
	doubles []float64
	slots   []uint16
}

// newRowWalks compiles the given trees; nil if they have too many columns.
func newRowWalks[C float](m *forest.Model, trees []forest.Tree, part []int, numbers [][]int) *rowWalks[C] {
	w := &rowWalks[C]{cast: m.Arithmetic.CategoryCast}
	w.flush = m.Arithmetic.FlushZero
	cuts, decided := make(map[rowFeature]int), make(map[split]int)
	var sets []forest.Node
	total := 0
	for _, i := range part {
		total += len(trees[i].Nodes)
		for j := range trees[i].Nodes {
			s := newSplit(&trees[i].Nodes[j], w.flush)
			f := rowFeature{s.feature, s.zero}
			switch s.kind {
			case setSplit:
				sets = append(sets, trees[i].Nodes[j])
			case cutSplit:
				if _, ok := cuts[f]; !ok {
					cuts[f] = len(w.inputs)
					w.add(rowInput{feature: s.feature, zero: s.zero})
				}
			default:
				if _, ok := decided[s]; !ok {
					decided[s] = len(w.inputs)
					w.add(rowInput{feature: s.feature, decided: true, split: s})
				}
			}
		}
	}
	var slots *codeBuilder
	if len(sets) > 0 {
		slots = newCodeBuilder(m, []forest.Tree{{Nodes: sets}})
		w.slots, w.members = exact(slots.p.slots), exact(slots.p.members)
	}
	if 2*len(w.inputs)+len(w.slots) > setColumn || total > math.MaxInt32 {
		return nil
	}
	slotAt := make(map[uint32]int)
	for i := range w.slots {
		slotAt[w.slots[i].column] = 2*len(w.inputs) + i
	}
	w.nodes = make([]rowNode[C], 0, total)
	if len(sets) > 0 {
		w.sets = make([]uint32, total)
	}
	for _, i := range part {
		t := &trees[i]
		root := len(w.nodes)
		if len(t.Nodes) == 0 {
			w.roots = append(w.roots, ^0)
			continue
		}
		w.roots = append(w.roots, int32(root))
		for j := range t.Nodes {
			n := &t.Nodes[j]
			s := newSplit(n, w.flush)
			out := rowNode[C]{}
			var column int
			switch s.kind {
			case setSplit:
				c := slots.node(&s)
				column = slotAt[c.column] | setColumn
				out.cut = C(math.NaN())
				w.sets[len(w.nodes)] = slots.p.sets[c.set]
			case cutSplit:
				column = 2*cuts[rowFeature{s.feature, s.zero}] + one(s.nanRight)
				out.cut = roundDown[C](s.cut)
			default:
				column = 2 * decided[s]
				out.cut = 0.5
			}
			for side, c := range [2]int32{n.Left, n.Right} {
				child := uint32(int(c) - j)
				if c < 0 {
					child = childLeaf | uint32(numbers[i][^c])
				}
				out.children[side] = child | uint32(column>>(8*side)&0xff)<<24
			}
			w.nodes = append(w.nodes, out)
		}
	}
	return w
}

// roundDown returns the highest C that is not above x: the C above it are those above x.
func roundDown[C float](x float64) C {
	c := C(x)
	if float64(c) > x {
		c = C(math.Nextafter32(float32(c), float32(math.Inf(-1))))
	}
	return c
}

// values are the row's values by column.
func (w *rowWalks[C]) values(s *rowScratch) *[]C {
	if v, ok := any(&s.walk.doubles).(*[]C); ok {
		return v
	}
	return any(&s.walk.singles).(*[]C)
}

// fill writes a row's columns.
func (w *rowWalks[C]) fill(s *rowScratch, b *Block, row int, rd *reading) {
	n := len(w.inputs)
	values := w.values(s)
	s.room(n)
	if columns := 2*n + len(w.slots); len(*values) < columns {
		*values, s.walk.slots = make([]C, columns), make([]uint16, columns)
	}
	w.rowInputs.fill(s.inputs, s.odd, b, row, rd)
	v := (*values)[:2*n]
	for i, x := range s.inputs[:n] {
		v[2*i] = C(x)
		if x != x {
			x = math.Inf(1)
		}
		v[2*i+1] = C(x)
	}
	for i := range w.slots {
		c := &w.slots[i]
		s.walk.slots[2*n+i] = c.slot(b.cols[c.feature].at(row, rd), w.cast)
	}
}

// find writes the leaf numbers of len(found) trees, from first on.
func (w *rowWalks[C]) find(s *rowScratch, first int, found []uint32) {
	if w.sets != nil {
		w.findSets(s, first, found)
		return
	}
	values := *w.values(s)
	active := s.start(w.roots[first:], found)
	nodes := w.nodes
	for len(active) > 0 {
		n := 0
		for _, a := range active {
			node := &nodes[a.node]
			column := node.children[0]>>24 | node.children[1]>>24<<8
			to := node.children[one(values[column] > node.cut)]
			found[a.tree] = to & (childLeaf - 1)
			active[n] = rowItem{a.tree, a.node + to&childMask}
			n += int(to>>23&1) ^ 1
		}
		active = active[:n]
	}
}

// findSets is find for trees with category sets.
func (w *rowWalks[C]) findSets(s *rowScratch, first int, found []uint32) {
	values, slots, sets, members := *w.values(s), s.walk.slots, w.sets, w.members
	active := s.start(w.roots[first:], found)
	nodes := w.nodes
	for len(active) > 0 {
		n := 0
		for _, a := range active {
			node := &nodes[a.node]
			column := node.children[0]>>24 | node.children[1]>>24&0x7f<<8
			right := uint32(one(values[column] > node.cut))
			slot := uint32(slots[column])
			in := uint32(members[sets[a.node]+slot>>6] >> (slot & 63) & 1)
			to := node.children[right|in&(node.children[1]>>31)]
			found[a.tree] = to & (childLeaf - 1)
			active[n] = rowItem{a.tree, a.node + to&childMask}
			n += int(to>>23&1) ^ 1
		}
		active = active[:n]
	}
}

// rowItem is a tree that is at a node.
type rowItem struct{ tree, node uint32 }

// start returns the trees that are not a single leaf, at their roots.
func (s *rowScratch) start(roots []int32, found []uint32) []rowItem {
	n := 0
	for i := range found {
		found[i] = 0
		s.items[n&(rowTrees-1)] = rowItem{uint32(i), uint32(roots[i])}
		n += one(roots[i] >= 0)
	}
	return s.items[:n]
}

func (w *rowWalks[C]) bytes() int {
	n := len(w.inputs)*int(unsafe.Sizeof(rowInput{})) + len(w.nodes)*int(unsafe.Sizeof(rowNode[C]{}))
	for i := range w.slots {
		n += 2*len(w.slots[i].table) + 4*len(w.slots[i].pages)
	}
	return n + 4*len(w.sets) + 8*len(w.members) + 4*len(w.roots)
}
