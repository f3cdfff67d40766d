//go:build !purego

package kernel

import "unsafe"

// layOutVectors makes the tables of the vector tiers.
func (q *Cuts) layOutVectors() {
	q.pairs, q.buckets = newPairTable(q), newBucketTable(q)
}

// useRankAVX2 puts the assembly of rank.go's functions into t.
func useRankAVX2(*Table) {}

// useRankAVX512 puts the assembly of rank.go's functions into t.
func useRankAVX512(t *Table) {
	t.Rank64x8 = func(dst []uint8, q *Cuts, v []float64) {
		switch n := len(v); {
		case n == 0:
		case q.how == rankAll: // four comparisons are quicker than a look-up
			rankFew64x8AVX512(&dst[:n][0], q.buckets.address(), &v[0], n)
		case q.pairs != nil && q.pairs.centred:
			rankCentred64AVX512(&dst[:n][0], q.pairs.address(), &v[0], n)
		case q.pairs != nil:
			rankPairs64AVX512(&dst[:n][0], q.pairs.address(), &v[0], n)
		case !rankBuckets(q, dst, v, rankFew64x8AVX512, rankLinear64x8AVX512, rankLog64x8AVX512):
			rank(dst, q, v)
		}
	}
	t.Rank32x8 = func(dst []uint8, q *Cuts, v []float32) {
		switch n := len(v); {
		case n == 0:
		case q.pairs != nil && q.pairs.centred:
			rankCentred32AVX512(&dst[:n][0], q.pairs.address(), &v[0], n)
		case q.pairs != nil:
			rankPairs32AVX512(&dst[:n][0], q.pairs.address(), &v[0], n)
		case !rankBuckets(q, dst, v, rankFew32x8AVX512, rankLinear32x8AVX512, rankLog32x8AVX512):
			rank(dst, q, v)
		}
	}
	t.Rank64x16 = func(dst []uint16, q *Cuts, v []float64) {
		if !rankBuckets(q, dst, v, rankFew64x16AVX512, rankLinear64x16AVX512, rankLog64x16AVX512) {
			rank(dst, q, v)
		}
	}
	t.Rank32x16 = func(dst []uint16, q *Cuts, v []float32) {
		if !rankBuckets(q, dst, v, rankFew32x16AVX512, rankLinear32x16AVX512, rankLog32x16AVX512) {
			rank(dst, q, v)
		}
	}
}

// rankBuckets ranks by one of the three functions; false if none will do.
func rankBuckets[C code, V float](q *Cuts, dst []C, v []V, few, linear, log func(*C, *uint64, *V, int)) bool {
	n := len(v)
	if n == 0 {
		return true
	}
	if q.buckets == nil {
		return false
	}
	dst = dst[:n]
	at := q.buckets.address()
	switch q.how {
	case rankAll:
		few(&dst[0], at, &v[0], n)
	case rankLinear:
		linear(&dst[0], at, &v[0], n)
	default:
		log(&dst[0], at, &v[0], n)
	}
	return true
}

// address is the table as the assembly takes it.
func (t *bucketTable) address() *uint64 { return (*uint64)(unsafe.Pointer(t)) }

// address is the table as the assembly takes it.
func (t *pairTable) address() *uint64 { return (*uint64)(unsafe.Pointer(t)) }
