package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
	"github.com/treeline-ml/treeline/warehouse/file"
)

const outfileRounds = 12

func outfilePath(dir string) string { return filepath.Join(dir, "..", "out", "scores.parquet") }

// writeFiles writes one batch to a file again and again and says where it is.
func writeFiles() int {
	ctx := context.Background()
	run, err := strconv.ParseInt(os.Getenv(runVariable), 10, 64)
	if err != nil {
		return complain(err)
	}
	dir := os.Getenv(dirVariable)
	w, err := duckdb.Open(ctx, duckdb.Config{Dir: dir, Threads: 2})
	if err != nil {
		return complain(err)
	}
	for ; ; run++ {
		fmt.Println("staging", run)
		target := outputTarget()
		target.File = outfilePath(dir)
		wr, err := w.Begin(ctx, "killed", target)
		if err != nil {
			return complain(err)
		}
		for from := int64(0); from < killRows; from += 20_000 {
			rec := outputRecord("killed", run, from, 20_000)
			err := wr.Write(ctx, rec)
			rec.Release()
			if err != nil {
				return complain(err)
			}
		}
		fmt.Println("commit", run)
		if _, err := wr.Commit(ctx); err != nil {
			return complain(err)
		}
		fmt.Println("done", run)
	}
}

// TestKillFile kills a process that writes an output file at random points. After each the file is there with all rows of
// the last run that was reported, or of the one that was committing, and nothing is beside it once the warehouse is open.
func TestKillFile(t *testing.T) {
	h := newHarness(t)
	out := filepath.Dir(outfilePath(h.dir))
	if err := os.MkdirAll(out, 0o755); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(11, uint64(time.Now().UnixNano())))
	done, hidden := int64(0), 0
	for round := range outfileRounds {
		if err := h.w.Close(); err != nil {
			t.Fatal(err)
		}
		c, err := startChild(t, "filewriter", h.dir, int(done)+1, nil)
		if err != nil {
			t.Fatal(err)
		}
		trying := killWriter(t, c, rnd, []string{"staging", "commit"}[round%2], &done)
		entries, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				hidden++
			}
		}
		h.open(t)
		if err := h.stagingEmpty(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(out); err != nil || len(left) > 1 || len(left) == 1 && left[0].Name() != "scores.parquet" {
			t.Fatalf("round %d: %v, %v", round, left, err)
		}
		run, rows := runOfFile(t, outfilePath(h.dir))
		if run == 0 && done == 0 {
			continue
		}
		if rows != killRows || run != done && run != trying {
			t.Fatalf("round %d: %d rows of run %d; run %d was committed and run %d was committing", round, rows, run, done, trying)
		}
		done = max(done, run)
	}
	if hidden == 0 {
		t.Error("no kill left a hidden file: the test looked at nothing")
	}
}

// killWriter kills the child soon after it has come to a phase, and returns the last run that began to commit.
func killWriter(t *testing.T, c *child, rnd *rand.Rand, goal string, done *int64) (trying int64) {
	t.Helper()
	skip := rnd.IntN(3)
	var timer *time.Timer
	killed := make(chan struct{})
	for c.lines.Scan() {
		name, number, _ := strings.Cut(c.lines.Text(), " ")
		run, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatalf("child says %q", c.lines.Text())
		}
		switch name {
		case "commit":
			trying = run
		case "done":
			*done = run
		}
		if name != goal || timer != nil {
			continue
		}
		if skip--; skip >= 0 {
			continue
		}
		timer = time.AfterFunc(time.Duration(rnd.Int64N(int64(30*time.Millisecond))), func() {
			defer close(killed)
			if err := c.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		})
	}
	if timer == nil {
		_ = c.cmd.Wait()
		t.Fatal("the child ended by itself")
	}
	<-killed
	_ = c.cmd.Wait() // "signal: killed"
	return trying
}

// runOfFile returns the run that all rows of an output file carry, and their number; 0 when there is no file.
func runOfFile(t *testing.T, path string) (run, rows int64) {
	t.Helper()
	s, err := file.Open(t.Context(), path, file.Options{Columns: []string{"run"}})
	if errors.Is(err, warehouse.ErrTableNotFound) {
		return 0, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := s.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range rec.Column(0).(*array.Int64).Int64Values() {
			if rows++; run != 0 && v != run {
				t.Fatalf("rows of runs %d and %d", run, v)
			}
			run = v
		}
		rec.Release()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return run, rows
}
