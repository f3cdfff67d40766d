package duckdb_test

import (
	"context"
	"database/sql"
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

	driver "github.com/duckdb/duckdb-go/v2"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

const (
	killRounds = 30
	killRows   = 60_000
)

func killInput() warehouse.Input {
	return warehouse.Input{Table: warehouse.TableName{Catalog: "uat", Schema: "features", Table: "f"}, Columns: []string{"id", "a"}, Keys: []string{"id"}}
}

// holdRaw opens a catalog file without the warehouse.
func holdRaw() int {
	connector, err := driver.NewConnector(os.Getenv(dirVariable), nil)
	if err != nil {
		return complain(err)
	}
	db := sql.OpenDB(connector)
	if err := db.Ping(); err != nil {
		return complain(err)
	}
	fmt.Println("open")
	waitForStdin()
	return 0
}

// writeForever runs one batch id again and again and says where it is.
func writeForever() int {
	ctx := context.Background()
	run, err := strconv.ParseInt(os.Getenv(runVariable), 10, 64)
	if err != nil {
		return complain(err)
	}
	fmt.Println("opening", run)
	dir := os.Getenv(dirVariable)
	w, err := duckdb.Open(ctx, duckdb.Config{Dir: dir, Threads: 2})
	if err != nil {
		return complain(err)
	}
	for ; ; run++ {
		old, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.parquet"))
		if err != nil {
			return complain(err)
		}
		for _, path := range old {
			if err := os.Remove(path); err != nil {
				return complain(err)
			}
		}
		fmt.Println("snapshot", run)
		if _, err := w.Snapshot(ctx, killInput()); err != nil {
			return complain(err)
		}
		fmt.Println("staging", run)
		wr, err := stage(ctx, w, "killed", run, killRows)
		if err != nil {
			return complain(err)
		}
		fmt.Println("commit", run)
		if _, err := wr.Commit(ctx); err != nil {
			return complain(err)
		}
		fmt.Println("done", run)
		if err := w.MirrorPromotions(ctx, []warehouse.PromotionRow{{Seq: run, Model: "churn", Version: run}}); err != nil {
			return complain(err)
		}
		if err := w.Supersede(ctx, outputTable(), "killed", "other"); err != nil {
			return complain(err)
		}
	}
}

// TestKill kills a writing process at random points. After each the batch has all rows of the last run that was reported as
// committed, or of the one that was committing.
func TestKill(t *testing.T) {
	h := newHarness(t)
	if err := h.w.CreateSchema(t.Context(), "uat", "features"); err != nil {
		t.Fatal(err)
	}
	if err := h.w.Exec(t.Context(), "CREATE TABLE uat.features.f AS SELECT range AS id, sqrt(range) AS a FROM range(200000)"); err != nil {
		t.Fatal(err)
	}
	version := ""
	rnd := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	done, hits := int64(0), map[string]int{}
	// Where a kill lands is chance: a slow machine may need more rounds to hit every phase.
	enough := func() bool { return hits["commit"] >= 5 && hits["staging"] >= 3 && hits["snapshot"] >= 1 }
	round := 0
	for ; round < killRounds || (!enough() && round < 4*killRounds); round++ {
		if err := h.w.Close(); err != nil {
			t.Fatal(err)
		}
		c, err := startChild(t, "writer", h.dir, int(done)+1, nil)
		if err != nil {
			t.Fatal(err)
		}
		phase, trying := killAt(t, c, rnd, round, &done)
		hits[phase]++
		h.open(t)
		checkKilled(t, h, done, trying)
		if t.Failed() {
			t.Fatalf("round %d, killed during %q", round, phase)
		}
		ref, err := h.w.Snapshot(t.Context(), killInput())
		if err != nil || (version != "" && ref.Version != version) {
			t.Fatalf("snapshot %+v, %v; want version %s", ref, err, version)
		}
		version = ref.Version
		if n := countRows(t, h.w, ref); n != 200_000 {
			t.Fatalf("snapshot has %d rows", n)
		}
		done = max(done, currentRun(t, h))
	}
	t.Logf("killed %d times: %v", round, hits)
	if !enough() {
		t.Errorf("too few phases were hit: %v", hits)
	}
}

// killAt lets the child reach a phase, waits a random part of what the phase takes and kills it. done becomes the last run
// that was reported as committed; trying is the last that began to commit.
func killAt(t *testing.T, c *child, rnd *rand.Rand, round int, done *int64) (phase string, trying int64) {
	t.Helper()
	goal := []string{"commit", "staging", "commit", "snapshot", "commit", "done", "commit", "opening"}[round%8]
	skip := rnd.IntN(3)
	if goal == "opening" {
		skip = 0
	}
	longest := map[string]time.Duration{
		"commit": 120 * time.Millisecond, "staging": 60 * time.Millisecond, "snapshot": 120 * time.Millisecond,
		"done": 40 * time.Millisecond, "opening": 60 * time.Millisecond,
	}[goal]
	var timer *time.Timer
	killed := make(chan struct{})
	for c.lines.Scan() {
		name, number, _ := strings.Cut(c.lines.Text(), " ")
		run, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			t.Fatalf("child says %q", c.lines.Text())
		}
		phase = name
		switch name {
		case "commit":
			trying = run
		case "done":
			*done = run
		}
		if name == goal && timer == nil {
			if skip > 0 {
				skip--
				continue
			}
			timer = time.AfterFunc(time.Duration(rnd.Int64N(int64(longest))), func() {
				defer close(killed)
				if err := c.cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if timer == nil {
		_ = c.cmd.Wait()
		t.Fatalf("the child ended by itself in phase %q", phase)
	}
	<-killed
	if err := c.cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended with %v", err)
	}
	return phase, max(trying, *done)
}

func currentRun(t *testing.T, h *harness) int64 {
	t.Helper()
	got, err := h.query(t.Context(), "SELECT coalesce(max(run), 0) FROM uat.predictions.scores")
	if err != nil {
		return 0 // killed before the table was made
	}
	return got[0][0].(int64)
}

func checkKilled(t *testing.T, h *harness, done, trying int64) {
	t.Helper()
	if err := h.stagingEmpty(); err != nil {
		t.Error(err)
	}
	left, err := filepath.Glob(filepath.Join(h.dir, "snapshots", ".unfinished*"))
	if err != nil || len(left) > 0 {
		t.Errorf("half-made snapshots: %q, %v", left, err)
	}
	got, err := h.query(t.Context(), "SELECT count(*), count(DISTINCT id), count(DISTINCT run), coalesce(max(run), 0) FROM uat.predictions.scores")
	if err != nil {
		if done > 0 {
			t.Errorf("run %d was committed, but: %v", done, err)
		}
		return
	}
	rows, keys, runs, run := got[0][0].(int64), got[0][1].(int64), got[0][2].(int64), got[0][3].(int64)
	switch {
	case rows == 0 && done == 0:
	case rows != killRows || keys != killRows || runs != 1:
		t.Errorf("%d rows, %d keys, %d runs; want %d, %d, 1", rows, keys, runs, killRows, killRows)
	case run != done && run != trying:
		t.Errorf("rows are of run %d; run %d was committed and run %d was committing", run, done, trying)
	}
	ledger, err := h.query(t.Context(), `SELECT coalesce(sum("rows"), 0)::BIGINT, count(*) FROM uat.treeline.batch_ledger`)
	if err != nil || ledger[0][0] != rows {
		t.Errorf("the ledger says %v, %v; want %d rows", ledger, err, rows)
	}
}

func countRows(t *testing.T, w warehouse.Warehouse, ref warehouse.Ref) (rows int64) {
	t.Helper()
	s, err := w.Read(t.Context(), warehouse.Query{Ref: ref})
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
		rows += rec.NumRows()
		rec.Release()
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}
