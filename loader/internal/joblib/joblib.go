// Package joblib reads what joblib.dump adds to a pickle: a compressed stream around it, and the bytes of arrays inside
// it.
//
//	compressed bytes --Expand--> pickle with arrays --pickle.Reader, Built--> pydata.Value
//
// joblib replaces an array by an object of class joblib.numpy_pickle.NumpyArrayWrapper. After the BUILD of that object
// stand one byte with the length of a padding, the padding, and the array's elements (from before joblib 1.2 the elements
// alone), or a pickle of its own where the elements are objects. The pickle goes on after them.
package joblib

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"

	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pickle"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// wrapper is the class of the objects that stand for arrays.
const wrapper = "joblib.numpy_pickle.NumpyArrayWrapper"

// Built reads the array of a wrapper; other objects it leaves alone. It is a pickle.Options.Built.
func Built(r *pickle.Reader, o *pydata.Object) error {
	if !o.Class.Is(wrapper) {
		return nil
	}
	dtype, _ := o.Attr("dtype")
	shape, _ := o.Attr("shape")
	order, _ := o.Attr("order")
	if class, _ := o.Attr("subclass"); class != nil {
		g, ok := class.(*pydata.Global)
		if !ok || !g.Is("numpy.ndarray") {
			return fault.NotSupported("arrays of %s", pydata.Kind(class))
		}
	}
	alignment, _ := o.Attr("numpy_array_alignment_bytes")
	elements := func(n uint64) ([]byte, error) {
		if alignment != nil {
			padding, err := r.Take(1, "an array")
			if err != nil {
				return nil, err
			}
			if _, err := r.Take(uint64(padding[0]), "an array"); err != nil {
				return nil, err
			}
		}
		return r.Take(n, "an array")
	}
	a, err := ndarray.Raw(dtype, shape, order == "F", r.Rest(), elements, r.Load)
	if err != nil {
		return err
	}
	o.Payload = a
	return nil
}

// Compression is a way that joblib compresses a whole file.
type Compression uint8

// The compressions.
const (
	None Compression = iota
	Zlib
	Gzip
	Bzip2
	LZMA
	XZ
	LZ4
)

// String is the name that joblib.dump's compress takes.
func (c Compression) String() string {
	return [...]string{"none", "zlib", "gzip", "bz2", "lzma", "xz", "lz4"}[c]
}

// Sniff tells the compression from the first bytes of a file, as joblib does.
func Sniff(head []byte) Compression {
	switch {
	case len(head) > 1 && head[0] == 0x78 && (uint(head[0])<<8|uint(head[1]))%31 == 0:
		return Zlib
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return Gzip
	case bytes.HasPrefix(head, []byte("BZh")):
		return Bzip2
	case bytes.HasPrefix(head, []byte("\xfd7zXZ")):
		return XZ
	case bytes.HasPrefix(head, []byte("\x5d\x00\x00")):
		return LZMA
	case bytes.HasPrefix(head, []byte("\x04\x22\x4d\x18")):
		return LZ4
	}
	return None
}

// maxDictionary bounds the memory of LZMA's window: that of its highest preset.
const maxDictionary = 64 << 20

// small is what a compressed file may become whatever its ratio.
const small = 64 << 20

// most is the number of bytes that compressed ones may become.
func most(compressed int, l limit.Limits) int64 {
	if int64(compressed) > l.Bytes/l.Ratio {
		return l.Bytes
	}
	return min(l.Bytes, max(small, int64(compressed)*l.Ratio))
}

// Expand decompresses a file within the limits. It holds both the compressed and the expanded bytes.
func Expand(c Compression, data []byte, l limit.Limits) ([]byte, error) {
	in, err := c.open(data)
	if err != nil {
		return nil, damaged(c, err)
	}
	allowed := most(len(data), l)
	out := bytes.Buffer{}
	n, err := out.ReadFrom(io.LimitReader(in, allowed+1))
	switch {
	case n > allowed && allowed == l.Bytes:
		return nil, fault.Limit("Bytes", l.Bytes, n)
	case n > allowed:
		return nil, fault.Limit("Ratio", l.Ratio, n/int64(max(len(data), 1)))
	case err != nil:
		return nil, damaged(c, err)
	}
	return out.Bytes(), nil
}

// Begins returns the first bytes of the expanded file.
func Begins(c Compression, data []byte, n int) []byte {
	in, err := c.open(data)
	if err != nil {
		return nil
	}
	head := make([]byte, n)
	got, _ := io.ReadFull(in, head)
	return head[:got]
}

func (c Compression) open(data []byte) (io.Reader, error) {
	in := bytes.NewReader(data)
	switch c {
	case Zlib:
		return zlib.NewReader(in)
	case Gzip:
		return gzip.NewReader(in)
	case Bzip2:
		return bzip2.NewReader(in), nil
	case LZMA:
		return lzma.ReaderConfig{DictCap: maxDictionary}.NewReader(in)
	case XZ:
		return newXZ(in)
	case LZ4:
		return lz4.NewReader(in), nil
	}
	return nil, fault.Malformed("no compression")
}

func damaged(c Compression, err error) error {
	if errors.Is(err, fault.ErrNotSupported) || errors.Is(err, fault.ErrLimit) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fault.Truncated("its " + c.String() + " stream")
	}
	return fault.Malformed("its %s stream: %v", c, err)
}
