package feature

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// halfMade starts the names of files that are renamed when they are complete; package file begins its own with a dot, too.
const halfMade = ".export-"

// cache is a directory of files that are named by what they hold.
type cache struct {
	dir string
	max int64
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	making map[string]chan struct{} // by version; closed when done
	serial int
}

func openCache(dir string, limit int64, now func() time.Time, log *slog.Logger) (*cache, error) {
	if dir == "" {
		return nil, errors.New("feature: no directory for the export cache is configured")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("feature: export cache: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("feature: export cache: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("feature: removing half-made export: %w", err)
			}
		}
	}
	return &cache{dir: dir, max: limit, now: now, log: log, making: map[string]chan struct{}{}}, nil
}

// link makes path a file of the version's rows, which write makes when the cache lacks them. Of several callers for one
// version, one writes.
func (c *cache) link(ctx context.Context, ref warehouse.Ref, path string, write func(tmp string) error) error {
	if !plain(ref.Version) {
		return fmt.Errorf("version %.80q is not letters, digits and \"-\"", ref.Version)
	}
	done, err := c.turn(ctx, ref.Version)
	if err != nil {
		return err
	}
	defer done()
	from, err := c.find(ref.Version)
	if err != nil {
		return err
	}
	if from == "" {
		if from, err = c.make(ref.Version, write); err != nil {
			return err
		}
	}
	now := c.now()
	if err := os.Chtimes(from, now, now); err != nil { // the last use, also for the next process
		return err
	}
	if err := c.give(from, path); err != nil {
		return err
	}
	if err := c.shrink(); err != nil {
		c.log.WarnContext(ctx, "export cache is over its size", "dir", c.dir, "error", err)
	}
	return nil
}

func plain(s string) bool {
	ok := s != "" && len(s) <= 128
	for i := range len(s) {
		c := s[i]
		ok = ok && (c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	return ok
}

// turn waits until nobody else works on the version.
func (c *cache) turn(ctx context.Context, version string) (done func(), err error) {
	for {
		c.mu.Lock()
		busy, ok := c.making[version]
		if !ok {
			mine := make(chan struct{})
			c.making[version] = mine
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.making, version)
				c.mu.Unlock()
				close(mine)
			}, nil
		}
		c.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// find returns the file of a version, "" when there is none. One whose bytes are not those of its name is removed.
func (c *cache) find(version string) (string, error) {
	paths, err := filepath.Glob(filepath.Join(globEscape(c.dir), version+"-*.parquet"))
	if err != nil {
		return "", err
	}
	for _, p := range paths {
		want := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), version+"-"), ".parquet")
		if len(want) != sha256.Size*2 {
			continue // of a version that begins like this one
		}
		got, err := digest(p)
		if err != nil {
			return "", err
		}
		if got == want {
			return p, nil
		}
		c.log.Warn("an export was altered; it is made again", "path", p)
		if err := os.Remove(p); err != nil {
			return "", err
		}
	}
	return "", nil
}

func globEscape(s string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]", "\\", "[\\\\]").Replace(s)
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// make writes the file of a version.
func (c *cache) make(version string, write func(tmp string) error) (string, error) {
	tmp := c.temporary()
	if err := write(tmp); err != nil {
		return "", errors.Join(err, removeIfThere(tmp))
	}
	sum, err := digest(tmp)
	if err == nil {
		err = os.Chmod(tmp, 0o444)
	}
	path := filepath.Join(c.dir, version+"-"+sum+".parquet")
	if err == nil {
		err = os.Rename(tmp, path) // its bytes were synced by the writer
	}
	if err != nil {
		return "", errors.Join(err, removeIfThere(tmp))
	}
	return path, nil
}

func (c *cache) temporary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	return filepath.Join(c.dir, fmt.Sprintf("%s%d.parquet", halfMade, c.serial))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// give makes path a link to the file, or a copy where links are not possible. An earlier export at path is replaced.
func (c *cache) give(from, path string) error {
	tmp := filepath.Join(filepath.Dir(path), fmt.Sprintf("%s%s-%d", halfMade, filepath.Base(path), os.Getpid()))
	if err := removeIfThere(tmp); err != nil {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := copyFile(from, tmp); err != nil {
			return errors.Join(err, removeIfThere(tmp))
		}
	}
	// Renaming a link over another link of the same file does nothing and leaves both.
	if err := removeIfThere(path); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, removeIfThere(tmp))
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// shrink removes files that nobody has a link to, the least recently used first, until the rest of them is within the
// size. The one that was used last stays.
func (c *cache) shrink() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	type unused struct {
		path string
		info fs.FileInfo
	}
	var files []unused
	var total int64
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || filepath.Ext(e.Name()) != ".parquet" {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if links(info) > 1 {
			continue
		}
		files = append(files, unused{filepath.Join(c.dir, e.Name()), info})
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b unused) int {
		return cmp.Or(a.info.ModTime().Compare(b.info.ModTime()), cmp.Compare(a.path, b.path))
	})
	for _, f := range files {
		if total <= c.max {
			break
		}
		if done := c.idle(f.path); done != nil {
			err := removeIfThere(f.path)
			done()
			if err != nil {
				return err
			}
			total -= f.info.Size()
		}
	}
	return nil
}

// idle takes the turn of a file's version unless somebody has it.
func (c *cache) idle(path string) (done func()) {
	name := filepath.Base(path)
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return nil
	}
	version := name[:at]
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, busy := c.making[version]; busy {
		return nil
	}
	mine := make(chan struct{})
	c.making[version] = mine
	return func() {
		c.mu.Lock()
		delete(c.making, version)
		c.mu.Unlock()
		close(mine)
	}
}
