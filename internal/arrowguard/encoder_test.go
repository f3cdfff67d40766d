package arrowguard

import (
	"bytes"
	"errors"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// The encoder's messages, put end to end, are a stream that Arrow reads; one by one the decoder reads them.
func TestEncoderAndMessageDecoder(t *testing.T) {
	mem := checked(t)
	s := flatSchema()
	recs := []arrow.Record{flatRecord(mem, s, 50, true), flatRecord(mem, s, 3, false), flatRecord(mem, s, 50, true)}
	defer release(recs)
	e, err := NewEncoder(s, mem)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := NewMessageDecoder(e.SchemaMessage(), Limits{}, WithAllocator(mem))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if !d.Schema().Equal(s) {
		t.Errorf("schema %v, want %v", d.Schema(), s)
	}
	all := bytes.Clone(e.SchemaMessage())
	for i, rec := range recs {
		msgs, err := e.Encode(rec)
		if err != nil {
			t.Fatal(err)
		}
		for k, m := range msgs {
			all = append(all, m...)
			if k%2 == 1 { // an odd address: the decoder has to copy
				m = append(make([]byte, 1, len(m)+1), m...)[1:]
			}
			got, err := d.Decode(m)
			if err != nil {
				t.Fatalf("record %d message %d: %v", i, k, err)
			}
			if last := k == len(msgs)-1; last != (got != nil) {
				t.Fatalf("record %d message %d of %d: got record %v", i, k, len(msgs), got != nil)
			}
			if got != nil {
				if !array.RecordEqual(got, rec) {
					t.Errorf("record %d: %v, want %v", i, got, rec)
				}
				got.Release()
			}
		}
	}
	got, _, err := arrowReadAll(append(all, endOfStream...))
	if err != nil || len(got) != len(recs) {
		t.Fatalf("arrow reads %d records, want %d: %v", len(got), len(recs), err)
	}
	defer release(got)
	for i := range got {
		if !array.RecordEqual(got[i], recs[i]) {
			t.Errorf("arrow reads record %d as %v, want %v", i, got[i], recs[i])
		}
	}
}

func TestMessageDecoderRefusesBrokenFraming(t *testing.T) {
	mem := memory.DefaultAllocator
	s := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	rec := flatRecord(mem, s, 10, false)
	e, err := NewEncoder(s, mem)
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := e.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	msg := msgs[0]
	d, err := NewMessageDecoder(e.SchemaMessage(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty": nil, "end of stream": endOfStream, "cut": msg[:len(msg)-1], "longer": append(bytes.Clone(msg), 0),
		"two messages": append(bytes.Clone(msg), msg...), "second schema": e.SchemaMessage(),
	} {
		if _, err := d.Decode(b); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := NewMessageDecoder(msg, Limits{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("record in place of the schema: %v, want ErrInvalid", err)
	}
	got, err := d.Decode(msg)
	if err != nil {
		t.Fatalf("after refusals: %v", err)
	}
	got.Release()
	d, err = NewMessageDecoder(e.SchemaMessage(), Limits{MaxMessageBytes: int64(len(msg) - 1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(msg); !errors.Is(err, ErrLimit) {
		t.Errorf("message over the limit: %v, want ErrLimit", err)
	}
}

func TestCompressionNeedsPermission(t *testing.T) {
	s := flatSchema()
	for name, opt := range map[string]ipc.Option{"lz4": ipc.WithLZ4(), "zstd": ipc.WithZstd()} {
		t.Run(name, func(t *testing.T) {
			mem := checked(t)
			rec := flatRecord(mem, s, 300, true)
			defer rec.Release()
			b := stream(t, s, []arrow.Record{rec}, opt)
			if _, _, err := readAll(b, Limits{}, WithAllocator(mem)); !errors.Is(err, ErrInvalid) {
				t.Errorf("without permission: %v, want ErrInvalid", err)
			}
			got, _, err := readAll(b, Limits{AllowCompression: true}, WithAllocator(mem))
			if err != nil {
				t.Fatal(err)
			}
			defer release(got)
			if !array.RecordEqual(got[0], rec) {
				t.Errorf("got %v, want %v", got[0], rec)
			}
		})
	}
}
