package file

import (
	"fmt"
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

// skip passes over n ones if they are one run: a column without nulls in this stretch.
func (h *hybrid) skip(n int) bool {
	if h.run() != nil || h.pack || h.value != 1 || h.left < n {
		return false
	}
	h.left -= n
	return true
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
