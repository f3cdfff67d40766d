package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// maxBlock is the largest number of rows that a ranker takes at a time: the widest tier's block.
const maxBlock = 512

// ranker turns columns into codes. It belongs to one goroutine's scratch memory.
type ranker struct {
	kernel  *kernel.Table
	reading reading
	cast    forest.CategoryCast
	doubles [maxBlock]float64
}

// slotTable gives each category code its slot. Codes from len(byCode) on have slot 0.
type slotTable struct {
	byCode []uint16
	none   uint16 // the slot of values that have no code
	nan    uint16
}

// codes8 writes the codes of rows from..from+n of c among q's cuts, of which there are at most kernel.MaxCuts8. n is at
// most maxBlock.
func (k *ranker) codes8(dst []uint8, q *kernel.Cuts, c *Column, from, n int) {
	k.kernel.Rank64x8(dst, q, c.values(k.doubles[:], from, n, &k.reading))
}

// codes16 is codes8 for any number of cuts.
func (k *ranker) codes16(dst []uint16, q *kernel.Cuts, c *Column, from, n int) {
	k.kernel.Rank64x16(dst, q, c.values(k.doubles[:], from, n, &k.reading))
}

// zeros writes a bit for each row: bit r%64 of dst[r/64] is set iff row from+r is zero and not missing. Bits from n on
// are arbitrary.
func (k *ranker) zeros(dst []uint64, c *Column, from, n int, flush bool) {
	v := c.values(k.doubles[:], from, n, &k.reading)
	for len(v) > 0 {
		rows := v[:min(word, len(v))]
		var z uint64
		for r, x := range rows {
			z |= uint64(one(isZero(x, flush))) << (r & 63)
		}
		dst[0] = z
		dst, v = dst[1:], v[len(rows):]
	}
}

// slots writes the slots of rows from..from+n of a column of category codes.
func (k *ranker) slots(dst []uint16, s *slotTable, c *Column, from, n int) {
	v := c.values(k.doubles[:], from, n, &k.reading)
	dst = dst[:len(v)]
	for r, x := range v {
		dst[r] = s.slot(x, k.cast)
	}
}

// slot is the slot of x.
func (s *slotTable) slot(x float64, cast forest.CategoryCast) uint16 {
	if x != x {
		return s.nan
	}
	code := categoryCode(x, cast)
	switch {
	case code < 0:
		return s.none
	case code < len(s.byCode):
		return s.byCode[code]
	}
	return 0
}
