package engine

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/treeline-ml/treeline/engine/internal/kernel"

	"github.com/treeline-ml/treeline/forest"
)

// maskPlan computes, for 64 rows at a time, one machine word for each distinct split of a group of trees: bit r is set
// iff row r goes right. Words are numbered; number 0 is no row, number 1 every row.
//
// A numeric feature's words come from its ranks in one sweep over all cuts (exceed), a categorical feature's from a
// table of its categories' outcomes, transposed (setMasks).
type maskPlan struct {
	numeric []numericMasks
	sets    []setMasks
	derived []derivation
	size    int // number of words
}

const (
	noRows  = 0
	allRows = 1
)

// numericMasks are the words of one feature: base+j is "rank > j", and base+cuts is the NaN rows unless nanLow.
type numericMasks struct {
	feature int
	ranks   *kernel.Cuts
	base    int
	zero    int // the word for rows that are zero, or 0 if no split asks
	left    int // first word for cuts whose NaN goes left
	leftOf  []uint32
	nanLow  bool // NaN goes left in every split: it ranks lowest
}

// derivation is a word made of others: (base | or) &^ not1 &^ not2.
type derivation struct{ to, base, or, not1, not2 uint32 }

// setMasks are the words of one categorical feature, first, first+1, ... Slot 0 stands for every code that no set
// mentions, then come the mentioned codes, the values without a code, and NaN. right holds, slot by slot, a bit for
// each word: whether the slot goes right there. The words of 64 rows are their slots' bits, transposed.
type setMasks struct {
	feature int
	slots   slotTable
	n       int // number of slots
	first   int
	splits  int      // number of words
	right   []uint64 // n rows of (splits+63)/64
}

const (
	maxSetCode  = 1 << 20 // codes of a set; beyond, trees are walked
	maxSetSlots = 1 << 15
	maxSetWords = 1 << 22 // of setMasks.right: 32 MiB
)

// maskable reports whether the splits can have masks.
func maskable(m *forest.Model, s split) bool {
	return s.kind != setSplit || len(m.Sets[s.set])*32 <= maxSetCode
}

// planMasks plans the words for the splits and returns each split's number.
func planMasks(m *forest.Model, all []split, t *kernel.Table) (*maskPlan, map[split]uint32, bool) {
	p := &maskPlan{size: 2}
	ids := make(map[split]uint32)
	slices.SortFunc(all, func(a, b split) int {
		return cmp.Or(cmp.Compare(a.feature, b.feature), cmp.Compare(a.kind, b.kind), cmp.Compare(a.cut, b.cut),
			cmp.Compare(a.set, b.set), cmp.Compare(a.zero, b.zero), one(a.nanRight)-one(b.nanRight),
			one(a.inSet)-one(b.inSet), one(a.otherLeft)-one(b.otherLeft))
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].feature == all[0].feature {
			n++
		}
		k, _ := slices.BinarySearchFunc(all[:n], setSplit, func(s split, k splitKind) int { return cmp.Compare(s.kind, k) })
		if k > 0 && !p.planNumeric(all[:k], ids, t) {
			return nil, nil, false
		}
		if k < n && !p.planSets(m, all[k:n], ids) {
			return nil, nil, false
		}
		all = all[n:]
	}
	p.numeric, p.sets, p.derived = exact(p.numeric), exact(p.sets), exact(p.derived)
	return p, ids, true
}

// planNumeric plans one feature's numeric splits, sorted by cut.
func (p *maskPlan) planNumeric(splits []split, ids map[split]uint32, k *kernel.Table) bool {
	var cuts []float64
	f := numericMasks{feature: int(splits[0].feature), nanLow: true}
	for _, s := range splits {
		if s.kind == cutSplit && (len(cuts) == 0 || cuts[len(cuts)-1] != s.cut) {
			cuts = append(cuts, s.cut)
		}
		f.nanLow = f.nanLow && !s.nanRight && s.kind != everSplit
		if s.zero != forest.ZeroCompares {
			f.zero = 1
		}
	}
	if len(cuts) > kernel.MaxCuts {
		return false
	}
	f.ranks = k.NewCuts(cuts, f.nanLow, len(cuts) > kernel.MaxCuts8)
	f.base = p.take(len(cuts))
	nan := uint32(noRows)
	if !f.nanLow {
		nan = uint32(p.take(1)) // the next word after the cuts': rank > len(cuts)
	}
	if f.zero != 0 {
		f.zero = p.take(1)
	}
	f.left = p.size
	var later []derivation
	for _, s := range splits {
		if _, done := ids[s]; done {
			continue
		}
		cut, _ := slices.BinarySearch(cuts, s.cut)
		plain := s.kind == cutSplit && s.zero == forest.ZeroCompares
		if plain && (s.nanRight || f.nanLow) {
			ids[s] = uint32(f.base + cut)
			continue
		}
		if plain {
			ids[s] = uint32(p.take(1))
			f.leftOf = append(f.leftOf, uint32(f.base+cut))
			continue
		}
		d := derivation{base: uint32(f.base + cut)}
		switch s.kind {
		case neverSplit:
			d.base = nan
		case everSplit:
			d.base = allRows
		}
		if !s.nanRight {
			d.not1 = nan
		}
		switch s.zero {
		case forest.ZeroLeft:
			d.not2 = uint32(f.zero)
		case forest.ZeroRight:
			d.or = uint32(f.zero)
		}
		d.to = uint32(len(later)) // its place is known once those of leftOf are
		ids[s] = laterWord | d.to
		later = append(later, d)
	}
	at := p.take(len(later))
	for _, s := range splits {
		if id := ids[s]; id&laterWord != 0 {
			ids[s] = uint32(at) + id&^laterWord
		}
	}
	for _, d := range later {
		d.to += uint32(at)
		p.derived = append(p.derived, d)
	}
	f.leftOf = exact(f.leftOf)
	p.numeric = append(p.numeric, f)
	return true
}

// laterWord marks a word that has no number yet.
const laterWord = 1 << 31

// take reserves n words.
func (p *maskPlan) take(n int) int {
	at := p.size
	p.size += n
	return at
}

// planSets plans one feature's categorical splits.
func (p *maskPlan) planSets(m *forest.Model, splits []split, ids map[split]uint32) bool {
	f := setMasks{feature: int(splits[0].feature), first: p.size, n: 1}
	words := 0
	for _, s := range splits {
		words = max(words, len(m.Sets[s.set]))
	}
	f.slots.byCode = make([]uint16, 32*words)
	for _, s := range splits {
		for c := range codes(m.Sets[s.set]) {
			if f.slots.byCode[c] != 0 {
				continue
			}
			if f.n >= maxSetSlots {
				return false
			}
			f.slots.byCode[c] = uint16(f.n)
			f.n++
		}
		if _, done := ids[s]; !done {
			ids[s] = uint32(p.take(1))
			f.splits++
		}
	}
	p.size = f.first + (f.splits+word-1)/word*word // words are made 64 at a time
	f.slots.none, f.slots.nan = uint16(f.n), uint16(f.n+1)
	f.n += 2
	width := (f.splits + word - 1) / word
	if width*f.n > maxSetWords {
		return false
	}
	f.right = make([]uint64, width*f.n)
	for _, s := range splits {
		at := int(ids[s]) - f.first
		put := func(slot int, right bool) {
			w := &f.right[slot*width+at/word]
			*w = *w&^(1<<(at%word)) | uint64(one(right))<<(at%word)
		}
		for slot := range f.n - 2 {
			put(slot, s.inSet)
		}
		for c := range codes(m.Sets[s.set]) {
			put(int(f.slots.byCode[c]), !s.inSet)
		}
		put(f.n-2, !s.otherLeft)
		put(f.n-1, s.nanRight)
	}
	p.sets = append(p.sets, f)
	return true
}

// codes iterates over the codes of a set.
func codes(s forest.CategorySet) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for w, b := range s {
			for ; b != 0; b &= b - 1 {
				if !yield(32*w + bits.TrailingZeros32(b)) {
					return
				}
			}
		}
	}
}
