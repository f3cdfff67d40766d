package engine

import (
	"math"
	"math/bits"

	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// maxBlock is the largest number of rows that a ranker takes at a time: the widest tier's block.
const maxBlock = 512

// ranker turns columns into codes. It belongs to one goroutine's scratch memory.
//
// Values are ranked where they lie if the column's type allows it; nulls and values read as missing are put right
// afterwards, as there are few. Values that float32 holds exactly are ranked as float32, which is faster.
type ranker struct {
	kernel  *kernel.Table
	reading reading
	cast    forest.CategoryCast
	doubles [maxBlock]float64
	singles [maxBlock]float32
	table8  [maxBlock]uint8 // codes of a dictionary's values
	table16 [maxBlock]uint16
	zero    [maxBlock / word]uint64

	categories kernel.Categories // of the column at hand
}

// codes8 writes the codes of rows from..from+n of c among q's cuts, of which there are at most kernel.MaxCuts8. n is at
// most maxBlock.
func (k *ranker) codes8(dst []uint8, q *kernel.Cuts, c *Column, from, n int) {
	if c.tabled(n) {
		v := k.dictionary(c)
		k.kernel.Rank64x8(k.table8[:], q, v)
		lookUp(dst[:n], k.table8[:len(v)], uint8(q.NaN()), c, from)
	} else if v, ok := k.exactSingles(c, from, n); ok {
		k.kernel.Rank32x8(dst, q, v)
		patchMissing(dst, v, &k.reading, uint8(q.NaN()))
	} else {
		v := k.plainDoubles(c, from, n)
		k.kernel.Rank64x8(dst, q, v)
		patchMissing(dst, v, &k.reading, uint8(q.NaN()))
	}
	patchNulls(dst[:n], c, from, uint8(q.NaN()))
}

// codes16 is codes8 for any number of cuts.
func (k *ranker) codes16(dst []uint16, q *kernel.Cuts, c *Column, from, n int) {
	if c.tabled(n) {
		v := k.dictionary(c)
		k.kernel.Rank64x16(k.table16[:], q, v)
		lookUp(dst[:n], k.table16[:len(v)], uint16(q.NaN()), c, from)
	} else if v, ok := k.exactSingles(c, from, n); ok {
		k.kernel.Rank32x16(dst, q, v)
		patchMissing(dst, v, &k.reading, uint16(q.NaN()))
	} else {
		v := k.plainDoubles(c, from, n)
		k.kernel.Rank64x16(dst, q, v)
		patchMissing(dst, v, &k.reading, uint16(q.NaN()))
	}
	patchNulls(dst[:n], c, from, uint16(q.NaN()))
}

// zeros writes a bit for each row: bit r%64 of dst[r/64] is set iff row from+r is zero and not missing. Bits from n on
// are arbitrary.
func (k *ranker) zeros(dst []uint64, c *Column, from, n int, flush bool) {
	limit := 0.0
	if flush {
		limit = forest.ZeroThreshold
	}
	k.kernel.Zeros(k.zero[:], c.values(k.doubles[:], from, n, &k.reading), limit)
	copy(dst[:(n+word-1)/word], k.zero[:]) // so that dst may be on the caller's stack
}

// slots writes the slots of rows from..from+n of a column of category codes.
func (k *ranker) slots(dst []uint16, s *slotTable, c *Column, from, n int) {
	dst = dst[:n]
	k.categories = kernel.Categories{Slots: s.byCode, Low: -1, High: 1 << 31, None: s.none, NaN: s.nan}
	if k.cast == forest.CastNonNegative {
		k.categories.Low, k.categories.High = -math.SmallestNonzeroFloat64, 1<<24
	}
	if c.tabled(n) {
		v := k.dictionary(c)
		k.kernel.Slots(k.table16[:], &k.categories, v)
		lookUp(dst, k.table16[:len(v)], s.nan, c, from)
		patchNulls(dst, c, from, s.nan)
		return
	}
	k.kernel.Slots(dst, &k.categories, c.values(k.doubles[:], from, n, &k.reading))
}

// slotTable gives each category code its slot. Codes from len(byCode) on have slot 0.
type slotTable struct {
	byCode []uint16
	none   uint16 // the slot of values that have no code
	nan    uint16
}

// tabled reports whether n rows have few distinct values, which are in dictionary.
func (c *Column) tabled(n int) bool {
	return c.kind == kindMissing || c.kind == kindBits && n > 2 || c.lookup && len(c.table) <= min(n, maxBlock)
}

// dictionary returns the values that a tabled column's elements stand for, NaN for those read as missing.
func (k *ranker) dictionary(c *Column) []float64 {
	v := k.doubles[:len(c.table)]
	switch {
	case c.kind == kindMissing:
		v = k.doubles[:0]
	case c.lookup:
		copy(v, c.table)
		if k.reading.single {
			for i, x := range v {
				v[i] = float64(float32(x))
			}
		}
	default:
		v = append(k.doubles[:0], 0, 1)
	}
	if k.reading.hasMissing {
		for i, x := range v {
			if x == k.reading.missing {
				v[i] = math.NaN()
			}
		}
	}
	return v
}

// lookUp writes the codes of a tabled column's rows from.., and none for elements outside the table.
func lookUp[C uint8 | uint16](dst, table []C, none C, c *Column, from int) {
	switch c.kind {
	case kindInt64:
		lookUpIndex[int64](dst, table, none, c, from)
	case kindInt32:
		lookUpIndex[int32](dst, table, none, c, from)
	case kindInt16:
		lookUpIndex[int16](dst, table, none, c, from)
	case kindInt8:
		lookUpIndex[int8](dst, table, none, c, from)
	case kindUint64:
		lookUpIndex[uint64](dst, table, none, c, from)
	case kindUint32:
		lookUpIndex[uint32](dst, table, none, c, from)
	case kindUint16:
		lookUpIndex[uint16](dst, table, none, c, from)
	case kindUint8:
		lookUpIndex[uint8](dst, table, none, c, from)
	case kindBits:
		bitmap := elements[uint8](&Column{data: c.data, n: (c.offset + c.n + 7) / 8})
		no, step := table[0], table[1]-table[0] // modulo 2^8 or 2^16
		for base := 0; base < len(dst); base += word {
			n := min(word, len(dst)-base)
			w := bitsAt(bitmap, c.offset+from+base, n)
			out := dst[base : base+n]
			for i := range out {
				out[i] = no + C(w>>(i&63)&1)*step
			}
		}
	default:
		for i := range dst {
			dst[i] = none
		}
	}
}

func lookUpIndex[I Index, C uint8 | uint16](dst, table []C, none C, c *Column, from int) {
	for i, v := range elements[I](c)[from : from+len(dst)] {
		code := none // under a null the position may be anything
		if u := uint64(v); u < uint64(len(table)) {
			code = table[u]
		}
		dst[i] = code
	}
}

// exactSingles returns rows from..from+n as input-type values, if float32 holds them all. Nulls and values read as
// missing are left as they are.
func (k *ranker) exactSingles(c *Column, from, n int) ([]float32, bool) {
	dst := k.singles[:n]
	switch {
	case c.lookup:
		return nil, false
	case c.kind == kindFloat32:
		return elements[float32](c)[from : from+n], true
	case c.kind == kindInt16:
		convertSingles[int16](c, dst, from)
	case c.kind == kindInt8:
		convertSingles[int8](c, dst, from)
	case c.kind == kindUint16:
		convertSingles[uint16](c, dst, from)
	case c.kind == kindUint8:
		convertSingles[uint8](c, dst, from)
	case !k.reading.single:
		return nil, false
	case c.kind == kindFloat64:
		k.kernel.Narrow(dst, elements[float64](c)[from:from+n])
	case c.kind == kindInt64:
		convertSingles[int64](c, dst, from)
	case c.kind == kindInt32:
		convertSingles[int32](c, dst, from)
	case c.kind == kindUint64:
		convertSingles[uint64](c, dst, from)
	case c.kind == kindUint32:
		convertSingles[uint32](c, dst, from)
	default:
		return nil, false
	}
	return dst, true
}

func convertSingles[I Index](c *Column, dst []float32, from int) {
	for i, v := range elements[I](c)[from : from+len(dst)] {
		dst[i] = float32(v)
	}
}

// plainDoubles is exactSingles for all other columns.
func (k *ranker) plainDoubles(c *Column, from, n int) []float64 {
	if c.kind == kindFloat64 && !k.reading.single {
		return elements[float64](c)[from : from+n]
	}
	v := k.doubles[:n]
	c.convert(v, from, k.reading.single)
	return v
}

// patchMissing sets the codes of values that are read as missing.
func patchMissing[C uint8 | uint16, V float32 | float64](dst []C, v []V, rd *reading, nan C) {
	if !rd.hasMissing {
		return
	}
	missing := V(rd.missing)
	if float64(missing) != rd.missing {
		return // no float32 is
	}
	dst = dst[:len(v)]
	for i, x := range v {
		if x == missing {
			dst[i] = nan
		}
	}
}

// patchNulls sets the codes of null rows.
func patchNulls[C uint8 | uint16](dst []C, c *Column, from int, nan C) {
	if c.valid == nil {
		return
	}
	for base := 0; base < len(dst); base += word {
		n := min(word, len(dst)-base)
		nulls := ^bitsAt(c.valid, c.voff+from+base, n)
		if n < word {
			nulls &= 1<<n - 1
		}
		for ; nulls != 0; nulls &= nulls - 1 {
			dst[base+bits.TrailingZeros64(nulls)] = nan
		}
	}
}
