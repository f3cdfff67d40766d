package arrowguard

import (
	"encoding/binary"
	"math"
)

// maxMetadataBytes bounds the flatbuffer of one message or footer, whatever Limits allows for bodies: 65,536 fields with
// a name and metadata each need about 12 MiB.
const maxMetadataBytes = 16 << 20

// flatbuf walks one flatbuffer. The budgets bound what shared sub-objects can multiply (G2).
//
//	table:  soffset to vtable | inline fields        vtable: u16 size, u16 table size, u16 field offset...
//	vector: u32 count | elements                     string: u32 length | bytes | 0
type flatbuf struct {
	b      []byte
	visits int
	text   int
	err    error // the first fault; later reads return zero values
}

// newFlatbuf sets the budgets: an unshared table or vector element takes at least four bytes.
func newFlatbuf(b []byte) *flatbuf {
	return &flatbuf{b: b, visits: len(b)/4 + 16, text: len(b)}
}

type table struct {
	f          *flatbuf
	pos        int
	vtab, vlen int
}

func (f *flatbuf) fail(format string, args ...any) {
	if f.err == nil {
		f.err = invalid("metadata: "+format, args...)
	}
}

func (f *flatbuf) visit(n int) bool {
	if f.err != nil {
		return false
	}
	if f.visits -= n; f.visits < 0 {
		f.fail("%d bytes share objects too often", len(f.b))
		return false
	}
	return true
}

func (f *flatbuf) u32(pos int) uint32 { return binary.LittleEndian.Uint32(f.b[pos:]) }

func (f *flatbuf) in(pos, n int) bool { return pos >= 0 && n >= 0 && pos <= len(f.b)-n }

// follow reads the offset at pos, which must be in range, and returns where it leads.
func (f *flatbuf) follow(pos int) int {
	off := f.u32(pos)
	if off == 0 || off > math.MaxInt32 || int(off) > len(f.b)-4-pos {
		f.fail("offset %d at byte %d leads outside of %d bytes or to itself", off, pos, len(f.b))
		return 0
	}
	return pos + int(off)
}

// root returns the table that the buffer starts with.
func (f *flatbuf) root() table {
	if len(f.b) < 8 {
		f.fail("%d bytes are no flatbuffer", len(f.b))
		return table{f: f}
	}
	return f.table(f.follow(0))
}

func (f *flatbuf) table(pos int) table {
	t := table{f: f}
	if !f.visit(1) {
		return t
	}
	if !f.in(pos, 4) {
		f.fail("table at byte %d of %d", pos, len(f.b))
		return t
	}
	vtab := pos - int(int32(f.u32(pos)))
	if !f.in(vtab, 4) {
		f.fail("table at byte %d has its vtable at byte %d of %d", pos, vtab, len(f.b))
		return t
	}
	vlen := int(binary.LittleEndian.Uint16(f.b[vtab:]))
	if vlen < 4 || vlen%2 != 0 || !f.in(vtab, vlen) {
		f.fail("table at byte %d: vtable of %d bytes at byte %d of %d", pos, vlen, vtab, len(f.b))
		return t
	}
	t.pos, t.vtab, t.vlen = pos, vtab, vlen
	return t
}

// at returns the position of the n bytes of field slot, or 0 when the field is absent.
func (t table) at(slot, n int) int {
	o := 4 + 2*slot
	if t.f.err != nil || o+2 > t.vlen {
		return 0
	}
	off := int(binary.LittleEndian.Uint16(t.f.b[t.vtab+o:]))
	if off == 0 {
		return 0
	}
	// The table's own size says nothing: Go's flatbuffers builder shares vtables between tables of different sizes.
	if off < 4 || !t.f.in(t.pos+off, n) {
		t.f.fail("field %d of the table at byte %d has offset %d in %d bytes", slot, t.pos, off, len(t.f.b))
		return 0
	}
	return t.pos + off
}

func (t table) byteAt(slot int, def byte) byte {
	if p := t.at(slot, 1); p > 0 {
		return t.f.b[p]
	}
	return def
}

func (t table) flag(slot int) bool { return t.byteAt(slot, 0) != 0 }

func (t table) int16At(slot int, def int16) int16 {
	if p := t.at(slot, 2); p > 0 {
		return int16(binary.LittleEndian.Uint16(t.f.b[p:]))
	}
	return def
}

func (t table) int32At(slot int, def int32) int32 {
	if p := t.at(slot, 4); p > 0 {
		return int32(t.f.u32(p))
	}
	return def
}

func (t table) int64At(slot int, def int64) int64 {
	if p := t.at(slot, 8); p > 0 {
		return int64(binary.LittleEndian.Uint64(t.f.b[p:]))
	}
	return def
}

// child returns the table that field slot refers to; ok is false when the field is absent.
func (t table) child(slot int) (c table, ok bool) {
	p := t.at(slot, 4)
	if p == 0 {
		return table{f: t.f}, false
	}
	p = t.f.follow(p)
	if t.f.err != nil {
		return table{f: t.f}, false
	}
	c = t.f.table(p)
	return c, t.f.err == nil
}

func (t table) text(slot int) string {
	p := t.at(slot, 4)
	if p == 0 {
		return ""
	}
	p = t.f.follow(p)
	if t.f.err != nil {
		return ""
	}
	n := int64(t.f.u32(p))
	if n > int64(len(t.f.b)-4-p) {
		t.f.fail("text of %d bytes at byte %d of %d", n, p, len(t.f.b))
		return ""
	}
	if t.f.text -= int(n); t.f.text < 0 {
		t.f.fail("%d bytes share texts too often", len(t.f.b))
		return ""
	}
	return string(t.f.b[p+4 : p+4+int(n)])
}

// vector is a vector of n elements of width bytes, the first one at pos.
type vector struct {
	f             *flatbuf
	pos, n, width int
}

// vectorAt returns the vector of field slot, empty when the field is absent. Structs start aligned by the writer, so the
// elements follow the count directly.
func (t table) vectorAt(slot, width int) vector {
	v := vector{f: t.f, width: width}
	p := t.at(slot, 4)
	if p == 0 {
		return v
	}
	p = t.f.follow(p)
	if t.f.err != nil {
		return v
	}
	n := int64(t.f.u32(p))
	if n*int64(width) > int64(len(t.f.b)-4-p) {
		t.f.fail("vector of %d elements of %d bytes at byte %d of %d", n, width, p, len(t.f.b))
		return v
	}
	if !t.f.visit(int(n)) {
		return v
	}
	v.pos, v.n = p+4, int(n)
	return v
}

// tableAt returns element i of a vector of tables.
func (v vector) tableAt(i int) table {
	if v.f.err != nil {
		return table{f: v.f}
	}
	p := v.f.follow(v.pos + i*4)
	if v.f.err != nil {
		return table{f: v.f}
	}
	return v.f.table(p)
}

// int64At reads 8 bytes at offset off of struct element i.
func (v vector) int64At(i, off int) int64 {
	return int64(binary.LittleEndian.Uint64(v.f.b[v.pos+i*v.width+off:]))
}

func (v vector) int32At(i, off int) int32 {
	return int32(v.f.u32(v.pos + i*v.width + off))
}
