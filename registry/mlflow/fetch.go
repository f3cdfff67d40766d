package mlflow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/registry"
)

// Fetch copies the files of a version to dir, which must be absent or empty, and returns their digests. It fails with
// ErrNotFound, ErrSource, ErrUnavailable, registry.ErrPath, registry.ErrTooLarge or, when the server sends other sizes
// than it lists, registry.ErrDigest; dir is then as it was.
func (c *Client) Fetch(ctx context.Context, v Version, dir string) (registry.Artifact, error) {
	at, err := c.locate(ctx, v)
	if err != nil {
		return registry.Artifact{}, fmt.Errorf("%s version %s: %w", v.Name, v.Version, err)
	}
	a, err := c.fetch(ctx, at, dir)
	if err != nil {
		return registry.Artifact{}, fmt.Errorf("%s version %s: %w", v.Name, v.Version, err)
	}
	return a, nil
}

// FetchURI is Fetch of "mlflow-artifacts:/...", "runs:/<run>/<name>" or "models:/m-<id>".
func (c *Client) FetchURI(ctx context.Context, uri, dir string) (registry.Artifact, error) {
	at, err := c.locateURI(ctx, uri)
	if err != nil {
		return registry.Artifact{}, err
	}
	return c.fetch(ctx, at, dir)
}

// FetchFiles is FetchURI of those files that lie directly at the URI and have one of the names. When there are none it
// makes no directory and returns no files.
func (c *Client) FetchFiles(ctx context.Context, uri, dir string, names ...string) (registry.Artifact, error) {
	at, err := c.locateURI(ctx, uri)
	if err != nil {
		return registry.Artifact{}, err
	}
	entries, err := c.listDir(ctx, at)
	if err != nil {
		return registry.Artifact{}, err
	}
	var files []remoteFile
	for _, name := range names {
		for _, e := range entries {
			if e.IsDir || e.Path != name {
				continue
			}
			f := remoteFile{name: name, size: -1}
			if e.Size != nil {
				f.size = int64(*e.Size)
			}
			files = append(files, f)
			break // of two entries with one name
		}
	}
	for _, f := range files {
		if err := registry.CheckName(f.name); err != nil {
			return registry.Artifact{}, err
		}
	}
	if len(files) == 0 {
		return registry.Artifact{}, nil
	}
	return c.download(ctx, at, files, dir)
}

func (c *Client) fetch(ctx context.Context, at, dir string) (registry.Artifact, error) {
	files, err := c.list(ctx, at)
	if err != nil {
		return registry.Artifact{}, err
	}
	return c.download(ctx, at, files, dir)
}

// download writes beside dir and renames at the end (M2).
func (c *Client) download(ctx context.Context, at string, files []remoteFile, dir string) (a registry.Artifact, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return a, err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("mlflow: fetch to a directory that is not empty: %w", err)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return a, fmt.Errorf("mlflow: fetch: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	root, err := os.OpenRoot(part)
	if err != nil {
		return a, err
	}
	defer root.Close() //nolint:errcheck // only a handle
	left := c.o.Limits.MaxBytes
	for _, f := range files {
		got, err := c.fetchFile(ctx, at, f, root, left)
		if err != nil {
			return a, fmt.Errorf("file %q: %w", f.name, err)
		}
		left -= got.Size
		a.Files = append(a.Files, got)
	}
	slices.SortFunc(a.Files, func(x, y registry.File) int { return cmp.Compare(x.Name, y.Name) })
	manifest, err := registry.Manifest(a.Files)
	if err != nil {
		return a, err
	}
	sum := sha256.Sum256(manifest)
	a.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return a, os.Rename(part, dir)
}

// download is one file under way. An attempt goes on where the last one broke off if the server can, and begins again
// otherwise.
type download struct {
	f    *os.File
	h    hash.Hash
	n    int64
	etag string
	most int64
}

// Write implements io.Writer.
func (d *download) Write(p []byte) (int, error) {
	if int64(len(p)) > d.most-d.n {
		return 0, fmt.Errorf("more than %d bytes: %w", d.most, registry.ErrTooLarge)
	}
	n, err := d.f.Write(p)
	d.h.Write(p[:n])
	d.n += int64(n)
	return n, err
}

func (d *download) restart() error {
	d.n, d.etag = 0, ""
	d.h.Reset()
	_, err := d.f.Seek(0, io.SeekStart)
	return errors.Join(err, d.f.Truncate(0))
}

func (c *Client) fetchFile(ctx context.Context, at string, f remoteFile, root *os.Root, left int64) (registry.File, error) {
	if d := path.Dir(f.name); d != "." {
		if err := root.MkdirAll(d, 0o700); err != nil {
			return registry.File{}, err
		}
	}
	file, err := root.OpenFile(f.name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return registry.File{}, err
	}
	d := &download{f: file, h: sha256.New(), most: left}
	if f.size >= 0 {
		d.most = min(left, f.size) // the first byte too many ends it
	}
	err = c.retry(ctx, again, func(ctx context.Context) error {
		return c.fetchAttempt(ctx, artifactPath+"/"+escapePath(at+"/"+f.name), f, d)
	})
	if err = errors.Join(err, file.Close()); err != nil {
		return registry.File{}, err
	}
	return registry.File{Name: f.name, Size: d.n, Digest: "sha256:" + hex.EncodeToString(d.h.Sum(nil))}, nil
}

func (c *Client) fetchAttempt(ctx context.Context, at string, f remoteFile, d *download) error {
	ctx, moved, end := c.watch(ctx)
	defer end()
	req, err := c.request(ctx, http.MethodGet, at, nil, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity") // sizes and ranges are those of the file
	if d.n > 0 && d.etag != "" {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(d.n, 10)+"-")
		req.Header.Set("If-Range", d.etag)
	}
	resp, err := c.send(req, at)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	goesOn := resp.StatusCode == http.StatusPartialContent &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(d.n, 10)+"-")
	if !goesOn {
		if err := d.restart(); err != nil {
			return err
		}
		if resp.StatusCode == http.StatusPartialContent {
			return fmt.Errorf("%w: GET %s: another range than asked for", ErrUnavailable, at)
		}
		if e := resp.Header.Get("ETag"); strings.HasPrefix(e, `"`) { // a weak one cannot be resumed from
			d.etag = e
		}
	}
	switch _, err := io.Copy(d, &movingReader{resp.Body, moved}); {
	case errors.Is(err, registry.ErrTooLarge) && f.size >= 0 && d.most == f.size:
		return fmt.Errorf("the server sends more than the %d bytes that it lists: %w", f.size, registry.ErrDigest)
	case errors.Is(err, registry.ErrTooLarge):
		return err
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: GET %s: nothing came for %s, after %d of %s bytes", ErrUnavailable, at, c.o.Timeout, d.n, sizeText(f.size))
	case err != nil:
		return fmt.Errorf("%w: GET %s: broke off after %d of %s bytes: %w", ErrUnavailable, at, d.n, sizeText(f.size), err)
	case f.size >= 0 && d.n != f.size:
		return fmt.Errorf("%w: GET %s: %d bytes, but %d are listed: %w", ErrUnavailable, at, d.n, f.size, registry.ErrDigest)
	}
	return nil
}

// watch is a context that ends when moved was not called for the time of one request.
func (c *Client) watch(ctx context.Context) (watched context.Context, moved, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(c.o.Timeout, cancel)
	return ctx, func() { timer.Reset(c.o.Timeout) }, func() { timer.Stop(); cancel() }
}

// movingReader tells of every byte.
type movingReader struct {
	r     io.Reader
	moved func()
}

// Read implements io.Reader.
func (m *movingReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if n > 0 {
		m.moved()
	}
	return n, err
}
