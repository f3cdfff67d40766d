package arrowguard

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

func fuzzLimits() Limits {
	return Limits{MaxMessageBytes: 4 << 20, MaxAllocBytes: 8 << 20, MaxRows: 1 << 16, MaxFields: 1000, AllowCompression: true}
}

// touch reads every value in ways that index all buffers.
func touch(rec arrow.Record) {
	for _, c := range rec.Columns() {
		for i := range c.Len() {
			_ = c.ValueStr(i)
		}
		_, _ = c.MarshalJSON()
	}
	s := rec.NewSlice(rec.NumRows()/2, rec.NumRows())
	_ = array.RecordEqual(s, s)
	s.Release()
}

// checkBytes reads b as a file or stream and reports whether it was accepted. Refusals must be clean errors, and what is
// accepted must be readable, by us and by Arrow, with equal values.
func checkBytes(t *testing.T, b []byte) bool {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	f, err := OpenFile(bytes.NewReader(b), int64(len(b)), fuzzLimits(), WithAllocator(mem))
	if err != nil {
		clean(t, err)
		return false
	}
	if _, err := f.CountRows(); err != nil {
		clean(t, err)
	}
	var recs []arrow.Record
	for len(recs) < 100 {
		var rec arrow.Record
		if rec, err = f.Next(); err != nil {
			break
		}
		touch(rec)
		recs = append(recs, rec)
	}
	if !errors.Is(err, io.EOF) {
		clean(t, err)
	} else if f.stream != nil {
		compareWithArrow(t, b, recs)
	}
	release(recs)
	f.Close()
	mem.AssertSize(t, 0)
	return errors.Is(err, io.EOF)
}

func clean(t *testing.T, err error) {
	t.Helper()
	if err != nil && (errors.Is(err, ErrPanic) || !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrLimit)) {
		t.Fatalf("unclean refusal: %v", err)
	}
}

// compareWithArrow reads an accepted stream with Arrow's reader. It may refuse what we accept (a dictionary that comes
// late), but it must survive, and where it reads it must see the same values.
func compareWithArrow(t *testing.T, b []byte, recs []arrow.Record) {
	t.Helper()
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("arrow refuses an accepted schema: %v", err)
	}
	defer r.Release()
	for i := 0; r.Next(); i++ {
		if i >= len(recs) {
			t.Fatalf("arrow reads more than %d records", len(recs))
		}
		if got := r.Record(); !array.RecordApproxEqual(got, recs[i], array.WithNaNsEqual(true)) {
			t.Fatalf("record %d: arrow reads %v, we read %v", i, got, recs[i])
		}
	}
}

func FuzzFile(f *testing.F) {
	s := flatSchema()
	rec := flatRecord(memory.DefaultAllocator, s, 5, true)
	f.Add(stream(f, s, []arrow.Record{rec}))
	f.Add(stream(f, s, []arrow.Record{rec}, ipc.WithZstd()))
	f.Add(arrowFile(f, s, []arrow.Record{rec}))
	f.Add(oneColumn(f))
	f.Add(sharedChildren(20))
	f.Add(cyclicField())
	f.Add(forgedCount(0x7fffffff))
	f.Add(forgedBody(f))
	f.Fuzz(func(t *testing.T, b []byte) { checkBytes(t, b) })
}

func FuzzMessageDecoder(f *testing.F) {
	s := flatSchema()
	rec := flatRecord(memory.DefaultAllocator, s, 5, true)
	e, err := NewEncoder(s, memory.DefaultAllocator)
	if err != nil {
		f.Fatal(err)
	}
	msgs, err := e.Encode(rec)
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range msgs {
		f.Add(e.SchemaMessage(), m)
	}
	f.Fuzz(func(t *testing.T, schema, msg []byte) {
		d, err := NewMessageDecoder(schema, fuzzLimits())
		if err != nil {
			clean(t, err)
			return
		}
		defer d.Close()
		for range 2 {
			rec, err := d.Decode(msg)
			if err != nil {
				clean(t, err)
				return
			}
			if rec != nil {
				touch(rec)
				rec.Release()
			}
		}
	})
}

// FuzzParquetSchema gives what passes to the decoder that Parquet files use.
func FuzzParquetSchema(f *testing.F) {
	e, err := NewEncoder(flatSchema(), memory.DefaultAllocator)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(e.SchemaMessage())
	f.Add(e.SchemaMessage()[4:])
	f.Add(sharedChildren(6))
	f.Add(cyclicField())
	f.Add(forgedCount(0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := VerifyParquetSchema([]byte(base64.StdEncoding.EncodeToString(b))); err != nil {
			clean(t, err)
			return
		}
		if r, err := ipc.NewReader(bytes.NewReader(b)); err == nil {
			_ = r.Schema().String()
			r.Release()
		}
	})
}
