package stat

import "math"

// KolmogorovTail is P(D_n >= d) for the largest distance between the distribution function of n draws and the true one.
// The regions are those of Simard and L'Ecuyer (2011), Journal of Statistical Software 39(11), as scipy's kstwo.sf cuts
// them, so that both agree to 1e-9:
//
//	n*d <= 1, n*d >= n-1   closed forms (Ruben and Gambino)
//	d >= 1/2, or far out   twice the one-sided tail, whose other side adds nothing
//	n <= 140, or near 0    Durbin's matrix, exact (scipy: also Pomeranz' recursion, exact as well)
//	otherwise              Pelz and Good's expansion
func KolmogorovTail(n int64, d float64) float64 {
	t := float64(n) * d
	z := t * d
	switch {
	case d <= 0 || t <= 0.5:
		return 1
	case d >= 1:
		return 0
	case t <= 1:
		return 1 - rubenGambino(n, t)
	case t >= float64(n)-1:
		return clip(2 * math.Pow(1-d, float64(n)))
	case d >= 0.5:
		return clip(2 * SmirnovTail(n, d))
	case n <= 140:
		if z <= 4 {
			return clip(1 - durbin(n, t))
		}
		return clip(2 * SmirnovTail(n, d))
	case z >= 370:
		return 0
	case z >= 2.2:
		return clip(2 * SmirnovTail(n, d))
	case n <= 100_000 && float64(n)*math.Pow(d, 1.5) <= 1.4:
		return clip(1 - durbin(n, t))
	}
	return clip(1 - pelzGood(float64(n), d))
}

func clip(p float64) float64 { return min(max(p, 0), 1) }

// rubenGambino is n!/n^n * (2t-1)^n, the distribution function for 1/2 < t <= 1.
func rubenGambino(n int64, t float64) float64 {
	// n!/n^n*e^n*... without the logs of large numbers: log(n!/n^n) = log(2 pi n)/2 - n + stirling(n).
	l := 0.5*math.Log(2*math.Pi*float64(n)) - float64(n) + stirling(float64(n)) + float64(float64(n)*math.Log(2*t-1))
	return math.Exp(l)
}

// stirling is log(n!) - log(sqrt(2 pi n)*(n/e)^n), the error of Stirling's formula, for n >= 1.
func stirling(n float64) float64 {
	if n < 16 {
		l, _ := math.Lgamma(n + 1)
		return l - 0.5*math.Log(2*math.Pi*n) - float64(n*math.Log(n)) + n
	}
	n2 := n * n
	return (1.0/12 - (1.0/360-(1.0/1260-(1.0/1680-1.0/1188/n2)/n2)/n2)/n2) / n
}

// smirnovMost is where scipy stops adding n terms and takes Maag's approximation.
const smirnovMost = 1_000_000

// SmirnovTail is P(D+_n >= d), the one-sided distance: the sum over j of d/(d+j/n) * B(j; n, d+j/n), where B is the
// binomial probability. Each is computed from deviances as Loader (2000), "Fast and accurate computation of binomial
// probabilities", so that nothing cancels: relative error below 1e-11 up to a million draws. Beyond, it is
// exp(-(6nd+1)^2/(18n)), as scipy's smirnov.
func SmirnovTail(n int64, d float64) float64 {
	if d <= 0 {
		return 1
	}
	if d >= 1 {
		return 0
	}
	N := float64(n)
	if n > smirnovMost {
		l := float64(6*N*d) + 1
		return math.Exp(-float64(l*l) / 18 / N)
	}
	shift := N * d
	whole := stirling(N)
	var s adder
	s.add(math.Exp(N * math.Log1p(-d))) // j = 0
	for j := 1.0; j < N-shift; j++ {
		k := N - j
		// deviances of j from j+shift and of k from k-shift
		dev := shift - float64(j*math.Log1p(shift/j)) + (-shift - float64(k*math.Log1p(-shift/k)))
		l := whole - stirling(j) - stirling(k) - dev + 0.5*math.Log(N/(2*math.Pi*j*k))
		s.add(float64(shift / (shift + j) * math.Exp(l)))
	}
	return s.value()
}

// pelzGood is the distribution function by the expansion of Pelz and Good (1976), Journal of the Royal Statistical Society
// B 38, 152-156: K0(z) + K1(z)/sqrt(n) + K2(z)/n + K3(z)/n^(3/2) with z = d*sqrt(n).
func pelzGood(n, d float64) float64 {
	z := math.Sqrt(n) * d
	z2 := z * z
	z4, z6, z8 := z2*z2, z2*z2*z2, z2*z2*z2*z2
	pi2 := math.Pi * math.Pi
	pi4, pi6 := pi2*pi2, pi2*pi2*pi2
	var half [4]float64 // sums over k+1/2 of e^(-pi^2 (k+1/2)^2 / 2z^2)
	var full [2]float64 // sums over k of e^(-pi^2 k^2 / 2z^2), of K2 and K3
	for k := 20; k >= 0; k-- {
		h := float64(k) + 0.5
		h2 := h * h
		e := 2 * math.Exp(-pi2*h2/2/z2) // k+1/2 and -k-1/2
		half[0] += e
		half[1] += e * (float64(pi2*h2) - z2)
		half[2] += e * (6*z6 + 2*z4 + float64(pi2*(2*z4-5*z2)*h2) + float64(pi4*(1-2*z2)*h2*h2))
		half[3] += e * (float64(pi6*h2*h2*h2*(5-30*z2)) + float64(pi4*h2*h2*(212*z4-60*z2)) +
			float64(pi2*h2*(135*z4-96*z6)) - 30*z6 - 90*z8)
		k2 := float64(k) * float64(k)
		e = 2 * math.Exp(-pi2*k2/2/z2)
		full[0] += e * pi2 * k2
		full[1] += e * (float64(3*pi2*k2*z2) - float64(pi4*k2*k2))
	}
	root := math.Sqrt(math.Pi / 2)
	k0 := root / z * half[0]
	k1 := root / (6 * z4) * half[1]
	k2 := root / (72 * z6 * z) * half[2]
	k2 -= root / (36 * z2 * z) * full[0]
	k3 := root / (6480 * z8 * z2) * half[3]
	k3 += root / (216 * z6) * full[1]
	rn := math.Sqrt(n)
	return k0 + k1/rn + k2/n + k3/n/rn
}
