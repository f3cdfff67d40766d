package monitor

import "math"

// sum2 is a sum of two floats, about 106 bits, so that the order of the terms shows in its last bit at most, and a
// variance survives a mean that is a billion deviations away.
type sum2 struct{ hi, lo float64 }

func (s *sum2) add(x float64) {
	t := s.hi + x
	b := t - s.hi
	s.lo += (s.hi - (t - b)) + (x - b)
	s.hi = t
}

// square adds x*x exactly.
func (s *sum2) square(x float64) {
	p := x * x
	s.add(p)
	s.lo += math.FMA(x, x, -p)
}

func (s *sum2) merge(o sum2) {
	s.add(o.hi)
	s.lo += o.lo
}

func (s *sum2) value() float64 { return s.hi + s.lo }

// moments are of the finite values of a feature.
type moments struct {
	n         int64
	sum, sums sum2
	min, max  float64
}

func newMoments() moments { return moments{min: math.Inf(1), max: math.Inf(-1)} }

func (m *moments) add(x float64) {
	m.n++
	m.sum.add(x)
	m.sums.square(x)
	if x < m.min {
		m.min = x
	}
	if x > m.max {
		m.max = x
	}
}

func (m *moments) merge(o *moments) {
	m.n += o.n
	m.sum.merge(o.sum)
	m.sums.merge(o.sums)
	m.min, m.max = min(m.min, o.min), max(m.max, o.max)
}

// mean is 0 without values.
func (m *moments) mean() float64 {
	if m.n == 0 {
		return 0
	}
	return m.sum.value() / float64(m.n)
}

// deviation has n-1 in the denominator; it is 0 for fewer than two values, and where values are so large that their squares
// are no numbers.
func (m *moments) deviation() float64 {
	if m.n < 2 {
		return 0
	}
	// sums - sum^2/n in two floats each: sum*(sum/n) with the errors of both roundings.
	n := float64(m.n)
	s := m.sum.hi + m.sum.lo
	e := (m.sum.hi - s) + m.sum.lo
	q := s / n
	r := math.FMA(-q, n, s) / n // s = q*n + r*n
	p := s * q
	low := math.FMA(s, q, -p) + float64(s*r) + float64(2*e*q)
	v := ((m.sums.hi - p) + m.sums.lo - low) / (n - 1)
	if !(v > 0) || math.IsInf(v, 0) {
		return 0
	}
	return math.Sqrt(v)
}
