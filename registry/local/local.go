// Package local keeps artifacts in a directory, by digest.
//
//	<dir>/artifacts/sha256/<hex>/manifest.json    names, sizes and digests of the files
//	<dir>/artifacts/sha256/<hex>/files/<name>     the files, mode 0400
//	<dir>/tmp/upload-<random>/                    uploads that are under way
//
// The digest of an artifact is the SHA-256 of its manifest, see registry.Manifest, so equal files are one artifact and the
// manifest proves itself.
//
// # Invariants
//
//	L1  A directory under artifacts/ is complete: it appears by one rename after its files and itself were synced.
//	    A kill -9 or a power cut leaves the whole artifact or none, and a leftover under tmp/ that the next Open removes.
//	L2  An artifact never changes. Fetch recomputes every digest each time and fails rather than hand out other bytes.
//	L3  No file name leads out of the artifact's directory: names are checked before use, and every file is opened below
//	    an os.Root, which symbolic links do not leave.
//
// # Concurrency
//
// A Registry serves any number of goroutines; an upload belongs to one. One process owns the directory (Open removes the
// uploads of others).
package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/treeline-ml/treeline/registry"
)

// DefaultMaxBytes caps an artifact at 4 GiB.
const DefaultMaxBytes = 4 << 30

const (
	uploadsDir   = "tmp"
	filesDir     = "files"
	manifestName = "manifest.json"
)

func artifactsDir() string { return filepath.Join("artifacts", "sha256") }

// Options are limits of a Registry.
type Options struct {
	// MaxBytes caps the summed size of one artifact's files; DefaultMaxBytes when 0.
	MaxBytes int64
}

// Registry keeps artifacts in a directory.
type Registry struct {
	dir string
	max int64
}

var _ registry.Registry = (*Registry)(nil)

// Open opens or creates the directory and removes what uploads left behind that ended without Commit or Abort.
func Open(dir string, o Options) (*Registry, error) {
	if o.MaxBytes < 0 {
		return nil, fmt.Errorf("local: MaxBytes is %d, want 0 or more", o.MaxBytes)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("local: open %s: %w", dir, err)
	}
	if err := os.RemoveAll(filepath.Join(abs, uploadsDir)); err != nil {
		return nil, fmt.Errorf("local: remove unfinished uploads: %w", err)
	}
	for _, d := range []string{filepath.Join(abs, uploadsDir), filepath.Join(abs, artifactsDir())} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("local: open %s: %w", dir, err)
		}
	}
	// The new names themselves must survive a power cut, up to the directory that was there before.
	for _, d := range []string{filepath.Join(abs, "artifacts"), abs, filepath.Dir(abs)} {
		if err := syncDir(d); err != nil {
			return nil, fmt.Errorf("local: open %s: %w", dir, err)
		}
	}
	return &Registry{dir: abs, max: o.MaxBytes}, nil
}

var digestPattern = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)

// artifactDir is the place of a digest. A digest that is not one of ours is not found, whatever is in it.
func (r *Registry) artifactDir(digest string) (string, error) {
	m := digestPattern.FindStringSubmatch(digest)
	if m == nil {
		return "", fmt.Errorf("digest %q is not sha256:<64 hex digits>: %w", digest, registry.ErrNotFound)
	}
	return filepath.Join(r.dir, artifactsDir(), m[1]), nil
}

// Fetch verifies the manifest and every file of an artifact and returns the directory of its files. It fails with
// registry.ErrNotFound or registry.ErrDigest. The work is one pass over the bytes; callers cache by digest.
func (r *Registry) Fetch(ctx context.Context, digest string) (string, registry.Artifact, error) {
	dir, err := r.artifactDir(digest)
	if err != nil {
		return "", registry.Artifact{}, err
	}
	a, err := r.verify(ctx, dir, digest)
	if err != nil {
		return "", registry.Artifact{}, fmt.Errorf("local: fetch %s: %w", digest, err)
	}
	return filepath.Join(dir, filesDir), a, nil
}

func (r *Registry) verify(ctx context.Context, dir, digest string) (registry.Artifact, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return registry.Artifact{}, registry.ErrNotFound
	}
	if err != nil {
		return registry.Artifact{}, err
	}
	defer root.Close() //nolint:errcheck // only read from
	a, err := readManifest(root, digest)
	if err != nil {
		return registry.Artifact{}, err
	}
	known := map[string]bool{}
	for _, f := range a.Files {
		known[f.Name] = true
		if err := verifyFile(ctx, root, f); err != nil {
			return registry.Artifact{}, fmt.Errorf("file %q: %w", f.Name, err)
		}
	}
	return a, noOthers(root, known)
}

// verifyFile recomputes one file's digest. Reading stops one byte after the expected size.
func verifyFile(ctx context.Context, root *os.Root, want registry.File) error {
	f, err := root.Open(filesDir + "/" + want.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("gone: %w", registry.ErrDigest)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file: %w", errors.Join(registry.ErrDigest, err))
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(contextReader{ctx, f}, want.Size+1))
	if err != nil {
		return err
	}
	if n != want.Size {
		return fmt.Errorf("%d bytes or more, want %d: %w", n, want.Size, registry.ErrDigest)
	}
	if got := sum(h); got != want.Digest {
		return fmt.Errorf("%s, want %s: %w", got, want.Digest, registry.ErrDigest)
	}
	return nil
}

// noOthers refuses files that are not in the manifest: a loader may look for companions beside the model file.
func noOthers(root *os.Root, known map[string]bool) error {
	files, err := fs.Sub(root.FS(), filesDir)
	if err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !known[name] {
			return fmt.Errorf("file %q is not in the manifest: %w", name, registry.ErrDigest)
		}
		return err
	})
}

func sum(h interface{ Sum([]byte) []byte }) string {
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// contextReader ends a long read when its context does.
type contextReader struct {
	ctx context.Context //nolint:containedctx // of the one call that reads
	r   io.Reader
}

// Read implements io.Reader.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
