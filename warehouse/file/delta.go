package file

import (
	"encoding/binary"
	"fmt"
	"math"
)

// deltas decodes DELTA_BINARY_PACKED: block size, mini blocks per block, count, first value; then blocks of a minimal
// delta, widths and packed deltas. It returns the n values, which must be all, and the bytes that follow them.
func deltas(b []byte, n int) (values []int64, rest []byte, err error) {
	bad := func(what string) error { return fmt.Errorf("delta encoding: %s: %w", what, ErrInvalid) }
	pos := 0
	uvarint := func() uint64 {
		v, k := binary.Uvarint(b[pos:])
		if k <= 0 {
			err = bad("bad number")
			return 0
		}
		pos += k
		return v
	}
	zigzag := func() int64 { v := uvarint(); return int64(v>>1) ^ -int64(v&1) }
	block, minis, count, first := uvarint(), uvarint(), uvarint(), zigzag()
	if err != nil {
		return nil, nil, err
	}
	if block == 0 || block%128 != 0 || block > 1<<20 || minis == 0 || minis > 512 || block%minis != 0 || block/minis%32 != 0 {
		return nil, nil, bad(fmt.Sprintf("blocks of %d values in %d parts", block, minis))
	}
	if count != uint64(n) {
		return nil, nil, bad(fmt.Sprintf("%d values, want %d", count, n))
	}
	if n == 0 {
		return nil, b[pos:], nil
	}
	per := int(block / minis)
	values = append(make([]int64, 0, min(n, 64*(len(b)+1))), first)
	for len(values) < n {
		least := zigzag()
		if err != nil || len(b)-pos < int(minis) {
			return nil, nil, bad("the bytes end")
		}
		widths := b[pos : pos+int(minis)]
		pos += int(minis)
		for _, w := range widths {
			if len(values) == n {
				break
			}
			size := per / 8 * int(w)
			if w > 64 || size > len(b)-pos {
				return nil, nil, bad(fmt.Sprintf("part of %d values of %d bits", per, w))
			}
			values = unpackDeltas(values, b[pos:pos+size], min(per, n-len(values)), uint(w), least)
			pos += size
		}
	}
	return values, b[pos:], nil
}

func unpackDeltas(dst []int64, b []byte, n int, width uint, least int64) []int64 {
	last := dst[len(dst)-1]
	for i := range n {
		var v uint64
		for k, got := uint(i)*width, uint(0); got < width; {
			take := min(8-k&7, width-got)
			v |= uint64(b[k>>3]) >> (k & 7) & (1<<take - 1) << got
			k, got = k+take, got+take
		}
		last += least + int64(v) // wraps around, as the format wants it
		dst = append(dst, last)
	}
	return dst
}

// plainFromDeltas re-encodes 32- or 64-bit integers as PLAIN.
func plainFromDeltas(dst, b []byte, n, width int) ([]byte, error) {
	values, _, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		if width == 4 {
			dst = le.AppendUint32(dst, uint32(v))
		} else {
			dst = le.AppendUint64(dst, uint64(v))
		}
	}
	return dst, nil
}

// plainFromLengths re-encodes DELTA_LENGTH_BYTE_ARRAY: lengths as deltas, then all bytes.
func plainFromLengths(dst, b []byte, n int) ([]byte, error) {
	lengths, rest, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	for _, l := range lengths {
		if l < 0 || l > int64(len(rest)) {
			return nil, fmt.Errorf("text of %d bytes, %d are left: %w", l, len(rest), ErrInvalid)
		}
		dst = append(le.AppendUint32(dst, uint32(l)), rest[:l]...)
		rest = rest[l:]
	}
	return dst, nil
}

// plainFromPrefixes re-encodes DELTA_BYTE_ARRAY: lengths of the prefixes shared with the value before, then suffixes. With
// fixed the values have that many bytes and no length of their own.
func plainFromPrefixes(dst, b []byte, n, fixed int) ([]byte, error) {
	prefixes, rest, err := deltas(b, n)
	if err != nil {
		return nil, err
	}
	lengths, rest, err := deltas(rest, n)
	if err != nil {
		return nil, err
	}
	start := len(dst)
	last := 0 // where the value before starts
	size := int64(0)
	for i, p := range prefixes {
		l := lengths[i]
		if p < 0 || p > size || l < 0 || l > int64(len(rest)) {
			return nil, fmt.Errorf("text of %d shared and %d own bytes: %w", p, l, ErrInvalid)
		}
		if int64(len(dst)-start)+p+l > maxPage || p+l > math.MaxInt32 {
			return nil, fmt.Errorf("page expands to more than %d bytes: %w", maxPage, ErrInvalid)
		}
		if fixed > 0 && p+l != int64(fixed) {
			return nil, fmt.Errorf("value of %d bytes, want %d: %w", p+l, fixed, ErrInvalid)
		}
		if fixed == 0 {
			dst = le.AppendUint32(dst, uint32(p+l))
		}
		at := len(dst)
		dst = append(dst, dst[last:last+int(p)]...)
		dst = append(dst, rest[:l]...)
		rest = rest[l:]
		last, size = at, p+l
	}
	return dst, nil
}

// plainFromStreams re-encodes BYTE_STREAM_SPLIT: all first bytes, then all second bytes, ...
func plainFromStreams(dst, b []byte, n, width int) ([]byte, error) {
	if len(b) != n*width {
		return nil, fmt.Errorf("%d bytes for %d values of %d: %w", len(b), n, width, ErrInvalid)
	}
	for i := range n {
		for k := range width {
			dst = append(dst, b[k*n+i])
		}
	}
	return dst, nil
}
