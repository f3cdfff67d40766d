package duckdb_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
	"github.com/treeline-ml/treeline/warehouse/duckdb"
)

// computedDay is 20,000 rows that all carry the run's number.
func computedDay(run int) warehouse.Materialisation {
	return warehouse.Materialisation{
		Table: warehouse.TableName{Catalog: "uat", Schema: "features", Table: "computed"}, DateColumn: "day", Date: "2026-01-02",
		SQL:        fmt.Sprintf("SELECT i AS id, :compute_date AS day, %d AS run FROM range(20000) t(i)", run),
		CodeDigest: strconv.Itoa(run),
	}
}

// materialiseForever computes the same day again and again.
func materialiseForever() int {
	w, err := duckdb.Open(context.Background(), duckdb.Config{Dir: os.Getenv(dirVariable), Threads: 2})
	if err != nil {
		return complain(err)
	}
	first, err := strconv.Atoi(os.Getenv(runVariable))
	if err != nil {
		return complain(err)
	}
	for run := first; ; run++ {
		out, err := w.Materialise(context.Background(), computedDay(run))
		if err != nil || !out.Computed {
			return complain(errors.Join(err, fmt.Errorf("%+v", out)))
		}
		fmt.Println(run)
	}
}

// A kill at any moment leaves the day of one run, that was reported or the next, and the ledger knows which.
func TestMaterialiseKilled(t *testing.T) {
	dir := t.TempDir()
	last := 0
	for kill := range 6 {
		c, err := startChild(t, "materialiser", dir, last+1, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if !c.lines.Scan() {
				t.Fatal("the child ended by itself")
			}
		}
		<-time.After(time.Duration(rand.IntN(60)) * time.Millisecond)
		reported := c.lines.Text()
		if rest := c.kill(t); len(rest) > 0 {
			reported = rest[len(rest)-1]
		}
		if last, err = strconv.Atoi(strings.TrimSpace(reported)); err != nil {
			t.Fatal(err)
		}
		w, err := duckdb.Open(t.Context(), duckdb.Config{Dir: dir, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Describe(t.Context(), warehouse.Input{Table: computedDay(0).Table}); err != nil {
			t.Fatal(err)
		}
		n, ids, first, end := countRuns(t, w)
		if n != 20000 || ids != n || first != end || end < last || end > last+1 {
			t.Errorf("kill %d: %d rows of %d ids of the runs %d to %d, reported was %d", kill, n, ids, first, end, last)
		}
		out, err := w.Materialise(t.Context(), computedDay(end))
		if err != nil || out.Computed || out.Rows != 20000 {
			t.Errorf("kill %d: %+v, %v", kill, out, err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		last = end
	}
}

func countRuns(t *testing.T, w *duckdb.Warehouse) (n, ids, first, last int) {
	t.Helper()
	rows, err := w.Query(t.Context(), "SELECT count(*), count(DISTINCT id), min(run), max(run) FROM uat.features.computed")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	if err := errors.Join(rows.Scan(&n, &ids, &first, &last), rows.Err()); err != nil {
		t.Fatal(err)
	}
	return n, ids, first, last
}
