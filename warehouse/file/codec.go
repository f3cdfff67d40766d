package file

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/golang/snappy"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Parquet compression codecs.
const (
	codecNone   = 0
	codecSnappy = 1
	codecGzip   = 2
	codecBrotli = 4
	codecLZ4    = 5 // Hadoop's framing, deprecated
	codecZstd   = 6
	codecLZ4Raw = 7
)

// maxPage bounds one page, compressed or not. Writers make pages of about 1 MiB; a dictionary of long texts is larger.
const maxPage = 256 << 20

// maxWindow bounds what a zstd frame header makes the decoder allocate.
const maxWindow = 64 << 20

// inflater decompresses pages into memory of the announced size, never more. It is reused for the pages of a task.
type inflater struct {
	zstd       *zstd.Decoder
	src        bytes.Reader
	compressed []byte // the page that is expanded
	mem        *pageMemory
}

func (f *inflater) close() {
	f.mem.free(f.compressed)
	f.compressed = nil
	if f.zstd != nil {
		f.zstd.Close()
	}
}

// inflate fills dst, which has the announced size; src must expand to exactly that.
func (f *inflater) inflate(codec int32, dst, src []byte) error {
	switch codec {
	case codecNone:
		if len(src) != len(dst) {
			return fmt.Errorf("page of %d bytes is announced with %d: %w", len(src), len(dst), ErrInvalid)
		}
		copy(dst, src)
		return nil
	case codecSnappy:
		n, err := snappy.DecodedLen(src)
		if err != nil || n != len(dst) {
			return fmt.Errorf("page expands to %d bytes, announced are %d: %w", n, len(dst), ErrInvalid)
		}
		if _, err := snappy.Decode(dst, src); err != nil {
			return fmt.Errorf("page: %w: %w", ErrInvalid, err)
		}
		return nil
	case codecLZ4Raw:
		n, err := lz4.UncompressBlock(src, dst)
		if err != nil || n != len(dst) {
			return fmt.Errorf("page expands to %d bytes, announced are %d: %w", n, len(dst), ErrInvalid)
		}
		return nil
	case codecZstd:
		return f.inflateZstd(dst, src)
	}
	f.src.Reset(src)
	var r io.Reader
	switch codec {
	case codecGzip:
		z, err := gzip.NewReader(&f.src)
		if err != nil {
			return fmt.Errorf("page: %w: %w", ErrInvalid, err)
		}
		r = z
	case codecBrotli:
		r = brotli.NewReader(&f.src)
	default:
		return fmt.Errorf("compression codec %d is not supported: %w", codec, ErrInvalid)
	}
	return readExactly(r, dst)
}

// inflateZstd decodes in one piece where the frame says how much it holds, which is then compared; otherwise as a stream.
func (f *inflater) inflateZstd(dst, src []byte) error {
	if f.zstd == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return fmt.Errorf("zstd decoder: %w", err)
		}
		f.zstd = d
	}
	// With the capacity limit DecodeAll writes into dst only.
	out, err := f.zstd.DecodeAll(src, dst[:0:len(dst)])
	if err != nil {
		return fmt.Errorf("page: %w: %w", ErrInvalid, err)
	}
	if len(out) != len(dst) {
		return fmt.Errorf("page expands to %d bytes, announced are %d: %w", len(out), len(dst), ErrInvalid)
	}
	if len(out) > 0 && &out[0] != &dst[0] {
		copy(dst, out)
	}
	return nil
}

func readExactly(r io.Reader, dst []byte) error {
	if n, err := io.ReadFull(r, dst); err != nil {
		return fmt.Errorf("page expands to %d bytes, announced are %d: %w: %s", n, len(dst), ErrInvalid, err.Error())
	}
	if n, err := io.ReadFull(r, make([]byte, 1)); n != 0 || err != io.EOF {
		return fmt.Errorf("page expands to more than the %d bytes announced: %w", len(dst), ErrInvalid)
	}
	return nil
}

var le = binary.LittleEndian
