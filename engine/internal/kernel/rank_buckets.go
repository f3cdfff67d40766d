package kernel

// bucketTable is what vector code needs of Cuts with buckets, or with few cuts. Assembly reads the fields by their
// offsets.
type bucketTable struct {
	first         *uint16
	cuts          *float64
	lo, hi, scale float64
	least         int // one less than in Cuts
	half          int
	shift         uint
	steps         int // half of the first step of the binary search, 0 for none
	nan           uint32
}

// newBucketTable returns nil if the cuts are found by search only.
func newBucketTable(q *Cuts) *bucketTable {
	if q.how == rankSearch {
		return nil
	}
	t := &bucketTable{
		cuts: &q.cuts[0], lo: q.lo, hi: q.hi, scale: q.scale, least: int(q.least) - 1, half: q.half, shift: q.shift,
		steps: 1 << q.steps >> 1, nan: uint32(q.nan),
	}
	if len(q.first) > 0 {
		t.first = &q.first[0]
	}
	return t
}
