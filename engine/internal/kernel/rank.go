package kernel

// code is the type of codes in memory.
type code interface{ uint8 | uint16 }

// rank writes the codes of v to out.
func rank[V float, C code](out []C, q *Cuts, v []V) {
	switch q.how {
	case rankAll:
		rankFew(out, q, v)
	case rankLinear:
		switch q.steps {
		case 0:
			rankLinear1(out, q, v)
		case 1:
			rankLinear2(out, q, v)
		default:
			rankLinearMany(out, q, v)
		}
	case rankLog:
		rankLogMany(out, q, v)
	default:
		rankBySearch(out, q, v)
	}
}

func rankFew[V float, C code](out []C, q *Cuts, v []V) {
	c := (*[fewCuts]float64)(q.cuts)
	c0, c1, c2, c3 := c[0], c[1], c[2], c[3]
	out = out[:len(v)]
	for r, v := range v {
		x := float64(v)
		k := one(x > c0) + one(x > c1) + one(x > c2) + one(x > c3)
		if x != x {
			k = q.nan
		}
		out[r] = C(k)
	}
}

func rankLinear1[V float, C code](out []C, q *Cuts, v []V) {
	lo, hi, scale, first, cuts := q.lo, q.hi, q.scale, q.first, q.cuts
	out = out[:len(v)]
	for r, v := range v {
		x := float64(v)
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		i := int((x - lo) * scale)
		i &^= i >> 63
		k := int(first[i])
		out[r] = C(k + one(x > cuts[k]))
	}
}

func rankLinear2[V float, C code](out []C, q *Cuts, v []V) {
	lo, hi, scale, first, cuts := q.lo, q.hi, q.scale, q.first, q.cuts
	out = out[:len(v)]
	for r, v := range v {
		x := float64(v)
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		i := int((x - lo) * scale)
		i &^= i >> 63
		k := int(first[i])
		c := (*[2]float64)(cuts[k:])
		out[r] = C(k + one(x > c[0]) + one(x > c[1]))
	}
}

func rankLinearMany[V float, C code](out []C, q *Cuts, v []V) {
	lo, hi, scale, first, cuts := q.lo, q.hi, q.scale, q.first, q.cuts
	out = out[:len(v)]
	for r, v := range v {
		x := float64(v)
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		i := int((x - lo) * scale)
		i &^= i >> 63
		k := int(first[i])
		for half := 1 << q.steps >> 1; half > 0; half >>= 1 {
			k += half & -one(x > cuts[k+half-1])
		}
		out[r] = C(k + one(x > cuts[k]))
	}
}

func rankLogMany[V float, C code](out []C, q *Cuts, v []V) {
	hi, first, cuts := q.hi, q.first, q.cuts
	out = out[:len(v)]
	for r, v := range v {
		x := float64(v)
		if !(x <= hi) {
			k := q.n
			if x != x {
				k = q.nan
			}
			out[r] = C(k)
			continue
		}
		k := int(first[q.log(x)])
		for half := 1 << q.steps >> 1; half > 0; half >>= 1 {
			k += half & -one(x > cuts[k+half-1])
		}
		out[r] = C(k + one(x > cuts[k]))
	}
}

func rankBySearch[V float, C code](out []C, q *Cuts, v []V) {
	cuts := q.cuts
	out = out[:len(v)]
	for r, v := range v {
		x := float64(v)
		k, n := 0, q.n
		for n > 1 {
			half := n >> 1
			k += half & -one(x > cuts[k+half-1])
			n -= half
		}
		k += one(x > cuts[k])
		if x != x {
			k = q.nan
		}
		out[r] = C(k)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func narrow(dst []float32, v []float64) {
	dst = dst[:len(v)]
	for i, x := range v {
		dst[i] = float32(x)
	}
}
