package arrowguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// codec decompresses buffers of a body: i64 uncompressed size (-1: stored) | compressed bytes.
type codec struct {
	zstd *zstd.Decoder
	lz4  *lz4.Reader
}

// maxZstdWindow bounds what a frame header can make the decoder allocate by itself; levels up to 19 need 8 MiB.
const maxZstdWindow = 64 << 20

func newCodec(kind, method byte) (*codec, error) {
	switch {
	case method != 0:
		return nil, invalid("body compression method %d", method)
	case kind == 0:
		return &codec{lz4: lz4.NewReader(nil)}, nil
	case kind == 1:
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, fmt.Errorf("zstd decoder: %w", err)
		}
		return &codec{zstd: d}, nil
	}
	return nil, invalid("body compression codec %d", kind)
}

func (c *codec) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}

// decode decompresses src into memory of exactly the announced size. That size may be a lie, so the memory grows with
// what the decoder yields (G1), and mem's limit holds for it.
func (c *codec) decode(src []byte, mem memory.Allocator) (*memory.Buffer, error) {
	if len(src) < 8 {
		return nil, invalid("compressed buffer of %d bytes", len(src))
	}
	size := int64(binary.LittleEndian.Uint64(src))
	src = src[8:]
	if size == -1 {
		buf := memory.NewResizableBuffer(mem)
		buf.Resize(len(src))
		copy(buf.Bytes(), src)
		return buf, nil
	}
	if size < 0 {
		return nil, invalid("uncompressed size %d", size)
	}
	if size == 0 {
		return nil, nil
	}
	var r io.Reader
	if c.zstd != nil {
		if err := c.zstd.Reset(bytes.NewReader(src)); err != nil {
			return nil, invalid("zstd: %s", err.Error())
		}
		r = c.zstd
	} else {
		c.lz4.Reset(bytes.NewReader(src))
		r = c.lz4
	}
	buf, err := readBody(r, size, mem)
	if err != nil {
		if errors.Is(err, ErrLimit) || errors.Is(err, ErrInvalid) {
			return nil, err
		}
		return nil, invalid("decompressing: %s", err.Error())
	}
	return buf, nil
}
