package kernel

import "github.com/treeline-ml/treeline/internal/libm"

// exps writes f of every value; dst may be v.
func exps(dst, v []float64, f func(float64) float64) {
	dst = dst[:len(v)]
	for i, x := range v {
		dst[i] = f(x)
	}
}

// exp64 is glibc's exp.
func exp64(dst, v []float64) { exps(dst, v, libm.Exp) }

// sigmoid64 is LightGBM's.
func sigmoid64(dst, v []float64, slope float64) {
	dst = dst[:len(v)]
	for i, x := range v {
		dst[i] = sigmoid(x, slope)
	}
}

func sigmoid(x, slope float64) float64 { return 1 / (1 + libm.Exp(float64(-slope*x))) }

// exp32 is glibc's expf.
func exp32(dst, v []float64) { exps(dst, v, expf) }

func expf(x float64) float64 { return float64(libm.Exp32(float32(x))) }

// sigmoid32 is XGBoost's: it bounds the exponent so that exp stays finite, and adds an epsilon.
func sigmoid32(dst, v []float64) { exps(dst, v, sigmoidf) }

func sigmoidf(x float64) float64 {
	e := -float32(x)
	if e > 88.7 {
		e = 88.7
	}
	return float64(1 / (libm.Exp32(e) + 1 + 1e-16))
}
