package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow/go/v17/arrow"
)

// Info describes the files that a path or glob names.
type Info struct {
	Schema *arrow.Schema // all columns
	Rows   int64
	// Digest is "sha256:" and the hash of the files' sizes and bytes in order.
	Digest string
	Paths  []string // sorted
}

// Stat reads the files once for their digest and as far as needed for schema and rows. All files must have one schema.
func Stat(ctx context.Context, pathOrGlob string, o Options) (Info, error) {
	paths, err := expand(pathOrGlob)
	if err != nil {
		return Info{}, err
	}
	if o, err = inferAll(ctx, paths, o.withDefaults(), true); err != nil {
		return Info{}, err
	}
	info := Info{Paths: paths}
	h := sha256.New()
	for _, path := range paths {
		if err := info.add(ctx, path, o); err != nil {
			return Info{}, err
		}
		if err := hashFile(ctx, h, path); err != nil {
			return Info{}, err
		}
	}
	info.Digest = "sha256:" + hex.EncodeToString(h.Sum(nil))
	return info, nil
}

func (info *Info) add(ctx context.Context, path string, o Options) (err error) {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	src, err := openSource(path, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	if info.Schema == nil {
		info.Schema = src.schema()
	} else if err := sameSchema(info.Schema, src.schema()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	n := src.rows()
	if n < 0 {
		return fmt.Errorf("%s: the number of rows is not known: %w", path, ErrInvalid)
	}
	info.Rows += n
	return nil
}

// hashFile adds the size and the bytes of a file, so that no other list of files has the same hash. Names are no content.
func hashFile(ctx context.Context, h io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%d\n", st.Size())
	_, err = io.CopyBuffer(h, cancellable(ctx, f), make([]byte, 1<<20))
	return err
}

// cancellable reads until ctx ends, and then fails with its cause.
func cancellable(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(p)
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
