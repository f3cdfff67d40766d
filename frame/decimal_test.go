package frame

import (
	"encoding/json"
	"math"
	"math/big"
	"os"
	"strconv"
	"testing"
)

// decimal.json is written by testdata/generate.py with Python's decimal module.
func TestDecimalsRoundAsPythonRounds(t *testing.T) {
	b, err := os.ReadFile("testdata/decimal.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][4]any
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 1000 {
		t.Fatalf("%d cases", len(cases))
	}
	var d decimal
	for _, c := range cases {
		unscaled, ok := new(big.Int).SetString(c[0].(string), 10)
		if !ok {
			t.Fatal(c)
		}
		scale := int32(c[1].(float64))
		bits, err := strconv.ParseInt(c[3].(string), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		got := d.float64(words(unscaled), scale)
		if want := math.Float64frombits(uint64(bits)); math.Float64bits(got) != uint64(bits) {
			t.Errorf("%s scale %d: %v (%x), want %v (%x)", c[0], scale, got, math.Float64bits(got), want, bits)
		}
	}
}

// words is the 256-bit two's complement of x.
func words(x *big.Int) (v [4]uint64) {
	m := new(big.Int).Set(x)
	if m.Sign() < 0 {
		m.Add(m, new(big.Int).Lsh(big.NewInt(1), 256))
	}
	for i := range v {
		v[i] = new(big.Int).Rsh(m, uint(64*i)).Uint64() // Uint64 keeps the low 64 bits
	}
	return v
}

func TestDecimalExtremes(t *testing.T) {
	var d decimal
	least := new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 255))
	want, _ := new(big.Float).SetInt(least).Float64()
	if got := d.float64(words(least), 0); got != want {
		t.Errorf("-2^255: %v, want %v", got, want)
	}
	if got := d.float64(words(big.NewInt(7)), 400); got != 0 {
		t.Errorf("7e-400: %v, want 0", got)
	}
	if got := d.float64(words(big.NewInt(-7)), -400); !math.IsInf(got, -1) {
		t.Errorf("-7e400: %v, want -Inf", got)
	}
}
