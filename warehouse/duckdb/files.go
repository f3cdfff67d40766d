package duckdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

func describeFiles(ctx context.Context, files string) (*arrow.Schema, error) {
	stream, err := file.Open(ctx, files, file.Options{})
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", files, err)
	}
	return stream.Schema(), stream.Close()
}

// snapshotFiles pins files where they are. A copy would also serve, but inputs may be larger than the free disk.
func (w *Warehouse) snapshotFiles(ctx context.Context, in warehouse.Input) (warehouse.Ref, error) {
	start := time.Now()
	before, err := identifyFiles(in.Files)
	if err != nil {
		return warehouse.Ref{}, err
	}
	info, whole, err := checkFile(ctx, in)
	if err != nil {
		return warehouse.Ref{}, fmt.Errorf("reading %s: %w", in.Files, err)
	}
	id, err := identify(info.Paths)
	if err != nil {
		return warehouse.Ref{}, err
	}
	now := time.Now()
	// The keys were read beside the digest: both saw the same only if nothing was written meanwhile.
	whole = whole && before.contents == id.contents && !before.fresh(start)
	schema, err := projectFiles(info.Schema, in)
	if err != nil {
		return warehouse.Ref{}, err
	}
	if info.Rows == 0 {
		return warehouse.Ref{}, emptyError(warehouse.Input{Files: in.Files})
	}
	rows := info.Rows
	if in.DateColumn != "" || len(in.Keys) > 0 && !whole {
		if rows, err = w.checkFileKeys(ctx, in, info); err != nil {
			return warehouse.Ref{}, err
		}
	}
	ref := warehouse.Ref{Source: in.Source(), Version: filesVersion(info.Digest, schema, in), Rows: rows, Schema: schema}
	loc := location{
		Files: in.Files, Identity: id.contents, Digest: info.Digest, Fresh: id.fresh(now),
		DateColumn: in.DateColumn, Date: in.Date, Through: in.Through,
	}
	ref.Location = loc.String()
	// The digest and the key check read the files at different times: both must have seen the pinned content.
	p := &pinned{ref: ref, loc: loc, paths: info.Paths, open: id}
	if err := p.unchanged(); err != nil {
		return warehouse.Ref{}, err
	}
	if loc.Fresh {
		if err := p.sameDigest(ctx); err != nil {
			return warehouse.Ref{}, err
		}
	}
	return ref, nil
}

func projectFiles(s *arrow.Schema, in warehouse.Input) (*arrow.Schema, error) {
	all := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		all[i] = f.Name
	}
	names := in.Columns
	if len(names) == 0 {
		names = all
	}
	wanted := append(append([]string{}, names...), in.Keys...)
	if in.DateColumn != "" {
		wanted = append(wanted, in.DateColumn)
	}
	faults := absent(all, wanted)
	fields := make([]arrow.Field, 0, len(names))
	for _, n := range names {
		at := s.FieldIndices(n)
		if len(at) > 1 {
			faults = append(faults, fmt.Sprintf("%q occurs %d times", n, len(at)))
		}
		if len(at) > 0 {
			fields = append(fields, s.Field(at[0]))
		}
	}
	if at := s.FieldIndices(in.DateColumn); len(at) > 0 && !isDay(s.Field(at[0]).Type) {
		faults = append(faults, fmt.Sprintf("date column %q has type %s, want a date, timestamp or string", in.DateColumn, s.Field(at[0]).Type))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("%s: %s: %w", in.Files, strings.Join(faults, "; "), warehouse.ErrColumn)
	}
	return arrow.NewSchema(fields, nil), nil
}

func filesVersion(contents string, s *arrow.Schema, in warehouse.Input) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", contents)
	for _, f := range s.Fields() {
		fmt.Fprintf(h, "%q %s\n", f.Name, f.Type)
	}
	fmt.Fprintf(h, "%q %q\n", in.DateColumn, in.Date)
	if in.Through != "" { // versions of other inputs are as they were before it existed
		fmt.Fprintf(h, "through %q\n", in.Through)
	}
	return "f1-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// checkFileKeys counts the selected rows and checks their keys. The keys pass through a temporary Parquet file to DuckDB,
// whose grouping spills to disk: memory stays bounded and the three formats are treated alike.
func (w *Warehouse) checkFileKeys(ctx context.Context, in warehouse.Input, info file.Info) (rows int64, err error) {
	options := file.Options{Columns: in.Keys, Hint: info.Schema}
	var stream warehouse.RecordStream
	days, err := periodOf(&in)
	if err != nil {
		return 0, err
	}
	if days == (period{}) {
		stream, err = file.Open(ctx, in.Files, options)
	} else {
		if len(in.Keys) == 0 {
			options.Columns = []string{in.DateColumn}
		}
		stream, err = openDay(ctx, in.Files, options, in.DateColumn, days)
	}
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", in.Files, err)
	}
	tmp := w.tmpPath(".parquet")
	rows, err = copyStream(ctx, stream, tmp)
	if err = errors.Join(err, stream.Close()); err != nil {
		return 0, errors.Join(fmt.Errorf("checking keys of %s: %w", in.Files, err), removeIfThere(tmp))
	}
	if rows == 0 {
		return 0, errors.Join(emptyError(in), removeIfThere(tmp))
	}
	return rows, errors.Join(checkKeys(ctx, w.db, parquetFiles(tmp), in.Keys, in.Source()), removeIfThere(tmp))
}

// copyStream writes a stream to a file and returns the number of rows.
func copyStream(ctx context.Context, in warehouse.RecordStream, path string) (rows int64, err error) {
	out, err := file.Create(path, in.Schema(), file.WriteOptions{})
	if err != nil {
		return 0, diskError(err)
	}
	for {
		rec, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return rows, diskError(out.Close())
		}
		if err == nil {
			rows += rec.NumRows()
			err = diskError(out.Write(rec))
			rec.Release()
		}
		if err != nil {
			return 0, errors.Join(err, out.Abort())
		}
	}
}

// checkFiles compares the files with what was pinned: by identity, else by content.
func (p *pinned) checkFiles(ctx context.Context) error {
	paths, err := expand(p.loc.Files)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", p.ref.Source, warehouse.ErrSnapshotGone, err)
	}
	p.paths = paths
	if p.open, err = identify(paths); err != nil {
		return fmt.Errorf("%s: %w: %w", p.ref.Source, warehouse.ErrSnapshotGone, err)
	}
	if p.open.contents == p.loc.Identity && !p.loc.Fresh {
		return nil
	}
	return p.sameDigest(ctx)
}

// identifyFiles is identify for a path or glob. What does not exist has the identity of no files: who reads it says so.
func identifyFiles(files string) (identity, error) {
	paths, err := expand(files)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, filepath.ErrBadPattern) {
		return identity{}, nil
	}
	if err != nil {
		return identity{}, err
	}
	id, err := identify(paths)
	if errors.Is(err, os.ErrNotExist) {
		return identity{}, nil
	}
	return id, err
}

// expand lists the files of a path or glob, sorted. A path that exists is no glob.
func expand(pathOrGlob string) ([]string, error) {
	if _, err := os.Stat(pathOrGlob); err == nil {
		return []string{pathOrGlob}, nil
	}
	paths, err := filepath.Glob(pathOrGlob)
	if err == nil && len(paths) == 0 {
		err = os.ErrNotExist
	}
	return paths, err
}

// sameDigest reads the files again.
func (p *pinned) sameDigest(ctx context.Context) error {
	info, err := file.Stat(ctx, p.loc.Files, file.Options{Hint: p.ref.Schema})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%s: %w: %w", p.ref.Source, warehouse.ErrSnapshotGone, err)
	case info.Digest != p.loc.Digest:
		return p.changed("changed after it was pinned")
	}
	return nil
}
