package duckdb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/warehouse"
)

func openWarehouse(t *testing.T) *Warehouse {
	t.Helper()
	w, err := Open(t.Context(), Config{Dir: t.TempDir(), Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func tablesOf(q selectQuery) string {
	names := make([]string, len(q.tables))
	for i, n := range q.tables {
		names[i] = n.String()
	}
	return strings.Join(names, " ")
}

// What authors of features write, with the tables that it reads.
func TestParseSelectAccepts(t *testing.T) {
	w := openWarehouse(t)
	for query, tables := range map[string]string{
		"SELECT 1": "",
		"/* c */ -- d\n/* e /* f; */ */ SELECT 1":                                                       "",
		"FROM a.b.c SELECT x ORDER BY x DESC NULLS LAST LIMIT 10 OFFSET 2":                              "a.b.c",
		`SELECT * FROM "A"."b".c; -- done`:                                                              "A.b.c",
		"SELECT x::DECIMAL(10,2), y::STRUCT(a INT), [i + 1 FOR i IN l] FROM a.b.c LIMIT 10%":            "a.b.c",
		"SELECT DISTINCT ON (x) * FROM a.b.c t JOIN a.b.d u USING (id) LEFT JOIN z.b.c v ON v.id = t.y": "a.b.c a.b.d z.b.c",
		"SELECT sum(x) FILTER (WHERE y) OVER (PARTITION BY z ORDER BY d ROWS BETWEEN 6 PRECEDING AND CURRENT ROW) FROM a.b.c WINDOW w AS (ORDER BY d) QUALIFY row_number() OVER w = 1": "a.b.c",
		"WITH x AS (SELECT * FROM a.b.c), y AS MATERIALIZED (SELECT * FROM X) SELECT * FROM x, y":                                                                                      "a.b.c",
		"WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 9) SELECT * FROM r":                                                                                "",
		"SELECT * FROM a.b.c WHERE d <= :compute_date AND EXISTS (SELECT 1 FROM a.b.d WHERE d.id = c.id) UNION SELECT * FROM a.b.e":                                                    "a.b.c a.b.d a.b.e",
		"SELECT * FROM (VALUES (1, 'x')) v(i, s), range(3), unnest([1, 2]), generate_series(1, 2)":                                                                                     "",
		"SELECT * FROM a.b.c ASOF JOIN a.b.d ON c.t >= d.t":                                                                                                                            "a.b.c a.b.d",
		"SELECT region, count(*) FROM a.b.c GROUP BY GROUPING SETS ((region), ()) HAVING count(*) > 1":                                                                                 "a.b.c",
		"SELECT * FROM (PIVOT a.b.c ON kind IN ('x', 'y') USING sum(v) GROUP BY id)":                                                                                                   "a.b.c",
		"SELECT * FROM (UNPIVOT a.b.c ON x, y INTO NAME n VALUE v)":                                                                                                                    "a.b.c",
		"SELECT * FROM a.b.c TABLESAMPLE 10%":                                                                                                                                          "a.b.c",
		"SELECT * FROM a.b.c, LATERAL (SELECT c.x + 1 AS y) l":                                                                                                                         "a.b.c",
		"SELECT CASE WHEN x IN (1, 2) THEN 'a' ELSE NULL END, x BETWEEN 1 AND 2, x LIKE 'a%', -x, DATE '2026-01-01', INTERVAL 3 DAY, COLUMNS('a.*') FROM a.b.c":                        "a.b.c",
		"SELECT list_transform(l, lambda x: x + 1), {'a': 1}, MAP {'k': 1}, (SELECT max(d) FROM a.b.d) FROM a.b.c":                                                                     "a.b.c a.b.d",
		"/* :compute_date; */ SELECT ':compute_date', $$:compute_date$$, e'\\':compute_date' FROM a.b.c /* ; */ ; -- ;":                                                                "a.b.c",
		"VALUES (1)": "",
	} {
		q, err := parseSelect(t.Context(), w.db, query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := tablesOf(q); got != tables {
			t.Errorf("%s: tables are %q, want %q", query, got, tables)
		}
	}
}

func TestParseSelectRefuses(t *testing.T) {
	w := openWarehouse(t)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for query, text := range map[string]string{
		"FROM read_csv('" + secret + "')":                                "read_csv",
		"FROM '" + secret + "'":                                          "catalog.schema.table",
		"FROM \"" + secret + "\"":                                        "catalog.schema.table",
		"WITH \"secret.csv\" AS (SELECT 1) SELECT * FROM \"secret.csv\"": "letters",
		"SELECT * FROM a.b.c WHERE x IN (FROM read_parquet('x'))":        "read_parquet",
		"SELECT (SELECT content FROM read_text('/etc/passwd'))":          "read_text",
		"SELECT [x FOR x IN (SELECT list(a) FROM glob('*'))]":            "glob",
		"WITH x AS (FROM parquet_scan('x')) SELECT 1":                    "parquet_scan",
		"SELECT 1 UNION ALL SELECT a FROM read_json('x')":                "read_json",
		"SELECT * FROM query('DROP TABLE x')":                            "query",
		"SELECT * FROM query_table('x')":                                 "query_table",
		"SELECT * FROM duckdb_secrets()":                                 "duckdb_secrets",
		"SELECT * FROM pragma_version()":                                 "pragma_version",
		"SELECT * FROM (DESCRIBE a.b.c)":                                 "show",
		"DESCRIBE a.b.c":                                                 "show",
		"SELECT * FROM (SUMMARIZE a.b.c)":                                "show",
		"SHOW TABLES":                                                    "",
		"EXPLAIN SELECT 1":                                               "SELECT",
		"PRAGMA version":                                                 "",
		"ATTACH 'x'":                                                     "SELECT",
		"INSTALL httpfs":                                                 "SELECT",
		"LOAD httpfs":                                                    "SELECT",
		"COPY (SELECT 1) TO 'x'":                                         "SELECT",
		"EXPORT DATABASE 'x'":                                            "SELECT",
		"SET memory_limit = '1TB'":                                       "SELECT",
		"CALL pragma_version()":                                          "SELECT",
		"CREATE TABLE a.b.c AS SELECT 1":                                 "SELECT",
		"SELECT 1) TO '/tmp/x' --":                                       "syntax error",
		"SELECT 1 /*":                                                    "",
		"SELECT $1":                                                      `"1"`,
		"SELECT ?":                                                       `"1"`,
		"SELECT $compute_date":                                           ":compute_date",
		"SELECT 1 WHERE :compute_dates":                                  "syntax error",
		"SELECT x::compute_date; SELECT 2":                               "2 statements",
		"SELECT '\x00'":                                                  "zero byte",
		"SELECT '" + strings.Repeat("x", maxQuery) + "'":                 "bytes",
		"SELECT * FROM a.b.c\nWHERE x = = 1":                             "line 2",
	} {
		_, err := parseSelect(t.Context(), w.db, query)
		if !errors.Is(err, warehouse.ErrSQL) || !strings.Contains(err.Error(), text) {
			t.Errorf("%.80s: error is %v, want %v with %q", query, err, warehouse.ErrSQL, text)
		}
	}
}

func TestBindable(t *testing.T) {
	const p = "CAST($treeline_compute_date AS DATE)"
	for in, want := range map[string]string{
		":compute_date":                           p,
		"a=:compute_date+1":                       "a=" + p + "+1",
		":compute_date:compute_date":              p + p,
		"x::compute_date":                         "x::compute_date",
		":compute_date_x :compute_dates":          ":compute_date_x :compute_dates",
		"'a '':compute_date' :compute_date":       "'a '':compute_date' " + p,
		`"x"":compute_date" :compute_date`:        `"x"":compute_date" ` + p,
		`e'\':compute_date' :compute_date`:        `e'\':compute_date' ` + p,
		`name':compute_date'`:                     `name':compute_date'`,
		"-- :compute_date\n:compute_date":         "-- :compute_date\n" + p,
		"/* /* */ :compute_date */ :compute_date": "/* /* */ :compute_date */ " + p,
		"$$ :compute_date $$ :compute_date":       "$$ :compute_date $$ " + p,
		"$t$ $$ :compute_date $t$ :compute_date":  "$t$ $$ :compute_date $t$ " + p,
		"$1 :compute_date $2":                     "$1 " + p + " $2",
		"SELECT 1 ; -- x":                         "SELECT 1 ",
		"SELECT 1; SELECT 2;":                     "SELECT 1; SELECT 2",
		"SELECT ';' ;;":                           "SELECT ';' ",
		"'open :compute_date":                     "'open :compute_date",
		"/* open :compute_date":                   "/* open :compute_date",
		"$$ open :compute_date":                   "$$ open :compute_date",
		"":                                        "",
	} {
		if got, bound := bindable(in); got != want || bound != strings.Contains(want, p) {
			t.Errorf("%q becomes %q (%v), want %q", in, got, bound, want)
		}
	}
}

// FuzzBindable: whatever the text, nothing but placeholders and what follows the last statement changes.
func FuzzBindable(f *testing.F) {
	for _, s := range []string{"SELECT :compute_date;", "'x' /* */ -- \n $a$ $a$ \"\"", "e'\\", "a::compute_date", "$", "/*", "$é$ $é$"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, bound := bindable(s)
		back := strings.ReplaceAll(got, "CAST($treeline_compute_date AS DATE)", computeDate)
		if !strings.Contains(s, "treeline_compute_date") && !strings.HasPrefix(s, back) {
			t.Errorf("%q becomes %q", s, got)
		}
		if rest := strings.TrimPrefix(s, back); bound && !strings.Contains(s, computeDate) || rest != "" && rest[0] != ';' && strings.HasPrefix(s, back) {
			t.Errorf("%q becomes %q, without %q", s, got, rest)
		}
	})
}
