package file

import (
	"fmt"
	"math/bits"

	"github.com/apache/arrow/go/v17/arrow/bitutil"
)

// hybrid reads the RLE and bit-packing hybrid: runs of a varint header, odd: groups of 8 values bit-packed, even: one value
// repeated. It holds no more than the current run, whatever a run announces.
type hybrid struct {
	b     []byte
	width uint // at most 32
	pos   int
	left  int // values left in the current run
	value uint32
	bit   uint // of b, the next packed value; valid while packed
	pack  bool
}

func newHybrid(b []byte, width uint) hybrid { return hybrid{b: b, width: width} }

// run makes sure that the current run has values left.
func (h *hybrid) run() error {
	for h.left == 0 {
		if h.pack {
			h.pos = int(h.bit / 8) // packed runs end at a byte
			h.pack = false
		}
		if err := h.head(); err != nil {
			return err
		}
	}
	return nil
}

func (h *hybrid) head() error {
	head := uint64(0)
	for shift := uint(0); ; shift += 7 {
		if h.pos >= len(h.b) || shift > 28 {
			return fmt.Errorf("run %d bytes before the end: %w", len(h.b)-h.pos, ErrInvalid)
		}
		c := h.b[h.pos]
		h.pos++
		head |= uint64(c&0x7f) << shift
		if c < 0x80 {
			break
		}
	}
	h.left = int(head >> 1)
	if head&1 == 1 {
		h.left *= 8
		h.bit, h.pack = uint(h.pos)*8, true
		return nil
	}
	size := int(h.width+7) / 8
	if size > len(h.b)-h.pos {
		return fmt.Errorf("run whose value is cut: %w", ErrInvalid)
	}
	h.value = 0
	for i := range size {
		h.value |= uint32(h.b[h.pos+i]) << (8 * i)
	}
	h.pos += size
	return nil
}

// next fills dst. The last group of a packed run may be cut after its last value that is needed.
func (h *hybrid) next(dst []uint32) error {
	for len(dst) > 0 {
		if err := h.run(); err != nil {
			return err
		}
		n := min(h.left, len(dst))
		if !h.pack {
			for i := range dst[:n] {
				dst[i] = h.value
			}
		} else if err := h.unpack(dst[:n]); err != nil {
			return err
		}
		h.left -= n
		dst = dst[n:]
	}
	return nil
}

func (h *hybrid) unpack(dst []uint32) error {
	w := h.width
	if end := h.bit + w*uint(len(dst)); end > uint(len(h.b))*8 {
		return fmt.Errorf("packed run of %d values is cut: %w", len(dst), ErrInvalid)
	}
	mask := uint64(1)<<w - 1
	bit, i := h.bit, 0
	// Eight values at once begin at the same bit of a byte. All but the last few can read 8 bytes beyond their own.
	for ; i+8 <= len(dst); i += 8 {
		p := bit >> 3
		if p+w+8 > uint(len(h.b)) {
			break
		}
		b, shift, d := h.b[p:p+w+8], bit&7, dst[i:i+8]
		for k := range d {
			d[k] = uint32(le.Uint64(b[shift>>3:]) >> (shift & 7) & mask)
			shift += w
		}
		bit += 8 * w
	}
	for ; i < len(dst); i++ { // 8 bytes at once, as long as they are there
		p := bit >> 3
		if p+8 > uint(len(h.b)) {
			break
		}
		dst[i] = uint32(le.Uint64(h.b[p:]) >> (bit & 7) & mask)
		bit += w
	}
	for ; i < len(dst); i++ {
		var v uint64
		for k, p := uint(0), bit>>3; p < uint(len(h.b)) && k < 8; k, p = k+1, p+1 {
			v |= uint64(h.b[p]) << (8 * k)
		}
		dst[i] = uint32(v >> (bit & 7) & mask)
		bit += w
	}
	h.bit = bit
	return nil
}

// bits reads n definition levels of an optional column as bits of dst from bit at on and returns how many are 1.
func (h *hybrid) bits(dst []byte, at, n int) (ones int, err error) {
	for n > 0 {
		if err := h.run(); err != nil {
			return 0, err
		}
		k := min(h.left, n)
		switch {
		case h.pack: // one bit each, in the order of a bitmap
			if h.bit+uint(k) > uint(len(h.b))*8 {
				return 0, fmt.Errorf("packed run of %d values is cut: %w", k, ErrInvalid)
			}
			ones += copyBits(dst, at, h.b, int(h.bit), k)
			h.bit += uint(k)
		case h.value > 1:
			return 0, fmt.Errorf("definition level %d: %w", h.value, ErrInvalid)
		default:
			fillBits(dst, at, k, uint64(h.value))
			ones += k * int(h.value)
		}
		h.left -= k
		at += k
		n -= k
	}
	return ones, nil
}

// fillBits sets n bits to one. Most runs of a column with some nulls are short.
func fillBits(dst []byte, at, n int, one uint64) {
	if n > 56 {
		bitutil.SetBitsTo(dst, int64(at), int64(n), one == 1)
		return
	}
	putBits(dst, at, -one&(1<<n-1), n)
}

// copyBits copies n bits and returns how many of them are 1.
func copyBits(dst []byte, at int, src []byte, from, n int) (ones int) {
	if at%8 == 0 && from%8 == 0 {
		full := n / 8
		d, s := dst[at/8:at/8+full], src[from/8:from/8+full]
		copy(d, s)
		for ; len(s) >= 8; s = s[8:] {
			ones += bits.OnesCount64(le.Uint64(s))
		}
		for _, v := range s {
			ones += bits.OnesCount8(v)
		}
		at, from, n = at+8*full, from+8*full, n%8
	}
	for n > 0 {
		word, k := bitsAt(src, from, min(n, 56))
		ones += bits.OnesCount64(word)
		putBits(dst, at, word, k)
		at, from, n = at+k, from+k, n-k
	}
	return ones
}

// bitsAt returns up to n bits, which are at most 56, and how many they are.
func bitsAt(b []byte, at, n int) (word uint64, k int) {
	p, shift := at/8, at%8
	if p+8 <= len(b) {
		return le.Uint64(b[p:]) >> shift & (1<<n - 1), n
	}
	n = min(n, 8-shift)
	return uint64(b[p]) >> shift & (1<<n - 1), n
}

// putBits writes n bits, which are at most 56, over any others.
func putBits(b []byte, at int, word uint64, n int) {
	p, shift, mask := at/8, at%8, uint64(1)<<n-1
	if p+8 <= len(b) {
		old := le.Uint64(b[p:])
		le.PutUint64(b[p:], old&^(mask<<shift)|word<<shift)
		return
	}
	for i := range n {
		bitutil.SetBitTo(b, at+i, word>>i&1 == 1)
	}
}

// countPresent returns how many of the next n definition levels are 1, without moving on.
func (h hybrid) countPresent(n int) (present int, err error) {
	var scratch [256]uint32
	for n > 0 {
		if err := h.run(); err != nil {
			return 0, err
		}
		if !h.pack {
			k := min(h.left, n)
			present += k * int(h.value&1)
			h.left -= k
			n -= k
			continue
		}
		k := min(n, len(scratch))
		if err := h.next(scratch[:k]); err != nil {
			return 0, err
		}
		for _, v := range scratch[:k] {
			present += int(v & 1)
		}
		n -= k
	}
	return present, nil
}
