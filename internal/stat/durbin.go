package stat

import "math"

// durbin is the distribution function of D_n at t/n by Durbin's matrix, as Marsaglia, Tsang and Wang (2003), Journal of
// Statistical Software 8(18): the middle element of the n-th power of a matrix of 2k-1 rows, times n!/n^n, where t = k-h.
// All elements are positive, so nothing cancels. Powers keep a binary exponent of their own.
func durbin(n int64, t float64) float64 {
	k := int(math.Ceil(t))
	h := float64(k) - t
	m := 2*k - 1
	base := newSquare(m)
	// Column j of the band: 1/i!; the first column and last row lack what lies outside the strip.
	edge := make([]float64, m)
	factorial := make([]float64, m+1)
	factorial[0] = 1
	power := 1.0
	for i := 1; i <= m; i++ {
		factorial[i] = factorial[i-1] / float64(i)
		power *= h
		edge[i-1] = (1 - power) * factorial[i]
	}
	corner := 1 - 2*power + math.Pow(math.Max(2*h-1, 0), float64(m))
	for i := range m {
		for j := range m {
			if i-j+1 >= 0 {
				base.v[i*m+j] = factorial[i-j+1]
			}
		}
	}
	for i := range m {
		base.v[i*m] = edge[i]
		base.v[(m-1)*m+m-1-i] = edge[i]
	}
	base.v[(m-1)*m] = corner * factorial[m]

	var result *square
	spare := newSquare(m)
	for e := n; e > 0; e >>= 1 {
		if e&1 == 1 {
			if result == nil {
				result = newSquare(m)
				copy(result.v, base.v)
				result.exp = base.exp
			} else {
				spare.product(result, base)
				result, spare = spare, result
			}
		}
		if e > 1 {
			spare.product(base, base)
			base, spare = spare, base
		}
	}
	p, exp := result.v[(k-1)*m+k-1], result.exp
	for i := int64(1); i <= n; i++ {
		p *= float64(i) / float64(n)
		if p < 0x1p-200 {
			p *= 0x1p200
			exp -= 200
		}
	}
	return math.Ldexp(p, exp)
}

// square is a matrix times 2^exp.
type square struct {
	m   int
	v   []float64
	exp int
}

func newSquare(m int) *square { return &square{m: m, v: make([]float64, m*m)} }

// product sets s to a*b and scales it back where it has grown.
func (s *square) product(a, b *square) {
	m := s.m
	clear(s.v)
	for i := range m {
		row := s.v[i*m : (i+1)*m]
		for l := range m {
			f := a.v[i*m+l]
			if f == 0 {
				continue
			}
			for j, x := range b.v[l*m : (l+1)*m] {
				row[j] += float64(f * x)
			}
		}
	}
	s.exp = a.exp + b.exp
	if s.v[(m/2)*m+m/2] > 0x1p200 {
		for i := range s.v {
			s.v[i] *= 0x1p-200
		}
		s.exp += 200
	}
}
