package engine

import "math"

// exactPoints is the number of points up to which a rule is chosen to be exact for the degree.
const exactPoints = 32

// rulePoints returns how many points of a Gauss-Legendre rule integrate products of n-1 linear functions of [0,1] into
// [0,1].
//
// Half of n are exact. Far fewer do for long products: on the ellipse with foci 0 and 1 whose axes add up to (1+d)/2, a
// function that is linear and not negative on [0,1] is at most 1+d*d/4 times its larger end value, so that p points err
// by less than a small multiple of exp(n*d*d/4 - 2*p*d), for every d; with d = 4p/n that is exp(-4*p*p/n), below 1e-18
// for p = 3.3*sqrt(n).
func rulePoints(n int) int {
	exact := max(1, (n+1)/2)
	if exact <= exactPoints {
		return exact
	}
	return min(exact, int(math.Ceil(3.3*math.Sqrt(float64(n))))+8)
}

// gaussLegendre returns the points of (0,1), in ascending order, and weights of the rule with n points.
func gaussLegendre(n int) (points, weights []float64) {
	points, weights = make([]float64, n), make([]float64, n)
	for i := range (n + 1) / 2 {
		// Newton's method from the asymptotic place of the i-th largest root of the Legendre polynomial.
		x := math.Cos(math.Pi * (float64(i) + 0.75) / (float64(n) + 0.5))
		var slope float64
		for range 100 {
			p, before := 1.0, 0.0
			for k := 1; k <= n; k++ {
				p, before = (float64(float64(2*k-1)*x*p)-float64(float64(k-1)*before))/float64(k), p
			}
			slope = float64(n) * (float64(x*p) - before) / (float64(x*x) - 1)
			step := p / slope
			x -= step
			if math.Abs(step) < 1e-15 {
				break
			}
		}
		w := 1 / ((1 - float64(x*x)) * slope * slope)
		points[i], points[n-1-i] = (1-x)/2, (1+x)/2
		weights[i], weights[n-1-i] = w, w
	}
	return points, weights
}
