package arrowguard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow/memory"
)

// An encapsulated message:
//
//	FF FF FF FF | i32 metadata size, a multiple of 8 | flatbuffer Message, padded | body
//
// End of stream: FF FF FF FF 00 00 00 00.
const (
	continuation = 0xFFFFFFFF
	prefixBytes  = 8
)

// Message header types.
const (
	headerSchema     = 1
	headerDictionary = 2
	headerRecord     = 3
)

func headerName(k byte) string {
	names := [...]string{"none", "schema", "dictionary batch", "record batch", "tensor", "sparse tensor"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("header type %d", k)
}

// message is one framed message. body is nil until it has been read.
type message struct {
	kind    byte
	header  table
	bodyLen int64
	body    *memory.Buffer
}

func (m *message) release() {
	if m.body != nil {
		m.body.Release()
		m.body = nil
	}
}

// parsePrefix returns the metadata size, 0 for the end-of-stream marker.
func parsePrefix(p []byte, l Limits) (int, error) {
	if c := binary.LittleEndian.Uint32(p); c != continuation {
		return 0, invalid("message starts with %#08x instead of the continuation marker (not an Arrow stream, or one written before Arrow 0.15)", c)
	}
	n := int32(binary.LittleEndian.Uint32(p[4:]))
	switch {
	case n < 0 || n%8 != 0:
		return 0, invalid("message metadata of %d bytes, want a multiple of 8", n)
	case n > maxMetadataBytes || int64(n) > l.MaxMessageBytes:
		return 0, overLimit("message metadata of %d bytes, limit %d", n, min(maxMetadataBytes, l.MaxMessageBytes))
	}
	return int(n), nil
}

// parseMessage verifies the Message table of meta.
func parseMessage(meta []byte, l Limits) (*message, error) {
	f := newFlatbuf(meta)
	t := f.root()
	version := t.int16At(0, 0)
	m := &message{kind: t.byteAt(1, 0), bodyLen: t.int64At(3, 0)}
	var ok bool
	m.header, ok = t.child(2)
	t.vectorAt(4, 4) // custom metadata: verified, not needed
	switch {
	case f.err != nil:
		return nil, f.err
	case version < 3 || version > 4:
		return nil, invalid("message has metadata version V%d, want V4 or V5", version+1)
	case !ok:
		return nil, invalid("message has no header")
	case m.bodyLen < 0:
		return nil, invalid("message body of %d bytes", m.bodyLen)
	case m.bodyLen > l.MaxMessageBytes-int64(len(meta)):
		return nil, overLimit("message of %d metadata and %d body bytes, limit %d", len(meta), m.bodyLen, l.MaxMessageBytes)
	case m.kind == headerSchema && m.bodyLen != 0:
		return nil, invalid("schema message has a body of %d bytes", m.bodyLen)
	case m.kind != headerSchema && m.kind != headerDictionary && m.kind != headerRecord:
		return nil, invalid("message is a %s, which is not supported", headerName(m.kind))
	}
	return m, nil
}

// readMessage reads one message. It returns io.EOF at the end-of-stream marker and ErrInvalid when r ends anywhere else.
func readMessage(r io.Reader, l Limits, mem memory.Allocator) (*message, error) {
	var prefix [prefixBytes]byte
	if n, err := io.ReadFull(r, prefix[:]); err != nil {
		if n == 0 && errors.Is(err, io.EOF) {
			return nil, invalid("the bytes end without an end-of-stream marker, so they may be cut short (close the writer)")
		}
		return nil, cut(err, "message prefix", n, prefixBytes)
	}
	n, err := parsePrefix(prefix[:], l)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	meta, err := readGrowing(r, n)
	if err != nil {
		return nil, err
	}
	m, err := parseMessage(meta, l)
	if err != nil {
		return nil, err
	}
	m.body, err = readBody(r, m.bodyLen, mem)
	return m, err
}

func cut(err error, what string, got, want int) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("the bytes end after %d of %d bytes of a %s", got, want, what)
	}
	return fmt.Errorf("reading %s after %d of %d bytes: %w", what, got, want, err)
}

// firstChunk is what is allocated for a length before any of its bytes have arrived.
const firstChunk = 1 << 20

// readGrowing reads n bytes into memory that grows with what arrives.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, min(n, firstChunk))
	for got := 0; ; {
		k, err := io.ReadFull(r, b[got:])
		if got += k; err != nil {
			return nil, cut(err, "message's metadata", got, n)
		}
		if got == n {
			return b, nil
		}
		next := make([]byte, min(n, 2*got))
		copy(next, b)
		b = next
	}
}

// readBody reads n bytes into a buffer that grows with what arrives, at once if r knows that it holds them.
func readBody(r io.Reader, n int64, mem memory.Allocator) (body *memory.Buffer, err error) {
	buf := memory.NewResizableBuffer(mem)
	defer func() {
		if e := PanicError(recover()); e != nil {
			err = e
		}
		if err != nil {
			buf.Release()
			body = nil
		}
	}()
	size := min(n, firstChunk)
	if s, ok := r.(interface{ Len() int }); ok && int64(s.Len()) >= n {
		size = n
	}
	for got := int64(0); ; {
		buf.ResizeNoShrink(int(size))
		k, err := io.ReadFull(r, buf.Bytes()[got:])
		if got += int64(k); err != nil {
			return nil, cut(err, "message's body", int(got), int(n))
		}
		if got == n {
			return buf, nil
		}
		size = min(n, 2*got)
	}
}
