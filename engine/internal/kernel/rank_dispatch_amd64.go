//go:build !purego

package kernel

import "unsafe"

// layOutVectors makes the tables of the vector tiers.
func (q *Cuts) layOutVectors() {
	q.pairs, q.buckets = newPairTable(q), newBucketTable(q)
}

// useRankAVX2 puts the assembly of rank.go's functions into t.
func useRankAVX2(t *Table) {
	t.Rank64x8 = func(dst []uint8, q *Cuts, v []float64) {
		if !rankBuckets(dst, q, v, rankFew64x8AVX2, rankLinear64x8AVX2, rankLog64x8AVX2) {
			rank(dst, q, v)
		}
	}
	t.Rank32x8 = func(dst []uint8, q *Cuts, v []float32) {
		if !rankPairs(dst, q, v, rankPairs32AVX2, rankCentred32AVX2) &&
			!rankBuckets(dst, q, v, rankFew32x8AVX2, rankLinear32x8AVX2, rankLog32x8AVX2) {
			rank(dst, q, v)
		}
	}
	t.Rank64x16 = func(dst []uint16, q *Cuts, v []float64) {
		if !rankBuckets(dst, q, v, rankFew64x16AVX2, rankLinear64x16AVX2, rankLog64x16AVX2) {
			rank(dst, q, v)
		}
	}
	t.Rank32x16 = func(dst []uint16, q *Cuts, v []float32) {
		if !rankBuckets(dst, q, v, rankFew32x16AVX2, rankLinear32x16AVX2, rankLog32x16AVX2) {
			rank(dst, q, v)
		}
	}
	t.Narrow = func(dst []float32, v []float64) { narrowBy(narrowAVX2, dst, v) }
}

// useRankAVX512 puts the assembly of rank.go's functions into t.
func useRankAVX512(t *Table) {
	t.Rank64x8 = func(dst []uint8, q *Cuts, v []float64) {
		// Four comparisons are quicker than a look-up.
		if q.how != rankAll && rankPairs(dst, q, v, rankPairs64AVX512, rankCentred64AVX512) {
			return
		}
		if !rankBuckets(dst, q, v, rankFew64x8AVX512, rankLinear64x8AVX512, rankLog64x8AVX512) {
			rank(dst, q, v)
		}
	}
	t.Rank32x8 = func(dst []uint8, q *Cuts, v []float32) {
		if !rankPairs(dst, q, v, rankPairs32AVX512, rankCentred32AVX512) &&
			!rankBuckets(dst, q, v, rankFew32x8AVX512, rankLinear32x8AVX512, rankLog32x8AVX512) {
			rank(dst, q, v)
		}
	}
	t.Rank64x16 = func(dst []uint16, q *Cuts, v []float64) {
		if !rankBuckets(dst, q, v, rankFew64x16AVX512, rankLinear64x16AVX512, rankLog64x16AVX512) {
			rank(dst, q, v)
		}
	}
	t.Rank32x16 = func(dst []uint16, q *Cuts, v []float32) {
		if !rankBuckets(dst, q, v, rankFew32x16AVX512, rankLinear32x16AVX512, rankLog32x16AVX512) {
			rank(dst, q, v)
		}
	}
	t.Narrow = func(dst []float32, v []float64) { narrowBy(narrowAVX512, dst, v) }
	t.Slots = func(dst []uint16, q *Categories, v []float64) {
		if n := len(v); len(q.Slots) == 0 {
			slots(dst, q, v)
		} else if n > 0 {
			slotsAVX512(&dst[:n][0], (*uint64)(unsafe.Pointer(q)), &v[0], n)
		}
	}
	t.Zeros = func(dst []uint64, v []float64, limit float64) {
		whole := len(v) &^ 63
		if whole > 0 {
			zerosAVX512((*uint8)(unsafe.Pointer(&dst[:whole/64][0])), &v[0], whole/8, limit)
		}
		zeros(dst[whole/64:], v[whole:], limit)
	}
}

// rankPairs ranks by one of the two functions; false if the cuts have no pairTable.
func rankPairs[V float](dst []uint8, q *Cuts, v []V, edge, centred func(*uint8, *uint64, *V, int)) bool {
	n := len(v)
	switch {
	case n == 0:
	case q.pairs == nil:
		return false
	case q.pairs.centred:
		centred(&dst[:n][0], q.pairs.address(), &v[0], n)
	default:
		edge(&dst[:n][0], q.pairs.address(), &v[0], n)
	}
	return true
}

// rankBuckets ranks by one of the three functions; false if the cuts have no bucketTable.
func rankBuckets[C code, V float](dst []C, q *Cuts, v []V, few, linear, log func(*C, *uint64, *V, int)) bool {
	n := len(v)
	if n == 0 {
		return true
	}
	if q.buckets == nil {
		return false
	}
	at := q.buckets.address()
	switch q.how {
	case rankAll:
		few(&dst[:n][0], at, &v[0], n)
	case rankLinear:
		linear(&dst[:n][0], at, &v[0], n)
	default:
		log(&dst[:n][0], at, &v[0], n)
	}
	return true
}

func narrowBy(f func(*float32, *float64, int), dst []float32, v []float64) {
	if n := len(v); n > 0 {
		f(&dst[:n][0], &v[0], n)
	}
}

// address is the table as the assembly takes it.
func (t *bucketTable) address() *uint64 { return (*uint64)(unsafe.Pointer(t)) }

// address is the table as the assembly takes it.
func (t *pairTable) address() *uint64 { return (*uint64)(unsafe.Pointer(t)) }
