package schedule

import "math/bits"

// set holds numbers from 0 to 255.
type set [4]uint64

func (s *set) add(v int) { s[v>>6] |= 1 << (v & 63) }

func (s *set) has(v int) bool { return v >= 0 && v < 256 && s[v>>6]>>(v&63)&1 == 1 }

func (s *set) empty() bool { return *s == set{} }

func (s *set) count() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// next returns the least number of the set that is not below v.
func (s *set) next(v int) (int, bool) {
	for v < 256 {
		if w := s[v>>6] >> (v & 63); w != 0 {
			return v + bits.TrailingZeros64(w), true
		}
		v = (v>>6 + 1) << 6
	}
	return 0, false
}
