package arrowguard

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Encoder writes encapsulated messages one at a time: the schema first, then for each record the dictionaries that
// changed and the record. MessageDecoder is the other side.
type Encoder struct {
	w      *ipc.Writer
	sink   messageSink
	schema []byte
}

// NewEncoder encodes the schema. Temporary memory is taken from mem.
func NewEncoder(s *arrow.Schema, mem memory.Allocator) (e *Encoder, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("encoding schema: %v", p)
		}
	}()
	// A writer emits the schema with its first record or when it is closed.
	var first messageSink
	if err := ipc.NewWriterWithPayloadWriter(&first, ipc.WithSchema(s), ipc.WithAllocator(mem)).Close(); err != nil {
		return nil, fmt.Errorf("encoding schema: %w", err)
	}
	if len(first.out) != 1 {
		return nil, fmt.Errorf("encoding schema: %d messages", len(first.out))
	}
	e = &Encoder{schema: first.out[0]}
	e.sink.skip = 1
	e.w = ipc.NewWriterWithPayloadWriter(&e.sink, ipc.WithSchema(s), ipc.WithAllocator(mem))
	return e, nil
}

// SchemaMessage returns the encapsulated schema message.
func (e *Encoder) SchemaMessage() []byte { return e.schema }

// Encode returns the messages of one record: dictionary batches that are new or changed, then the record batch, which
// is always the last. The record is borrowed.
func (e *Encoder) Encode(rec arrow.Record) ([][]byte, error) {
	e.sink.out = nil
	if err := e.w.Write(rec); err != nil {
		return nil, fmt.Errorf("encoding record: %w", err)
	}
	return e.sink.out, nil
}

// Close releases what Encode retained.
func (e *Encoder) Close() error { return e.w.Close() }

// messageSink collects the messages of one Write.
type messageSink struct {
	skip int
	out  [][]byte
}

func (*messageSink) Start() error { return nil }
func (*messageSink) Close() error { return nil }

func (s *messageSink) WritePayload(p ipc.Payload) error {
	if s.skip > 0 {
		s.skip--
		return nil
	}
	b, err := encapsulate(p)
	if err == nil {
		s.out = append(s.out, b)
	}
	return err
}

// encapsulate frames a payload: prefix, metadata padded to 8 bytes, body.
func encapsulate(p ipc.Payload) ([]byte, error) {
	meta := p.Meta()
	defer meta.Release()
	padded := (meta.Len() + 7) &^ 7
	m, err := parseMessage(meta.Bytes(), Limits{MaxMessageBytes: 1 << 62})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(prefixBytes + padded + int(m.bodyLen))
	var prefix [prefixBytes]byte
	binary.LittleEndian.PutUint32(prefix[:], continuation)
	binary.LittleEndian.PutUint32(prefix[4:], uint32(padded))
	b.Write(prefix[:])
	b.Write(meta.Bytes())
	b.Write(make([]byte, padded-meta.Len()))
	if err := p.SerializeBody(&b); err != nil {
		return nil, err
	}
	if got := b.Len() - prefixBytes - padded; int64(got) != m.bodyLen {
		return nil, fmt.Errorf("body has %d bytes, its metadata says %d", got, m.bodyLen)
	}
	return b.Bytes(), nil
}
