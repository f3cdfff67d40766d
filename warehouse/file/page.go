package file

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
)

// Page types and encodings of the Parquet format.
const (
	pageData       = 0
	pageDictionary = 2
	pageDataV2     = 3

	encPlain           = 0
	encPlainDictionary = 2
	encRLE             = 3
	encBitPacked       = 4
	encDelta           = 5
	encDeltaLength     = 6
	encDeltaBytes      = 7
	encRLEDictionary   = 8
	encByteStream      = 9
)

// pageHeader is PageHeader with the header of its kind.
type pageHeader struct {
	kind                 int32
	expanded, compressed int32
	values               int32
	encoding             int32
	levels               int32 // encoding of the definition levels, version 1
	repLen, defLen       int32 // version 2
	stored               bool  // version 2: not compressed
}

func parsePageHeader(b []byte) (h pageHeader, size int, err error) {
	h.kind, h.levels = -1, encRLE
	t := &thrift{b: b}
	inner := func(fields map[int]*int32) func(int, byte) bool {
		return func(id int, typ byte) bool {
			if p := fields[id]; p != nil && typ == thriftI32 {
				*p = t.int32()
				return true
			}
			if id == 7 && fields[6] == &h.repLen {
				h.stored = typ == thriftFalse
			}
			return false
		}
	}
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == thriftI32:
			h.kind = t.int32()
		case id == 2 && typ == thriftI32:
			h.expanded = t.int32()
		case id == 3 && typ == thriftI32:
			h.compressed = t.int32()
		case id == 5 && typ == thriftStruct:
			t.fields(inner(map[int]*int32{1: &h.values, 2: &h.encoding, 3: &h.levels}))
		case id == 7 && typ == thriftStruct:
			t.fields(inner(map[int]*int32{1: &h.values, 2: &h.encoding}))
		case id == 8 && typ == thriftStruct:
			t.fields(inner(map[int]*int32{1: &h.values, 4: &h.encoding, 5: &h.defLen, 6: &h.repLen}))
		default:
			return false
		}
		return true
	})
	if t.err != nil {
		return h, 0, t.err
	}
	if h.expanded < 0 || h.compressed < 0 || h.values < 0 || h.expanded > maxPage || h.compressed > maxPage {
		return h, 0, fmt.Errorf("page of %d values in %d bytes, %d compressed; limit %d: %w", h.values, h.expanded, h.compressed, maxPage, ErrInvalid)
	}
	if h.kind == pageDataV2 && (h.defLen < 0 || h.repLen < 0 || h.defLen > h.expanded || h.repLen > h.expanded-h.defLen) {
		return h, 0, fmt.Errorf("page with levels of %d and %d bytes in %d: %w", h.repLen, h.defLen, h.expanded, ErrInvalid)
	}
	return h, t.pos, nil
}

// Sizes of the buffer that page headers are read through. Headers are small unless they carry long texts as statistics.
const (
	headerBuffer    = 16 << 10
	maxHeaderBuffer = 1 << 20
)

// pageMemory bounds the bytes that all pages of a file hold at once.
type pageMemory struct {
	used  atomic.Int64
	limit int64
	alloc *recycler
}

// resize returns a slice of n bytes, b's own memory where that is large enough, and charges what it adds.
func (m *pageMemory) resize(b []byte, n int) ([]byte, error) {
	if n <= cap(b) {
		return b[:n], nil
	}
	if used := m.used.Add(int64(n - cap(b))); used > m.limit {
		m.used.Add(int64(cap(b) - n))
		return nil, fmt.Errorf("pages would hold %d bytes in memory, limit %d: %w", used, m.limit, ErrInvalid)
	}
	old := cap(b)
	m.alloc.Free(b)
	b = m.alloc.Allocate(n)
	m.used.Add(int64(cap(b) - max(n, old))) // n bytes more than old are charged
	return b, nil
}

// free takes memory back that nothing refers to any more.
func (m *pageMemory) free(b []byte) {
	m.used.Add(-int64(cap(b)))
	m.alloc.Free(b)
}

// pages reads the pages of a chunk one after the other.
type pages struct {
	r        *bufio.Reader
	left     int64 // bytes of the chunk
	codec    int32
	inflater *inflater // has the compressed bytes, which are not needed longer than expanding takes
	mem      *pageMemory
	expanded []byte
}

func newPages(r io.ReaderAt, c *chunk, f *inflater, mem *pageMemory) *pages {
	return &pages{
		r:    bufio.NewReaderSize(io.NewSectionReader(r, c.start(), c.compressed), headerBuffer),
		left: c.compressed, codec: c.codec, inflater: f, mem: mem,
	}
}

func (p *pages) close() {
	p.mem.free(p.expanded)
	p.expanded = nil
}

// take hands the bytes of the page over that next returned; whoever has them frees them.
func (p *pages) take() []byte {
	b := p.expanded
	p.expanded = nil
	return b
}

// next returns the next page's header and its expanded bytes, valid until the next call, or io.EOF.
func (p *pages) next() (h pageHeader, body []byte, err error) {
	if p.left == 0 {
		return h, nil, io.EOF
	}
	if h, err = p.header(); err != nil {
		return h, nil, err
	}
	if int64(h.compressed) > p.left {
		return h, nil, fmt.Errorf("page of %d bytes, its chunk has %d left: %w", h.compressed, p.left, ErrInvalid)
	}
	p.left -= int64(h.compressed)
	if p.expanded, err = p.mem.resize(p.expanded, int(h.expanded)); err != nil {
		return h, nil, err
	}
	if p.codec == codecNone && h.expanded == h.compressed {
		return h, p.expanded, p.read(p.expanded)
	}
	f := p.inflater
	if f.compressed, err = p.mem.resize(f.compressed, int(h.compressed)); err != nil {
		return h, nil, err
	}
	if err := p.read(f.compressed); err != nil {
		return h, nil, err
	}
	plain := 0 // leading bytes that are not compressed
	codec := p.codec
	if h.kind == pageDataV2 {
		plain = int(h.defLen + h.repLen)
		if h.stored {
			codec = codecNone
		}
	}
	if plain > len(f.compressed) {
		return h, nil, fmt.Errorf("page of %d bytes has levels of %d: %w", len(f.compressed), plain, ErrInvalid)
	}
	copy(p.expanded, f.compressed[:plain])
	if plain == len(f.compressed) && plain == len(p.expanded) { // levels only: all null
		return h, p.expanded, nil
	}
	return h, p.expanded, f.inflate(codec, p.expanded[plain:], f.compressed[plain:])
}

func (p *pages) read(b []byte) error {
	if _, err := io.ReadFull(p.r, b); err != nil {
		return fmt.Errorf("reading a page of %d bytes: %w", len(b), cut(err))
	}
	return nil
}

// header parses from what is buffered, buffering more as long as the header seems cut.
func (p *pages) header() (h pageHeader, err error) {
	for size := 256; ; size *= 4 {
		b, peekErr := p.r.Peek(int(min(int64(size), p.left)))
		if errors.Is(peekErr, bufio.ErrBufferFull) && p.r.Size() < maxHeaderBuffer {
			p.r = bufio.NewReaderSize(p.r, maxHeaderBuffer)
			b, peekErr = p.r.Peek(int(min(int64(size), p.left)))
		}
		if peekErr != nil && len(b) == 0 {
			return h, fmt.Errorf("reading a page header: %w", cut(peekErr))
		}
		h, n, err := parsePageHeader(b)
		if err == nil {
			if _, err := p.r.Discard(n); err != nil {
				return h, fmt.Errorf("reading a page header: %w", err)
			}
			p.left -= int64(n)
			return h, nil
		}
		if int64(len(b)) == p.left || size >= maxHeaderBuffer || peekErr != nil {
			return h, fmt.Errorf("page header: %w", err)
		}
	}
}

// cut turns the end of the file into a fault of its content: io.EOF means that a chunk has no more pages.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file ends: %w", ErrInvalid)
	}
	return err
}

// maxDecodedPage bounds the values of a page that is re-encoded in memory.
const maxDecodedPage = math.MaxInt32 / 64
