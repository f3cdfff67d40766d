package joblib

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"

	"github.com/treeline-ml/treeline/loader/internal/fault"
)

// xzReader reads one stream of the xz format. The container is read here because the library's reader takes the size of
// its window, up to 4 GiB, from the file.
//
//	FD 37 7A 58 5A 00, flags (2), CRC (4)
//	block: header size/4 - 1 (1), flags (1), [sizes], filter 21 01 <dictionary>, zeros, CRC (4); LZMA2; zeros; check
//	index: 00 ...
type xzReader struct {
	in    *bytes.Reader
	start int64 // where the current block began
	block *lzma.Reader2
	check func() hash.Hash
	sum   hash.Hash // nil without a check
	done  bool
}

var errXZ = errors.New("damaged xz container")

func newXZ(in *bytes.Reader) (*xzReader, error) {
	var head [12]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	if string(head[:6]) != "\xfd7zXZ\x00" || head[6] != 0 || crc32.ChecksumIEEE(head[6:8]) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, errXZ
	}
	x := &xzReader{in: in}
	switch head[7] {
	case 0:
		x.check = func() hash.Hash { return nil }
	case 1:
		x.check = func() hash.Hash { return crc32.NewIEEE() }
	case 4:
		x.check = func() hash.Hash { return crc64.New(crc64.MakeTable(crc64.ECMA)) }
	case 10:
		x.check = sha256.New
	default:
		return nil, fault.NotSupported("check %d of xz", head[7])
	}
	return x, nil
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	for !x.done {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
			continue
		}
		n, err := x.block.Read(p)
		if x.sum != nil {
			_, _ = x.sum.Write(p[:n])
		}
		switch {
		case errors.Is(err, io.EOF):
			if err := x.end(); err != nil {
				return n, err
			}
		case err != nil:
			return n, err
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// offset is the number of bytes that were read.
func (x *xzReader) offset() int64 { return x.in.Size() - int64(x.in.Len()) }

// next begins a block, or ends the stream at its index.
func (x *xzReader) next() error {
	x.start = x.offset()
	size, err := x.in.ReadByte()
	if err != nil {
		return err
	}
	if size == 0 {
		x.done = true
		return nil
	}
	head := make([]byte, 4*(int(size)+1))
	head[0] = size
	if _, err := io.ReadFull(x.in, head[1:]); err != nil {
		return err
	}
	body := head[:len(head)-4]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(head[len(body):]) {
		return errXZ
	}
	flags, rest := body[1], body[2:]
	for _, bit := range [2]byte{0x40, 0x80} { // sizes, which are not needed
		if flags&bit == 0 {
			continue
		}
		_, n := binary.Uvarint(rest)
		if n <= 0 {
			return errXZ
		}
		rest = rest[n:]
	}
	if flags&0x3f != 0 || len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 {
		return fault.NotSupported("filters of xz other than LZMA2")
	}
	window, err := lzma.DecodeDictCap(rest[2])
	if err != nil {
		return err
	}
	if window > maxDictionary {
		return fault.NotSupported("an xz dictionary of %d bytes, more than %d", window, maxDictionary)
	}
	x.sum = x.check()
	x.block, err = lzma.Reader2Config{DictCap: max(int(window), lzma.MinDictCap)}.NewReader2(x.in)
	return err
}

// end reads the padding and the check of a block.
func (x *xzReader) end() error {
	x.block = nil
	for (x.offset()-x.start)%4 != 0 {
		b, err := x.in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return errXZ
		}
	}
	if x.sum == nil {
		return nil
	}
	stored := make([]byte, x.sum.Size())
	if _, err := io.ReadFull(x.in, stored); err != nil {
		return err
	}
	sum := x.sum.Sum(nil)
	if len(sum) < sha256.Size { // CRCs are little-endian
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	if !bytes.Equal(sum, stored) {
		return errXZ
	}
	return nil
}
