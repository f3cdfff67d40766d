package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// slotColumn turns a categorical feature's values into slots. Slot 0 is every code that no set mentions; then come the
// classes of codes that the column's sets tell apart, the values without a code, and NaN.
type slotColumn struct {
	feature int32
	column  uint32
	classes int
	pages   []uint32 // by code/slotPage: offset in table; 0 is a page of slot 0
	table   []uint16
}

const (
	slotPage   = 1 << 10 // codes of a page: wide sets are sparse
	maxClasses = 60_000
	maxSetBits = 1 << 27 // of a column's sets: 16 MiB
)

// slot returns the slot of x.
func (c *slotColumn) slot(x float64, cast forest.CategoryCast) uint16 {
	if x != x {
		return uint16(c.classes + 1)
	}
	code := categoryCode(x, cast)
	switch {
	case code < 0:
		return uint16(c.classes)
	case code/slotPage >= len(c.pages):
		return 0
	}
	return c.table[int(c.pages[code/slotPage])+code%slotPage]
}

// fill writes the slots of rows from.. of col.
func (c *slotColumn) fill(out []uint16, k *ranker, col *Column, from int) {
	for i, x := range col.values(k.doubles[:], from, len(out), &k.reading) {
		out[i] = c.slot(x, k.cast)
	}
}

// planSlots makes the columns of set splits, which are sorted by feature.
func (c *codeBuilder) planSlots(splits []split) {
	for len(splits) > 0 {
		col := slotColumn{feature: splits[0].feature, classes: 1, table: make([]uint16, slotPage)}
		r := refinery{column: &col, size: []int{0}, member: []int{-1}, seen: make(map[int32]bool)}
		n := 0
		for n < len(splits) && // a column's first set always fits
			splits[n].feature == col.feature && (n+1)*col.classes < maxSetBits &&
			r.refine(splits[n].set, c.m.Sets[splits[n].set]) {
			n++
		}
		col.column = c.p.take(codeColumn{})
		words := (col.classes + 2 + 63) / 64
		for _, s := range splits[:n] {
			c.sets[s] = codeNode{column: col.column, isSet: true, set: uint32(len(c.p.sets))}
			c.p.sets = append(c.p.sets, uint32(len(c.p.members)))
			c.p.members = append(c.p.members, make([]uint64, words)...)
			w := c.p.members[len(c.p.members)-words:]
			put := func(slot int, right bool) { w[slot>>6] |= uint64(one(right)) << (slot & 63) }
			put(0, s.inSet)
			for class := 1; class < col.classes; class++ {
				put(class, c.m.Sets[s.set].Has(r.member[class]) != s.inSet)
			}
			put(col.classes, !s.otherLeft)
			put(col.classes+1, s.nanRight)
		}
		col.table, col.pages = exact(col.table), exact(col.pages)
		c.p.slots = append(c.p.slots, col)
		splits = splits[n:]
	}
	if len(c.p.slots) > 0 {
		c.p.members = append(c.p.members, make([]uint64, kernel.MemberSlack)...)
	}
}

// refinery splits the codes of a column into classes that no set tells apart.
type refinery struct {
	column *slotColumn
	size   []int // by class: its codes; not kept for class 0, which is endless
	member []int // by class: one of its codes
	seen   map[int32]bool
}

// refine makes every class lie inside or outside the set; false, with nothing changed, if there would be too many.
func (r *refinery) refine(id int32, set forest.CategorySet) bool {
	if r.seen[id] {
		return true
	}
	c := r.column
	inside := make(map[uint16]int) // by class: codes in the set
	for code := range codes(set) {
		inside[r.class(code)]++
	}
	moved := make(map[uint16]uint16)
	for class, n := range inside {
		if class == 0 || n < r.size[class] {
			moved[class] = 0
		}
	}
	if c.classes+len(moved) > maxClasses {
		return false
	}
	r.seen[id] = true
	if len(moved) == 0 {
		return true
	}
	for code := range codes(set) {
		from := r.class(code)
		to, ok := moved[from]
		if !ok {
			continue
		}
		if to == 0 {
			to = uint16(c.classes)
			moved[from] = to
			c.classes++
			r.size, r.member = append(r.size, 0), append(r.member, code)
		}
		r.size[from]--
		r.size[to]++
		r.put(code, to)
	}
	for from := range moved { // a class's first code may have left it
		if from != 0 && r.class(r.member[from]) != from {
			r.member[from] = -1
		}
	}
	r.remember(moved)
	return true
}

// remember finds a code for every class that has lost its own.
func (r *refinery) remember(moved map[uint16]uint16) {
	missing := 0
	for from := range moved {
		if from != 0 && r.member[from] < 0 {
			missing++
		}
	}
	for page, at := range r.column.pages {
		if missing == 0 {
			return
		}
		if at == 0 {
			continue
		}
		for i, class := range r.column.table[at : at+slotPage] {
			if class != 0 && r.member[class] < 0 {
				r.member[class] = page*slotPage + i
				missing--
			}
		}
	}
}

func (r *refinery) class(code int) uint16 {
	c := r.column
	if code/slotPage >= len(c.pages) {
		return 0
	}
	return c.table[int(c.pages[code/slotPage])+code%slotPage]
}

func (r *refinery) put(code int, class uint16) {
	c := r.column
	for code/slotPage >= len(c.pages) {
		c.pages = append(c.pages, 0)
	}
	if c.pages[code/slotPage] == 0 {
		c.pages[code/slotPage] = uint32(len(c.table))
		c.table = append(c.table, make([]uint16, slotPage)...)
	}
	c.table[int(c.pages[code/slotPage])+code%slotPage] = class
}
