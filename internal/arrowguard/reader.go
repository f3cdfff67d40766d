package arrowguard

import (
	"errors"
	"io"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// Reader reads a stream: schema, dictionaries and record batches, end-of-stream marker.
type Reader struct {
	r   io.Reader
	d   *decoder
	err error
}

// NewReader reads and verifies the schema message. If r has a method Len, as bytes.Reader does, bodies that it already
// holds are read in one piece.
func NewReader(r io.Reader, l Limits, opts ...Option) (*Reader, error) {
	rd := &Reader{r: r, d: newDecoder(l, opts)}
	m, err := rd.message()
	if errors.Is(err, io.EOF) {
		return nil, invalid("the stream ends before its schema")
	}
	if err != nil {
		return nil, err
	}
	defer m.release()
	if err := rd.d.setSchema(m); err != nil {
		return nil, err
	}
	return rd, nil
}

func (r *Reader) message() (m *message, err error) {
	defer recovered(&err)
	return readMessage(r.r, r.d.lim, r.d.mem)
}

// Schema returns the stream's schema.
func (r *Reader) Schema() *arrow.Schema { return r.d.parsed.schema }

// Next returns the next record, which the caller releases, or io.EOF after the end-of-stream marker. Errors are final.
func (r *Reader) Next() (arrow.Record, error) {
	for r.err == nil {
		var m *message
		if m, r.err = r.message(); r.err != nil {
			break
		}
		var rec arrow.Record
		if rec, r.err = r.d.decode(m); rec != nil {
			return rec, nil
		}
	}
	return nil, r.err
}

// Close releases the dictionaries. Records that were returned stay valid.
func (r *Reader) Close() error {
	r.d.close()
	return nil
}

// MessageDecoder decodes encapsulated messages that arrive one at a time, each in bytes of its own.
type MessageDecoder struct{ d *decoder }

// NewMessageDecoder verifies the encapsulated schema message.
func NewMessageDecoder(schemaMsg []byte, l Limits, opts ...Option) (*MessageDecoder, error) {
	md := &MessageDecoder{d: newDecoder(l, opts)}
	m, err := md.message(schemaMsg)
	if err != nil {
		return nil, err
	}
	defer m.release()
	if err := md.d.setSchema(m); err != nil {
		return nil, err
	}
	return md, nil
}

// Schema returns the schema of the records.
func (md *MessageDecoder) Schema() *arrow.Schema { return md.d.parsed.schema }

// Decode decodes one encapsulated message: a record, which the caller releases, or nil for a dictionary. The record
// refers to msg without a copy where msg is aligned, so msg must not change while the record or a later one that uses
// the dictionary lives. After an error the decoder can still decode other messages.
func (md *MessageDecoder) Decode(msg []byte) (rec arrow.Record, err error) {
	m, err := md.message(msg)
	if err != nil {
		return nil, err
	}
	return md.d.decode(m)
}

// Close releases the dictionaries. Records that were returned stay valid.
func (md *MessageDecoder) Close() error {
	md.d.close()
	return nil
}

func (md *MessageDecoder) message(b []byte) (m *message, err error) {
	defer recovered(&err)
	l := md.d.lim
	if int64(len(b)) > l.MaxMessageBytes {
		return nil, overLimit("message of %d bytes, limit %d", len(b), l.MaxMessageBytes)
	}
	if len(b) < prefixBytes {
		return nil, invalid("message of %d bytes", len(b))
	}
	n, err := parsePrefix(b, l)
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, invalid("an end-of-stream marker instead of a message")
	case n > len(b)-prefixBytes:
		return nil, invalid("message metadata of %d bytes in a message of %d", n, len(b))
	}
	if m, err = parseMessage(b[prefixBytes:prefixBytes+n], l); err != nil {
		return nil, err
	}
	body := b[prefixBytes+n:]
	if int64(len(body)) != m.bodyLen {
		return nil, invalid("message announces a body of %d bytes and carries %d", m.bodyLen, len(body))
	}
	m.body = aligned(body, md.d.mem)
	return m, nil
}

// aligned wraps b, copying it if its address does not suit 8-byte values.
func aligned(b []byte, mem memory.Allocator) *memory.Buffer {
	if len(b) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(b)))%8 == 0 {
		return memory.NewBufferBytes(b)
	}
	buf := memory.NewResizableBuffer(mem)
	buf.Resize(len(b))
	copy(buf.Bytes(), b)
	return buf
}
