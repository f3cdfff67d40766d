package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/file"
)

// batchKey is the key of a Parquet file's metadata under which an output of ours has its batch id.
const batchKey = "treeline.score_batch_id"

// noteName is the file in a staging area that names the half-written output file beside its destination. A file cannot be
// staged here: only a rename within one file system is atomic.
const noteName = "output-file"

// fileWriter writes one batch to a Parquet file of its own. The rows go to a hidden file in the same directory, which
// Commit syncs and renames; a kill before that leaves what was there, and the next Open removes the hidden file.
type fileWriter struct {
	w        *Warehouse
	id       warehouse.BatchID
	target   warehouse.Target
	dir      string // staging area with the note
	out      *file.Writer
	replaces bool // the file has this batch already
	closed   string
	result   *warehouse.Commit
}

// beginFile checks what is at the path and opens the hidden file.
func (w *Warehouse) beginFile(id warehouse.BatchID, t warehouse.Target) (_ warehouse.Writer, err error) {
	if _, err := warehouse.OutputFile(t.File); err != nil {
		return nil, fmt.Errorf("%w: %w", err, errTarget)
	}
	t.Table = warehouse.TableName{Catalog: "file", Schema: "file", Table: "file"} // only its columns are looked at
	if _, err := checkTarget(t); err != nil {
		return nil, fmt.Errorf("output file %s: %w", t.File, err)
	}
	there, err := batchOfFile(t.File)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(w.stagingDir(), fmt.Sprintf("%s-%d", id, w.serial.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("duckdb: making a staging area: %w", diskError(err))
	}
	hidden := filepath.Join(filepath.Dir(t.File), "."+filepath.Base(t.File)+"."+filepath.Base(dir)+hiddenSuffix)
	// Before the file itself, so that there is no moment at which a kill leaves a file that nobody knows.
	if err := os.WriteFile(filepath.Join(dir, noteName), []byte(hidden), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("duckdb: noting an output file: %w", diskError(err)), os.RemoveAll(dir))
	}
	out, err := file.Create(t.File, t.Schema, file.WriteOptions{Temporary: hidden, Metadata: map[string]string{batchKey: string(id)}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("output file: %w", diskError(err)), os.RemoveAll(dir))
	}
	return &fileWriter{w: w, id: id, target: t, dir: dir, out: out, replaces: there == id}, nil
}

const hiddenSuffix = ".tmp"

// batchOfFile returns the batch that an output file holds, "" when there is no file. It fails with ErrTargetMismatch for
// anything that no batch of ours wrote: naming the wrong path must not cost somebody a file.
func batchOfFile(path string) (warehouse.BatchID, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("output file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is there and is no regular file; name another path: %w", path, warehouse.ErrTargetMismatch)
	}
	meta, err := file.Metadata(path)
	if err != nil || meta[batchKey] == "" {
		return "", errors.Join(fmt.Errorf("%s is there and is no output of a batch; remove it or name another path: %w", path, warehouse.ErrTargetMismatch), err)
	}
	return warehouse.BatchID(meta[batchKey]), nil
}

// Write stages a record. After an error only Abort is useful.
func (b *fileWriter) Write(ctx context.Context, rec arrow.Record) error {
	if b.closed != "" {
		return fmt.Errorf("duckdb: batch %s was %s", b.id, b.closed)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := sameShape(b.target.Schema, rec); err != nil {
		return err
	}
	if err := b.out.Write(rec); err != nil {
		return fmt.Errorf("writing rows of batch %s: %w", b.id, diskError(err))
	}
	return nil
}

// Commit puts the file in its place. An error before the rename leaves what was there; one of syncing the directory
// afterwards means that the new file is there and might not survive a crash of the machine.
func (b *fileWriter) Commit(ctx context.Context) (warehouse.Commit, error) {
	if b.result != nil {
		return *b.result, nil
	}
	if b.closed != "" {
		return warehouse.Commit{}, fmt.Errorf("duckdb: batch %s was %s", b.id, b.closed)
	}
	if err := ctx.Err(); err != nil {
		return warehouse.Commit{}, err
	}
	there, err := batchOfFile(b.target.File) // somebody may have put a file there meanwhile
	if err != nil {
		return warehouse.Commit{}, fmt.Errorf("committing batch %s: %w", b.id, err)
	}
	rows := b.out.Rows()
	if err := b.out.Close(); err != nil {
		b.closed = "not committed"
		return warehouse.Commit{}, errors.Join(fmt.Errorf("committing batch %s: %w", b.id, diskError(err)), os.RemoveAll(b.dir))
	}
	b.closed = "committed"
	b.result = &warehouse.Commit{
		Rows: rows, CommittedAt: time.Now().UTC().Truncate(time.Microsecond), Replaced: b.replaces || there == b.id,
	}
	if err := os.RemoveAll(b.dir); err != nil {
		b.w.log.Warn("staging area stays until the next start", "batch_id", string(b.id), "error", err)
	}
	return *b.result, nil
}

// Abort removes the hidden file.
func (b *fileWriter) Abort(context.Context) error {
	if b.closed != "" {
		return nil
	}
	b.closed = "aborted"
	if err := errors.Join(b.out.Abort(), os.RemoveAll(b.dir)); err != nil {
		return fmt.Errorf("duckdb: removing what batch %s wrote: %w", b.id, err)
	}
	return nil
}

// removeHidden removes the half-written output file that a staging area of a killed process names.
func removeHidden(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, noteName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("duckdb: reading the note of an output file: %w", err)
	}
	hidden := string(text)
	// What a kill cut off, or somebody edited, must not name another file.
	if base := filepath.Base(hidden); !filepath.IsAbs(hidden) || !strings.HasPrefix(base, ".") || !strings.HasSuffix(base, "."+filepath.Base(dir)+hiddenSuffix) {
		return nil
	}
	return removeIfThere(hidden)
}

// fileRows streams the first rows of an output file that still holds the batch.
func fileRows(ctx context.Context, id warehouse.BatchID, path string, limit int) (warehouse.RecordStream, error) {
	there, err := batchOfFile(path)
	if err != nil || there != id {
		return nil, errors.Join(fmt.Errorf("%s does not hold batch %s any more: %w", path, id, warehouse.ErrBatchNotFound), err)
	}
	in, err := file.Open(ctx, path, file.Options{BatchRows: limit, Threads: 1})
	if err != nil {
		return nil, fmt.Errorf("reading batch %s: %w", id, err)
	}
	return &first{RecordStream: in, left: int64(limit)}, nil
}

// first ends a stream after some rows.
type first struct {
	warehouse.RecordStream

	left int64
}

func (f *first) Next(ctx context.Context) (arrow.Record, error) {
	if f.left <= 0 {
		return nil, io.EOF
	}
	rec, err := f.RecordStream.Next(ctx)
	if err != nil {
		return nil, err
	}
	if rec.NumRows() > f.left {
		defer rec.Release()
		rec = rec.NewSlice(0, f.left)
	}
	f.left -= rec.NumRows()
	return rec, nil
}
