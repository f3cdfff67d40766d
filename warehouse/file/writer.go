package file

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/warehouse"
)

// WriteOptions adjust a Writer. The zero value suits.
type WriteOptions struct {
	Alloc memory.Allocator // nil means the Go heap
	// Temporary is the path to write to before Close, in the directory of the file; empty lets Create choose one.
	Temporary string
	// Metadata are kept in a Parquet file beside its schema; see Metadata. Other formats have no place for them.
	Metadata map[string]string
}

// Writer writes one file. Nothing is visible under its name before Close.
type Writer struct {
	path   string
	schema *arrow.Schema
	f      *os.File
	sink   *tracked
	buf    *bufio.Writer
	enc    encoder
	rows   int64
	failed error
	done   bool
}

// encoder is a file format being written. close writes what ends the file, and leaves the underlying writer open.
type encoder interface {
	write(rec arrow.Record) error
	close() error
	abort()
}

// Create opens a temporary file next to path, whose extension says the format: .parquet, .arrow (also .ipc, .feather)
// or .csv. A file that exists at path is replaced by Close.
func Create(path string, s *arrow.Schema, o WriteOptions) (w *Writer, err error) {
	kind, err := formatOf(path)
	if err != nil {
		return nil, err
	}
	if o.Alloc == nil {
		o.Alloc = memory.DefaultAllocator
	}
	for _, f := range s.Fields() {
		if _, nested := f.Type.(arrow.NestedType); nested {
			return nil, fmt.Errorf("%s: column %q has type %s, which cannot be written: %w", path, f.Name, f.Type, warehouse.ErrColumn)
		}
	}
	f, err := createTemporary(path, o.Temporary)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: its directory does not exist: %w: %w", path, err, warehouse.ErrTableNotFound)
		}
		return nil, full(err)
	}
	sink := &tracked{w: f}
	w = &Writer{path: path, schema: s, f: f, sink: sink, buf: bufio.NewWriterSize(sink, 1<<20)}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Abort())
		}
	}()
	defer recovered(&err)
	switch kind {
	case formatParquet:
		w.enc, err = newParquetEncoder(w.buf, s, o)
	case formatArrow:
		w.enc, err = newArrowEncoder(w.buf, s, o)
	default:
		w.enc, err = newCSVEncoder(w.buf, s)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, w.fault(err))
	}
	return w, nil
}

func createTemporary(path, name string) (*os.File, error) {
	if name == "" {
		return os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	}
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
}

// Write adds a record, which must have the writer's column names and types. After an error only Abort is left.
func (w *Writer) Write(rec arrow.Record) (err error) {
	if w.done {
		return fmt.Errorf("%s: %w", w.path, errWriterClosed)
	}
	if w.failed != nil {
		return w.failed
	}
	if err := sameSchema(w.schema, rec.Schema()); err != nil {
		return fmt.Errorf("%s: %w", w.path, err)
	}
	defer func() { w.failed = err }()
	defer recovered(&err)
	if err := w.enc.write(rec); err != nil {
		return fmt.Errorf("%s: %w", w.path, w.fault(err))
	}
	w.rows += rec.NumRows()
	return nil
}

var errWriterClosed = errors.New("file: writer is closed")

// Rows returns the number of rows written.
func (w *Writer) Rows() int64 { return w.rows }

// Close completes the file, syncs it and gives it its name. On an error the temporary file is removed and path is as it
// was before. A second Close does nothing.
func (w *Writer) Close() (err error) {
	if w.done {
		return nil
	}
	if w.failed != nil {
		return errors.Join(w.failed, w.Abort())
	}
	if err := w.finish(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", w.path, w.fault(err)), w.Abort())
	}
	w.done = true
	if err := os.Rename(w.f.Name(), w.path); err != nil {
		return errors.Join(full(err), os.Remove(w.f.Name()))
	}
	return syncDir(filepath.Dir(w.path))
}

func (w *Writer) finish() (err error) {
	defer recovered(&err)
	if err := w.enc.close(); err != nil {
		return err
	}
	w.enc = nil
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if err := w.f.Chmod(0o644); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	return w.f.Close()
}

// syncDir makes the new name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Abort removes the temporary file. It does nothing after Close.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.abortEncoder()
	err := w.f.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, os.Remove(w.f.Name()))
}

func (w *Writer) abortEncoder() {
	defer func() { _ = recover() }() // an encoder that failed half-way may panic when it is closed; it is given up
	if w.enc != nil {
		w.enc.abort()
	}
}

// full marks the error of a full disk.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", warehouse.ErrFull, err)
	}
	return err
}

// fault prefers the error of the file to what an encoder made of it: not all of them wrap.
func (w *Writer) fault(err error) error {
	if w.sink.err != nil && !errors.Is(err, w.sink.err) {
		err = fmt.Errorf("%w: %w", err, w.sink.err)
	}
	return full(err)
}

// tracked remembers the first error.
type tracked struct {
	w   io.Writer
	err error
}

func (t *tracked) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	if t.err == nil {
		t.err = err
	}
	return n, err
}
