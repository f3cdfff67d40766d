package file

import (
	"fmt"

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

// validity reads the definition levels of n rows of the current page into bits at row at, and returns the present ones'
// count and, when some are missing, which they are.
func (c *columnReader) validity(b *block, at, n int) (present int, levels []uint32, err error) {
	if !c.leaf.optional {
		return n, nil, nil
	}
	if c.levels.skip(n) {
		bitutil.SetBitsTo(b.validity.Bytes(), int64(at), int64(n), true)
		return n, nil, nil
	}
	if cap(c.scratch) < n {
		c.scratch = make([]uint32, n)
	}
	levels = c.scratch[:n]
	if err := c.levels.next(levels); err != nil {
		return 0, nil, fmt.Errorf("definition levels: %w", err)
	}
	for _, v := range levels {
		if v > 1 {
			return 0, nil, fmt.Errorf("definition level %d: %w", v, ErrInvalid)
		}
		present += int(v)
	}
	bits := b.validity.Bytes()
	if present == n {
		bitutil.SetBitsTo(bits, int64(at), int64(n), true)
		return n, nil, nil
	}
	b.nulls += n - present
	for i, v := range levels {
		if v == 1 {
			bitutil.SetBit(bits, at+i)
		}
	}
	return present, levels, nil
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
func (c *columnReader) pieces(b *block, f func(at, n, present int, levels []uint32) error) error {
	for at := 0; at < b.n; {
		if err := c.page(); err != nil {
			return err
		}
		n := min(c.rows, b.n-at)
		present, levels, err := c.validity(b, at, n)
		if err != nil {
			return err
		}
		if err := f(at, n, present, levels); err != nil {
			return err
		}
		c.rows -= n
		at += n
	}
	return nil
}

// fixed reads values of c.leaf.bytes() bytes each; null rows are zero.
func (c *columnReader) fixed(mem memory.Allocator, b *block) (*memory.Buffer, error) {
	w := c.leaf.bytes()
	out := memory.NewResizableBuffer(mem)
	out.Resize(b.n * w)
	err := c.pieces(b, func(at, n, present int, levels []uint32) error {
		dst := out.Bytes()[at*w : (at+n)*w]
		if levels != nil {
			clear(dst)
		}
		if c.indexed {
			return c.gather(dst, w, n, present, levels)
		}
		if len(c.plain) < present*w {
			return fmt.Errorf("%d values of %d bytes in %d: %w", present, w, len(c.plain), ErrInvalid)
		}
		src := c.plain[:present*w]
		c.plain = c.plain[present*w:]
		switch {
		case levels == nil:
			copy(dst, src)
		case w == 8:
			spread8(dst, src, levels)
		case w == 4:
			spread4(dst, src, levels)
		default:
			for i, v := range levels {
				if v == 1 {
					src = src[copy(dst[i*w:(i+1)*w], src):]
				}
			}
		}
		return nil
	})
	if err != nil {
		out.Release()
		return nil, err
	}
	return out, nil
}

func spread8(dst, src []byte, levels []uint32) {
	for i, v := range levels {
		if v == 1 {
			le.PutUint64(dst[8*i:], le.Uint64(src))
			src = src[8:]
		}
	}
}

func spread4(dst, src []byte, levels []uint32) {
	for i, v := range levels {
		if v == 1 {
			le.PutUint32(dst[4*i:], le.Uint32(src))
			src = src[4:]
		}
	}
}

// indices reads the dictionary indices of the present rows; each is below c.entries. They are valid until the next call.
func (c *columnReader) indices(n, present int) ([]uint32, error) {
	if cap(c.scratch) < n+present { // levels live in the first n
		old := c.scratch
		c.scratch = make([]uint32, n+present)
		copy(c.scratch, old[:cap(old)])
	}
	idx := c.scratch[:n+present][n:]
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

func (c *columnReader) gather(dst []byte, w, n, present int, levels []uint32) error {
	idx, err := c.indices(n, present)
	if err != nil {
		return err
	}
	switch {
	case levels == nil && w == 8:
		for i, k := range idx {
			le.PutUint64(dst[8*i:], le.Uint64(c.dict[8*k:]))
		}
	case levels == nil && w == 4:
		for i, k := range idx {
			le.PutUint32(dst[4*i:], le.Uint32(c.dict[4*k:]))
		}
	default:
		for i := range n {
			if levels != nil && levels[i] == 0 {
				continue
			}
			k := int(idx[0])
			idx = idx[1:]
			copy(dst[i*w:(i+1)*w], c.dict[k*w:])
		}
	}
	return nil
}

// bools reads packed booleans; null rows are false.
func (c *columnReader) bools(mem memory.Allocator, b *block) (*memory.Buffer, error) {
	out := memory.NewResizableBuffer(mem)
	out.Resize((b.n + 7) / 8)
	clear(out.Bytes())
	err := c.pieces(b, func(at, n, present int, levels []uint32) error {
		if c.bit+present > 8*len(c.plain) {
			return fmt.Errorf("%d booleans in %d bytes: %w", c.bit+present, len(c.plain), ErrInvalid)
		}
		for i := range n {
			if levels != nil && levels[i] == 0 {
				continue
			}
			if bitutil.BitIsSet(c.plain, c.bit) {
				bitutil.SetBit(out.Bytes(), at+i)
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
	return c.pieces(b, func(_, n, present int, levels []uint32) error {
		var idx []uint32
		if c.indexed {
			var err error
			if idx, err = c.indices(n, present); err != nil {
				return err
			}
		}
		for i := range n {
			if levels != nil && levels[i] == 0 {
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
