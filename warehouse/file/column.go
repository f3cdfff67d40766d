package file

import (
	"errors"
	"fmt"
	"io"
)

// Physical types.
const (
	physBool  = 0
	physInt32 = 1
	physInt64 = 2
	physInt96 = 3
	physFloat = 4
	physDbl   = 5
	physBytes = 6
	physFixed = 7
)

// width returns the bytes of a PLAIN value, 0 for booleans and byte arrays.
func (l *leaf) bytes() int {
	switch l.physical {
	case physInt32, physFloat:
		return 4
	case physInt64, physDbl:
		return 8
	case physInt96:
		return 12
	case physFixed:
		return int(l.width)
	}
	return 0
}

// columnReader decodes the values of one column chunk in pieces. Pages are brought into one of three forms: PLAIN values,
// packed booleans, or dictionary indices.
type columnReader struct {
	leaf  *leaf
	pages *pages

	hasDict bool
	dict    []byte // PLAIN values of the dictionary, at an address of an allocator, which divides by 64
	entries int
	offsets []int          // of byte array entries, in dict: entry i is dict[offsets[i]+4:offsets[i+1]]
	texted  textDictionary // of columns that are delivered as dictionaries

	rows    int    // left in the current page
	levels  hybrid // of an optional column
	plain   []byte // values left, unless indexed
	bit     int    // of plain, the next boolean
	indexed bool
	index   hybrid
	recoded []byte // memory of pages that were re-encoded
	scratch []uint32
}

func (c *columnReader) close() {
	c.pages.close()
	c.pages.mem.free(c.dict)
	c.pages.mem.free(c.recoded)
}

// page makes sure that the current page has rows left. It returns io.ErrUnexpectedEOF when the chunk has no more.
func (c *columnReader) page() error {
	for c.rows == 0 {
		h, body, err := c.pages.next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the chunk ends before its last row: %w: %w", ErrInvalid, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return err
		}
		switch h.kind {
		case pageDictionary:
			err = c.setDictionary(h, body)
		case pageData, pageDataV2:
			err = c.setPage(h, body)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *columnReader) setDictionary(h pageHeader, body []byte) error {
	if c.hasDict {
		return fmt.Errorf("a second dictionary: %w", ErrInvalid)
	}
	if h.encoding != encPlain && h.encoding != encPlainDictionary {
		return fmt.Errorf("dictionary of encoding %d: %w", h.encoding, ErrInvalid)
	}
	c.dict, c.hasDict = c.pages.take(), true
	c.entries = int(h.values)
	switch w := c.leaf.bytes(); {
	case c.leaf.physical == physBool:
		return fmt.Errorf("dictionary of booleans: %w", ErrInvalid)
	case c.leaf.physical != physBytes:
		if c.entries*w > len(body) {
			return fmt.Errorf("dictionary of %d values of %d bytes in %d: %w", c.entries, w, len(body), ErrInvalid)
		}
		return nil
	}
	if c.entries > len(body)/4 {
		return fmt.Errorf("dictionary of %d texts in %d bytes: %w", c.entries, len(body), ErrInvalid)
	}
	c.offsets = make([]int, 1, c.entries+1)
	for range c.entries {
		v, _, err := text(c.dict[c.offsets[len(c.offsets)-1]:])
		if err != nil {
			return fmt.Errorf("dictionary: %w", err)
		}
		c.offsets = append(c.offsets, c.offsets[len(c.offsets)-1]+4+len(v))
	}
	return nil
}

// text cuts a byte array off PLAIN values.
func text(b []byte) (value, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("values end after %d of 4 bytes: %w", len(b), ErrInvalid)
	}
	n := le.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, fmt.Errorf("text of %d bytes, %d are left: %w", n, len(b)-4, ErrInvalid)
	}
	return b[4 : 4+n], b[4+n:], nil
}

func (c *columnReader) setPage(h pageHeader, body []byte) error {
	if h.values == 0 {
		return nil
	}
	n := int(h.values)
	if h.kind == pageDataV2 {
		c.levels = newHybrid(body[h.repLen:h.repLen+h.defLen], 1)
		body = body[h.repLen+h.defLen:]
	} else if c.leaf.optional {
		if h.levels != encRLE {
			return fmt.Errorf("definition levels of encoding %d: %w", h.levels, ErrInvalid)
		}
		levels, rest, err := text(body)
		if err != nil {
			return fmt.Errorf("definition levels: %w", err)
		}
		c.levels, body = newHybrid(levels, 1), rest
	}
	present := n
	if c.leaf.optional && h.encoding != encPlain && h.encoding != encPlainDictionary && h.encoding != encRLEDictionary {
		var err error
		if present, err = c.levels.countPresent(n); err != nil {
			return fmt.Errorf("definition levels: %w", err)
		}
	}
	if err := c.setValues(h.encoding, body, present); err != nil {
		return err
	}
	c.rows = n
	return nil
}

func (c *columnReader) setValues(encoding int32, body []byte, present int) (err error) {
	c.indexed, c.bit = false, 0
	c.plain = body
	l := c.leaf
	switch {
	case encoding == encPlain:
		return nil
	case encoding == encPlainDictionary || encoding == encRLEDictionary:
		if !c.hasDict {
			return fmt.Errorf("dictionary indices without a dictionary: %w", ErrInvalid)
		}
		c.indexed = true
		c.index = hybrid{}
		if len(body) > 0 { // pages of nulls have nothing
			if body[0] > 32 {
				return fmt.Errorf("dictionary indices of %d bits: %w", body[0], ErrInvalid)
			}
			c.index = newHybrid(body[1:], uint(body[0]))
		}
		return nil
	case present > maxDecodedPage:
		return fmt.Errorf("page of %d values, limit %d: %w", present, maxDecodedPage, ErrInvalid)
	}
	dst := c.recoded[:0]
	before := cap(dst)
	switch {
	case encoding == encRLE && l.physical == physBool:
		dst, err = plainFromRuns(dst, body, present)
	case encoding == encDelta && (l.physical == physInt32 || l.physical == physInt64):
		dst, err = plainFromDeltas(dst, body, present, l.bytes())
	case encoding == encDeltaLength && l.physical == physBytes:
		dst, err = plainFromLengths(dst, body, present)
	case encoding == encDeltaBytes && (l.physical == physBytes || l.physical == physFixed):
		dst, err = plainFromPrefixes(dst, body, present, l.bytes())
	case encoding == encByteStream && l.bytes() > 0:
		dst, err = plainFromStreams(dst, body, present, l.bytes())
	default:
		return fmt.Errorf("encoding %d of physical type %d is not supported: %w", encoding, l.physical, ErrInvalid)
	}
	c.pages.mem.used.Add(int64(cap(dst) - before))
	c.recoded, c.plain = dst, dst
	return err
}

// plainFromRuns re-encodes RLE booleans as packed ones.
func plainFromRuns(dst, b []byte, n int) ([]byte, error) {
	levels, _, err := text(b)
	if err != nil {
		return nil, fmt.Errorf("booleans: %w", err)
	}
	h := newHybrid(levels, 1)
	var scratch [256]uint32
	for n > 0 {
		k := min(n, len(scratch))
		if err := h.next(scratch[:k]); err != nil {
			return nil, fmt.Errorf("booleans: %w", err)
		}
		for i := 0; i < k; i += 8 {
			var v byte
			for j := i; j < min(i+8, k); j++ {
				v |= byte(scratch[j]&1) << (j - i)
			}
			dst = append(dst, v)
		}
		n -= k
	}
	return dst, nil
}
