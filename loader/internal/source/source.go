// Package source reads a model file once, front to back, and knows at which byte it is.
package source

import (
	"bufio"
	"errors"
	"io"

	"github.com/treeline-ml/treeline/loader/internal/fault"
)

// bufferBytes is large enough that a chunk of a typed array costs one read, and small beside any model.
const bufferBytes = 64 << 10

// Reader is a counting, limited, buffered reader. It is not safe for concurrent use.
type Reader struct {
	buf  *bufio.Reader
	off  int64
	most int64
}

// New reads from r and refuses to go beyond most bytes.
func New(r io.Reader, most int64) *Reader {
	return &Reader{buf: bufio.NewReaderSize(r, bufferBytes), most: most}
}

// Offset returns the number of bytes consumed.
func (r *Reader) Offset() int64 { return r.off }

// Byte consumes one byte. inside names what the file would end in.
func (r *Reader) Byte(inside string) (byte, error) {
	b, err := r.buf.ReadByte()
	if err != nil {
		return 0, r.end(inside, err)
	}
	r.off++
	if r.off > r.most {
		return 0, fault.Limit("Bytes", r.most, r.off)
	}
	return b, nil
}

// Window returns at least one and up to most unread bytes without consuming them. The slice is valid until the next
// call; what the caller has used it consumes with Skip. At the end of the file the error is Truncated.
func (r *Reader) Window(most int, inside string) ([]byte, error) {
	b, err := r.Peek()
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, fault.Truncated(inside)
	}
	return b[:min(len(b), most)], nil
}

// Peek returns the unread bytes of the buffer, filling it when it is empty. An empty slice means the end of the file.
func (r *Reader) Peek() ([]byte, error) {
	if r.buf.Buffered() == 0 {
		if _, err := r.buf.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			return nil, err
		}
	}
	return r.buf.Peek(r.buf.Buffered())
}

// Fill returns exactly n unread bytes, n <= 4096, without consuming them.
func (r *Reader) Fill(n int, inside string) ([]byte, error) {
	b, err := r.buf.Peek(n)
	if err != nil {
		return nil, r.end(inside, err)
	}
	return b, nil
}

// Skip consumes n bytes of the window.
func (r *Reader) Skip(n int) error {
	r.off += int64(n)
	if r.off > r.most {
		return fault.Limit("Bytes", r.most, r.off)
	}
	if _, err := r.buf.Discard(n); err != nil {
		return r.end("skipped bytes", err)
	}
	return nil
}

// SkipLong consumes n bytes, however many.
func (r *Reader) SkipLong(n int64, inside string) error {
	for n > 0 {
		w, err := r.Window(bufferBytes, inside)
		if err != nil {
			return err
		}
		k := min(int64(len(w)), n)
		if err := r.Skip(int(k)); err != nil {
			return err
		}
		n -= k
	}
	return nil
}

// Append consumes n bytes and appends them to dst, growing it with the bytes that really arrive.
func (r *Reader) Append(dst []byte, n int64, inside string) ([]byte, error) {
	for n > 0 {
		w, err := r.Window(bufferBytes, inside)
		if err != nil {
			return nil, err
		}
		w = w[:min(int64(len(w)), n)]
		dst = append(dst, w...)
		n -= int64(len(w))
		if err := r.Skip(len(w)); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// Chunks consumes count elements of size bytes, size <= 4096, and hands them to use straight from the buffer, each
// chunk a whole number of elements.
func (r *Reader) Chunks(count int64, size int, inside string, use func(chunk []byte) error) error {
	for count > 0 {
		w, err := r.Window(bufferBytes, inside)
		if err == nil && len(w) < size {
			w, err = r.Fill(size, inside)
		}
		if err != nil {
			return err
		}
		n := min(int64(len(w)/size), count)
		w = w[:int(n)*size]
		if err := use(w); err != nil {
			return err
		}
		if err := r.Skip(len(w)); err != nil {
			return err
		}
		count -= n
	}
	return nil
}

func (r *Reader) end(inside string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Truncated(inside)
	}
	return err
}
