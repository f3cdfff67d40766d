package arrowguard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

func arrowFile(t testing.TB, s *arrow.Schema, recs []arrow.Record, opts ...ipc.Option) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ipc.NewFileWriter(f, append(opts, ipc.WithSchema(s))...)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readFile(b []byte, opts ...Option) (recs []arrow.Record, rows int64, err error) {
	f, err := OpenFile(bytes.NewReader(b), int64(len(b)), FileLimits(), opts...)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if rows, err = f.CountRows(); err != nil {
		return nil, 0, err
	}
	for {
		rec, err := f.Next()
		if errors.Is(err, io.EOF) {
			return recs, rows, nil
		}
		if err != nil {
			release(recs)
			return nil, 0, err
		}
		recs = append(recs, rec)
	}
}

func TestOpenFileReadsBothFormats(t *testing.T) {
	s := flatSchema()
	recs := []arrow.Record{flatRecord(memory.DefaultAllocator, s, 33, true), flatRecord(memory.DefaultAllocator, s, 33, true), flatRecord(memory.DefaultAllocator, s, 0, true)}
	defer release(recs)
	for name, b := range map[string][]byte{
		"file":      arrowFile(t, s, recs[:2]),
		"file lz4":  arrowFile(t, s, recs[:2], ipc.WithLZ4()),
		"file zstd": arrowFile(t, s, recs[:2], ipc.WithZstd()),
		"stream":    stream(t, s, recs[:2]),
		"empty":     arrowFile(t, s, nil),
	} {
		t.Run(name, func(t *testing.T) {
			mem := checked(t)
			got, rows, err := readFile(b, WithAllocator(mem))
			if err != nil {
				t.Fatal(err)
			}
			defer release(got)
			if name == "empty" {
				if len(got) != 0 || rows != 0 {
					t.Errorf("%d records, %d rows, want none", len(got), rows)
				}
				return
			}
			if len(got) != 2 || rows != 66 {
				t.Fatalf("%d records, %d rows, want 2 and 66", len(got), rows)
			}
			for i := range got {
				if !array.RecordEqual(got[i], recs[i]) {
					t.Errorf("record %d: %v, want %v", i, got[i], recs[i])
				}
			}
		})
	}
}

func TestFileTruncationAtEveryByteIsAnError(t *testing.T) {
	all := flatSchema().Fields()
	s := arrow.NewSchema([]arrow.Field{all[1], all[12], all[15], all[len(all)-1]}, nil)
	rec := flatRecord(memory.DefaultAllocator, s, 9, true)
	defer rec.Release()
	b := arrowFile(t, s, []arrow.Record{rec})
	for n := range len(b) {
		if recs, _, err := readFile(b[:n]); !errors.Is(err, ErrInvalid) || errors.Is(err, ErrPanic) {
			t.Fatalf("cut to %d of %d bytes: %d records, %v, want ErrInvalid", n, len(b), len(recs), err)
		}
	}
}

// A footer that lists one block a thousand times would turn a small file into many rows.
func TestFileBlocksMayNotOverlap(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	rec := flatRecord(memory.DefaultAllocator, s, 9, false)
	defer rec.Release()
	b := arrowFile(t, s, []arrow.Record{rec, rec})
	n := int(binary.LittleEndian.Uint32(b[len(b)-10:]))
	footer := b[len(b)-10-n : len(b)-10]
	v := newFlatbuf(footer).root().vectorAt(3, 24)
	copy(footer[v.pos+24:v.pos+48], footer[v.pos:v.pos+24])
	if _, _, err := readFile(b); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", err)
	}
}

func TestFeather1IsRefusedByName(t *testing.T) {
	_, _, err := readFile([]byte("FEA1....................FEA1"))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "Feather version 1") {
		t.Errorf("%v", err)
	}
}

// TestMutations flips bytes and words of valid inputs: whatever happens, the process lives, memory stays bounded, and
// what is accepted can be read.
func TestMutations(t *testing.T) {
	s := flatSchema()
	rec := flatRecord(memory.DefaultAllocator, s, 12, true)
	defer rec.Release()
	seeds := [][]byte{stream(t, s, []arrow.Record{rec, rec}), arrowFile(t, s, []arrow.Record{rec}), stream(t, s, []arrow.Record{rec}, ipc.WithZstd())}
	rng := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 3000 {
		b := bytes.Clone(seeds[rng.IntN(len(seeds))])
		for range 1 + rng.IntN(4) {
			p := rng.IntN(len(b) - 8)
			switch rng.IntN(4) {
			case 0:
				b[p] ^= 1 << rng.IntN(8)
			case 1:
				b[p] = byte(rng.Uint32())
			case 2:
				binary.LittleEndian.PutUint32(b[p&^3:], []uint32{0, 1, 0x7fffffff, 0xffffffff, rng.Uint32N(4096)}[rng.IntN(5)])
			case 3:
				binary.LittleEndian.PutUint64(b[p&^7:], []uint64{0, 1, 1 << 40, 1 << 63, 1<<64 - 1}[rng.IntN(5)])
			}
		}
		if checkBytes(t, b) {
			accepted++
		}
	}
	if accepted == 0 {
		t.Error("no mutation was accepted, so nothing was read")
	}
	t.Logf("%d of 3000 mutations accepted", accepted)
}
