package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/treeline-ml/treeline/registry"
)

// errState: methods of an upload were called out of order. It is a bug of the caller.
var errState = errors.New("local: upload used out of order")

// upload receives files in a directory of its own below tmp/, hashing as it writes.
type upload struct {
	r       *Registry
	ctx     context.Context //nolint:containedctx // of NewUpload: ends the upload
	dir     string
	root    *os.Root
	files   []registry.File
	names   map[string]bool // files, lower-cased: two names must not be one file on another system
	parents map[string]bool // directories, lower-cased
	used    int64
	open    *uploadFile
	failed  error // sticky: an upload that lost bytes can only be aborted
	ended   bool
}

// NewUpload begins an upload. End it with Commit or Abort.
func (r *Registry) NewUpload(ctx context.Context) (registry.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Join(r.dir, uploadsDir), "upload-")
	if err != nil {
		return nil, fmt.Errorf("local: begin upload: %w", err)
	}
	u := &upload{r: r, ctx: ctx, dir: dir, names: map[string]bool{}, parents: map[string]bool{}}
	err = os.Mkdir(filepath.Join(dir, filesDir), 0o700)
	if err == nil {
		u.root, err = os.OpenRoot(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("local: begin upload: %w", err), os.RemoveAll(dir))
	}
	return u, nil
}

// Create starts the next file. It fails with registry.ErrPath for a name that registry.CheckName refuses, that was given before
// (upper and lower case count as the same), or that is both a file and a directory.
func (u *upload) Create(name string) (io.WriteCloser, error) {
	switch {
	case u.ended:
		return nil, fmt.Errorf("create %q after the end: %w", name, errState)
	case u.open != nil:
		return nil, fmt.Errorf("create %q while %q is open: %w", name, u.open.name, errState)
	case u.failed != nil:
		return nil, u.failed
	}
	if err := registry.CheckName(name); err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	if len(u.files) >= maxFiles {
		return nil, fmt.Errorf("local: more than %d files: %w", maxFiles, registry.ErrTooLarge)
	}
	folded := strings.ToLower(name)
	if u.names[folded] || u.parents[folded] {
		return nil, fmt.Errorf("local: %q: there is a file or directory of this name: %w", name, registry.ErrPath)
	}
	for p := path.Dir(folded); p != "."; p = path.Dir(p) {
		if u.names[p] {
			return nil, fmt.Errorf("local: %q: %q is a file: %w", name, p, registry.ErrPath)
		}
	}
	f, err := u.create(name)
	if err != nil {
		u.failed = fmt.Errorf("local: create %q: %w", name, err)
		return nil, u.failed
	}
	u.names[folded] = true
	for p := path.Dir(folded); p != "."; p = path.Dir(p) {
		u.parents[p] = true
	}
	u.open = &uploadFile{u: u, name: name, f: f, h: sha256.New()}
	return u.open, nil
}

func (u *upload) create(name string) (*os.File, error) {
	if dir := path.Dir(name); dir != "." {
		if err := u.root.MkdirAll(filesDir+"/"+dir, 0o700); err != nil {
			return nil, err
		}
	}
	return u.root.OpenFile(filesDir+"/"+name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
}

// uploadFile is the file that is being received.
type uploadFile struct {
	u      *upload
	name   string
	f      *os.File
	h      hash.Hash
	n      int64
	closed bool
}

// Write appends bytes. It fails with registry.ErrTooLarge once the artifact is over its cap; nothing of p is kept then.
func (w *uploadFile) Write(p []byte) (int, error) {
	u := w.u
	switch {
	case w.closed:
		return 0, fmt.Errorf("write to %q after its end: %w", w.name, errState)
	case u.failed != nil:
		return 0, u.failed
	}
	if err := u.ctx.Err(); err != nil {
		u.failed = fmt.Errorf("local: write %q: %w", w.name, err)
		return 0, u.failed
	}
	if int64(len(p)) > u.r.max-u.used {
		u.failed = fmt.Errorf("local: %q brings the artifact over %d bytes: %w", w.name, u.r.max, registry.ErrTooLarge)
		return 0, u.failed
	}
	n, err := w.f.Write(p)
	w.h.Write(p[:n])
	w.n += int64(n)
	u.used += int64(n)
	if err != nil {
		u.failed = fmt.Errorf("local: write %q: %w", w.name, err)
		return n, u.failed
	}
	return n, nil
}

// Close makes the file durable. A file counts once it is closed without error.
func (w *uploadFile) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	w.u.open = nil
	err := w.f.Sync()
	if err = errors.Join(err, w.f.Close()); err != nil {
		w.u.failed = fmt.Errorf("local: close %q: %w", w.name, err)
		return w.u.failed
	}
	if w.u.failed != nil {
		return w.u.failed
	}
	w.u.files = append(w.u.files, registry.File{Name: w.name, Size: w.n, Digest: sum(w.h)})
	return nil
}

// Commit stores the artifact under its digest.
func (u *upload) Commit(ctx context.Context) (registry.Artifact, error) {
	switch {
	case u.ended:
		return registry.Artifact{}, fmt.Errorf("commit after the end: %w", errState)
	case u.open != nil:
		return registry.Artifact{}, fmt.Errorf("commit while %q is open: %w", u.open.name, errState)
	case u.failed != nil:
		return registry.Artifact{}, u.failed
	case len(u.files) == 0:
		return registry.Artifact{}, fmt.Errorf("commit of no files: %w", errState)
	}
	a, err := u.commit(ctx)
	if err != nil {
		u.failed = fmt.Errorf("local: commit: %w", err)
		return registry.Artifact{}, u.failed
	}
	return a, nil
}

func (u *upload) commit(ctx context.Context) (registry.Artifact, error) {
	if err := errors.Join(ctx.Err(), u.ctx.Err()); err != nil {
		return registry.Artifact{}, err
	}
	sortFiles(u.files)
	b, err := registry.Manifest(u.files)
	if err != nil {
		return registry.Artifact{}, err
	}
	a := registry.Artifact{Digest: digestOf(b), Files: u.files}
	target, err := u.r.artifactDir(a.Digest)
	if err != nil {
		return registry.Artifact{}, err
	}
	if err := u.seal(b); err != nil {
		return registry.Artifact{}, err
	}
	if err := u.place(ctx, target, a.Digest); err != nil {
		return registry.Artifact{}, err
	}
	u.ended = true
	// What remains of the upload is a directory that lost the race for its name, or nothing.
	return a, errors.Join(u.root.Close(), os.RemoveAll(u.dir))
}

// seal writes the manifest and makes every name durable, the innermost directories first.
func (u *upload) seal(manifest []byte) error {
	f, err := u.root.OpenFile(manifestName, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(manifest)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	var dirs []string
	err = filepath.WalkDir(u.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, p)
		}
		return err
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = syncDir(dirs[i])
	}
	return err
}

// place renames the upload to its final name. If the artifact is there already and sound, the upload is surplus; if it
// is damaged, the sound upload takes its place, and the damaged one goes.
func (u *upload) place(ctx context.Context, target, digest string) error {
	err := os.Rename(u.dir, target)
	if err == nil {
		return syncDir(filepath.Dir(target))
	}
	if _, statErr := os.Lstat(target); statErr != nil {
		return err
	}
	_, err = u.r.verify(ctx, target, digest)
	if !errors.Is(err, registry.ErrDigest) {
		return err
	}
	damaged := u.dir + "-damaged" // below tmp/: a kill here leaves no artifact, and the caller registers again
	if err := os.Rename(target, damaged); err != nil {
		return err
	}
	if err := os.Rename(u.dir, target); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(target)), os.RemoveAll(damaged))
}

// Abort removes what was received.
func (u *upload) Abort() error {
	if u.ended {
		return nil
	}
	u.ended = true
	var err error
	if u.open != nil {
		u.open.closed = true
		err = u.open.f.Close()
		u.open = nil
	}
	return errors.Join(err, u.root.Close(), os.RemoveAll(u.dir))
}
