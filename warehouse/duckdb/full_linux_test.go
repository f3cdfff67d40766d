package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

// cannotMount is the exit status of a child that may not mount a file system.
const cannotMount = 77

// TestDiskFull runs fillDisk in a mount namespace of its own, as root or in a user namespace. Where neither is allowed,
// TestStagingFull still covers staging with an injected writer.
func TestDiskFull(t *testing.T) {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	c, err := startChild(t, "full", t.TempDir(), 0, attr)
	if err != nil {
		t.Logf("no mount namespace here (%v): only TestStagingFull covers a full disk", err)
		return
	}
	var said []string
	for c.lines.Scan() {
		said = append(said, c.lines.Text())
		t.Log(c.lines.Text())
	}
	err = c.cmd.Wait()
	if c.cmd.ProcessState.ExitCode() == cannotMount {
		t.Log("mounting is not allowed here: only TestStagingFull covers a full disk")
		return
	}
	if err != nil {
		t.Fatalf("child: %v", err)
	}
	all := strings.Join(said, "\n")
	for _, step := range []string{"refused staging", "refused committing", "refused snapshot", "refused inserting", "took", "kept the log"} {
		if !strings.Contains(all, step) {
			t.Errorf("no round %s", step)
		}
	}
}

// fullRows is more than a row group of DuckDB, which writes those before COMMIT.
const fullRows = 150_000

// fullScene is the child's warehouse on a small file system.
type fullScene struct {
	dir, filler string
	h           harness
	run         int64 // of the rows that are visible
	warned      bool  // a checkpoint failed
}

func fillDisk() int {
	dir := os.Getenv(dirVariable)
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return cannotMount
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		return cannotMount
	}
	s := fullScene{dir: dir, filler: filepath.Join(dir, "filler")}
	if err := s.play(context.Background()); err != nil {
		return complain(err)
	}
	return 0
}

func (s *fullScene) play(ctx context.Context) error {
	var err error
	s.h.dir = filepath.Join(s.dir, "var")
	if s.h.w, err = duckdb.Open(ctx, duckdb.Config{Dir: s.h.dir, Threads: 1, Logger: slog.New(s)}); err != nil {
		return err
	}
	if err := s.h.w.CreateSchema(ctx, "uat", "features"); err != nil {
		return err
	}
	if err := s.h.w.Exec(ctx, "CREATE TABLE uat.features.f AS SELECT range AS id, sqrt(range) AS a FROM range(100000)"); err != nil {
		return err
	}
	if err := s.attempt(ctx, 1); err != nil {
		return fmt.Errorf("with a free disk: %w", err)
	}
	for kb := int64(0); kb <= 6000; kb += 200 {
		if err := s.round(ctx, kb); err != nil {
			return fmt.Errorf("%d KB free: %w", kb, err)
		}
	}
	if err := s.commitLater(ctx); err != nil {
		return fmt.Errorf("committing when the disk filled up after staging: %w", err)
	}
	return s.h.w.Close()
}

// commitLater fills the disk between staging and Commit, then makes space and commits the same rows.
func (s *fullScene) commitLater(ctx context.Context) error {
	const rows = 1 << 20 // closes the staged part in Write
	wr, err := stage(ctx, s.h.w, "later", 1, rows)
	if err != nil {
		return err
	}
	if err := s.leave(0); err != nil {
		return err
	}
	_, err = wr.Commit(ctx)
	if !errors.Is(err, warehouse.ErrFull) {
		return fmt.Errorf("error is %w, want %w", err, warehouse.ErrFull)
	}
	fmt.Println("later: refused", step(err))
	count := "SELECT count(*) FROM uat.predictions.scores WHERE batch_id = 'later'"
	if got, err := s.h.query(ctx, count); err != nil || got[0][0] != int64(0) {
		return fmt.Errorf("%v rows, want 0: %w", got, err)
	}
	if err := os.Remove(s.filler); err != nil {
		return err
	}
	if _, err := wr.Commit(ctx); err != nil {
		return err
	}
	if got, err := s.h.query(ctx, count); err != nil || got[0][0] != int64(rows) {
		return fmt.Errorf("%v rows, want %d: %w", got, rows, err)
	}
	return nil
}

// round leaves kb free, runs the batch, and wants the new rows or warehouse.ErrFull and the old rows.
func (s *fullScene) round(ctx context.Context, kb int64) error {
	if err := s.leave(kb << 10); err != nil {
		return err
	}
	s.warned = false
	next := s.run + 1
	err := s.attempt(ctx, next)
	switch {
	case err == nil && s.warned:
		fmt.Printf("%d KB: took run %d, kept the log\n", kb, next)
	case err == nil:
		fmt.Printf("%d KB: took run %d\n", kb, next)
	case errors.Is(err, warehouse.ErrFull):
		fmt.Printf("%d KB: refused %s\n", kb, step(err))
	default:
		return fmt.Errorf("error is %w, want %w", err, warehouse.ErrFull)
	}
	if err := s.visible(ctx); err != nil {
		return err
	}
	if err := s.snapshot(ctx, kb); err != nil {
		return err
	}
	if err := s.h.stagingEmpty(); err != nil {
		return err
	}
	// With space again, everything works without a restart.
	if err := os.Remove(s.filler); err != nil {
		return err
	}
	if kb%2000 == 0 {
		if err := s.attempt(ctx, s.run+1); err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
		return s.visible(ctx)
	}
	return nil
}

func step(err error) string {
	for _, s := range []string{"staging rows", "making a staging area", "inserting", "ledger", "committing to catalog", "earlier rows"} {
		if strings.Contains(err.Error(), s) {
			name := map[string]string{"staging rows": "staging", "committing to catalog": "committing"}[s]
			if name == "" {
				name = s
			}
			return name
		}
	}
	return "elsewhere: " + err.Error()
}

func (s *fullScene) attempt(ctx context.Context, run int64) error {
	wr, err := stage(ctx, s.h.w, "full", run, fullRows)
	if err != nil {
		return err
	}
	if _, err := wr.Commit(ctx); err != nil {
		return errors.Join(err, wr.Abort(ctx))
	}
	s.run = run
	return nil
}

func (s *fullScene) visible(ctx context.Context) error {
	got, err := s.h.query(ctx, "SELECT count(*), count(DISTINCT id), count(DISTINCT run), max(run) FROM uat.predictions.scores WHERE batch_id = 'full'")
	if err != nil {
		return err
	}
	if want := fmt.Sprint([]any{fullRows, fullRows, 1, s.run}); fmt.Sprint(got[0]) != want {
		return fmt.Errorf("rows, keys, runs, run are %v, want %v", got[0], want)
	}
	return nil
}

func (s *fullScene) snapshot(ctx context.Context, kb int64) error {
	ref, err := s.h.w.Snapshot(ctx, killInput())
	entries, derr := os.ReadDir(filepath.Join(s.h.dir, "snapshots"))
	if derr != nil {
		return derr
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			return fmt.Errorf("snapshot left %s", e.Name())
		}
	}
	if errors.Is(err, warehouse.ErrFull) {
		fmt.Printf("%d KB: refused snapshot\n", kb)
		return nil
	}
	if err != nil {
		return fmt.Errorf("snapshot: %w, want %w", err, warehouse.ErrFull)
	}
	return os.Remove(filepath.Join(s.h.dir, "snapshots", ref.Version+".parquet"))
}

// leave writes a filler until only n bytes are free.
func (s *fullScene) leave(n int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &st); err != nil {
		return err
	}
	size := max(int64(st.Bavail)*st.Bsize-n, 0)
	return os.WriteFile(s.filler, make([]byte, size), 0o600)
}

// The scene is its own log handler: it listens for failed checkpoints.

func (s *fullScene) Enabled(context.Context, slog.Level) bool { return true }
func (s *fullScene) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *fullScene) WithGroup(string) slog.Handler            { return s }
func (s *fullScene) Handle(_ context.Context, r slog.Record) error {
	s.warned = s.warned || strings.Contains(r.Message, "checkpoint")
	return nil
}
