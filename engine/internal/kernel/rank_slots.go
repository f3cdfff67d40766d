package kernel

// Categories says which slot each category code has. A value is a code if it is above Low and below High; the code is
// what is left without its fraction. Codes from len(Slots) on have slot 0.
type Categories struct {
	Slots     []uint16
	Low, High float64 // Low is -1 at least, High 1<<31 at most
	None      uint16  // the slot of values that are no code
	NaN       uint16
}

func slots(dst []uint16, q *Categories, v []float64) {
	dst = dst[:len(v)]
	for r, x := range v {
		slot := q.None
		switch {
		case x > q.Low && x < q.High:
			slot = 0
			if code := uint(int(x)); code < uint(len(q.Slots)) {
				slot = q.Slots[code]
			}
		case x != x:
			slot = q.NaN
		}
		dst[r] = slot
	}
}

func zeros(dst []uint64, v []float64, limit float64) {
	for len(v) > 0 {
		rows := v[:min(64, len(v))]
		var z uint64
		for r, x := range rows {
			z |= uint64(one(x <= limit)&one(x >= -limit)) << (r & 63)
		}
		dst[0] = z
		dst, v = dst[1:], v[len(rows):]
	}
}
