package arrowguard

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// batch walks the field nodes and buffers of one RecordBatch table in schema order.
//
//	RecordBatch: length | nodes {length, null count} | buffers {offset, length} | compression | variadic counts
type batch struct {
	lim     Limits
	mem     memory.Allocator
	body    *memory.Buffer
	rows    int64
	nodes   vector
	buffers vector
	node    int
	buffer  int
	end     int64 // of the buffers seen so far: they must not overlap
	codec   *codec
}

func newBatch(t table, body *memory.Buffer, l Limits, mem memory.Allocator) (*batch, error) {
	b := &batch{lim: l, mem: mem, body: body, rows: t.int64At(0, 0)}
	b.nodes, b.buffers = t.vectorAt(1, 16), t.vectorAt(2, 16)
	compression, compressed := t.child(3)
	variadic := t.vectorAt(4, 8)
	var method, kind byte
	if compressed {
		kind, method = compression.byteAt(0, 0), compression.byteAt(1, 0)
	}
	switch {
	case t.f.err != nil:
		return nil, t.f.err
	case b.rows < 0:
		return nil, invalid("batch of %d rows", b.rows)
	case b.rows > l.MaxRows:
		return nil, overLimit("batch of %d rows, limit %d", b.rows, l.MaxRows)
	case variadic.n != 0:
		return nil, invalid("batch has buffers of view types")
	case compressed && !l.AllowCompression:
		return nil, invalid("the body is compressed, which is not accepted here: write it without compression")
	}
	if compressed {
		var err error
		if b.codec, err = newCodec(kind, method); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *batch) close() {
	if b.codec != nil {
		b.codec.close()
	}
}

// counts returns the field nodes and buffers that a flat column of type t has.
func counts(t arrow.DataType) (nodes, buffers int) {
	switch t.(type) {
	case *arrow.NullType:
		return 1, 0
	case *arrow.StringType, *arrow.BinaryType, *arrow.LargeStringType, *arrow.LargeBinaryType:
		return 1, 3
	}
	return 1, 2
}

// check compares the numbers of nodes and buffers with those that the types need.
func (b *batch) check(types []column) error {
	nodes, buffers := 0, 0
	for _, c := range types {
		n, k := counts(c.typ)
		nodes, buffers = nodes+n, buffers+k
	}
	if b.nodes.n != nodes || b.buffers.n != buffers {
		return invalid("batch has %d field nodes and %d buffers, the schema needs %d and %d", b.nodes.n, b.buffers.n, nodes, buffers)
	}
	return nil
}

// next returns the bytes of the next buffer as a buffer of their own, nil when it is empty.
func (b *batch) next() (*memory.Buffer, error) {
	i := b.buffer
	b.buffer++
	off, n := b.buffers.int64At(i, 0), b.buffers.int64At(i, 8)
	if n == 0 {
		return nil, nil
	}
	total := int64(b.body.Len())
	switch {
	case off < 0 || n < 0 || n > total || off > total-n:
		return nil, invalid("buffer %d: bytes %d+%d are outside of the body of %d", i, off, n, total)
	case off%8 != 0:
		return nil, invalid("buffer %d: offset %d is not a multiple of 8", i, off)
	case off < b.end:
		return nil, invalid("buffer %d: offset %d overlaps the buffer before, which ends at %d", i, off, b.end)
	}
	b.end = off + n
	if b.codec == nil {
		return memory.SliceBuffer(b.body, int(off), int(n)), nil
	}
	buf, err := b.codec.decode(b.body.Bytes()[off:off+n], b.mem)
	if err != nil {
		return nil, fmt.Errorf("buffer %d: %w", i, err)
	}
	return buf, nil
}

// arrays takes over from here: data builds the verified data of one column whose dictionary, if it has one, is dict.
func (b *batch) data(typ arrow.DataType, dict *array.Data) (d *array.Data, err error) {
	n, nulls := b.nodes.int64At(b.node, 0), b.nodes.int64At(b.node, 8)
	b.node++
	if n != b.rows {
		return nil, invalid("column of %d rows in a batch of %d", n, b.rows)
	}
	if nulls < -1 || nulls > n {
		return nil, invalid("null count %d in %d rows", nulls, n)
	}
	if typ.ID() == arrow.NULL {
		return array.NewData(typ, int(n), []*memory.Buffer{nil}, nil, int(n), 0), nil
	}
	_, count := counts(typ)
	bufs := make([]*memory.Buffer, count)
	defer func() {
		for _, buf := range bufs {
			if buf != nil {
				buf.Release()
			}
		}
	}()
	for i := range bufs {
		if bufs[i], err = b.next(); err != nil {
			return nil, err
		}
	}
	if nulls, err = checkValidity(bufs[0], n, nulls); err != nil {
		return nil, err
	}
	if nulls == 0 && bufs[0] != nil {
		bufs[0].Release()
		bufs[0] = nil
	}
	if err = checkValues(typ, bufs, n); err != nil {
		return nil, err
	}
	dt, ok := typ.(*arrow.DictionaryType)
	if !ok {
		return array.NewData(typ, int(n), bufs, nil, int(nulls), 0), nil
	}
	if err = checkIndices(dt.IndexType, bufs, n, nulls, dict); err != nil {
		return nil, err
	}
	return array.NewDataWithDictionary(typ, int(n), bufs, int(nulls), 0, dict), nil
}
