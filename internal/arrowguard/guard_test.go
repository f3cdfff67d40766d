package arrowguard

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/decimal128"
	"github.com/apache/arrow/go/v17/arrow/decimal256"
	"github.com/apache/arrow/go/v17/arrow/float16"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// flatTypes are all types that the guard accepts.
func flatTypes() []arrow.DataType {
	types := []arrow.DataType{
		arrow.Null, arrow.FixedWidthTypes.Boolean,
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
		arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Uint16, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Uint64,
		arrow.FixedWidthTypes.Float16, arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64,
		&arrow.Decimal128Type{Precision: 20, Scale: 4}, &arrow.Decimal256Type{Precision: 60, Scale: -3},
		arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.Binary, arrow.BinaryTypes.LargeBinary,
		&arrow.FixedSizeBinaryType{ByteWidth: 5},
		arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Date64,
		arrow.FixedWidthTypes.Time32s, arrow.FixedWidthTypes.Time32ms, arrow.FixedWidthTypes.Time64us, arrow.FixedWidthTypes.Time64ns,
		arrow.FixedWidthTypes.Timestamp_s, &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, &arrow.TimestampType{Unit: arrow.Nanosecond},
		arrow.FixedWidthTypes.Duration_s, arrow.FixedWidthTypes.Duration_ms, arrow.FixedWidthTypes.Duration_us, arrow.FixedWidthTypes.Duration_ns,
		arrow.FixedWidthTypes.MonthInterval, arrow.FixedWidthTypes.DayTimeInterval, arrow.FixedWidthTypes.MonthDayNanoInterval,
	}
	for _, index := range []arrow.DataType{
		arrow.PrimitiveTypes.Int8, arrow.PrimitiveTypes.Uint8, arrow.PrimitiveTypes.Int16, arrow.PrimitiveTypes.Uint16,
		arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Uint32, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Uint64,
	} {
		types = append(types, &arrow.DictionaryType{IndexType: index, ValueType: arrow.BinaryTypes.String})
	}
	return append(types, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.PrimitiveTypes.Int64, Ordered: true})
}

func flatSchema() *arrow.Schema {
	var fields []arrow.Field
	for i, t := range flatTypes() {
		fields = append(fields, arrow.Field{
			Name: fmt.Sprintf("c%d", i), Type: t, Nullable: i%3 != 0,
			Metadata: arrow.NewMetadata([]string{"k"}, []string{fmt.Sprint(i)}),
		})
	}
	md := arrow.NewMetadata([]string{"pandas", "x"}, []string{`{"a":1}`, ""})
	return arrow.NewSchema(fields, &md)
}

// flatRecord fills every column of s with rows values; some are null unless nulls is false.
func flatRecord(mem memory.Allocator, s *arrow.Schema, rows int, nulls bool) arrow.Record {
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	for c, f := range b.Fields() {
		for r := range rows {
			if nulls && (r+c)%4 == 1 {
				f.AppendNull()
				continue
			}
			appendValue(f, r*7+c)
		}
	}
	return b.NewRecord()
}

func appendValue(b array.Builder, v int) {
	text := fmt.Sprintf("wért-%d", v%13)
	switch b := b.(type) {
	case *array.NullBuilder:
		b.AppendNull()
	case *array.BooleanBuilder:
		b.Append(v%2 == 0)
	case *array.Float16Builder:
		b.Append(float16.New(float32(v)))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(int64(-v)))
	case *array.Decimal256Builder:
		b.Append(decimal256.FromI64(int64(-v)))
	case *array.StringBuilder:
		b.Append(text)
	case *array.LargeStringBuilder:
		b.Append(text)
	case *array.BinaryBuilder:
		b.Append([]byte{0xff, byte(v)})
	case *array.FixedSizeBinaryBuilder:
		b.Append([]byte{1, 2, 3, 4, byte(v)})
	case *array.Date32Builder:
		b.Append(arrow.Date32(v))
	case *array.Date64Builder:
		b.Append(arrow.Date64(v))
	case *array.Time32Builder:
		b.Append(arrow.Time32(v))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v))
	case *array.DurationBuilder:
		b.Append(arrow.Duration(v))
	case *array.MonthIntervalBuilder:
		b.Append(arrow.MonthInterval(v))
	case *array.DayTimeIntervalBuilder:
		b.Append(arrow.DayTimeInterval{Days: int32(v), Milliseconds: 1})
	case *array.MonthDayNanoIntervalBuilder:
		b.Append(arrow.MonthDayNanoInterval{Months: int32(v), Days: 2, Nanoseconds: 3})
	case *array.BinaryDictionaryBuilder:
		if err := b.AppendString(text); err != nil {
			panic(err)
		}
	case *array.Int64DictionaryBuilder:
		if err := b.Append(int64(v % 5)); err != nil {
			panic(err)
		}
	default:
		if err := b.AppendValueFromString(fmt.Sprint(v % 100)); err != nil {
			panic(err)
		}
	}
}

func stream(t testing.TB, s *arrow.Schema, recs []arrow.Record, opts ...ipc.Option) []byte {
	t.Helper()
	var b bytes.Buffer
	w := ipc.NewWriter(&b, append(opts, ipc.WithSchema(s))...)
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readAll drains a stream with the guard.
func readAll(b []byte, l Limits, opts ...Option) (recs []arrow.Record, s *arrow.Schema, err error) {
	r, err := NewReader(bytes.NewReader(b), l, opts...)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return recs, r.Schema(), nil
		}
		if err != nil {
			release(recs)
			return nil, nil, err
		}
		recs = append(recs, rec)
	}
}

func release(recs []arrow.Record) {
	for _, r := range recs {
		r.Release()
	}
}

// arrowReadAll is the oracle: Arrow's own reader.
func arrowReadAll(b []byte) (recs []arrow.Record, s *arrow.Schema, err error) {
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, err
	}
	defer r.Release()
	for r.Next() {
		rec := r.Record()
		rec.Retain()
		recs = append(recs, rec)
	}
	return recs, r.Schema(), r.Err()
}

func checked(t *testing.T) *memory.CheckedAllocator {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

func TestReaderAgreesWithArrow(t *testing.T) {
	s := flatSchema()
	for _, tc := range []struct {
		rows  []int
		nulls bool
	}{{[]int{100, 1, 63}, true}, {[]int{64}, false}, {[]int{0, 9, 0}, true}, {nil, false}} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			mem := checked(t)
			var recs []arrow.Record
			for _, n := range tc.rows {
				recs = append(recs, flatRecord(mem, s, n, tc.nulls))
			}
			defer release(recs)
			b := stream(t, s, recs, ipc.WithAllocator(mem))
			want, wantSchema, err := arrowReadAll(b)
			if err != nil {
				t.Fatal(err)
			}
			defer release(want)
			got, schema, err := readAll(b, Limits{}, WithAllocator(mem))
			if err != nil {
				t.Fatal(err)
			}
			defer release(got)
			if !schema.Equal(wantSchema) || !schema.Equal(s) || schema.Metadata().String() != s.Metadata().String() {
				t.Errorf("schema\n%v\nwant\n%v", schema, wantSchema)
			}
			if len(got) != len(want) || len(got) != len(recs) {
				t.Fatalf("%d records, arrow reads %d, written %d", len(got), len(want), len(recs))
			}
			for i := range got {
				if !array.RecordEqual(got[i], recs[i]) || !array.RecordEqual(got[i], want[i]) {
					t.Errorf("record %d:\n%v\nwant\n%v", i, got[i], recs[i])
				}
			}
		})
	}
}

func TestReaderFollowsDictionaryDeltasAndReplacements(t *testing.T) {
	mem := checked(t)
	s := arrow.NewSchema([]arrow.Field{{Name: "d", Nullable: true, Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}}, nil)
	record := func(words []string, idx ...int8) arrow.Record {
		db := array.NewStringBuilder(mem)
		defer db.Release()
		db.AppendValues(words, nil)
		dict := db.NewArray()
		defer dict.Release()
		ib := array.NewInt8Builder(mem)
		defer ib.Release()
		ib.AppendValues(idx, nil)
		index := ib.NewArray()
		defer index.Release()
		a := array.NewDictionaryArray(s.Field(0).Type, index, dict)
		defer a.Release()
		return array.NewRecord(s, []arrow.Array{a}, int64(len(idx)))
	}
	recs := []arrow.Record{
		record([]string{"a", "b"}, 0, 1),
		record([]string{"a", "b", "c"}, 2, 0),
		record([]string{"a", "b", "c", "d", "e"}, 4, 2),
		record([]string{"z"}, 0, 0, 0),
	}
	defer release(recs)
	for _, deltas := range []bool{false, true} {
		b := stream(t, s, recs, ipc.WithAllocator(mem), ipc.WithDictionaryDeltas(deltas))
		got, _, err := readAll(b, Limits{}, WithAllocator(mem))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [][]string{{"a", "b"}, {"c", "a"}, {"e", "c"}, {"z", "z", "z"}} {
			col := got[i].Column(0).(*array.Dictionary)
			var words []string
			for r := range col.Len() {
				words = append(words, col.Dictionary().(*array.String).Value(col.GetValueIndex(r)))
			}
			if fmt.Sprint(words) != fmt.Sprint(want) {
				t.Errorf("deltas=%v record %d: %v, want %v", deltas, i, words, want)
			}
		}
		release(got)
	}
}

func TestColumnOfNullsMayPrecedeItsDictionary(t *testing.T) {
	mem := checked(t)
	s := arrow.NewSchema([]arrow.Field{{Name: "d", Nullable: true, Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}}}, nil)
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	b.Field(0).AppendNull()
	rec := b.NewRecord()
	defer rec.Release()
	e, err := NewEncoder(s, mem)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	msgs, err := e.Encode(rec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewMessageDecoder(e.SchemaMessage(), Limits{}, WithAllocator(mem))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := d.Decode(msgs[len(msgs)-1]) // the dictionary message is withheld
	if err != nil {
		t.Fatal(err)
	}
	defer got.Release()
	if got.Column(0).NullN() != 1 {
		t.Errorf("column %v, want one null", got.Column(0))
	}
}
