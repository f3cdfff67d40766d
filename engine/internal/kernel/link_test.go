package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/internal/libm"
)

// linkValues are values of all sizes, and the edges of exp.
func linkValues(rng *rand.Rand, n int, single bool) []float64 {
	edges := []float64{
		0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), 5e-324, 0x1p-54, -0x1p-54, 0x1p-55, 511.99, 512, -512, 709.7,
		709.79, -745.1, -745.2, -708.3, 1024, -1024, 1e300, 87.99, 88, -88, 88.7, 88.72284, -103.9, -104, -87.4, 1e-40, 3.4e38,
	}
	v := make([]float64, n)
	for i := range v {
		switch rng.IntN(4) {
		case 0:
			v[i] = edges[rng.IntN(len(edges))]
		case 1:
			v[i] = rng.NormFloat64() * 300
		default:
			v[i] = rng.NormFloat64() * 4
		}
		if single {
			v[i] = float64(float32(v[i]))
		}
	}
	return v
}

// Every tier's exponentials are libm's, which are compared with glibc's own results.
func TestLinks(t *testing.T) {
	for _, k := range Tables() {
		links := map[string]struct {
			all    func(dst, v []float64)
			one    func(x float64) float64
			single bool
		}{
			"exp64": {k.Exp64, libm.Exp, false},
			"exp32": {k.Exp32, func(x float64) float64 { return float64(libm.Exp32(float32(x))) }, true},
			"sigmoid64": {
				func(dst, v []float64) { k.Sigmoid64(dst, v, 1.7) },
				func(x float64) float64 { return 1 / (1 + libm.Exp(float64(-1.7*x))) }, false,
			},
			"sigmoid32": {k.Sigmoid32, func(x float64) float64 {
				e := min(-float32(x), 88.7)
				if x != x {
					e = float32(x)
				}
				return float64(1 / (float32(libm.Exp32(e)+1) + 1e-16))
			}, true},
		}
		for name, link := range links {
			t.Run(k.Tier.String()+"/"+name, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 2))
				for n := range 1200 {
					if n > 40 && n%97 != 0 {
						continue
					}
					v := linkValues(rng, n, link.single)
					apart, in := make([]float64, n), append([]float64(nil), v...)
					link.all(apart, v)
					link.all(in, in)
					for i, x := range v {
						want := link.one(x)
						for _, got := range []float64{apart[i], in[i]} {
							if math.Float64bits(got) != math.Float64bits(want) && (got == got || want == want) {
								t.Fatalf("%d values: f(%v) is %v, want %v", n, x, got, want)
							}
						}
					}
				}
			})
		}
	}
}

func BenchmarkLinks(b *testing.B) {
	v, dst := linkValues(rand.New(rand.NewPCG(1, 2)), 4096, true), make([]float64, 4096)
	for i := range v {
		v[i] = float64(i)/512 - 4
	}
	for _, k := range Tables() {
		for name, f := range map[string]func(dst, v []float64){
			"sigmoid64": func(dst, v []float64) { k.Sigmoid64(dst, v, 1) }, "sigmoid32": k.Sigmoid32,
		} {
			b.Run(name+"/"+k.Tier.String(), func(b *testing.B) {
				for b.Loop() {
					f(dst, v)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(v)), "ns/value")
			})
		}
	}
}
