package engine

import (
	"math"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// decision is a node's split as contributions and leaf numbers decide it: from the values themselves, for up to 64 rows
// at a time.
type decision struct {
	cut       float64
	place     int32 // of the feature among those that the program reads
	set       int32 // in decider.sets
	kind      splitKind
	zero      forest.ZeroRule
	nanRight  bool
	inSet     bool
	otherLeft bool
}

// decider decides the splits of a model. It keeps nothing of the model.
type decider struct {
	arithmetic arithmetic
	kernel     *kernel.Table
	reads      []int // the program's
	sets       []forest.CategorySet
	zeros      bool   // some split has a zero rule
	coded      []bool // by place: some split reads the feature as a category
	stride     int    // rows that are decided at a time, a multiple of 16 up to 64
}

// maxCells bounds the values that a moment holds, so that models of very many features read fewer rows at a time.
const maxCells = 1 << 20

// newDecider also returns the decisions of each tree, by node.
func newDecider(m *forest.Model, trees []forest.Tree, reads []int, a arithmetic, tier *kernel.Table) (*decider, [][]decision) {
	d := &decider{arithmetic: a, kernel: tier, reads: reads, coded: make([]bool, len(reads)), stride: word}
	for d.stride > kernel.MaxGameLanes && d.stride*len(reads) > maxCells {
		d.stride /= 2
	}
	place := make([]int32, len(m.Features))
	for i, f := range reads {
		place[f] = int32(i)
	}
	kept := make(map[int32]int32)
	all := make([][]decision, len(trees))
	for i := range trees {
		nodes := trees[i].Nodes
		all[i] = make([]decision, len(nodes))
		for j := range nodes {
			s := newSplit(&nodes[j], a.flush)
			e := decision{
				cut: s.cut, place: place[s.feature], kind: s.kind, zero: s.zero, nanRight: s.nanRight, inSet: s.inSet,
				otherLeft: s.otherLeft,
			}
			d.zeros = d.zeros || s.zero != forest.ZeroCompares
			if s.kind == setSplit {
				d.coded[e.place] = true
				to, ok := kept[s.set]
				if !ok {
					to = int32(len(d.sets))
					kept[s.set] = to
					d.sets = append(d.sets, append(forest.CategorySet(nil), m.Sets[s.set]...))
				}
				e.set = to
			}
			all[i][j] = e
		}
	}
	return d, all
}

// batch holds a tree's decisions for all of its nodes at a time: those that a kernel makes, and the others.
type batch struct {
	tests, nanTests []kernel.Test // NaN goes left, right
	others          []int32       // nodes
}

func (d *decider) batch(decisions []decision) batch {
	var b batch
	for i := range decisions {
		e := &decisions[i]
		t := kernel.Test{Cut: e.cut, Place: uint32(int(e.place) * d.stride), Word: uint32(i)}
		switch {
		case d.stride < word || e.kind != cutSplit || e.zero != forest.ZeroCompares:
			b.others = append(b.others, int32(i))
		case e.nanRight:
			b.nanTests = append(b.nanTests, t)
		default:
			b.tests = append(b.tests, t)
		}
	}
	return b
}

// decide writes for each node the rows that it sends right; bits beyond the rows are arbitrary.
func (d *decider) decide(turns []uint64, b *batch, decisions []decision, v *moment) {
	d.kernel.Above(turns, v.values, v.rows, b.tests)
	d.kernel.AboveOrNaN(turns, v.values, v.rows, b.nanTests)
	for _, i := range b.others {
		turns[i] = d.right(&decisions[i], v)
	}
}

// moment holds the values of up to decider.stride rows, feature by feature.
type moment struct {
	rows   int
	values []float64 // by place, stride values each
	codes  []int32   // the same for categories, -1 where a value has none
	nan    []uint64  // by place: the rows without a value
	zero   []uint64  // by place: the rows whose value is zero
	stride int
}

func (d *decider) newMoment() moment {
	v := moment{stride: d.stride, values: kernel.Aligned[float64](d.stride * len(d.reads)), nan: make([]uint64, len(d.reads))}
	if len(d.sets) > 0 {
		v.codes = make([]int32, len(v.values))
	}
	if d.zeros {
		v.zero = make([]uint64, len(d.reads))
	}
	return v
}

// read takes in rows from..from+n of b, n <= stride.
func (d *decider) read(v *moment, b *Block, from, n int) {
	v.rows = n
	for i, f := range d.reads {
		own := v.values[i*v.stride:][:n]
		got := b.cols[f].values(own, from, n, &d.arithmetic.reading)
		if n > 0 && &got[0] != &own[0] {
			copy(own, got)
		}
		var nan uint64
		for r, x := range own {
			nan |= uint64(one(x != x)) << (r & 63)
		}
		v.nan[i] = nan
		if d.zeros {
			var zero uint64
			for r, x := range own {
				zero |= uint64(one(isZero(x, d.arithmetic.flush))) << (r & 63)
			}
			v.zero[i] = zero
		}
		if d.coded[i] {
			codes := v.codes[i*v.stride:][:n]
			for r, x := range own {
				codes[r] = -1
				if x == x {
					codes[r] = int32(categoryCode(x, d.arithmetic.cast))
				}
			}
		}
	}
}

// right returns the rows that e sends right; bits beyond the rows are arbitrary.
func (d *decider) right(e *decision, v *moment) uint64 {
	var w uint64
	at := int(e.place) * v.stride
	switch e.kind {
	case cutSplit:
		cut := e.cut
		for r, x := range v.values[at : at+v.rows] {
			w |= uint64(one(x > cut)) << (r & 63)
		}
	case everSplit:
		w = math.MaxUint64
	case setSplit:
		set := d.sets[e.set]
		other := uint64(one(!e.otherLeft))
		outside := uint64(one(e.inSet))
		for r, c := range v.codes[at : at+v.rows] {
			bit := other
			if c >= 0 {
				bit = outside ^ uint64(one(set.Has(int(c))))
			}
			w |= bit << (r & 63)
		}
	}
	switch e.zero {
	case forest.ZeroLeft:
		w &^= v.zero[e.place]
	case forest.ZeroRight:
		w |= v.zero[e.place]
	}
	if e.nanRight {
		return w | v.nan[e.place]
	}
	return w &^ v.nan[e.place]
}

// goesRight is right for one row.
func (d *decider) goesRight(e *decision, v *moment, r int) bool {
	at := int(e.place)*v.stride + r
	x := v.values[at]
	if x != x {
		return e.nanRight
	}
	if e.zero != forest.ZeroCompares && v.zero[e.place]>>r&1 == 1 {
		return e.zero == forest.ZeroRight
	}
	switch e.kind {
	case cutSplit:
		return x > e.cut
	case everSplit:
		return true
	case setSplit:
		c := v.codes[at]
		if c < 0 {
			return !e.otherLeft
		}
		return d.sets[e.set].Has(int(c)) != e.inSet
	}
	return false
}
