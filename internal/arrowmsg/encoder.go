// Package arrowmsg writes Arrow records as single encapsulated IPC messages, the unit that ScoreStream carries, where
// the Arrow library only writes whole streams.
//
//	FF FF FF FF | metadata length, int32 | metadata, padded to 8 bytes | body, padded to 8 bytes
//
// # Concurrency
//
// An Encoder belongs to one goroutine.
//
// # Ownership
//
// Records are borrowed for the call; the returned bytes are the caller's.
package arrowmsg

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// continuation starts every encapsulated message since Arrow 0.15.
const continuation = 0xFFFFFFFF

// Encoder turns the records of one schema into encapsulated messages.
type Encoder struct {
	schema []byte
	sink   *sink
	w      *ipc.Writer
}

// NewEncoder returns an encoder for records of the schema. mem provides the scratch memory of the encoding.
func NewEncoder(mem memory.Allocator, schema *arrow.Schema) (*Encoder, error) {
	// The library writes the schema with the first record; closing a writer without records yields it alone.
	first := &sink{}
	if err := ipc.NewWriterWithPayloadWriter(first, ipc.WithSchema(schema), ipc.WithAllocator(mem)).Close(); err != nil {
		return nil, fmt.Errorf("encoding the arrow schema: %w", err)
	}
	if len(first.messages) != 1 {
		return nil, fmt.Errorf("encoding the arrow schema gave %d messages, want 1", len(first.messages))
	}
	s := &sink{}
	return &Encoder{
		schema: first.messages[0],
		sink:   s,
		w:      ipc.NewWriterWithPayloadWriter(s, ipc.WithSchema(schema), ipc.WithAllocator(mem)),
	}, nil
}

// Schema returns the encapsulated schema message.
func (e *Encoder) Schema() []byte { return e.schema }

// Encode returns the messages of one record: those of dictionaries that are new or changed, then the record batch.
func (e *Encoder) Encode(rec arrow.Record) ([][]byte, error) {
	e.sink.messages = nil
	if err := e.w.Write(rec); err != nil {
		return nil, fmt.Errorf("encoding an arrow record: %w", err)
	}
	messages := e.sink.messages
	if !e.sink.schemaSeen {
		e.sink.schemaSeen = true
		messages = messages[1:]
	}
	e.sink.messages = nil
	return messages, nil
}

// Close releases the dictionaries that the encoder remembers.
func (e *Encoder) Close() error { return e.w.Close() }

// sink collects payloads as encapsulated messages.
type sink struct {
	messages   [][]byte
	schemaSeen bool
}

func (s *sink) Start() error { return nil }
func (s *sink) Close() error { return nil }

func (s *sink) WritePayload(p ipc.Payload) error {
	meta := p.Meta()
	defer meta.Release()
	padded := (meta.Len() + 7) &^ 7
	var buf bytes.Buffer
	buf.Grow(8 + padded)
	var prefix [8]byte
	binary.LittleEndian.PutUint32(prefix[:4], continuation)
	binary.LittleEndian.PutUint32(prefix[4:], uint32(padded))
	buf.Write(prefix[:])
	buf.Write(meta.Bytes())
	buf.Write(make([]byte, padded-meta.Len()))
	if err := p.SerializeBody(&buf); err != nil {
		return err
	}
	s.messages = append(s.messages, buf.Bytes())
	return nil
}
