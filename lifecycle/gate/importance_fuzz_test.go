package gate

import (
	"math"
	"testing"
)

func FuzzImportance(f *testing.F) {
	for _, s := range []string{`{"a":0.5,"b":0.5}`, `{}`, `null`, `{"a":-1}`, `{"a":1e400}`, `{"a":"x"}`, `[`, `{"a":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		shares, err := decodeImportance(b)
		if err != nil {
			return
		}
		for name, v := range shares {
			if !(v >= 0) || math.IsInf(v, 0) {
				t.Errorf("%q has the share %v", name, v)
			}
		}
	})
}

func TestImportanceRefusals(t *testing.T) {
	for _, s := range []string{``, `[1]`, `{"a":-0.1}`, `{"a":"much"}`, `{"a":1e400}`} {
		if m, err := decodeImportance([]byte(s)); err == nil {
			t.Errorf("%s gives %v", s, m)
		}
	}
}
