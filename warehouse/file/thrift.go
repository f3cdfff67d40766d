package file

import (
	"encoding/binary"
	"fmt"
)

// Compact protocol types.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftBinary = 8
	thriftList   = 9
	thriftStruct = 12
)

// maxThriftDepth is more than any structure of the Parquet format needs.
const maxThriftDepth = 16

// thrift walks the compact protocol. A walk visits each byte at most once, and announces nothing that is not there, so
// that a decoder which is given the same bytes afterwards needs memory in proportion to them.
type thrift struct {
	b     []byte
	pos   int
	depth int
	err   error
}

func (t *thrift) fail(format string, args ...any) {
	if t.err == nil {
		t.err = fmt.Errorf("thrift at byte %d: "+format+": %w", append(append([]any{t.pos}, args...), ErrInvalid)...)
	}
}

func (t *thrift) byte() byte {
	if t.err != nil || t.pos >= len(t.b) {
		t.fail("the bytes end")
		return 0
	}
	t.pos++
	return t.b[t.pos-1]
}

func (t *thrift) varint() uint64 {
	if t.err != nil {
		return 0
	}
	v, n := binary.Uvarint(t.b[t.pos:])
	if n <= 0 {
		t.fail("bad number")
		return 0
	}
	t.pos += n
	return v
}

func (t *thrift) int() int64 {
	v := t.varint()
	return int64(v>>1) ^ -int64(v&1)
}

func (t *thrift) int32() int32 {
	v := t.int()
	if int64(int32(v)) != v {
		t.fail("number %d is no int32", v)
	}
	return int32(v)
}

func (t *thrift) bytes() []byte {
	n := t.varint()
	if t.err == nil && n > uint64(len(t.b)-t.pos) {
		t.fail("text of %d bytes", n)
	}
	if t.err != nil {
		return nil
	}
	t.pos += int(n)
	return t.b[t.pos-int(n) : t.pos]
}

// fields calls f for each field of a struct; f returns false for fields that it does not read.
func (t *thrift) fields(f func(id int, typ byte) bool) {
	if t.depth++; t.depth > maxThriftDepth {
		t.fail("nested deeper than %d", maxThriftDepth)
	}
	defer func() { t.depth-- }()
	id := 0
	for t.err == nil {
		h := t.byte()
		if t.err != nil || h == 0 {
			return
		}
		if delta := int(h >> 4); delta > 0 {
			id += delta
		} else {
			id = int(t.int())
		}
		if typ := h & 15; !f(id, typ) {
			t.skip(typ)
		}
	}
}

// list calls f for each element and returns the number of elements. An element takes at least a byte.
func (t *thrift) list(want byte, f func()) int {
	typ, n := t.listHead()
	if n > 0 && typ != want {
		t.fail("list of type %d, want %d", typ, want)
	}
	for range n {
		if t.err != nil {
			return 0
		}
		f()
	}
	return n
}

func (t *thrift) listHead() (typ byte, n int) {
	h := t.byte()
	size := uint64(h >> 4)
	if size == 15 {
		size = t.varint()
	}
	if t.err == nil && size > uint64(len(t.b)-t.pos) {
		t.fail("list of %d elements", size)
	}
	if t.err != nil {
		return 0, 0
	}
	return h & 15, int(size)
}

func (t *thrift) skip(typ byte) {
	switch typ {
	case thriftTrue, thriftFalse:
	case 3:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.varint()
	case 7:
		if len(t.b)-t.pos < 8 {
			t.fail("the bytes end")
			return
		}
		t.pos += 8
	case thriftBinary:
		t.bytes()
	case thriftList, 10:
		elem, n := t.listHead()
		t.skipAll(elem, n)
	case 11:
		n := t.varint()
		if n == 0 || t.err != nil {
			return
		}
		kv := t.byte()
		if n > uint64(len(t.b)-t.pos) {
			t.fail("map of %d entries", n)
		}
		for i := uint64(0); i < n && t.err == nil; i++ {
			t.skipAll(kv>>4, 1)
			t.skipAll(kv&15, 1)
		}
	case thriftStruct:
		t.fields(func(int, byte) bool { return false })
	default:
		t.fail("type %d", typ)
	}
}

// skipAll skips n elements of a container, whose booleans take a byte, unlike those of fields.
func (t *thrift) skipAll(typ byte, n int) {
	if t.depth++; t.depth > maxThriftDepth {
		t.fail("nested deeper than %d", maxThriftDepth)
	}
	defer func() { t.depth-- }()
	for i := 0; i < n && t.err == nil; i++ {
		if typ == thriftTrue || typ == thriftFalse {
			t.byte()
		} else {
			t.skip(typ)
		}
	}
}
