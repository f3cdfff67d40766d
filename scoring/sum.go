package scoring

import (
	"math"
	"math/big"
)

// exactSum adds doubles without any rounding, so that a mean does not depend on the order of rows or on how they were
// split. A double is an integer times a power of two; its 53 bits are added into 32-bit wide digits of a fixed-point
// number that covers the whole range of doubles. Digits are signed 64-bit and overlap, so carries can wait: 2^30
// additions stay below 2^63.
type exactSum struct {
	digits [sumDigits]int64 // value = sum of digits[i] * 2^(32*i - sumBias)
	adds   int
}

const (
	sumBias   = 1074 // the smallest double is 2^-1074
	sumDigits = (1024+sumBias)/32 + 3
)

// add adds a finite value.
func (s *exactSum) add(v float64) {
	bits := math.Float64bits(v)
	exp, frac := int(bits>>52&0x7ff), bits&(1<<52-1)
	if exp == 0 {
		exp = 1
	} else {
		frac |= 1 << 52
	}
	// v = ±frac * 2^(exp-1075) = ±frac * 2^(exp-1-sumBias)
	at, shift := (exp-1)/32, uint((exp-1)%32)
	// frac<<shift has up to 84 bits: three digits.
	low := int64(frac << shift & 0xffffffff)
	mid := int64(frac >> (32 - shift) & 0xffffffff)
	high := int64(frac >> (64 - shift))
	if bits>>63 == 1 {
		low, mid, high = -low, -mid, -high
	}
	s.digits[at] += low
	s.digits[at+1] += mid
	s.digits[at+2] += high
	if s.adds++; s.adds >= 1<<30 {
		s.carry()
	}
}

// merge adds another sum.
func (s *exactSum) merge(o *exactSum) {
	s.carry()
	o.carry()
	for i, d := range o.digits {
		s.digits[i] += d
	}
	s.carry()
}

// carry leaves every digit but the last in [0, 2^32).
func (s *exactSum) carry() {
	for i := range sumDigits - 1 {
		s.digits[i+1] += s.digits[i] >> 32
		s.digits[i] &= 0xffffffff
	}
	s.adds = 0
}

// mean is the sum divided by n, rounded once.
func (s *exactSum) mean(n int64) float64 {
	total := new(big.Int)
	for i := sumDigits - 1; i >= 0; i-- {
		total.Lsh(total, 32)
		total.Add(total, big.NewInt(s.digits[i]))
	}
	den := new(big.Int).Lsh(big.NewInt(n), sumBias)
	out, _ := new(big.Rat).SetFrac(total, den).Float64()
	return out
}
