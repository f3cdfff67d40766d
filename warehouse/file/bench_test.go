package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	parquetfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"
)

func benchRecord(rows, cols int) arrow.Record {
	rng := rand.New(rand.NewPCG(1, 2))
	var fields []arrow.Field
	var arrays []arrow.Array
	for c := range cols {
		fields = append(fields, arrow.Field{Name: fmt.Sprintf("f%d", c), Type: arrow.PrimitiveTypes.Float64})
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for range rows {
			b.Append(rng.NormFloat64())
		}
		arrays = append(arrays, b.NewArray())
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), arrays, int64(rows))
}

// BenchmarkRead reads the files of the folder that BENCH_FILES names, or a generated one, and reports decoded bytes.
func BenchmarkRead(b *testing.B) {
	var paths []string
	if dir := os.Getenv("BENCH_FILES"); dir != "" {
		all, err := os.ReadDir(dir)
		if err != nil {
			b.Fatal(err)
		}
		for _, e := range all {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	} else {
		path := filepath.Join(b.TempDir(), "generated.parquet")
		w, err := Create(path, benchRecord(1, 28).Schema(), WriteOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(w.Write(benchRecord(200_000, 28)), w.Close()); err != nil {
			b.Fatal(err)
		}
		paths = []string{path}
	}
	for _, path := range paths {
		if strings.HasSuffix(path, ".parquet") {
			b.Run(filepath.Base(path)+"/pqarrow", func(b *testing.B) {
				measure(b, func() { drainPqarrow(b, path) })
			})
		}
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", filepath.Base(path), threads), func(b *testing.B) {
				b.ReportAllocs()
				measure(b, func() { b.SetBytes(drain(b, path, threads)) })
			})
		}
	}
}

// measure reports CPU time as well, which other load on the machine changes less than wall time.
func measure(b *testing.B, f func()) {
	cpu := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := cpu()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/1e6, "cpu-ms/op")
}

// drainPqarrow is the yardstick: Arrow's own reader, unchecked, one row group after the other.
func drainPqarrow(b *testing.B, path string) {
	r, err := parquetfile.OpenParquetFile(path, false)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{BatchSize: defaultBatchRows}, memory.DefaultAllocator)
	if err != nil {
		b.Fatal(err)
	}
	for g := range r.NumRowGroups() {
		recs, err := fr.GetRecordReader(context.Background(), nil, []int{g})
		if err != nil {
			b.Fatal(err)
		}
		for recs.Next() {
		}
		recs.Release()
	}
}

func drain(b *testing.B, path string, threads int) (bytes int64) {
	ctx := context.Background()
	in, err := Open(ctx, path, Options{Threads: threads})
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return bytes
		}
		if err != nil {
			b.Fatal(err)
		}
		bytes += recordBytes(rec)
		rec.Release()
	}
}

// BenchmarkWrite writes 2 million rows of an id, a score and seven lineage columns.
func BenchmarkWrite(b *testing.B) {
	const rows, batch = 2_000_000, 64 << 10
	for _, ext := range []string{".parquet", ".arrow", ".csv"} {
		b.Run(ext[1:], func(b *testing.B) {
			rec := outputRecord(batch)
			dir := b.TempDir()
			b.ReportAllocs()
			b.SetBytes(rows * 16) // id and score
			measure(b, func() {
				w, err := Create(filepath.Join(dir, "out"+ext), rec.Schema(), WriteOptions{})
				if err != nil {
					b.Fatal(err)
				}
				for n := 0; n < rows; n += batch {
					if err := w.Write(rec); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func outputRecord(rows int) arrow.Record {
	dict := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	ts := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	s := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64},
		{Name: "score", Type: arrow.PrimitiveTypes.Float64},
		{Name: "model_version", Type: arrow.PrimitiveTypes.Int64},
		{Name: "run_id", Type: dict},
		{Name: "scored_at", Type: ts},
		{Name: "score_batch_id", Type: dict},
		{Name: "model_name", Type: dict},
		{Name: "git_sha", Type: dict},
		{Name: "model_digest", Type: dict},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, s)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range rows {
		for _, f := range b.Fields() {
			switch f := f.(type) {
			case *array.Int64Builder:
				f.Append(int64(i))
			case *array.Float64Builder:
				f.Append(rng.Float64())
			case *array.TimestampBuilder:
				f.Append(1700000000000000)
			case *array.BinaryDictionaryBuilder:
				if err := f.AppendString("sha256:0123456789abcdef0123456789abcdef"); err != nil {
					panic(err)
				}
			}
		}
	}
	return b.NewRecord()
}
