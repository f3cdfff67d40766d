package engine

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// codePlan turns the values that some trees look at into columns of 16-bit codes, so that a split is an integer
// comparison: a row goes right iff its code is above the node's. Nothing is approximated.
//
// A numeric column is a feature with one way of placing NaN and zero. Its code is the rank among the feature's distinct
// cuts, one higher where some split sends every number right (so that NaN and zero may go below all numbers); NaN and
// zero lie below or above all ranks, where a rule says so. A feature with more than maxCodeCuts cuts has several
// columns, each with a run of its cuts.
//
// A categorical column holds slots: categories that no split of the column tells apart share one. Its splits are bit
// sets of slots.
type codePlan struct {
	columns  []codeColumn
	rankings []codeRanking
	slots    []slotColumn
	sets     []uint32 // categorical splits: their first word in members
	members  []uint64 // bit s of a set: slot s goes right
	shared   bool     // a column serves both places of NaN: its code is noCode, and some nodes shift
}

// codeColumn is a numeric column's way of placing NaN and zero; a categorical column's is not used.
type codeColumn struct {
	nanRight bool
	zero     forest.ZeroRule
}

// codeRanking ranks a feature's values among a run of its cuts.
type codeRanking struct {
	feature int32
	cuts    *kernel.Cuts // NaN ranks highest
	low     uint16       // added to every rank
	columns []int32      // the columns with this ranking
}

const (
	maxCodeCuts = 65_000    // of a column
	noCode      = 1<<16 - 1 // above every row's code: a node with it sends every row left
)

// codeNode is a split in terms of codes: rows go right iff their code in the column is above code or, of a set split,
// iff its set has their slot.
type codeNode struct {
	column uint32
	set    uint32 // index in codePlan.sets
	code   uint16
	isSet  bool
	shift  bool // of a shared plan: compare the row's code plus 1, so that NaN is lowest
}

// codeBuilder makes a codePlan.
type codeBuilder struct {
	p       *codePlan // apart, so that a program keeps nothing else
	m       *forest.Model
	numeric []*numericCodes // by feature
	sets    map[split]codeNode
}

// numericCodes is what a builder knows of a feature.
type numericCodes struct {
	cuts     []float64
	ever     bool              // some split sends every number right
	variants uint              // a bit for each codeColumn that occurs
	first    int               // its first ranking
	columns  [][variants]int32 // by run of cuts: the columns, -1 for none yet
}

const variants = 6

// variant numbers the ways of placing NaN and zero.
func (c codeColumn) variant() int { return 2*int(c.zero) + one(c.nanRight) }

// newCodeBuilder collects the splits of trees.
func newCodeBuilder(m *forest.Model, trees []forest.Tree) *codeBuilder {
	c := &codeBuilder{p: &codePlan{}, m: m, numeric: make([]*numericCodes, len(m.Features)), sets: make(map[split]codeNode)}
	var sets []split
	for i := range trees {
		for j := range trees[i].Nodes {
			s := newSplit(&trees[i].Nodes[j], m.Arithmetic.FlushZero)
			if s.kind != setSplit {
				c.collect(&s)
			} else if _, ok := c.sets[s]; !ok {
				c.sets[s] = codeNode{}
				sets = append(sets, s)
			}
		}
	}
	for f := range c.numeric {
		if c.numeric[f] != nil {
			c.rank(int32(f))
		}
	}
	slices.SortStableFunc(sets, func(a, b split) int { return cmp.Compare(a.feature, b.feature) })
	c.planSlots(sets)
	return c
}

// collect notes a numeric split.
func (c *codeBuilder) collect(s *split) {
	f := c.numeric[s.feature]
	if f == nil {
		f = &numericCodes{}
		c.numeric[s.feature] = f
	}
	f.variants |= 1 << codeColumn{s.nanRight, s.zero}.variant()
	switch s.kind {
	case cutSplit:
		if len(f.cuts) == cap(f.cuts) {
			f.compact() // memory follows the distinct ones
			f.cuts = slices.Grow(f.cuts, len(f.cuts)+1)
		}
		f.cuts = append(f.cuts, s.cut)
	case everSplit:
		f.ever = true
	}
}

func (f *numericCodes) compact() {
	slices.Sort(f.cuts)
	f.cuts = slices.Compact(f.cuts)
}

// rank makes a feature's rankings.
func (c *codeBuilder) rank(feature int32) {
	f := c.numeric[feature]
	f.compact()
	f.first = len(c.p.rankings)
	low := uint16(one(f.ever))
	for from := 0; from == 0 || from < len(f.cuts); from += maxCodeCuts {
		run := f.cuts[from:min(from+maxCodeCuts, len(f.cuts))]
		c.p.rankings = append(c.p.rankings, codeRanking{feature: feature, cuts: kernel.NewCuts(run, false), low: low})
		none := [variants]int32{}
		for v := range none {
			none[v] = -1
		}
		f.columns = append(f.columns, none)
	}
}

// columns counts the columns, shared or not, that there may be.
func (c *codeBuilder) columns(shared bool) int {
	n := len(c.p.slots)
	for _, f := range c.numeric {
		switch {
		case f == nil:
		case shared:
			n += len(f.columns)
		default:
			n += len(f.columns) * bits.OnesCount(f.variants)
		}
	}
	return n
}

// share makes the plan shared, if its splits allow that.
func (c *codeBuilder) share() bool {
	const zeros = 1<<variants - 1<<2
	for _, f := range c.numeric {
		if f != nil && (f.variants&zeros != 0 || f.ever) {
			return false
		}
	}
	c.p.shared = true
	return true
}

// node returns a split's column and code, and makes the column if it is new.
func (c *codeBuilder) node(s *split) codeNode {
	if s.kind == setSplit {
		return c.sets[*s]
	}
	f := c.numeric[s.feature]
	run, cut := 0, 0
	if s.kind == cutSplit {
		cut, _ = slices.BinarySearch(f.cuts, s.cut)
		run, cut = cut/maxCodeCuts, cut%maxCodeCuts
	}
	k := codeColumn{s.nanRight, s.zero}
	if c.p.shared {
		k.nanRight = true
	}
	r := &c.p.rankings[f.first+run]
	at := &f.columns[run][k.variant()]
	if *at < 0 {
		*at = int32(c.p.take(k))
		r.columns = append(r.columns, *at)
	}
	n := codeNode{column: uint32(*at), code: uint16(cut) + r.low}
	switch s.kind {
	case neverSplit:
		n.code = uint16(r.cuts.N()) + r.low // numbers' highest code
	case everSplit:
		n.code = 0 // numbers start at 1
	}
	if c.p.shared && !s.nanRight {
		n.shift = true
		n.code++
	}
	return n
}

func (p *codePlan) take(c codeColumn) uint32 {
	p.columns = append(p.columns, c)
	return uint32(len(p.columns) - 1)
}

// fill writes the codes of rows from..from+n of b: row r's in column c is codes[c*stride+r]. It goes feature by feature,
// so that a feature's cuts, which may be many, are in a near cache for all rows.
func (p *codePlan) fill(codes []uint16, stride int, k *ranker, b *Block, from, n int, flush bool) {
	for i := range p.rankings {
		r := &p.rankings[i]
		for base := 0; base < n && len(r.columns) > 0; base += maxBlock {
			p.fillRanking(r, codes[base:], stride, k, &b.cols[r.feature], from+base, min(maxBlock, n-base), flush)
		}
	}
	for i := range p.slots {
		c := &p.slots[i]
		for base := 0; base < n; base += maxBlock {
			c.fill(codes[int(c.column)*stride+base:][:min(maxBlock, n-base)], k, &b.cols[c.feature], from+base)
		}
	}
}

// fillRanking writes the columns of one ranking; the values are ranked once.
func (p *codePlan) fillRanking(r *codeRanking, codes []uint16, stride int, k *ranker, c *Column, from, n int, flush bool) {
	ranks := codes[int(r.columns[len(r.columns)-1])*stride:][:n]
	k.codes16(ranks, r.cuts, c, from, n)
	if r.low != 0 {
		for i := range ranks {
			ranks[i] += r.low
		}
	}
	highest := uint16(r.cuts.NaN()) + r.low
	for i, at := range r.columns {
		out := codes[int(at)*stride:][:n]
		col := p.columns[at]
		nan := highest
		if p.shared {
			nan = noCode
		} else if !col.nanRight {
			nan = 0
		}
		if nan != highest {
			k.kernel.Recode(out, ranks, highest, nan) // the last column holds the ranks until then
		} else if i < len(r.columns)-1 {
			copy(out, ranks)
		}
		switch col.zero {
		case forest.ZeroLeft:
			patchZeros(out, k, c, from, flush, 0)
		case forest.ZeroRight:
			patchZeros(out, k, c, from, flush, highest)
		}
	}
}

// patchZeros sets the codes of zeros.
func patchZeros(codes []uint16, k *ranker, c *Column, from int, flush bool, code uint16) {
	var zeros [maxBlock / word]uint64
	k.zeros(zeros[:], c, from, len(codes), flush)
	for i := range codes {
		if zeros[i/word]>>(i%word)&1 == 1 {
			codes[i] = code
		}
	}
}
