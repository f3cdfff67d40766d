package warehousetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/warehouse"
)

func computed() warehouse.TableName {
	return warehouse.TableName{Catalog: "uat", Schema: "computed", Table: "account_features"}
}

// events makes a table in another catalog than the features: three accounts with some payments on two days.
func (f Fixture) events(t *testing.T) {
	t.Helper()
	f.schema(t, warehouse.TableName{Catalog: "raw", Schema: "shop"})
	f.exec(t, "CREATE TABLE raw.shop.payments (account_id BIGINT, paid_at TIMESTAMP, amount DOUBLE)")
	f.exec(t, `INSERT INTO raw.shop.payments VALUES
		(1, TIMESTAMP '2026-01-01 10:00:00', 10), (1, TIMESTAMP '2026-01-02 10:00:00', 5), (2, TIMESTAMP '2026-01-01 12:00:00', 7),
		(3, TIMESTAMP '2026-01-02 12:00:00', 0.25)`)
}

// paid is what each account has paid until the day.
const paid = `-- one row an account
	SELECT account_id, CAST(:compute_date AS DATE) AS day, sum(amount) AS paid, ':compute_date' AS note
	FROM raw.shop.payments WHERE CAST(paid_at AS DATE) <= :compute_date GROUP BY account_id -- no semicolon`

func paidOn(date string) warehouse.Materialisation {
	return warehouse.Materialisation{Table: computed(), SQL: paid, DateColumn: "day", Date: date, CodeDigest: "1"}
}

func (f Fixture) materialise(t *testing.T, m warehouse.Materialisation, wantComputed bool) warehouse.Materialised {
	t.Helper()
	out, err := f.Warehouse.Materialise(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if out.Computed != wantComputed || out.Version == "" {
		t.Fatalf("%s: %+v, want computed %v", m.Date, out, wantComputed)
	}
	return out
}

func (f Fixture) wantComputedRows(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, r := range f.query(t, "SELECT account_id, CAST(day AS VARCHAR), paid, note FROM "+computed().String()+" ORDER BY day, account_id") {
		got = append(got, fmt.Sprintf("%v %v %v %v", r...))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("rows (-want +got)\n%s", d)
	}
}

func materialiseCases() []testCase {
	return []testCase{
		{"computes a day once", computesOnce},
		{"computes again what was changed", computesAgain},
		{"equal calls at once compute once", computesOnceConcurrently},
		{"another day keeps the others", func(t *testing.T, f Fixture) {
			f.events(t)
			first := f.materialise(t, paidOn("2026-01-01"), true)
			second := f.materialise(t, paidOn("2026-01-02"), true)
			if first.Rows != 2 || second.Rows != 3 || first.Version == second.Version {
				t.Errorf("%+v, %+v", first, second)
			}
			f.wantComputedRows(t, "1 2026-01-01 10 :compute_date", "2 2026-01-01 7 :compute_date",
				"1 2026-01-02 15 :compute_date", "2 2026-01-02 7 :compute_date", "3 2026-01-02 0.25 :compute_date")
			f.materialise(t, paidOn("2026-01-01"), false)
		}},
		{"lists every column that differs", func(t *testing.T, f Fixture) {
			f.events(t)
			f.schema(t, computed())
			f.exec(t, "CREATE TABLE "+computed().String()+" (account_id VARCHAR, day DATE, paid DOUBLE, extra BIGINT)")
			f.exec(t, "INSERT INTO "+computed().String()+" VALUES ('x', DATE '2026-01-01', 1, 2)")
			_, err := f.Warehouse.Materialise(t.Context(), paidOn("2026-01-01"))
			wantError(t, err, warehouse.ErrTargetMismatch, "account_id", "BIGINT", "note", "extra", computed().String())
			if got := f.query(t, "SELECT count(*) FROM "+computed().String()); got[0][0] != int64(1) {
				t.Errorf("the table has %v rows", got[0][0])
			}
		}},
		{"refuses anything but a SELECT over tables", refusesQueries},
		{"a query that fails leaves the table alone", func(t *testing.T, f Fixture) {
			f.events(t)
			f.materialise(t, paidOn("2026-01-01"), true)
			f.exec(t, "INSERT INTO raw.shop.payments VALUES (9, TIMESTAMP '2026-01-01 10:00:00', 1)")
			for _, c := range []struct {
				sql  string
				want error
				text string
			}{
				{"SELECT account_id, :compute_date AS day, CAST('x' AS DOUBLE) AS paid, 'n' AS note FROM raw.shop.payments", warehouse.ErrSQL, ""},
				{"SELECT account_id, :compute_date AS day, amount AS paid, 'n' AS note FROM raw.shop.payments WHERE false", warehouse.ErrEmptyTable, "no rows"},
				{"SELECT account_id, CAST(paid_at AS DATE) AS day, amount AS paid, 'n' AS note FROM raw.shop.payments", warehouse.ErrColumn, "2 of 5 rows"},
				{"SELECT account_id, CAST(NULL AS DATE) AS day, amount AS paid, 'n' AS note FROM raw.shop.payments", warehouse.ErrColumn, "5 of 5 rows"},
				{"SELECT account_id, amount AS paid FROM raw.shop.payments", warehouse.ErrColumn, `"day"`},
				{"SELECT account_id, amount AS day FROM raw.shop.payments", warehouse.ErrColumn, "DOUBLE"},
				{"SELECT * FROM raw.shop.paymnets", warehouse.ErrTableNotFound, "raw.shop.payments"},
				{"SELECT nothing FROM raw.shop.payments", warehouse.ErrSQL, "nothing"},
			} {
				m := paidOn("2026-01-01")
				m.SQL = c.sql
				_, err := f.Warehouse.Materialise(t.Context(), m)
				wantError(t, err, c.want, c.text, computed().String(), "2026-01-01")
			}
			f.wantComputedRows(t, "1 2026-01-01 10 :compute_date", "2 2026-01-01 7 :compute_date")
			f.materialise(t, paidOn("2026-01-01"), false)
			if err := f.StagingEmpty(); err != nil {
				t.Error(err)
			}
		}},
		{"refuses a bad day", func(t *testing.T, f Fixture) {
			f.events(t)
			_, err := f.Warehouse.Materialise(t.Context(), paidOn("01.01.2026"))
			wantError(t, err, warehouse.ErrColumn, "YYYY-MM-DD")
			m := paidOn("2026-01-01")
			m.DateColumn = ""
			_, err = f.Warehouse.Materialise(t.Context(), m)
			wantError(t, err, warehouse.ErrColumn)
		}},
		{"gives up when cancelled", func(t *testing.T, f Fixture) {
			f.events(t)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := f.Warehouse.Materialise(ctx, paidOn("2026-01-01")); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
		}},
	}
}

func computesOnce(t *testing.T, f Fixture) {
	f.events(t)
	first := f.materialise(t, paidOn("2026-01-01"), true)
	f.wantComputedRows(t, "1 2026-01-01 10 :compute_date", "2 2026-01-01 7 :compute_date")
	// What the query reads may change: the day stays as it was computed.
	f.exec(t, "INSERT INTO raw.shop.payments VALUES (9, TIMESTAMP '2026-01-01 10:00:00', 1)")
	again := f.materialise(t, paidOn("2026-01-01"), false)
	if again.Rows != first.Rows || again.Version != first.Version {
		t.Errorf("%+v, was %+v", again, first)
	}
	f.Warehouse = f.Reopen(t)
	f.materialise(t, paidOn("2026-01-01"), false)
	// A snapshot sees the computed rows.
	ref := snapshot(t, f.Warehouse, warehouse.Input{Table: computed(), Keys: []string{"account_id"}, DateColumn: "day", Through: "2026-01-01"})
	if ref.Rows != 2 {
		t.Errorf("the snapshot has %d rows", ref.Rows)
	}
}

func computesAgain(t *testing.T, f Fixture) {
	f.events(t)
	first := f.materialise(t, paidOn("2026-01-01"), true)
	f.exec(t, "INSERT INTO raw.shop.payments VALUES (9, TIMESTAMP '2026-01-01 10:00:00', 1)")
	m := paidOn("2026-01-01")
	m.CodeDigest = "2"
	second := f.materialise(t, m, true)
	if second.Rows != 3 || second.Version == first.Version {
		t.Errorf("another digest: %+v, was %+v", second, first)
	}
	f.materialise(t, m, false)
	m.SQL += "\nHAVING account_id < 5"
	third := f.materialise(t, m, true)
	if third.Version != first.Version {
		t.Errorf("equal rows have version %s, want %s", third.Version, first.Version)
	}
	// Somebody who changes or removes rows of the day does not go unnoticed.
	for _, change := range []string{"UPDATE %s SET paid = 99 WHERE account_id = 1", "DELETE FROM %s WHERE account_id = 1", "DELETE FROM %s", "DROP TABLE %s"} {
		f.exec(t, fmt.Sprintf(change, computed()))
		if out := f.materialise(t, m, true); out.Version != first.Version {
			t.Errorf("%s: version is %s, want %s", change, out.Version, first.Version)
		}
	}
	f.wantComputedRows(t, "1 2026-01-01 10 :compute_date", "2 2026-01-01 7 :compute_date")
}

func computesOnceConcurrently(t *testing.T, f Fixture) {
	f.events(t)
	const n = 6
	outs := make([]warehouse.Materialised, 2*n)
	var wg sync.WaitGroup
	for i := range outs {
		wg.Go(func() {
			var err error
			if outs[i], err = f.Warehouse.Materialise(t.Context(), paidOn([]string{"2026-01-01", "2026-01-02"}[i%2])); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	times := [2]int{}
	for i, o := range outs {
		if o.Computed {
			times[i%2]++
		}
		if o.Version != outs[i%2].Version || o.Version == "" {
			t.Errorf("call %d: %+v, others %+v", i, o, outs[i%2])
		}
	}
	if times != [2]int{1, 1} {
		t.Errorf("the days were computed %v times, want once each", times)
	}
}

func refusesQueries(t *testing.T, f Fixture) {
	f.events(t)
	for sql, text := range map[string]string{
		"":        "",
		"SELEC 1": "line 1",
		"SELECT 1 AS x\nFROM raw.shop.payments\nWHERE (":                        "",
		"INSERT INTO raw.shop.payments VALUES (1, NULL, 1)":                     "SELECT",
		"DELETE FROM raw.shop.payments":                                         "SELECT",
		"DROP TABLE raw.shop.payments":                                          "SELECT",
		"SELECT 1 AS x; DROP TABLE raw.shop.payments":                           "",
		"SELECT 1 AS x; SELECT 2 AS x":                                          "2 statements",
		"SELECT * FROM shop.payments":                                           "catalog.schema.table",
		"SELECT * FROM payments":                                                "catalog.schema.table",
		"SELECT * FROM raw.shop.payments WHERE amount > :other":                 "",
		"WITH x AS (DELETE FROM raw.shop.payments RETURNING *) SELECT * FROM x": "",
	} {
		m := paidOn("2026-01-01")
		m.SQL = sql
		_, err := f.Warehouse.Materialise(t.Context(), m)
		if err == nil {
			t.Errorf("%q: no error", sql)
			continue
		}
		wantError(t, err, warehouse.ErrSQL, text)
	}
	if got := f.query(t, "SELECT count(*) FROM raw.shop.payments"); got[0][0] != int64(4) {
		t.Errorf("payments have %v rows, want 4", got[0][0])
	}
}
