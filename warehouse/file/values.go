package file

import (
	"fmt"
	bits64 "math/bits"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// maxTexts bounds the bytes of one text column of a record: a dictionary can repeat a long text in every row.
const maxTexts = 512 << 20

// block collects which rows of a column have a value.
type block struct {
	n        int
	validity *memory.Buffer // nil for a required column
	nulls    int
}

// stretch is a run of rows of a block that lie in one page.
type stretch struct {
	at, n   int
	present int    // of them have a value
	valid   []byte // the block's bitmap, of which bits at to at+n-1 are these rows; nil when all have one
}

// has says whether the i-th of the rows has a value.
func (s *stretch) has(i int) bool { return s.valid == nil || bitutil.BitIsSet(s.valid, s.at+i) }

// word returns up to 64 of the rows' bits from the i-th on, and how many they are.
func (s *stretch) word(i int) (bits uint64, n int) {
	n = min(64, s.n-i)
	from := s.at + i
	b, shift := s.valid[from/8:], uint(from%8)
	if len(b) >= 9 {
		bits = le.Uint64(b)>>shift | uint64(b[8])<<(64-shift) // a shift by 64 gives 0
	} else {
		for k, v := range b {
			bits |= uint64(v) << (8 * k)
		}
		bits >>= shift
	}
	if n < 64 {
		bits &= 1<<n - 1
	}
	return bits, n
}

// validity reads the definition levels of n rows of the current page as bits at row at on.
func (c *columnReader) validity(b *block, at, n int) (stretch, error) {
	s := stretch{at: at, n: n, present: n}
	if !c.leaf.optional {
		return s, nil
	}
	bits := b.validity.Bytes()
	present, err := c.levels.bits(bits, at, n)
	if err != nil {
		return s, fmt.Errorf("definition levels: %w", err)
	}
	if s.present = present; present < n {
		s.valid = bits
		b.nulls += n - present
	}
	return s, nil
}

// newBlock prepares for n rows.
func (c *columnReader) newBlock(mem memory.Allocator, n int) *block {
	b := &block{n: n}
	if c.leaf.optional {
		b.validity = memory.NewResizableBuffer(mem)
		b.validity.Resize((n + 7) / 8)
		clear(b.validity.Bytes())
	}
	return b
}

// finish returns the validity bitmap, nil when nothing is null. The block's own reference is gone.
func (b *block) finish() *memory.Buffer {
	v := b.validity
	b.validity = nil
	if v != nil && b.nulls == 0 {
		v.Release()
		return nil
	}
	return v
}

func (b *block) release() {
	if b.validity != nil {
		b.validity.Release()
		b.validity = nil
	}
}

// pieces calls f for each stretch of the n rows that lies in one page.
func (c *columnReader) pieces(b *block, f func(s stretch) error) error {
	for at := 0; at < b.n; {
		if err := c.page(); err != nil {
			return err
		}
		s, err := c.validity(b, at, min(c.rows, b.n-at))
		if err != nil {
			return err
		}
		if err := f(s); err != nil {
			return err
		}
		c.rows -= s.n
		at += s.n
	}
	return nil
}

// fixed reads values of c.leaf.bytes() bytes each; null rows are zero.
func (c *columnReader) fixed(mem memory.Allocator, b *block) (*memory.Buffer, error) {
	w := c.leaf.bytes()
	out := memory.NewResizableBuffer(mem)
	out.Resize(b.n * w)
	err := c.pieces(b, func(s stretch) error {
		dst := out.Bytes()[s.at*w : (s.at+s.n)*w]
		if c.indexed {
			return c.gather(dst, w, s)
		}
		if len(c.plain) < s.present*w {
			return fmt.Errorf("%d values of %d bytes in %d: %w", s.present, w, len(c.plain), ErrInvalid)
		}
		src := c.plain[:s.present*w]
		c.plain = c.plain[s.present*w:]
		spread(dst, src, w, s)
		return nil
	})
	if err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

// spread copies the values of the rows that have one, run by run, and clears the others.
func spread(dst, src []byte, w int, s stretch) {
	if s.valid == nil {
		copy(dst, src)
		return
	}
	for i := 0; i < s.n; {
		bits, n := s.word(i)
		for k := 0; k < n; {
			if skip := min(bits64.TrailingZeros64(bits>>k), n-k); skip > 0 {
				clear(dst[(i+k)*w : (i+k+skip)*w])
				if k += skip; k == n {
					break
				}
			}
			run := min(bits64.TrailingZeros64(^(bits >> k)), n-k)
			src = src[copy(dst[(i+k)*w:(i+k+run)*w], src):]
			k += run
		}
		i += n
	}
}

// indices reads the dictionary indices of the present rows; each is below c.entries. They are valid until the next call.
func (c *columnReader) indices(present int) ([]uint32, error) {
	if cap(c.scratch) < present {
		c.scratch = make([]uint32, present)
	}
	idx := c.scratch[:present]
	if err := c.index.next(idx); err != nil {
		return nil, fmt.Errorf("dictionary indices: %w", err)
	}
	top := uint32(0)
	for _, v := range idx {
		top = max(top, v)
	}
	if present > 0 && int64(top) >= int64(c.entries) {
		return nil, fmt.Errorf("dictionary index %d of %d entries: %w", top, c.entries, ErrInvalid)
	}
	return idx, nil
}

// gather looks the values of the rows up that have one and clears the others.
func (c *columnReader) gather(dst []byte, w int, s stretch) error {
	idx, err := c.indices(s.present)
	if err != nil {
		return err
	}
	if s.valid == nil {
		lookUp(dst, c.dict, idx, w)
		return nil
	}
	wide, dict := []uint64(nil), []uint64(nil)
	if w == 8 {
		wide, dict = arrow.Uint64Traits.CastFromBytes(dst), arrow.Uint64Traits.CastFromBytes(c.dict)
	}
	for i := 0; i < s.n; {
		bits, n := s.word(i)
		if w == 8 && len(idx) >= n { // no branch: which rows are null cannot be foreseen
			j := 0
			for k, rows := 0, wide[i:i+n]; k < len(rows); k++ {
				bit := bits & 1
				rows[k] = dict[idx[j]] & -bit
				j += int(bit)
				bits >>= 1
			}
			idx = idx[j:]
			i += n
			continue
		}
		for k := range n {
			row := dst[(i+k)*w : (i+k+1)*w]
			if bits>>k&1 == 0 {
				clear(row)
				continue
			}
			copy(row, c.dict[int(idx[0])*w:])
			idx = idx[1:]
		}
		i += n
	}
	return nil
}

// lookUp copies the entry of each index.
func lookUp(dst, dict []byte, idx []uint32, w int) {
	switch w {
	case 8:
		wide, dict := arrow.Uint64Traits.CastFromBytes(dst), arrow.Uint64Traits.CastFromBytes(dict)
		for i, k := range idx[:len(wide)] {
			wide[i] = dict[k]
		}
	case 4:
		for i, k := range idx {
			le.PutUint32(dst[4*i:], le.Uint32(dict[4*int(k):]))
		}
	default:
		for i, k := range idx {
			copy(dst[i*w:(i+1)*w], dict[int(k)*w:])
		}
	}
}

// bools reads packed booleans; null rows are false.
func (c *columnReader) bools(mem memory.Allocator, b *block) (*memory.Buffer, error) {
	out := memory.NewResizableBuffer(mem)
	out.Resize((b.n + 7) / 8)
	clear(out.Bytes())
	err := c.pieces(b, func(s stretch) error {
		if c.bit+s.present > 8*len(c.plain) {
			return fmt.Errorf("%d booleans in %d bytes: %w", c.bit+s.present, len(c.plain), ErrInvalid)
		}
		for i := range s.n {
			if !s.has(i) {
				continue
			}
			if bitutil.BitIsSet(c.plain, c.bit) {
				bitutil.SetBit(out.Bytes(), s.at+i)
			}
			c.bit++
		}
		return nil
	})
	if err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

// texts calls value for each present row, in order, and empty for each null one.
func (c *columnReader) texts(b *block, value func(v []byte) error, empty func()) error {
	return c.pieces(b, func(s stretch) error {
		var idx []uint32
		if c.indexed {
			var err error
			if idx, err = c.indices(s.present); err != nil {
				return err
			}
		}
		for i := range s.n {
			if !s.has(i) {
				empty()
				continue
			}
			var v []byte
			if c.indexed {
				k := idx[0]
				idx = idx[1:]
				v = c.dict[c.offsets[k]+4 : c.offsets[k+1]]
			} else {
				var err error
				if v, c.plain, err = text(c.plain); err != nil {
					return err
				}
			}
			if err := value(v); err != nil {
				return err
			}
		}
		return nil
	})
}
