package xgboost

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/source"
)

// ubjCursor reads UBJSON (draft 12) as XGBoost writes it:
//
//	{ L<i64 length><key> <value> ... }          keys without a marker of their own, no count
//	[ $d #L<i64 count> <4-byte big-endian floats>   typed, no closing bracket
//	[ #L<i64 count> <value> <value> ...             counted, no closing bracket
//	S L<i64 length><bytes>
//
// Typed arrays are decoded straight from the read buffer.
type ubjCursor struct {
	src    *source.Reader
	limits limit.Limits
	depth  int64
	marker byte // the next value's marker, when read ahead
	ahead  bool
	key    []byte
}

// next consumes the marker of the next value, skipping no-ops.
func (c *ubjCursor) next() (byte, error) {
	if c.ahead {
		c.ahead = false
		return c.marker, nil
	}
	for {
		b, err := c.src.Byte("the document")
		if err != nil || b != 'N' {
			return b, at(c.src.Offset(), err)
		}
	}
}

func (c *ubjCursor) back(marker byte) { c.marker, c.ahead = marker, true }

func (c *ubjCursor) malformed(format string, args ...any) error {
	return at(c.src.Offset(), fault.Malformed(format, args...))
}

func (c *ubjCursor) peek() (kind, error) {
	b, err := c.next()
	if err != nil {
		return 0, err
	}
	c.back(b)
	switch b {
	case '{':
		return kindObject, nil
	case '[':
		return kindArray, nil
	case 'S', 'C':
		return kindText, nil
	case 'T', 'F':
		return kindBool, nil
	case 'Z':
		return kindNull, nil
	case 'H':
		return 0, at(c.src.Offset(), fault.NotSupported("high-precision numbers of UBJSON"))
	}
	if width(b) > 0 {
		return kindNumber, nil
	}
	return 0, c.malformed("marker %q begins no UBJSON value", b)
}

// width returns the number of bytes of a number with this marker, 0 for other markers.
func width(marker byte) int {
	switch marker {
	case 'i', 'U':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	}
	return 0
}

// decode returns the number of a marker as integer and float; exact says that it is an integer.
func decode(marker byte, b []byte) (i int64, f float32, exact bool) {
	switch marker {
	case 'i':
		i = int64(int8(b[0]))
	case 'U':
		i = int64(b[0])
	case 'I':
		i = int64(int16(binary.BigEndian.Uint16(b)))
	case 'l':
		i = int64(int32(binary.BigEndian.Uint32(b)))
	case 'L':
		i = int64(binary.BigEndian.Uint64(b))
	case 'd':
		return 0, math.Float32frombits(binary.BigEndian.Uint32(b)), false
	default: // 'D'
		return 0, float32(math.Float64frombits(binary.BigEndian.Uint64(b))), false
	}
	return i, float32(i), true
}

// number consumes a number whose marker has been consumed.
func (c *ubjCursor) number(marker byte) (int64, float32, bool, error) {
	switch marker {
	case 'T':
		return 1, 1, true, nil
	case 'F':
		return 0, 0, true, nil
	}
	n := width(marker)
	if n == 0 {
		return 0, 0, false, c.malformed("marker %q where a number is wanted", marker)
	}
	b, err := c.src.Fill(n, "a number")
	if err != nil {
		return 0, 0, false, at(c.src.Offset(), err)
	}
	i, f, exact := decode(marker, b)
	return i, f, exact, at(c.src.Offset(), c.src.Skip(n))
}

// length consumes an integer that counts something.
func (c *ubjCursor) length(of string) (int64, error) {
	marker, err := c.src.Byte(of)
	if err != nil {
		return 0, at(c.src.Offset(), err)
	}
	if width(marker) == 0 {
		return 0, c.malformed("marker %q where the length of %s is wanted", marker, of)
	}
	n, _, exact, err := c.number(marker)
	if err != nil {
		return 0, err
	}
	if !exact || n < 0 {
		return 0, c.malformed("the length of %s is %d", of, n)
	}
	return n, nil
}

func (c *ubjCursor) str(of string) (string, error) {
	n, err := c.length(of)
	if err != nil {
		return "", err
	}
	if err := limit.Check("StringBytes", c.limits.StringBytes, n); err != nil {
		return "", at(c.src.Offset(), err)
	}
	c.key, err = c.src.Append(c.key[:0], n, of)
	return string(c.key), at(c.src.Offset(), err)
}

func (c *ubjCursor) enter() error {
	c.depth++
	return at(c.src.Offset(), limit.Check("NestingDepth", c.limits.NestingDepth, c.depth))
}

func (c *ubjCursor) open(marker byte, want string) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	if b != marker {
		return c.malformed("marker %q where %s is wanted", b, want)
	}
	return nil
}

func (c *ubjCursor) object(visit func(string) error) error {
	if err := c.open('{', "an object"); err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	for {
		b, err := c.src.Fill(1, "an object")
		if err != nil {
			return at(c.src.Offset(), err)
		}
		switch b[0] {
		case '}':
			c.depth--
			return at(c.src.Offset(), c.src.Skip(1))
		case '$', '#':
			return at(c.src.Offset(), fault.NotSupported("counted objects of UBJSON"))
		}
		key, err := c.str("a key")
		if err != nil {
			return err
		}
		if err := visit(key); err != nil {
			return err
		}
	}
}

// header is what stands between '[' and the elements.
type header struct {
	typ     byte  // of all elements; 0 when each has its own marker
	count   int64 // -1: until ']'
	element int   // bytes of an element of typ
}

// begin consumes '[' and the header of an array.
func (c *ubjCursor) begin() (header, error) {
	h := header{count: -1}
	if err := c.open('[', "an array"); err != nil {
		return h, err
	}
	b, err := c.src.Fill(1, "an array")
	if err != nil {
		return h, at(c.src.Offset(), err)
	}
	if b[0] == '$' {
		typed, err := c.src.Fill(2, "an array")
		if err != nil {
			return h, at(c.src.Offset(), err)
		}
		h.typ = typed[1]
		if h.element = width(h.typ); h.element == 0 {
			return h, c.malformed("an array typed %q", h.typ)
		}
		if err := c.src.Skip(2); err != nil {
			return h, at(c.src.Offset(), err)
		}
		if b, err = c.src.Fill(1, "an array"); err != nil {
			return h, at(c.src.Offset(), err)
		}
		if b[0] != '#' {
			return h, c.malformed("a typed array without a count")
		}
	}
	if b[0] != '#' {
		return h, nil
	}
	if err := c.src.Skip(1); err != nil {
		return h, at(c.src.Offset(), err)
	}
	h.count, err = c.length("an array")
	return h, err
}

// elements calls visit for each element of an array that is not typed.
func (c *ubjCursor) elements(h header, visit func() error) error {
	if err := c.enter(); err != nil {
		return err
	}
	for i := int64(0); h.count < 0 || i < h.count; i++ {
		if h.count < 0 {
			b, err := c.next()
			if err != nil {
				return err
			}
			if b == ']' {
				break
			}
			c.back(b)
		}
		if err := visit(); err != nil {
			return err
		}
	}
	c.depth--
	return nil
}

func (c *ubjCursor) array(visit func() error) error {
	h, err := c.begin()
	if err != nil {
		return err
	}
	if h.typ == 0 {
		return c.elements(h, visit)
	}
	for range h.count {
		c.back(h.typ)
		if err := visit(); err != nil {
			return err
		}
	}
	return nil
}

// numbers reads an array of numbers in any of the three forms.
func (c *ubjCursor) numbers(most bound, add func(i int64, f float32, exact bool) error) error {
	h, err := c.begin()
	if err != nil {
		return err
	}
	if err := most.check(h.count); err != nil {
		return at(c.src.Offset(), err)
	}
	if h.typ != 0 {
		return at(c.src.Offset(), c.src.Chunks(h.count, h.element, "an array", func(chunk []byte) error {
			for ; len(chunk) > 0; chunk = chunk[h.element:] {
				if err := add(decode(h.typ, chunk)); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	count := int64(0)
	return c.elements(h, func() error {
		count++
		if err := most.check(count); err != nil {
			return at(c.src.Offset(), err)
		}
		marker, err := c.next()
		if err != nil {
			return err
		}
		i, f, exact, err := c.number(marker)
		if err != nil {
			return err
		}
		return add(i, f, exact)
	})
}

func (c *ubjCursor) int64s(dst []int64, most bound) ([]int64, error) {
	err := c.numbers(most, func(i int64, f float32, exact bool) error {
		if !exact {
			return c.malformed("%v is no integer", f)
		}
		dst = append(dst, i)
		return nil
	})
	return dst, err
}

func (c *ubjCursor) int32s(dst []int32, most bound) ([]int32, error) {
	err := c.numbers(most, func(i int64, f float32, exact bool) error {
		if !exact || i != int64(int32(i)) {
			return c.malformed("%v is no int32", printable(i, f, exact))
		}
		dst = append(dst, int32(i))
		return nil
	})
	return dst, err
}

// printable picks what to print of a number.
func printable(i int64, f float32, exact bool) any {
	if exact {
		return i
	}
	return f
}

func (c *ubjCursor) float32s(dst []float32, most bound) ([]float32, error) {
	err := c.numbers(most, func(_ int64, f float32, _ bool) error {
		dst = append(dst, f)
		return nil
	})
	return dst, err
}

func (c *ubjCursor) text() (string, error) {
	marker, err := c.next()
	if err != nil {
		return "", err
	}
	switch marker {
	case 'S':
		return c.str("a string")
	case 'C':
		b, err := c.src.Byte("a character")
		return string(rune(b)), at(c.src.Offset(), err)
	case 'T':
		return textTrue, nil
	case 'F':
		return textFalse, nil
	}
	i, f, exact, err := c.number(marker)
	if err != nil || exact {
		return strconv.FormatInt(i, 10), err
	}
	return strconv.FormatFloat(float64(f), 'g', -1, 32), nil
}

func (c *ubjCursor) skip() error {
	k, err := c.peek()
	if err != nil {
		return err
	}
	switch k {
	case kindObject:
		return c.object(func(string) error { return c.skip() })
	case kindArray:
		h, err := c.begin()
		if err != nil {
			return err
		}
		if h.typ == 0 {
			return c.elements(h, c.skip)
		}
		if h.count > c.limits.Bytes/int64(h.element) {
			return c.malformed("an array of %d values", h.count)
		}
		return at(c.src.Offset(), c.src.SkipLong(h.count*int64(h.element), "an array"))
	case kindNull:
		c.ahead = false
		return nil
	}
	_, err = c.text()
	return err
}

func (c *ubjCursor) finish() error {
	w, err := c.src.Peek()
	if err == nil && len(w) > 0 {
		err = fault.Malformed("byte %#02x after the end of the document", w[0])
	}
	return at(c.src.Offset(), err)
}
