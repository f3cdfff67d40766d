package file

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// arrowEncoder writes the Arrow file format. Arrow's own file writer refuses dictionaries that change from record to
// record, which those of row groups do, and never releases them. So each dictionary column has one dictionary here that
// grows, and what is new goes into the file as a delta.
//
//	ARROW1 00 00 | schema | dictionaries and record batches | end of stream | footer | i32 footer size | ARROW1
type arrowEncoder struct {
	file   *arrowSink
	w      *ipc.Writer
	schema *arrow.Schema
	unify  []*growing // by column, nil for columns without a dictionary
	mem    memory.Allocator
}

// growing is the dictionary of one column over all records.
type growing struct {
	typ   *arrow.DictionaryType
	index map[string]int32 // by the entry's text form
	all   arrow.Array      // nil before the first record
}

func newArrowEncoder(w io.Writer, s *arrow.Schema, o WriteOptions) (*arrowEncoder, error) {
	e := &arrowEncoder{file: &arrowSink{w: w}, schema: s, mem: o.Alloc, unify: make([]*growing, s.NumFields())}
	for i, f := range s.Fields() {
		if t, ok := f.Type.(*arrow.DictionaryType); ok {
			e.unify[i] = &growing{typ: t, index: map[string]int32{}}
		}
	}
	e.w = ipc.NewWriterWithPayloadWriter(e.file, ipc.WithSchema(s), ipc.WithAllocator(o.Alloc), ipc.WithDictionaryDeltas(true))
	return e, nil
}

func (e *arrowEncoder) write(rec arrow.Record) error {
	cols := make([]arrow.Array, rec.NumCols())
	defer func() {
		for _, c := range cols {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i, c := range rec.Columns() {
		if e.unify[i] == nil {
			c.Retain()
			cols[i] = c
			continue
		}
		var err error
		if cols[i], err = e.unify[i].rewrite(e.mem, c.(*array.Dictionary)); err != nil {
			return fmt.Errorf("column %q: %w", e.schema.Field(i).Name, err)
		}
	}
	out := array.NewRecord(e.schema, cols, rec.NumRows())
	defer out.Release()
	return e.w.Write(out)
}

// rewrite returns the column with indices into the whole dictionary, which contains a's afterwards.
func (g *growing) rewrite(mem memory.Allocator, a *array.Dictionary) (arrow.Array, error) {
	moved, err := g.add(mem, a.Dictionary())
	if err != nil {
		return nil, err
	}
	b := array.NewBuilder(mem, g.typ.IndexType)
	defer b.Release()
	b.Reserve(a.Len())
	for i := range a.Len() {
		if a.IsNull(i) || a.Dictionary().IsNull(a.GetValueIndex(i)) {
			b.AppendNull()
			continue
		}
		if err := appendIndex(b, moved[a.GetValueIndex(i)]); err != nil {
			return nil, err
		}
	}
	index := b.NewArray()
	defer index.Release()
	return array.NewDictionaryArray(g.typ, index, g.all), nil
}

// add appends the entries of dict that are new, and returns where each of its entries is.
func (g *growing) add(mem memory.Allocator, dict arrow.Array) ([]int32, error) {
	if g.all == nil {
		g.all = array.NewSlice(dict, 0, 0)
	}
	parts := []arrow.Array{g.all}
	moved := make([]int32, dict.Len())
	for i := range moved {
		if dict.IsNull(i) {
			continue
		}
		key := dict.ValueStr(i)
		k, ok := g.index[key]
		if !ok {
			k = int32(len(g.index))
			g.index[strings.Clone(key)] = k
			parts = append(parts, array.NewSlice(dict, int64(i), int64(i+1)))
		}
		moved[i] = k
	}
	if len(parts) == 1 {
		return moved, nil
	}
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	all, err := array.Concatenate(parts, mem)
	if err != nil {
		parts = parts[1:]
		return nil, err
	}
	g.all = all
	return moved, nil
}

func appendIndex(b array.Builder, k int32) error {
	fits := true
	switch b := b.(type) {
	case *array.Int8Builder:
		fits = k <= 1<<7-1
		b.Append(int8(k))
	case *array.Uint8Builder:
		fits = k <= 1<<8-1
		b.Append(uint8(k))
	case *array.Int16Builder:
		fits = k <= 1<<15-1
		b.Append(int16(k))
	case *array.Uint16Builder:
		fits = k <= 1<<16-1
		b.Append(uint16(k))
	case *array.Int32Builder:
		b.Append(k)
	case *array.Uint32Builder:
		b.Append(uint32(k))
	case *array.Int64Builder:
		b.Append(int64(k))
	case *array.Uint64Builder:
		b.Append(uint64(k))
	default:
		return fmt.Errorf("dictionary index type %s", b.Type())
	}
	if !fits {
		return fmt.Errorf("more categories than indices of type %s can name", b.Type())
	}
	return nil
}

func (e *arrowEncoder) close() error {
	defer e.release()
	return e.w.Close()
}

func (e *arrowEncoder) abort() {
	e.file.w = io.Discard
	_ = e.close() // it only frees memory; the file is given up
}

func (e *arrowEncoder) release() {
	for _, g := range e.unify {
		if g != nil && g.all != nil {
			g.all.Release()
		}
	}
}

// arrowSink places the messages and writes the footer.
type arrowSink struct {
	w      io.Writer
	pos    int64
	schema []byte // metadata of the schema message
	dicts  []placed
	recs   []placed
}

type placed struct {
	offset, body int64
	meta         int32
}

// Message header types.
const (
	headerDictionary = 2
	headerRecord     = 3
)

func (s *arrowSink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.pos += int64(n)
	return n, err
}

// Start implements ipc.PayloadWriter.
func (s *arrowSink) Start() error {
	_, err := s.Write([]byte("ARROW1\x00\x00"))
	return err
}

// WritePayload implements ipc.PayloadWriter.
func (s *arrowSink) WritePayload(p ipc.Payload) error {
	if s.pos == 0 { // ipc.Writer does not call Start
		if err := s.Start(); err != nil {
			return err
		}
	}
	meta := p.Meta()
	defer meta.Release()
	size := (meta.Len() + 7) &^ 7
	at := placed{offset: s.pos, meta: int32(size + 8)}
	prefix := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, uint32(size))
	for _, b := range [][]byte{prefix, meta.Bytes(), make([]byte, size-meta.Len())} {
		if _, err := s.Write(b); err != nil {
			return err
		}
	}
	body := s.pos
	if err := p.SerializeBody(s); err != nil {
		return err
	}
	at.body = s.pos - body
	switch headerType(meta.Bytes()) {
	case headerDictionary:
		s.dicts = append(s.dicts, at)
	case headerRecord:
		s.recs = append(s.recs, at)
	default:
		s.schema = append([]byte(nil), meta.Bytes()...)
	}
	return nil
}

// Close implements ipc.PayloadWriter: it ends the stream and writes the footer.
func (s *arrowSink) Close() error {
	footer := s.footer()
	end := binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	for _, b := range [][]byte{{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, append(end, "ARROW1"...)} {
		if _, err := s.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// tableField returns the position of a field of the flatbuffer table at pos, 0 when it is absent. The tables were written
// in this process.
func tableField(b []byte, pos, slot int) int {
	vtab := pos - int(int32(le.Uint32(b[pos:])))
	if o := 4 + 2*slot; o < int(le.Uint16(b[vtab:])) {
		if off := int(le.Uint16(b[vtab+o:])); off > 0 {
			return pos + off
		}
	}
	return 0
}

func headerType(meta []byte) byte {
	if p := tableField(meta, int(le.Uint32(meta)), 1); p > 0 {
		return meta[p]
	}
	return 0
}

// footer builds the Footer table by hand: its offsets lead forward, so the schema table inside the schema message can be
// referred to where it stands.
//
//	0 root | 4 vtable | 16 table {version, schema, dictionaries, batches} | vectors of blocks | schema message
func (s *arrowSink) footer() []byte {
	const (
		vtable = 4
		table  = 16
		first  = table + 4 + 4 + 3*4 + 4 // the first vector's count; its blocks are then aligned to 8
	)
	b := make([]byte, first)
	le.PutUint32(b, table)
	for i, v := range []uint16{12, 20, 4, 8, 12, 16} { // vtable size, table size, field offsets
		le.PutUint16(b[vtable+2*i:], v)
	}
	le.PutUint32(b[table:], table-vtable)
	le.PutUint16(b[table+4:], 4) // V5
	point := func(field int) { le.PutUint32(b[table+field:], uint32(len(b)-table-field)) }
	for i, blocks := range [][]placed{s.dicts, s.recs} {
		for len(b)%8 != 4 {
			b = append(b, 0)
		}
		point(12 + 4*i)
		b = le.AppendUint32(b, uint32(len(blocks)))
		for _, p := range blocks {
			b = le.AppendUint64(b, uint64(p.offset))
			b = le.AppendUint64(b, uint64(uint32(p.meta)))
			b = le.AppendUint64(b, uint64(p.body))
		}
	}
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	root := int(le.Uint32(s.schema))
	header := tableField(s.schema, root, 2)
	at := len(b) + header + int(le.Uint32(s.schema[header:]))
	le.PutUint32(b[table+8:], uint32(at-table-8))
	b = append(b, s.schema...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}
