//go:build unix

package duckdb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/treeline-ml/treeline/warehouse"
)

// dirLock is an flock on <dir>/LOCK. flock belongs to the open file, not to the process, so it also refuses a second
// opener in this process, which DuckDB's own record locks do not. The kernel releases it when the process dies.
type dirLock struct{ f *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "LOCK")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("duckdb: opening the lock file: %w", diskError(err))
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder := lockHolder(f)
		return nil, errors.Join(fmt.Errorf("%s is open in %s; close it or use another directory: %w", dir, holder, warehouse.ErrLocked), f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("duckdb: locking %s: %w", path, err), f.Close())
	}
	// The process id is a courtesy to whoever is refused: a full disk must not keep the warehouse from opening.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &dirLock{f: f}, nil
}

func lockHolder(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, perr := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil || perr != nil:
		return "another process"
	case pid == os.Getpid():
		return "this process already"
	default:
		return fmt.Sprintf("process %d", pid)
	}
}

func (l *dirLock) release() error { return l.f.Close() }
