package libm_test

import (
	"encoding/binary"
	"flag"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/internal/libm"
)

var golden = flag.String("golden", "testdata", "directory with the files that golden.py wrote")

func read(t *testing.T, name string, width int) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(*golden, name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 1000*width || len(b)%width != 0 {
		t.Fatalf("%s.bin has %d bytes", name, len(b))
	}
	return b
}

func TestFloat64IsGlibc(t *testing.T) {
	for name, f := range map[string]func(float64) float64{"exp": libm.Exp, "log": libm.Log, "log1p": libm.Log1p} {
		b := read(t, name, 16)
		bad := 0
		for i := 0; i < len(b); i += 16 {
			x := math.Float64frombits(binary.LittleEndian.Uint64(b[i:]))
			want := math.Float64frombits(binary.LittleEndian.Uint64(b[i+8:]))
			got := f(x)
			if math.Float64bits(got) == math.Float64bits(want) || got != got && want != want {
				continue
			}
			if bad++; bad < 10 {
				t.Errorf("%s(%x) = %x, glibc %x", name, x, got, want)
			}
		}
		if bad > 0 {
			t.Errorf("%s: %d of %d differ", name, bad, len(b)/16)
		}
	}
}

func TestFloat32IsGlibc(t *testing.T) {
	for name, f := range map[string]func(float32) float32{"expf": libm.Exp32, "logf": libm.Log32} {
		b := read(t, name, 8)
		bad := 0
		for i := 0; i < len(b); i += 8 {
			x := math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
			want := math.Float32frombits(binary.LittleEndian.Uint32(b[i+4:]))
			got := f(x)
			if math.Float32bits(got) == math.Float32bits(want) || got != got && want != want {
				continue
			}
			if bad++; bad < 10 {
				t.Errorf("%s(%x) = %x, glibc %x", name, x, got, want)
			}
		}
		if bad > 0 {
			t.Errorf("%s: %d of %d differ", name, bad, len(b)/8)
		}
	}
}

func BenchmarkExp(b *testing.B) {
	x, s := 0.0, 0.0
	for b.Loop() {
		x += 0.001
		if x > 5 {
			x = -5
		}
		s += libm.Exp(x)
	}
	if s == 0 {
		b.Fatal("sum is zero")
	}
}
