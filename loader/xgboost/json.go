package xgboost

import (
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/source"
)

// jsonCursor reads JSON as XGBoost writes it: RFC 8259 plus NaN, Infinity and -Infinity. It never holds more of the
// text than one token.
type jsonCursor struct {
	src    *source.Reader
	limits limit.Limits
	depth  int64
	token  []byte // a number or string that spans two windows
}

// space skips white space and returns the next byte without consuming it; ok is false at the end of the file.
func (c *jsonCursor) space() (b byte, ok bool, err error) {
	for {
		w, err := c.src.Peek()
		if err != nil || len(w) == 0 {
			return 0, false, err
		}
		i := 0
		for i < len(w) && (w[i] == ' ' || w[i] == '\n' || w[i] == '\r' || w[i] == '\t') {
			i++
		}
		if i < len(w) {
			b = w[i]
		}
		if i > 0 {
			if err := c.src.Skip(i); err != nil {
				return 0, false, err
			}
		}
		if i < len(w) {
			return b, true, nil
		}
	}
}

// next is space where the file must not end.
func (c *jsonCursor) next(inside string) (byte, error) {
	b, ok, err := c.space()
	if err == nil && !ok {
		err = fault.Truncated(inside)
	}
	return b, at(c.src.Offset(), err)
}

// expect consumes the byte want after white space.
func (c *jsonCursor) expect(want byte, inside string) error {
	b, err := c.next(inside)
	if err != nil {
		return err
	}
	if b != want {
		return at(c.src.Offset(), fault.Malformed("%q where %q is wanted in %s", b, want, inside))
	}
	return at(c.src.Offset(), c.src.Skip(1))
}

func (c *jsonCursor) peek() (kind, error) {
	b, err := c.next("the document")
	if err != nil {
		return 0, err
	}
	switch b {
	case '{':
		return kindObject, nil
	case '[':
		return kindArray, nil
	case '"':
		return kindText, nil
	case 't', 'f':
		return kindBool, nil
	case 'n':
		return kindNull, nil
	case '-', 'N', 'I', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return kindNumber, nil
	}
	return 0, at(c.src.Offset(), fault.Malformed("%q begins no JSON value", b))
}

func (c *jsonCursor) enter() error {
	c.depth++
	return at(c.src.Offset(), limit.Check("NestingDepth", c.limits.NestingDepth, c.depth))
}

func (c *jsonCursor) object(visit func(string) error) error {
	return c.sequence('{', '}', "an object", func() error {
		b, err := c.next("an object")
		if err != nil {
			return err
		}
		if b != '"' {
			return at(c.src.Offset(), fault.Malformed("%q where a key is wanted", b))
		}
		key, err := c.quoted()
		if err != nil {
			return err
		}
		if err := c.expect(':', "an object"); err != nil {
			return err
		}
		return visit(key)
	})
}

func (c *jsonCursor) array(visit func() error) error {
	return c.sequence('[', ']', "an array", visit)
}

// sequence reads open, elements with commas between them, and end.
func (c *jsonCursor) sequence(open, end byte, inside string, element func() error) error {
	if err := c.expect(open, inside); err != nil {
		return err
	}
	if err := c.enter(); err != nil {
		return err
	}
	b, err := c.next(inside)
	if err != nil {
		return err
	}
	for b != end {
		if err := element(); err != nil {
			return err
		}
		if b, err = c.next(inside); err != nil {
			return err
		}
		if b == end {
			break
		}
		if err := c.expect(',', inside); err != nil {
			return err
		}
		if b, err = c.next(inside); err != nil {
			return err
		}
		if b == end {
			return at(c.src.Offset(), fault.Malformed("a comma before the end of %s", inside))
		}
	}
	c.depth--
	return at(c.src.Offset(), c.src.Skip(1))
}

func (c *jsonCursor) text() (string, error) {
	k, err := c.peek()
	if err != nil {
		return "", err
	}
	switch k {
	case kindText:
		return c.quoted()
	case kindNumber, kindBool:
		w, err := c.word()
		return string(w), err
	}
	return "", at(c.src.Offset(), fault.Malformed("%v where a string is wanted", k))
}

// quoted reads a string. Escapes are those of JSON; a lone surrogate becomes U+FFFD.
func (c *jsonCursor) quoted() (string, error) {
	if err := c.expect('"', "a string"); err != nil {
		return "", err
	}
	c.token = c.token[:0]
	for {
		w, err := c.src.Window(math.MaxInt, "a string")
		if err != nil {
			return "", at(c.src.Offset(), err)
		}
		i := 0
		for i < len(w) && w[i] != '"' && w[i] != '\\' && w[i] >= ' ' {
			i++
		}
		c.token = append(c.token, w[:i]...)
		if err := limit.Check("StringBytes", c.limits.StringBytes, int64(len(c.token))); err != nil {
			return "", at(c.src.Offset(), err)
		}
		more := i == len(w)
		var stop byte
		if !more {
			stop = w[i]
			i++
		}
		if err := c.src.Skip(i); err != nil {
			return "", at(c.src.Offset(), err)
		}
		switch {
		case more:
		case stop == '"':
			return string(c.token), nil
		case stop == '\\':
			if err := c.escape(); err != nil {
				return "", at(c.src.Offset(), err)
			}
		default:
			return "", at(c.src.Offset()-1, fault.Malformed("control character %#02x in a string", stop))
		}
	}
}

// escape appends what follows a backslash to the token.
func (c *jsonCursor) escape() error {
	b, err := c.src.Byte("a string")
	if err != nil {
		return err
	}
	switch b {
	case '"', '\\', '/':
	case 'b':
		b = '\b'
	case 'f':
		b = '\f'
	case 'n':
		b = '\n'
	case 'r':
		b = '\r'
	case 't':
		b = '\t'
	case 'u':
		return c.unicode()
	default:
		return fault.Malformed("unknown escape \\%c in a string", b)
	}
	c.token = append(c.token, b)
	return nil
}

// unicode appends the character of \uXXXX, joining a surrogate pair.
func (c *jsonCursor) unicode() error {
	r, err := c.hex4()
	if err != nil {
		return err
	}
	if r >= 0xd800 && r < 0xdc00 {
		tail, err := c.src.Fill(2, "a string")
		if err != nil {
			return err
		}
		if tail[0] == '\\' && tail[1] == 'u' {
			if err := c.src.Skip(2); err != nil {
				return err
			}
			low, err := c.hex4()
			if err != nil {
				return err
			}
			if low < 0xdc00 || low >= 0xe000 {
				return fault.Malformed("a high surrogate before \\u%04x", low)
			}
			r = 0x10000 + (r-0xd800)<<10 + (low - 0xdc00)
		}
	}
	c.token = utf8.AppendRune(c.token, r)
	return nil
}

func (c *jsonCursor) hex4() (rune, error) {
	w, err := c.src.Fill(4, "a string")
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(string(w), 16, 16)
	if err != nil {
		return 0, fault.Malformed("\\u%s in a string", strconv.QuoteToASCII(string(w)))
	}
	return rune(v), c.src.Skip(4)
}

// maxWord bounds a number or keyword: XGBoost writes at most 16 bytes, other writers print doubles in full.
const maxWord = 512

// word reads a number or one of true, false, null, NaN, Infinity. The slice is valid until the next call.
func (c *jsonCursor) word() ([]byte, error) {
	if _, err := c.next("a number"); err != nil {
		return nil, err
	}
	c.token = c.token[:0]
	for {
		w, err := c.src.Window(math.MaxInt, "a number")
		if err != nil {
			return nil, at(c.src.Offset(), err)
		}
		i := 0
		for i < len(w) && wordByte(w[i]) {
			i++
		}
		if i < len(w) && len(c.token) == 0 {
			return w[:i], at(c.src.Offset(), c.src.Skip(i))
		}
		if c.token = append(c.token, w[:i]...); len(c.token) > maxWord {
			return nil, at(c.src.Offset(), fault.Malformed("a number of more than %d bytes", maxWord))
		}
		if err := c.src.Skip(i); err != nil {
			return nil, at(c.src.Offset(), err)
		}
		if i < len(w) {
			return c.token, nil
		}
	}
}

func wordByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-' || b == '+' || b == '.'
}

// words calls use for each number of an array. Numbers with nothing but a comma between them, as XGBoost writes them,
// are taken straight from the buffer.
func (c *jsonCursor) words(most bound, use func(w []byte) error) error {
	count := int64(0)
	one := func(w []byte) error {
		count++
		if err := most.check(count); err != nil {
			return err
		}
		return use(w)
	}
	return c.array(func() error {
		buffered, err := c.src.Peek()
		if err != nil {
			return at(c.src.Offset(), err)
		}
		used := 0
		for i := 0; i < len(buffered)-1; i++ {
			if wordByte(buffered[i]) {
				continue
			}
			if buffered[i] != ',' || !wordByte(buffered[i+1]) {
				break
			}
			if err := one(buffered[used:i]); err != nil {
				return at(c.src.Offset()+int64(used), err)
			}
			used = i + 1
		}
		if err := c.src.Skip(used); err != nil {
			return at(c.src.Offset(), err)
		}
		w, err := c.word()
		if err != nil {
			return err
		}
		return at(c.src.Offset(), one(w))
	})
}

// parseFloat32 reads a number as XGBoost does: correctly rounded to float32, infinite when it is too large.
func parseFloat32(w []byte) (float32, error) {
	switch string(w) {
	case "NaN":
		return float32(math.NaN()), nil
	case "Infinity":
		return float32(math.Inf(1)), nil
	case "-Infinity":
		return float32(math.Inf(-1)), nil
	}
	for _, b := range w {
		if (b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z') && b != 'e' && b != 'E' {
			return 0, fault.Malformed("%q is no number", w)
		}
	}
	v, err := strconv.ParseFloat(string(w), 32)
	if err != nil && !math.IsInf(v, 0) {
		return 0, fault.Malformed("%q is no number", w)
	}
	return float32(v), nil
}

func parseInt(w []byte) (int64, error) {
	switch string(w) {
	case textTrue:
		return 1, nil
	case textFalse:
		return 0, nil
	}
	v, err := strconv.ParseInt(string(w), 10, 64)
	if err != nil {
		// Unsigned categories beyond int64 are refused by the library as well.
		return 0, fault.Malformed("%q is no integer", w)
	}
	return v, nil
}

func (c *jsonCursor) int64s(dst []int64, most bound) ([]int64, error) {
	err := c.words(most, func(w []byte) error {
		v, err := parseInt(w)
		dst = append(dst, v)
		return err
	})
	return dst, err
}

func (c *jsonCursor) int32s(dst []int32, most bound) ([]int32, error) {
	err := c.words(most, func(w []byte) error {
		v, err := parseInt(w)
		if err == nil && v != int64(int32(v)) {
			err = fault.Malformed("%d is outside int32", v)
		}
		dst = append(dst, int32(v))
		return err
	})
	return dst, err
}

func (c *jsonCursor) float32s(dst []float32, most bound) ([]float32, error) {
	err := c.words(most, func(w []byte) error {
		v, err := parseFloat32(w)
		dst = append(dst, v)
		return err
	})
	return dst, err
}

func (c *jsonCursor) skip() error {
	k, err := c.peek()
	if err != nil {
		return err
	}
	switch k {
	case kindObject:
		return c.object(func(string) error { return c.skip() })
	case kindArray:
		return c.array(func() error {
			if err := c.skipWords(); err != nil {
				return err
			}
			return c.skip()
		})
	case kindText:
		_, err = c.quoted()
		return err
	}
	w, err := c.word()
	if err != nil {
		return err
	}
	if _, bad := parseFloat32(w); bad != nil && string(w) != textTrue && string(w) != textFalse && string(w) != "null" {
		return at(c.src.Offset(), fault.Malformed("%q is no JSON value", w))
	}
	return nil
}

// skipWords consumes numbers and their commas as far as another number follows, without looking at the numbers.
func (c *jsonCursor) skipWords() error {
	buffered, err := c.src.Peek()
	if err != nil {
		return at(c.src.Offset(), err)
	}
	used := 0
	for i := 0; i < len(buffered)-1; i++ {
		if wordByte(buffered[i]) {
			continue
		}
		if buffered[i] != ',' || i == used || !wordByte(buffered[i+1]) {
			break
		}
		used = i + 1
	}
	return at(c.src.Offset(), c.src.Skip(used))
}

func (c *jsonCursor) finish() error {
	b, ok, err := c.space()
	if err == nil && ok {
		err = fault.Malformed("%q after the end of the document", b)
	}
	return at(c.src.Offset(), err)
}
