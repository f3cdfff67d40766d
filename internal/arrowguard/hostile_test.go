package arrowguard

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// flat is a forward flatbuffer under construction: tables refer to what comes after them.
type flat struct{ b []byte }

// table appends a table with the given slots; a nil slot is absent. It returns the position of each slot's value.
func (f *flat) table(slots ...[]byte) []int {
	inline := 4
	vt := binary.LittleEndian.AppendUint16(nil, uint16(4+2*len(slots)))
	for _, s := range slots {
		inline += len(s)
	}
	vt = binary.LittleEndian.AppendUint16(vt, uint16(inline))
	off := 4
	for _, s := range slots {
		if s == nil {
			vt = binary.LittleEndian.AppendUint16(vt, 0)
			continue
		}
		vt = binary.LittleEndian.AppendUint16(vt, uint16(off))
		off += len(s)
	}
	f.b = append(f.b, vt...)
	f.b = binary.LittleEndian.AppendUint32(f.b, uint32(len(vt)))
	var pos []int
	for _, s := range slots {
		pos = append(pos, len(f.b))
		f.b = append(f.b, s...)
	}
	return pos
}

// point makes the offset at pos lead to target.
func (f *flat) point(pos, target int) { binary.LittleEndian.PutUint32(f.b[pos:], uint32(target-pos)) }

// vector appends n zero offsets and returns the position of its count.
func (f *flat) vector(n int) int {
	p := len(f.b)
	f.b = binary.LittleEndian.AppendUint32(f.b, uint32(n))
	f.b = append(f.b, make([]byte, 4*n)...)
	return p
}

var (
	refSlot = []byte{0, 0, 0, 0}
	v5      = []byte{4, 0}
)

// schemaHead starts a schema message and returns the position of the schema's fields offset.
func (f *flat) schemaHead() int {
	f.b = append(f.b, 0, 0, 0, 0)
	root := len(f.b) + 4 + 2*4 // behind the vtable of four slots
	p := f.table(v5, []byte{headerSchema}, refSlot, make([]byte, 8))
	f.point(0, root)
	schema := len(f.b) + 4 + 2*2
	s := f.table(nil, refSlot)
	f.point(p[2], schema)
	return s[1]
}

// framed puts prefix and padding around metadata.
func framed(meta []byte) []byte {
	meta = append(bytes.Clone(meta), make([]byte, (8-len(meta)%8)%8)...)
	b := binary.LittleEndian.AppendUint32([]byte{0xff, 0xff, 0xff, 0xff}, uint32(len(meta)))
	return append(b, meta...)
}

// sharedChildren nests struct fields, each with two children that are the same table.
func sharedChildren(depth int) []byte {
	var f flat
	fields := f.schemaHead()
	f.point(fields, len(f.b))
	v := f.vector(1)
	slots := []int{v + 4}
	for range depth {
		field := len(f.b) + 4 + 2*6
		p := f.table(nil, nil, []byte{fbStruct}, refSlot, nil, refSlot)
		for _, s := range slots {
			f.point(s, field)
		}
		typ := len(f.b) + 4
		f.table()
		f.point(p[3], typ)
		f.point(p[5], len(f.b))
		v := f.vector(2)
		slots = []int{v + 4, v + 8}
	}
	leaf := len(f.b) + 4 + 2*4
	p := f.table(nil, nil, []byte{fbBool}, refSlot)
	f.point(p[3], len(f.b)+4)
	f.table()
	for _, s := range slots {
		f.point(s, leaf)
	}
	return framed(f.b)
}

// cyclicField is a struct field that is its own child.
func cyclicField() []byte {
	var f flat
	fields := f.schemaHead()
	f.point(fields, len(f.b))
	v := f.vector(1)
	field := len(f.b) + 4 + 2*6
	p := f.table(nil, nil, []byte{fbStruct}, refSlot, nil, refSlot)
	f.point(v+4, field)
	f.point(p[3], len(f.b)+4)
	f.table()
	f.point(p[5], len(f.b))
	c := f.vector(1)
	f.point(c+4, field) // backwards: wraps around as an unsigned offset
	return framed(f.b)
}

// forgedCount is a schema whose fields vector announces count elements.
func forgedCount(count uint32) []byte {
	var f flat
	fields := f.schemaHead()
	f.point(fields, len(f.b))
	f.b = binary.LittleEndian.AppendUint32(f.b, count)
	return framed(f.b)
}

func oneColumn(t testing.TB) []byte {
	s := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	rec := flatRecord(memory.DefaultAllocator, s, 4, false)
	defer rec.Release()
	return stream(t, s, []arrow.Record{rec})
}

// messages returns the offsets of the messages of a stream: prefix, metadata and body length.
func messages(t testing.TB, b []byte) (offs []int, all []*message) {
	for pos := 0; pos < len(b)-8; {
		n := int(binary.LittleEndian.Uint32(b[pos+4:]))
		m, err := parseMessage(b[pos+8:pos+8+n], FileLimits())
		if err != nil {
			t.Fatal(err)
		}
		offs, all = append(offs, pos+8), append(all, m)
		pos += 8 + n + int(m.bodyLen)
	}
	return offs, all
}

func patch64(b []byte, pos int, v int64) []byte {
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint64(b[pos:], uint64(v))
	return b
}

// forgedBody announces a body of 64 GiB in its record batch message.
func forgedBody(t testing.TB) []byte {
	b := oneColumn(t)
	offs, _ := messages(t, b)
	f := newFlatbuf(b[offs[1]:])
	return patch64(b, offs[1]+f.root().at(3, 8), 64<<30)
}

// allocated runs f and returns the bytes that it allocated in total.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

func TestHostileStreamsEndInErrorsWithinMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	const budget = 8 << 20
	for name, b := range map[string][]byte{
		"forged body length, 64 GiB":  forgedBody(t),
		"cyclic offset":               cyclicField(),
		"forged vector count":         forgedCount(0x7fffffff),
		"forged vector count, 2^32-1": forgedCount(0xffffffff),
		"shared children, 20 deep":    sharedChildren(20),
		"shared children, 300 deep":   sharedChildren(300),
		"metadata of 2 GiB":           {0xff, 0xff, 0xff, 0xff, 0xf8, 0xff, 0xff, 0x7f},
		"metadata of -8 bytes":        {0xff, 0xff, 0xff, 0xff, 0xf8, 0xff, 0xff, 0xff},
		"old framing":                 {0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"root to itself":              framed(make([]byte, 16)),
		"empty":                       {},
	} {
		t.Run(name, func(t *testing.T) {
			var err, pqErr error
			used := allocated(func() {
				_, _, err = readAll(b, Limits{})
				pqErr = VerifyParquetSchema([]byte(base64.StdEncoding.EncodeToString(b)))
			})
			if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrLimit) || errors.Is(err, ErrPanic) {
				t.Errorf("stream of %d bytes: %v, want ErrInvalid or ErrLimit", len(b), err)
			}
			if name != "forged body length, 64 GiB" && !errors.Is(pqErr, ErrInvalid) && !errors.Is(pqErr, ErrLimit) {
				t.Errorf("as ARROW:schema: %v, want ErrInvalid or ErrLimit", pqErr)
			}
			if used > budget {
				t.Errorf("%d bytes allocated for %d bytes, want at most %d", used, len(b), budget)
			}
			t.Logf("%d bytes: %v; as ARROW:schema: %v; %d bytes allocated", len(b), err, pqErr, used)
		})
	}
}

// The attack is real: Arrow unfolds shared children into 2^depth fields. (At 1,096 bytes it takes gigabytes.)
func TestArrowUnfoldsSharedChildren(t *testing.T) {
	b := append(sharedChildren(9), endOfStream...)
	_, s, err := arrowReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	var count func(t arrow.DataType) int
	count = func(t arrow.DataType) int {
		st, ok := t.(*arrow.StructType)
		if !ok {
			return 1
		}
		n := 0
		for _, f := range st.Fields() {
			n += count(f.Type)
		}
		return n
	}
	if n := count(s.Field(0).Type); n != 1<<9 {
		t.Errorf("arrow reads %d leaves from %d bytes, want %d", n, len(b), 1<<9)
	}
}

func TestTruncationAtEveryByteIsAnError(t *testing.T) {
	all := flatSchema().Fields()
	s := arrow.NewSchema([]arrow.Field{all[0], all[1], all[12], all[15], all[len(all)-1]}, nil)
	rec := flatRecord(memory.DefaultAllocator, s, 9, true)
	defer rec.Release()
	for _, opts := range [][]ipc.Option{nil, {ipc.WithLZ4()}} {
		b := stream(t, s, []arrow.Record{rec, rec}, opts...)
		for n := range len(b) {
			if _, _, err := readAll(b[:n], Limits{AllowCompression: true}); !errors.Is(err, ErrInvalid) || errors.Is(err, ErrPanic) {
				t.Fatalf("cut to %d of %d bytes: %v, want ErrInvalid", n, len(b), err)
			}
		}
	}
}

// A body that never arrives costs a first chunk, not what its length announces.
func TestMemoryFollowsReceivedBytes(t *testing.T) {
	b := oneColumn(t)
	offs, _ := messages(t, b)
	f := newFlatbuf(b[offs[1]:])
	b = patch64(b, offs[1]+f.root().at(3, 8), 60<<20)
	var err error
	used := allocated(func() { _, err = drain(onlyReader{bytes.NewReader(b)}) })
	if !errors.Is(err, ErrInvalid) || used > 4<<20 {
		t.Errorf("%v with %d bytes allocated, want ErrInvalid below 4 MiB", err, used)
	}
}

type onlyReader struct{ r *bytes.Reader }

func (o onlyReader) Read(p []byte) (int, error) { return o.r.Read(p) }

func drain(r onlyReader) (int, error) {
	rd, err := NewReader(r, Limits{})
	if err != nil {
		return 0, err
	}
	defer rd.Close()
	for n := 0; ; n++ {
		rec, err := rd.Next()
		if err != nil {
			return n, err
		}
		rec.Release()
	}
}

// TestForgedBatchMetadata alters one number of a valid record batch at a time.
func TestForgedBatchMetadata(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{
		{Name: "f", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "d", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}, Nullable: true},
		{Name: "b", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "e", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}},
	}, nil)
	rec := flatRecord(memory.DefaultAllocator, s, 20, true)
	defer rec.Release()
	b := stream(t, s, []arrow.Record{rec})
	offs, all := messages(t, b)
	if len(all) != 4 {
		t.Fatalf("%d messages, want schema, two dictionaries, record", len(all))
	}
	meta, m := offs[3], all[3]
	body := len(b) - 8 - int(m.bodyLen)
	nodes, bufs := m.header.vectorAt(1, 16), m.header.vectorAt(2, 16)
	node := func(i int) int { return meta + nodes.pos + 16*i }
	buf := func(i int) int { return meta + bufs.pos + 16*i }
	bufAt := func(i int) int { return body + int(bufs.int64At(i, 0)) }
	i32 := func(pos int, v int32) []byte {
		c := bytes.Clone(b)
		binary.LittleEndian.PutUint32(c[pos:], uint32(v))
		return c
	}
	for name, tc := range map[string]struct {
		b    []byte
		want error
		text string
	}{
		"rows negative":              {patch64(b, meta+m.header.at(0, 8), -1), ErrInvalid, "batch of -1 rows"},
		"rows huge":                  {patch64(b, meta+m.header.at(0, 8), 1<<40), ErrLimit, "batch of 1099511627776 rows"},
		"rows differ from column":    {patch64(b, meta+m.header.at(0, 8), 19), ErrInvalid, `column "f": column of 20 rows in a batch of 19`},
		"column longer":              {patch64(b, node(0), 21), ErrInvalid, `column "f": column of 21 rows`},
		"null count wrong":           {patch64(b, node(0)+8, 4), ErrInvalid, "null count 4, but the validity bitmap has 5"},
		"null count over rows":       {patch64(b, node(0)+8, 21), ErrInvalid, "null count 21 in 20 rows"},
		"null count negative":        {patch64(b, node(0)+8, -2), ErrInvalid, "null count -2"},
		"nulls without bitmap":       {patch64(b, buf(0)+8, 0), ErrInvalid, "without a validity bitmap"},
		"bitmap short":               {patch64(b, buf(0)+8, 2), ErrInvalid, "validity bitmap of 2 bytes for 20 rows"},
		"values short":               {patch64(b, buf(1)+8, 152), ErrInvalid, "values of 152 bytes for 20 rows of 8 bytes"},
		"buffer outside":             {patch64(b, buf(1), m.bodyLen), ErrInvalid, "outside of the body"},
		"buffer offset negative":     {patch64(b, buf(1), -8), ErrInvalid, "outside of the body"},
		"buffer offset overflow":     {patch64(b, buf(1), math.MaxInt64-7), ErrInvalid, "outside of the body"},
		"buffer length overflow":     {patch64(b, buf(1)+8, math.MaxInt64), ErrInvalid, "outside of the body"},
		"buffer length negative":     {patch64(b, buf(1)+8, -1), ErrInvalid, "outside of the body"},
		"buffer misaligned":          {patch64(b, buf(1), bufs.int64At(1, 0)+4), ErrInvalid, "not a multiple of 8"},
		"buffers overlap":            {patch64(b, buf(1), 0), ErrInvalid, "overlaps"},
		"offsets short":              {patch64(b, buf(3)+8, 80), ErrInvalid, "20 offsets for 20 rows"},
		"first offset negative":      {i32(bufAt(3), -1), ErrInvalid, "first offset is -1"},
		"offset decreases":           {i32(bufAt(3)+4, 1<<20), ErrInvalid, "is below the one before"},
		"last offset beyond":         {i32(bufAt(3)+4*20, 1<<20), ErrInvalid, "beyond the values"},
		"dictionary index too large": {i32(bufAt(6), 0x7fff), ErrInvalid, `column "d": row 0: dictionary index outside of`},
		"dictionary index negative":  {i32(bufAt(6), 0xffff), ErrInvalid, "dictionary index outside of"},
		"boolean values short":       {patch64(b, buf(8)+8, 2), ErrInvalid, "for 20 booleans"},
		"text not UTF-8":             {i32(bufAt(4), -1), ErrInvalid, "not valid UTF-8"},
		"dictionary unknown":         {patch64(b, offs[2]+all[2].header.at(0, 8), 99), ErrInvalid, "dictionary 99 is not in the schema"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readAll(tc.b, Limits{})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v, want %v with %q", err, tc.want, tc.text)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	s := flatSchema()
	rec := flatRecord(memory.DefaultAllocator, s, 1000, true)
	defer rec.Release()
	b := stream(t, s, []arrow.Record{rec})
	for name, l := range map[string]Limits{
		"message": {MaxMessageBytes: 20000}, "rows": {MaxRows: 999}, "fields": {MaxFields: s.NumFields() - 1}, "memory": {MaxAllocBytes: 50000},
	} {
		if _, _, err := readAll(b, l); !errors.Is(err, ErrLimit) || errors.Is(err, ErrPanic) {
			t.Errorf("%s: %v, want ErrLimit", name, err)
		}
	}
}

// Compressed bodies expand: 100 MB of zeros fit a few kilobytes.
func TestDecompressionIsBounded(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	s := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Float64}}, nil)
	fb := array.NewFloat64Builder(memory.DefaultAllocator)
	fb.AppendValues(make([]float64, 12<<20), nil)
	a := fb.NewArray()
	rec := array.NewRecord(s, []arrow.Array{a}, 12<<20)
	for name, opt := range map[string]ipc.Option{"lz4": ipc.WithLZ4(), "zstd": ipc.WithZstd()} {
		b := stream(t, s, []arrow.Record{rec}, opt)
		var err error
		used := allocated(func() {
			_, _, err = readAll(b, Limits{AllowCompression: true, MaxAllocBytes: 10 << 20})
		})
		if !errors.Is(err, ErrLimit) || used > 64<<20 {
			t.Errorf("%s: %d bytes: %v with %d bytes allocated, want ErrLimit below 64 MiB", name, len(b), err, used)
		}
	}
}

func TestUnsupportedIsRefusedByName(t *testing.T) {
	f64 := arrow.PrimitiveTypes.Float64
	for want, typ := range map[string]arrow.DataType{
		"list":            arrow.ListOf(f64),
		"large_list":      arrow.LargeListOf(f64),
		"fixed_size_list": arrow.FixedSizeListOf(3, f64),
		"struct":          arrow.StructOf(arrow.Field{Name: "a", Type: f64}),
		"map":             arrow.MapOf(arrow.BinaryTypes.String, f64),
		"union":           arrow.SparseUnionOf([]arrow.Field{{Name: "a", Type: f64}}, []int8{0}),
		"run_end_encoded": arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, f64),
		"string_view":     arrow.BinaryTypes.StringView,
		"binary_view":     arrow.BinaryTypes.BinaryView,
		"list_view":       arrow.ListViewOf(f64),
		"large_list_view": arrow.LargeListViewOf(f64),
	} {
		s := arrow.NewSchema([]arrow.Field{{Name: "fine", Type: f64}, {Name: "odd", Type: typ}}, nil)
		_, _, err := readAll(stream(t, s, nil), Limits{})
		if !errors.Is(err, ErrInvalid) || !errors.Is(err, ErrUnsupported) ||
			!strings.Contains(err.Error(), fmt.Sprintf(`column "odd": not supported: %s columns; `, want)) || strings.Contains(err.Error(), "invalid") {
			t.Errorf("%s: %v", want, err)
		}
	}
	e := endOfStream
	if _, _, err := readAll(e, Limits{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("no schema: %v", err)
	}
}

func TestBigEndianIsRefused(t *testing.T) {
	var f flat
	f.b = append(f.b, 0, 0, 0, 0)
	p := f.table(v5, []byte{headerSchema}, refSlot, make([]byte, 8))
	f.point(0, 4+4+2*4)
	f.point(p[2], len(f.b)+4+2)
	f.table([]byte{1, 0})
	_, _, err := readAll(append(framed(f.b), endOfStream...), Limits{})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "big-endian") {
		t.Errorf("%v, want a refusal of big-endian", err)
	}
}

func TestVerifyParquetSchema(t *testing.T) {
	f64 := arrow.PrimitiveTypes.Float64
	s := arrow.NewSchema(append(flatSchema().Fields(),
		arrow.Field{Name: "l", Type: arrow.ListOf(f64)},
		arrow.Field{Name: "st", Type: arrow.StructOf(arrow.Field{Name: "a", Type: arrow.MapOf(arrow.BinaryTypes.String, f64)})},
		arrow.Field{Name: "u", Type: arrow.SparseUnionOf([]arrow.Field{{Name: "a", Type: f64}}, []int8{0})}), nil)
	e, err := NewEncoder(s, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	msg := e.SchemaMessage()
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding} {
		if err := VerifyParquetSchema([]byte(enc.EncodeToString(msg))); err != nil {
			t.Errorf("a schema with nested types: %v", err)
		}
	}
	if err := VerifyParquetSchema([]byte(base64.StdEncoding.EncodeToString(msg[4:]))); err != nil {
		t.Errorf("framing of before Arrow 0.15: %v", err)
	}
	for _, bad := range [][]byte{nil, msg[:8], msg[:len(msg)-1], {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		if err := VerifyParquetSchema([]byte(base64.StdEncoding.EncodeToString(bad))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%d bytes: %v, want ErrInvalid", len(bad), err)
		}
	}
	if err := VerifyParquetSchema([]byte("not base64!")); !errors.Is(err, ErrInvalid) {
		t.Errorf("no base64: %v, want ErrInvalid", err)
	}
}
