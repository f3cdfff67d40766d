package arrowguard

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"
)

const fileMagic = "ARROW1"

// File reads an Arrow file: the file format (with a footer) or the stream format.
//
//	file: ARROW1 00 00 | messages | EOS | footer flatbuffer | i32 footer size | ARROW1
type File struct {
	r      io.ReaderAt
	size   int64
	d      *decoder
	blocks []block // record batches, in order
	next   int
	stream *Reader // the stream format, otherwise nil
	lim    Limits
}

// block places a message in the file.
type block struct {
	offset, meta, body int64
}

func (b block) end() int64 { return b.offset + b.meta + b.body }

// OpenFile verifies the schema and reads the dictionaries of an Arrow file of size bytes. It does not close r.
func OpenFile(r io.ReaderAt, size int64, l Limits, opts ...Option) (*File, error) {
	l = l.withDefaults()
	head := make([]byte, min(size, 8))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading file head: %w", err)
	}
	f := &File{r: r, size: size, lim: l}
	switch {
	case len(head) < 8:
		return nil, invalid("a file of %d bytes is no Arrow file", size)
	case string(head[:4]) == "FEA1":
		return nil, invalid("the file is in Feather version 1: write it as version 2 (Arrow IPC)")
	case string(head[:6]) != fileMagic:
		s, err := NewReader(io.NewSectionReader(r, 0, size), l, opts...)
		if err != nil {
			return nil, err
		}
		f.stream, f.d = s, s.d
		return f, nil
	}
	f.d = newDecoder(l, opts)
	if err := f.open(); err != nil {
		f.d.close()
		return nil, err
	}
	return f, nil
}

// open reads the footer: version | schema | dictionaries {offset, i32 metadata, body} | record batches.
func (f *File) open() (err error) {
	defer recovered(&err)
	const tailBytes = 4 + len(fileMagic)
	var tail [tailBytes]byte
	if f.size < int64(8+tailBytes) {
		return invalid("a file of %d bytes is no Arrow file", f.size)
	}
	if err := f.readAt(tail[:], f.size-int64(tailBytes), "file tail"); err != nil {
		return err
	}
	if string(tail[4:]) != fileMagic {
		return invalid("the file does not end with %s, so it was cut short or its writer was not closed", fileMagic)
	}
	n := int64(int32(binary.LittleEndian.Uint32(tail[:])))
	limit := f.size - int64(tailBytes) - n // where the footer starts
	switch {
	case n <= 0 || limit < 8:
		return invalid("footer of %d bytes in a file of %d", n, f.size)
	case n > maxMetadataBytes:
		return overLimit("footer of %d bytes, limit %d", n, maxMetadataBytes)
	}
	b := make([]byte, n)
	if err := f.readAt(b, limit, "footer"); err != nil {
		return err
	}
	fb := newFlatbuf(b)
	t := fb.root()
	schema, ok := t.child(1)
	dicts, recs := t.vectorAt(2, 24), t.vectorAt(3, 24)
	if fb.err != nil {
		return fmt.Errorf("footer: %w", fb.err)
	}
	if !ok {
		return invalid("the footer has no schema")
	}
	if f.d.parsed, err = parseSchema(schema, f.lim, false); err != nil {
		return err
	}
	all := append(blocks(dicts), blocks(recs)...)
	if err := checkBlocks(all, limit); err != nil {
		return err
	}
	f.blocks = all[dicts.n:]
	for i, blk := range all[:dicts.n] {
		if err := f.loadDictionary(blk); err != nil {
			return fmt.Errorf("dictionary block %d: %w", i, err)
		}
	}
	return nil
}

func blocks(v vector) []block {
	out := make([]block, v.n)
	for i := range out {
		out[i] = block{v.int64At(i, 0), int64(v.int32At(i, 8)), v.int64At(i, 16)}
	}
	return out
}

// checkBlocks verifies that the blocks lie in the file and do not overlap, so that a small file cannot hold many rows.
func checkBlocks(all []block, limit int64) error {
	for i, b := range all {
		if b.offset < 8 || b.offset%8 != 0 || b.meta < prefixBytes || b.meta%8 != 0 || b.body < 0 || b.body%8 != 0 ||
			b.offset > limit || b.meta > limit-b.offset || b.body > limit-b.offset-b.meta {
			return invalid("block %d: bytes %d+%d+%d do not fit the %d before the footer", i, b.offset, b.meta, b.body, limit)
		}
	}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b block) int { return int(min(max(a.offset-b.offset, -1), 1)) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].offset < sorted[i-1].end() {
			return invalid("two blocks overlap at byte %d", sorted[i].offset)
		}
	}
	return nil
}

func (f *File) readAt(b []byte, off int64, what string) error {
	n, err := f.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	return cut(err, what, n, len(b))
}

// metadata reads and verifies the metadata of a block.
func (f *File) metadata(blk block) (*message, error) {
	if blk.meta > maxMetadataBytes+prefixBytes {
		return nil, overLimit("message metadata of %d bytes, limit %d", blk.meta, maxMetadataBytes)
	}
	b := make([]byte, blk.meta)
	if err := f.readAt(b, blk.offset, "message's metadata"); err != nil {
		return nil, err
	}
	n, err := parsePrefix(b, f.lim)
	if err != nil {
		return nil, err
	}
	if int64(n) != blk.meta-prefixBytes {
		return nil, invalid("message metadata of %d bytes in a block of %d", n, blk.meta)
	}
	m, err := parseMessage(b[prefixBytes:], f.lim)
	if err != nil {
		return nil, err
	}
	if m.bodyLen != blk.body {
		return nil, invalid("message body of %d bytes in a block of %d", m.bodyLen, blk.body)
	}
	return m, nil
}

func (f *File) message(blk block) (*message, error) {
	m, err := f.metadata(blk)
	if err != nil {
		return nil, err
	}
	m.body, err = readBody(section{io.NewSectionReader(f.r, blk.offset+blk.meta, blk.body)}, blk.body, f.d.mem)
	return m, err
}

// section tells readBody that the bytes are there: checkBlocks compared them with the size of the file.
type section struct{ *io.SectionReader }

func (s section) Len() int { return int(s.Size()) }

func (f *File) loadDictionary(blk block) error {
	m, err := f.message(blk)
	if err != nil {
		return err
	}
	defer m.release()
	if m.kind != headerDictionary {
		return invalid("a %s in place of a dictionary", headerName(m.kind))
	}
	return f.d.dictionary(m, false)
}

// Schema returns the file's schema.
func (f *File) Schema() *arrow.Schema { return f.d.parsed.schema }

// Next returns the next record, which the caller releases, or io.EOF after the last.
func (f *File) Next() (rec arrow.Record, err error) {
	if f.stream != nil {
		return f.stream.Next()
	}
	if f.next == len(f.blocks) {
		return nil, io.EOF
	}
	defer recovered(&err)
	i := f.next
	f.next++
	m, err := f.message(f.blocks[i])
	if err != nil {
		return nil, fmt.Errorf("record batch %d: %w", i, err)
	}
	if m.kind != headerRecord {
		m.release()
		return nil, invalid("record batch %d: a %s in its place", i, headerName(m.kind))
	}
	if rec, err = f.d.decode(m); err != nil {
		return nil, fmt.Errorf("record batch %d: %w", i, err)
	}
	return rec, nil
}

// CountRows adds up the rows that the record batches announce, without reading their bodies. It does not move Next.
func (f *File) CountRows() (rows int64, err error) {
	defer recovered(&err)
	add := func(m *message) error {
		n := m.header.int64At(0, 0)
		if m.header.f.err != nil {
			return m.header.f.err
		}
		if n < 0 || n > f.lim.MaxRows {
			return invalid("batch of %d rows, limit %d", n, f.lim.MaxRows)
		}
		rows += n
		return nil
	}
	if f.stream != nil {
		err = f.scanStream(add)
		return rows, err
	}
	for i, blk := range f.blocks {
		m, err := f.metadata(blk)
		if err == nil && m.kind == headerRecord {
			err = add(m)
		}
		if err != nil {
			return 0, fmt.Errorf("record batch %d: %w", i, err)
		}
	}
	return rows, nil
}

// scanStream calls add for each record batch of the stream format, reading metadata only.
func (f *File) scanStream(add func(*message) error) error {
	for pos := int64(0); ; {
		r := io.NewSectionReader(f.r, pos, f.size-pos)
		var prefix [prefixBytes]byte
		if k, err := io.ReadFull(r, prefix[:]); err != nil {
			return cut(err, "message prefix", k, prefixBytes)
		}
		n, err := parsePrefix(prefix[:], f.lim)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		meta, err := readGrowing(r, n)
		if err != nil {
			return err
		}
		m, err := parseMessage(meta, f.lim)
		if err != nil {
			return err
		}
		if m.kind == headerRecord {
			if err := add(m); err != nil {
				return err
			}
		}
		if pos += prefixBytes + int64(n); m.bodyLen > f.size-pos {
			return invalid("the file ends inside a message body of %d bytes", m.bodyLen)
		}
		pos += m.bodyLen
	}
}

// Close releases the dictionaries. Records that were returned stay valid, and the underlying file stays open.
func (f *File) Close() error {
	f.d.close()
	return nil
}
