// Package file reads and writes plain .parquet, .arrow (also .ipc, .feather) and .csv files as Arrow records.
//
//	path or glob --Open--> Stream --Next--> records      records --Create, Write, Close--> file
//
// # Invariants
//
//	P1  Records arrive in order: files sorted by name, rows in the order of the file, whatever the number of threads.
//	P2  Decoded bytes that wait in a Stream stay below Options.MaxBytes, apart from the record that is next in turn.
//	P3  Bytes of a file are not trusted. Sizes, offsets, counts, dictionary indices and decompressed lengths are checked
//	    before a decoder relies on them; what goes wrong nevertheless becomes an error of the stream, not a panic.
//	P4  A stream that ends with io.EOF has delivered every row that the files announce.
//	P5  A file is visible under its name only when it is complete: it is written under a temporary name, synced and
//	    renamed by Close.
//
// # Why not as they come
//
// arrow/go's Parquet reader trusts page headers: a small file makes it allocate without bounds or deliver stale memory as
// values. So each column chunk is read once, decompressed by bounded decoders and checked; the reader gets the checked
// pages from memory (pages.go). Files are read with pread, not mapped: a mapped file that shrinks kills the process.
//
// # Concurrency
//
// A Stream and a Writer belong to one goroutine at a time. A Stream runs Options.Threads goroutines until Close.
//
// # Ownership
//
// Records from Next are the caller's to Release and stay valid after Close. Write borrows its record.
package file

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

// ErrInvalid reports that a file's bytes are not what its extension says, or that they use a feature which is refused by name. The
// error names the file and the place.
var ErrInvalid = errors.New("file: invalid file")

// Options choose what a Stream delivers. The zero value reads all columns.
type Options struct {
	// Columns to read, in this order; a name may occur once. Empty means all.
	Columns []string
	// MaxBytes bounds the decoded bytes in flight; 0 means 256 MiB.
	MaxBytes int64
	// BatchRows is the number of rows a record; 0 means 65,536. Records are shorter where a row group or file ends.
	BatchRows int
	// Threads bounds decoding parallelism; 0 means GOMAXPROCS.
	Threads int
	// Alloc is where records come from; nil means the Go heap.
	Alloc memory.Allocator
	// Hint gives the types of columns of CSV files: columns that it names are parsed as its types, the others are inferred
	// from the whole file. Other formats ignore it.
	Hint *arrow.Schema

	inferred *inference // of CSV files
	recycled *recycler  // memory of pages, and of records where Alloc was not given
	ownAlloc bool       // Alloc was not given
}

const (
	defaultMaxBytes  = 256 << 20
	defaultBatchRows = 64 << 10
)

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.BatchRows <= 0 {
		o.BatchRows = defaultBatchRows
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Alloc == nil {
		o.Alloc, o.ownAlloc = memory.DefaultAllocator, true
	}
	if o.recycled == nil {
		o.recycled = newRecycler(memory.DefaultAllocator, min(o.MaxBytes, maxRecycled))
	}
	return o
}

// maxRecycled bounds the freed memory that a stream keeps to use it again.
const maxRecycled = 64 << 20

// decoded is where the decoders of Parquet get the memory of records.
func (o Options) decoded() memory.Allocator {
	if o.ownAlloc {
		return o.recycled
	}
	return o.Alloc
}

// format is a kind of file.
type format int

const (
	formatParquet format = iota
	formatArrow
	formatCSV
)

// formatOf goes by the extension.
func formatOf(path string) (format, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".parquet", ".pq":
		return formatParquet, nil
	case ".arrow", ".arrows", ".ipc", ".feather":
		return formatArrow, nil
	case ".csv":
		return formatCSV, nil
	default:
		return 0, fmt.Errorf("%s: extension %q is none of .parquet, .arrow, .ipc, .feather and .csv: %w", path, ext, ErrInvalid)
	}
}

// expand returns the files that a path or glob names, sorted. An existing file is taken literally even if its name has
// the characters of a pattern.
func expand(pathOrGlob string) ([]string, error) {
	if info, err := os.Stat(pathOrGlob); err == nil {
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory: name its files, for example %s: %w",
				pathOrGlob, filepath.Join(pathOrGlob, "*.parquet"), warehouse.ErrTableNotFound)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file: %w", pathOrGlob, warehouse.ErrTableNotFound)
		}
		return []string{pathOrGlob}, nil
	}
	paths, err := filepath.Glob(pathOrGlob)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", pathOrGlob, err, warehouse.ErrTableNotFound)
	}
	paths = slices.DeleteFunc(paths, func(p string) bool {
		info, err := os.Stat(p)
		return err == nil && !info.Mode().IsRegular()
	})
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: no such file: %w", pathOrGlob, warehouse.ErrTableNotFound)
	}
	slices.Sort(paths)
	return paths, nil
}

// source is one opened file.
type source interface {
	schema() *arrow.Schema // all columns
	// rows returns the number of rows that the file announces, -1 when only reading it tells.
	rows() int64
	// tasks returns the units of decoding, in the order of the rows, for columns cols of the schema.
	tasks(cols []int) []task
	close() error
}

// task decodes a piece of a file: emit is called with each record in turn and takes ownership. estimate is the likely
// size of one record.
type task interface {
	estimate() int64
	run(emit func(arrow.Record) error) error
}

func openSource(path string, o Options) (src source, err error) {
	defer recovered(&err)
	f, err := formatOf(path)
	if err != nil {
		return nil, err
	}
	switch f {
	case formatParquet:
		src, err = openParquet(path, o)
	case formatArrow:
		src, err = openArrow(path, o)
	default:
		src, err = openCSV(path, o)
	}
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w: %w", path, err, warehouse.ErrTableNotFound)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return src, nil
}

// project returns the positions of the wanted columns.
func project(s *arrow.Schema, columns []string) ([]int, error) {
	if len(columns) == 0 {
		all := make([]int, s.NumFields())
		for i := range all {
			all[i] = i
		}
		return all, nil
	}
	var cols []int
	var faults []string
	for _, name := range columns {
		at := s.FieldIndices(name)
		switch {
		case len(at) == 0:
			faults = append(faults, fmt.Sprintf("%q is absent", name))
		case len(at) > 1:
			faults = append(faults, fmt.Sprintf("%q occurs %d times", name, len(at)))
		case slices.Contains(cols, at[0]):
			faults = append(faults, fmt.Sprintf("%q is asked for twice", name))
		default:
			cols = append(cols, at[0])
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("columns: %s: %w", strings.Join(faults, ", "), warehouse.ErrColumn)
	}
	return cols, nil
}

func subset(s *arrow.Schema, cols []int) *arrow.Schema {
	fields := make([]arrow.Field, len(cols))
	for i, c := range cols {
		fields[i] = s.Field(c)
	}
	return arrow.NewSchema(fields, nil)
}

// sameSchema compares names and types, in order.
func sameSchema(a, b *arrow.Schema) error {
	if a.NumFields() != b.NumFields() {
		return fmt.Errorf("%d columns, the first file has %d: %w", b.NumFields(), a.NumFields(), warehouse.ErrColumn)
	}
	for i := range a.NumFields() {
		x, y := a.Field(i), b.Field(i)
		if x.Name != y.Name || !arrow.TypeEqual(x.Type, y.Type) {
			return fmt.Errorf("column %d is %q of type %s, in the first file %q of type %s: %w", i, y.Name, y.Type, x.Name, x.Type, warehouse.ErrColumn)
		}
	}
	return nil
}
