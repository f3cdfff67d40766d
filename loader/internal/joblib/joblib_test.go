package joblib_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"

	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/joblib"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// corpus reads a file that joblib wrote.
func corpus(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "internal", "testmodels", "corpus", "scikit-learn-1.9.1", "formats", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// compressed is what joblib wrote in each compression; lz4, for which joblib needs another package, is written here.
func compressed(t testing.TB) map[joblib.Compression][]byte {
	t.Helper()
	var b bytes.Buffer
	w := lz4.NewWriter(&b)
	if _, err := w.Write(corpus(t, "model.joblib")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return map[joblib.Compression][]byte{
		joblib.Zlib: corpus(t, "zlib.joblib"), joblib.Gzip: corpus(t, "gzip.joblib"), joblib.Bzip2: corpus(t, "bz2.joblib"),
		joblib.LZMA: corpus(t, "lzma.joblib"), joblib.XZ: corpus(t, "xz.joblib"), joblib.LZ4: b.Bytes(),
	}
}

// TestExpand: each compression is told by its first bytes and expands to the same pickle, but for the padding before
// arrays, which depends on nothing else.
func TestExpand(t *testing.T) {
	plain := corpus(t, "model.joblib")
	for c, file := range compressed(t) {
		if got := joblib.Sniff(file); got != c {
			t.Errorf("%v is taken for %v", c, got)
		}
		out, err := joblib.Expand(c, file, limit.Default())
		if err != nil || !bytes.Equal(out, plain) {
			t.Errorf("%v: %d bytes, want %d; %v", c, len(out), len(plain), err)
		}
		if head := joblib.Begins(c, file, 2); !bytes.Equal(head, plain[:2]) {
			t.Errorf("%v begins with %q", c, head)
		}
	}
	if got := joblib.Sniff(plain); got != joblib.None {
		t.Errorf("a plain pickle is taken for %v", got)
	}
}

// TestDamaged: a stream that is cut off or altered is an error or, where nothing guards it, other bytes.
func TestDamaged(t *testing.T) {
	for c, file := range compressed(t) {
		step := 7
		if c == joblib.LZMA || c == joblib.XZ {
			step = 61 // each try takes a window of megabytes
		}
		for n := 1; n < len(file); n += step {
			out, err := joblib.Expand(c, file[:n], limit.Default())
			if err == nil && c != joblib.LZMA && c != joblib.XZ && c != joblib.LZ4 || err == nil && len(out) == 0 {
				t.Errorf("%v cut at %d of %d was read", c, n, len(file))
			}
			if err != nil && !errors.Is(err, fault.ErrMalformed) {
				t.Errorf("%v cut at %d: %v", c, n, err)
			}
		}
		for i := 0; i < len(file); i += step {
			b := bytes.Clone(file)
			b[i] ^= 0x10
			if out, err := joblib.Expand(c, b, limit.Default()); err == nil && c == joblib.XZ && !bytes.Equal(out, corpus(t, "model.joblib")) {
				t.Errorf("xz with byte %d altered was read as other bytes", i)
			}
		}
	}
}

// bomb compresses zeros.
func bomb(t *testing.T, n int, open func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := open(&b)
	if _, err := io.CopyN(w, zeros{}, int64(n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestBombs: streams that become far more than they are stop at a limit.
func TestBombs(t *testing.T) {
	for c, file := range map[joblib.Compression][]byte{
		joblib.Zlib: bomb(t, 100<<20, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
		joblib.Gzip: bomb(t, 100<<20, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		joblib.LZ4:  bomb(t, 100<<20, func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) }),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := joblib.Expand(c, file, limit.Limits{Bytes: 1 << 40, Ratio: 20})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, fault.ErrLimit) || !strings.Contains(err.Error(), "Limits.Ratio") {
			t.Errorf("%v of %d bytes: %v", c, len(file), err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 400<<20 {
			t.Errorf("%v took %d bytes", c, used)
		}
		if _, err := joblib.Expand(c, file, limit.Limits{Bytes: 1 << 20, Ratio: 200}); !errors.Is(err, fault.ErrLimit) {
			t.Errorf("%v beyond Limits.Bytes: %v", c, err)
		}
	}
}

// TestDictionaries: the window that a stream asks for is not taken from it unchecked.
func TestDictionaries(t *testing.T) {
	lzma := bytes.Clone(corpus(t, "lzma.joblib"))
	binary.LittleEndian.PutUint32(lzma[1:], 0xffff0000)
	if _, err := joblib.Expand(joblib.LZMA, lzma, limit.Default()); !errors.Is(err, fault.ErrMalformed) {
		t.Errorf("lzma with a dictionary of 4 GiB: %v", err)
	}
	xz := bytes.Clone(corpus(t, "xz.joblib"))
	header := xz[12 : 12+4*(int(xz[12])+1)]
	at := bytes.Index(header, []byte{0x21, 1}) + 2
	header[at] = 40 // 4 GiB
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := joblib.Expand(joblib.XZ, xz, limit.Default())
	runtime.ReadMemStats(&after)
	if !errors.Is(err, fault.ErrNotSupported) || after.TotalAlloc-before.TotalAlloc > 16<<20 {
		t.Errorf("xz with a dictionary of 4 GiB: %v, %d bytes", err, after.TotalAlloc-before.TotalAlloc)
	}
}

// FuzzExpand: any bytes end in at most as many bytes as the limits allow, or in an error.
func FuzzExpand(f *testing.F) {
	for _, file := range compressed(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := joblib.Sniff(b)
		if c == joblib.None {
			return
		}
		out, err := joblib.Expand(c, b, limit.Limits{Bytes: 1 << 20, Ratio: 200})
		if err == nil && len(out) > 1<<20 {
			t.Errorf("%d bytes", len(out))
		}
	})
}
