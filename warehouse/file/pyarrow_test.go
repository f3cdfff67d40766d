package file

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// python runs a script with pyarrow and DuckDB. Its absence is a failure: they are the oracles of what is written.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	bin := os.Getenv("TREELINE_PYTHON")
	if bin == "" {
		bin = "../../.venv/bin/python"
	}
	out, err := exec.Command(bin, append([]string{script}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s (make python): %v\n%s", bin, script, err, out)
	}
	return string(out)
}

// write writes records to a file.
func write(t *testing.T, path string, recs []arrow.Record) {
	t.Helper()
	w, err := Create(path, recs[0].Schema(), WriteOptions{Metadata: map[string]string{"k1": "v1", "k2": "ü"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recs {
		if err := w.Write(r); err != nil {
			t.Fatal(errors.Join(err, w.Abort()))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// What is read from every Parquet file of testdata and written again reads as before, by pyarrow and by DuckDB.
func TestRewrittenFilesReadAsBefore(t *testing.T) {
	dir := t.TempDir()
	args := []string{"rewritten"}
	for name, want := range oracles(t) {
		if !strings.HasSuffix(name, ".parquet") || want.Rows == 0 {
			continue
		}
		var o Options
		for _, c := range want.Columns {
			o.Columns = append(o.Columns, c.Name)
		}
		o.BatchRows = 37
		recs, _ := readAll(t, filepath.Join("testdata", name), o)
		path := filepath.Join(dir, name)
		write(t, path, recs)
		args = append(args, filepath.Join("testdata", name), path)
	}
	if len(args) < 40 {
		t.Fatalf("%d files", len(args)/2)
	}
	t.Log(python(t, "testdata/written.py", args...))
}

// large has more rows than a row group, texts and categories that outgrow a dictionary page, long texts, constants as
// dictionaries of texts, numbers and times, all null, and nulls that begin late.
func large(mem memory.Allocator, from, rows int) arrow.Record {
	index := arrow.PrimitiveTypes.Int32
	dict := func(v arrow.DataType) arrow.DataType { return &arrow.DictionaryType{IndexType: index, ValueType: v} }
	s := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		nullable("late", arrow.PrimitiveTypes.Float64), nullable("unique", arrow.BinaryTypes.String), nullable("long", arrow.BinaryTypes.LargeString),
		nullable("few", dict(arrow.BinaryTypes.String)), nullable("many", dict(arrow.BinaryTypes.String)),
		{Name: "version", Type: dict(arrow.PrimitiveTypes.Int64)},
		{Name: "at", Type: dict(utc)},
		nullable("absent", dict(utc)),
		nullable("noise", arrow.PrimitiveTypes.Float64), nullable("flag", arrow.FixedWidthTypes.Boolean), nullable("small", arrow.PrimitiveTypes.Int8),
		nullable("none", arrow.PrimitiveTypes.Float32),
		{Name: "wild", Type: arrow.PrimitiveTypes.Int64},
		nullable("wild32", arrow.PrimitiveTypes.Int32),
		{Name: "random", Type: arrow.PrimitiveTypes.Int64},
	}, nil)
	b := array.NewRecordBuilder(mem, s)
	defer b.Release()
	text := func(c int, v string) {
		if err := b.Field(c).(*array.BinaryDictionaryBuilder).AppendString(v); err != nil {
			panic(err)
		}
	}
	for i := from; i < from+rows; i++ {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i > 135_000 && i%3 == 0 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.Float64Builder).Append(math.Sqrt(float64(i)))
		}
		b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("text %d", i))
		b.Field(3).(*array.LargeStringBuilder).Append(strings.Repeat("x", i%997*max(0, i%11-9)))
		text(4, fmt.Sprint(i%3))
		text(5, fmt.Sprintf("a category whose name is long enough: %d", i%50_000))
		if err := b.Field(6).(*array.Int64DictionaryBuilder).Append(7); err != nil {
			panic(err)
		}
		if err := b.Field(7).(*array.TimestampDictionaryBuilder).Append(1_700_000_000_000_000); err != nil {
			panic(err)
		}
		b.Field(8).AppendNull()
		b.Field(9).(*array.Float64Builder).Append(math.Sin(float64(i)))
		b.Field(10).(*array.BooleanBuilder).Append(i%7 == 0)
		b.Field(11).(*array.Int8Builder).Append(int8(i))
		b.Field(12).AppendNull()
		b.Field(13).(*array.Int64Builder).Append([]int64{math.MaxInt64, math.MinInt64, 0, -1}[i%37%4]) // differences wrap
		b.Field(14).(*array.Int32Builder).Append([]int32{math.MaxInt32, math.MinInt32, 0, int32(i)}[i%41%4])
		b.Field(15).(*array.Int64Builder).Append(int64(uint64(i+1) * 0x9e3779b97f4a7c15))
	}
	return b.NewRecord()
}

// What the Arrow writer and the Parquet writer make of the same records is the same to pyarrow, and to DuckDB.
func TestLargeFileReadsAsItsArrowTwin(t *testing.T) {
	dir := t.TempDir()
	var recs []arrow.Record
	for from := 0; from < 140_000; from += 27_000 {
		recs = append(recs, large(memory.DefaultAllocator, from, min(27_000, 140_000-from)))
	}
	defer releaseAll(recs)
	parquet := filepath.Join(dir, "large.parquet")
	write(t, parquet, recs)
	stream := filepath.Join(dir, "large.arrow")
	write(t, stream, recs)
	t.Log(python(t, "testdata/written.py", "twin", stream, parquet))
	meta, err := Metadata(parquet)
	if err != nil || len(meta) != 2 || meta["k1"] != "v1" || meta["k2"] != "ü" {
		t.Errorf("metadata %v, %v", meta, err)
	}
	info, err := os.Stat(parquet)
	if err != nil || info.Size() > 7<<20 { // ids, noise, texts and codes; constants take nothing
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

func TestWriterRefusesNullsOfDictionaries(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendNull()
	dict := b.NewArray()
	index := array.NewInt8Builder(memory.DefaultAllocator)
	index.Append(0)
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	col := array.NewDictionaryArray(typ, index.NewArray(), dict)
	s := arrow.NewSchema([]arrow.Field{nullable("d", typ)}, nil)
	w, err := Create(filepath.Join(t.TempDir(), "x.parquet"), s, WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = w.Write(array.NewRecord(s, []arrow.Array{col}, 1))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `"d"`) {
		t.Errorf("a null entry: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}
