package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/klauspost/compress/zstd"

	"github.com/treeline-ml/treeline/internal/arrowguard"
	"github.com/treeline-ml/treeline/warehouse"
)

// compact writes thrift's compact protocol.
type compact struct {
	b    []byte
	last []int
}

func (c *compact) uvarint(v uint64) { c.b = binary.AppendUvarint(c.b, v) }
func (c *compact) field(id int, typ byte) {
	c.b = append(c.b, byte(id-c.last[len(c.last)-1])<<4|typ)
	c.last[len(c.last)-1] = id
}
func (c *compact) open() { c.last = append(c.last, 0) }
func (c *compact) end()  { c.b, c.last = append(c.b, 0), c.last[:len(c.last)-1] }
func (c *compact) i32(id int, v int64) {
	c.field(id, thriftI32)
	c.uvarint(uint64(v<<1) ^ uint64(v>>63))
}

func (c *compact) i64(id int, v int64) {
	c.field(id, thriftI64)
	c.uvarint(uint64(v<<1) ^ uint64(v>>63))
}

func (c *compact) text(id int, s string) {
	c.field(id, thriftBinary)
	c.uvarint(uint64(len(s)))
	c.b = append(c.b, s...)
}

func (c *compact) list(id, n int, typ byte) {
	c.field(id, thriftList)
	if n < 15 {
		c.b = append(c.b, byte(n)<<4|typ)
		return
	}
	c.b = append(c.b, 0xf0|typ)
	c.uvarint(uint64(n))
}

// page is what forged writes as one data page of a required DOUBLE column.
type page struct {
	kind, values, encoding int64
	expanded               int64
	body                   []byte
}

func (p page) bytes() []byte {
	var c compact
	c.open()
	c.i32(1, p.kind)
	c.i32(2, p.expanded)
	c.i32(3, int64(len(p.body)))
	slot := 5
	if p.kind == pageDictionary {
		slot = 7
	}
	c.field(slot, thriftStruct)
	c.open()
	c.i32(1, p.values)
	c.i32(2, p.encoding)
	if p.kind == pageData {
		c.i32(3, encRLE)
		c.i32(4, encRLE)
	}
	c.end()
	c.end()
	return append(c.b, p.body...)
}

// forged is a Parquet file of one required column.
type forged struct {
	physical, codec int64
	rows            int64
	pages           []page
	depth           int    // groups around the column
	arrowSchema     string // value of ARROW:schema
	footer          []byte // in place of a true one
}

func (f forged) bytes() []byte {
	b := []byte(parquetMagic)
	for _, p := range f.pages {
		b = append(b, p.bytes()...)
	}
	size := int64(len(b) - 4)
	foot := f.footer
	if foot == nil {
		foot = f.meta(size)
	}
	b = append(b, foot...)
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(foot))), parquetMagic...)
}

func (f forged) meta(size int64) []byte {
	var c compact
	c.open()
	c.i32(1, 1)
	c.list(2, 2+f.depth, thriftStruct)
	for range 1 + f.depth {
		c.open()
		c.text(4, "g")
		c.i32(5, 1)
		c.end()
	}
	c.open()
	c.i32(1, f.physical)
	c.i32(3, 0)
	c.text(4, "x")
	c.end()
	c.i64(3, f.rows)
	c.list(4, 1, thriftStruct)
	c.open()
	c.list(1, 1, thriftStruct)
	c.open()
	c.i64(2, 4)
	c.field(3, thriftStruct)
	c.open()
	c.i32(1, f.physical)
	c.list(2, 1, thriftI32)
	c.uvarint(0)
	c.list(3, 1, thriftBinary)
	c.uvarint(1)
	c.b = append(c.b, 'x')
	c.i32(4, f.codec)
	c.i64(5, f.rows)
	c.i64(6, size)
	c.i64(7, size)
	c.i64(9, 4)
	c.end()
	c.end()
	c.i64(2, size)
	c.i64(3, f.rows)
	c.end()
	if f.arrowSchema != "" {
		c.list(5, 1, thriftStruct)
		c.open()
		c.text(1, "ARROW:schema")
		c.text(2, f.arrowSchema)
		c.end()
	}
	c.end()
	return c.b
}

func readBytes(t testing.TB, b []byte, ext string, o Options) ([]arrow.Record, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "h"+ext)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	recs, _, err := tryRead(path, o)
	return recs, err
}

// The forged file is a true one when nothing is forged.
func TestForgedFileIsReadable(t *testing.T) {
	data := binary.LittleEndian.AppendUint64(nil, 0x3ff0000000000000)
	f := forged{physical: physDbl, rows: 1, pages: []page{{pageData, 1, encPlain, 8, data}}}
	recs, err := readBytes(t, f.bytes(), ".parquet", Options{})
	if err != nil || len(recs) != 1 || normal(recs[0].Column(0), 0) != "4607182418800017408" {
		t.Fatalf("%v: %v", recs, err)
	}
}

func TestHostileParquet(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(2 << 30))
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	bomb := enc.EncodeAll(make([]byte, 512<<20), nil)
	eight := make([]byte, 8)
	var list, deep compact
	list.open()
	list.list(2, 1<<30, thriftStruct)
	deep.open()
	for range 100000 {
		deep.field(1, thriftStruct)
		deep.open()
	}
	for name, tc := range map[string]struct {
		f    forged
		want string
	}{
		"zstd bomb":                {forged{physical: physDbl, codec: codecZstd, rows: 1, pages: []page{{pageData, 1, encPlain, 8, bomb}}}, "page: "},
		"expanded size 2 GiB":      {forged{physical: physDbl, codec: codecZstd, rows: 1, pages: []page{{pageData, 1, encPlain, 1<<31 - 1, eight}}}, "page of 1 values in 2147483647 bytes"},
		"snappy says 4 GiB":        {forged{physical: physDbl, codec: codecSnappy, rows: 1, pages: []page{{pageData, 1, encPlain, 8, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}}}}, "page expands to"},
		"negative size":            {forged{physical: physDbl, rows: 1, pages: []page{{pageData, 1, encPlain, -8, eight}}}, "page of 1 values in -8 bytes"},
		"fewer values than rows":   {forged{physical: physDbl, rows: 2, pages: []page{{pageData, 1, encPlain, 8, eight}}}, "the chunk ends before its last row"},
		"fewer bytes than values":  {forged{physical: physDbl, rows: 2, pages: []page{{pageData, 2, encPlain, 8, eight}}}, "2 values of 8 bytes in 8"},
		"index out of range":       {forged{physical: physDbl, rows: 1, pages: []page{{pageDictionary, 1, encPlain, 8, eight}, {pageData, 1, encRLEDictionary, 3, []byte{1, 2, 1}}}}, "dictionary index 1 of 1 entries"},
		"index without dictionary": {forged{physical: physDbl, rows: 1, pages: []page{{pageData, 1, encRLEDictionary, 3, []byte{1, 2, 1}}}}, "without a dictionary"},
		"two dictionaries":         {forged{physical: physDbl, rows: 1, pages: []page{{pageDictionary, 1, encPlain, 8, eight}, {pageDictionary, 1, encPlain, 8, eight}}}, "a second dictionary"},
		"dictionary count":         {forged{physical: physDbl, rows: 1, pages: []page{{pageDictionary, 1 << 30, encPlain, 8, eight}}}, "dictionary of 1073741824 values"},
		"text count":               {forged{physical: physBytes, rows: 1, pages: []page{{pageDictionary, 1 << 30, encPlain, 8, eight}}}, "dictionary of 1073741824 texts"},
		"text length":              {forged{physical: physBytes, rows: 1, pages: []page{{pageData, 1, encPlain, 8, []byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0}}}}, "text of 2147483647 bytes"},
		"delta block of 2^40":      {forged{physical: physInt64, rows: 1, pages: []page{{pageData, 1, encDelta, 9, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 1, 0}}}}, "delta encoding: blocks of"},
		"delta count":              {forged{physical: physInt64, rows: 1, pages: []page{{pageData, 1, encDelta, 8, []byte{0x80, 1, 4, 0xff, 0xff, 0xff, 0x7f, 0}}}}, "delta encoding: 268435455 values, want 1"},
		"encoding":                 {forged{physical: physDbl, rows: 1, pages: []page{{pageData, 1, 77, 8, eight}}}, "encoding 77"},
		"empty gzip":               {forged{physical: physDbl, codec: codecGzip, rows: 1, pages: []page{{pageData, 1, encPlain, 8, emptyGzip(t)}}}, "page expands to 0 bytes"},
		"codec":                    {forged{physical: physDbl, codec: 3, rows: 1, pages: []page{{pageData, 1, encPlain, 9, eight}}}, "codec 3 is not supported"},
		"footer list of 2^30":      {forged{footer: list.b}, "list of 1073741824 elements"},
		"footer nested":            {forged{footer: deep.b}, "nested deeper"},
		"schema nested":            {forged{physical: physDbl, depth: 5000, rows: 1, pages: []page{{pageData, 1, encPlain, 8, eight}}}, "schema nests deeper than 64"},
		"ARROW:schema":             {forged{physical: physDbl, rows: 1, arrowSchema: "//////////8=", pages: []page{{pageData, 1, encPlain, 8, eight}}}, "ARROW:schema"},
	} {
		t.Run(name, func(t *testing.T) {
			b := tc.f.bytes()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := readBytes(t, b, ".parquet", Options{Threads: 1})
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrInvalid) || errors.Is(err, io.EOF) || errors.Is(err, arrowguard.ErrPanic) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want ErrInvalid with %q", err, tc.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%d bytes allocated for %d bytes", used, len(b))
			}
		})
	}
}

// emptyGzip makes its reader end with io.EOF, which must not be taken for the end of the stream.
func emptyGzip(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gzip.NewWriter(&b).Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// One long text in a dictionary, repeated by an index run of five bytes, would fill any memory.
func TestRepeatedTextsAreBounded(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(4 << 30))
	const size, rows = 1 << 20, 1 << 24
	body := append(binary.LittleEndian.AppendUint32(nil, size), bytes.Repeat([]byte("x"), size)...)
	index := append([]byte{1}, binary.AppendUvarint(nil, rows<<1)...)
	f := forged{physical: physBytes, rows: rows, pages: []page{
		{pageDictionary, 1, encPlain, int64(len(body)), body}, {pageData, rows, encRLEDictionary, int64(len(index) + 1), append(index, 0)},
	}}
	_, err := readBytes(t, f.bytes(), ".parquet", Options{Threads: 1})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "texts of one record exceed") {
		t.Errorf("%v, want ErrInvalid", err)
	}
}

// Whatever is cut off a file, or altered in it, it is read without a panic, and a cut is noticed.
func TestTruncatedParquet(t *testing.T) {
	for _, name := range []string{"v2.parquet", "snappy.parquet"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(b); n += 29 {
			recs, err := readBytes(t, b[:n], ".parquet", Options{Threads: 1})
			releaseAll(recs)
			if !errors.Is(err, ErrInvalid) || errors.Is(err, arrowguard.ErrPanic) {
				t.Fatalf("%s cut to %d of %d bytes: %v, want ErrInvalid", name, n, len(b), err)
			}
		}
	}
}

func TestMutatedFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	names := []string{"v2.parquet", "snappy.parquet", "delta1.parquet", "delta2.parquet", "duckdbv2.parquet", "gzip.parquet", "pages.parquet", "lz4.feather", "simple.csv"}
	accepted := 0
	for range 600 {
		name := names[rng.IntN(len(names))]
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(3) {
			p := rng.IntN(len(b) - 8)
			if rng.IntN(2) == 0 { // the footer and the page headers are the sensitive parts
				p = len(b) - 9 - rng.IntN(min(2000, len(b)-9))
			}
			b[p] = byte(rng.Uint32())
		}
		if checkFile(t, b, filepath.Ext(name)) {
			accepted++
		}
	}
	t.Logf("%d of 600 mutations accepted", accepted)
	if accepted == 0 {
		t.Error("no mutation was accepted, so nothing was read")
	}
}

// checkFile reads b and touches all values. It reports whether it was accepted; a refusal must be a clean error.
func checkFile(t *testing.T, b []byte, ext string) bool {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	path := filepath.Join(t.TempDir(), "f"+ext)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	err := drainFlat(path, Options{Threads: 1, BatchRows: 1000, Alloc: mem})
	mem.AssertSize(t, 0)
	if err == nil {
		return true
	}
	known := errors.Is(err, ErrInvalid) || errors.Is(err, warehouse.ErrColumn) || errors.Is(err, warehouse.ErrTableNotFound)
	if !known {
		t.Fatalf("unclean refusal: %v", err)
	}
	return false
}

// drainFlat reads at most 100,000 rows of the columns that are not nested.
func drainFlat(path string, o Options) (err error) {
	ctx := context.Background()
	src, err := Open(ctx, path, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	for rows := int64(0); rows < 100_000; {
		rec, err := src.Next(ctx)
		if err == io.EOF { //nolint:errorlint // a wrapped one would be a fault
			return nil
		}
		if err != nil {
			return err
		}
		for _, c := range rec.Columns() {
			for i := range c.Len() {
				_ = normal(c, i)
			}
		}
		rows += rec.NumRows()
		rec.Release()
	}
	return nil
}

// A sound file with a column that is not read is no damaged file.
func TestArrowViewsAreNamedAsNotSupported(t *testing.T) {
	for name, want := range map[string]string{
		"views.arrow": `column "s": not supported: string_view columns; write them as string`,
		"viewb.arrow": `column "b": not supported: binary_view columns; write them as binary`,
	} {
		_, _, err := tryRead(filepath.Join("testdata", name), Options{})
		if !errors.Is(err, warehouse.ErrColumn) || errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// A column of type null that has values is refused: they would be lost.
func TestParquetNullColumnWithValues(t *testing.T) {
	for _, name := range []string{"required.parquet", "plain.parquet"} { // columns without and with definition levels
		o := Options{Alloc: checked(t), BatchRows: 64}.withDefaults()
		src, err := openSource(filepath.Join("testdata", name), o)
		if err != nil {
			t.Fatal(err)
		}
		p := src.(*parquetFile)
		p.arrow = arrow.NewSchema([]arrow.Field{{Name: "bool", Type: arrow.Null, Nullable: true}}, nil)
		err = p.tasks([]int{0})[0].run(func(rec arrow.Record) error {
			rec.Release()
			return nil
		})
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "values in a column of type null") {
			t.Errorf("%s: %v", name, err)
		}
		if err := src.close(); err != nil {
			t.Error(err)
		}
	}
}
