package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/treeline-ml/treeline/store"
)

// schema makes a file as the release of a schema version did.
func schema(t *testing.T, path string, version int64) *sql.DB {
	t.Helper()
	db := raw(t, path)
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"),
		goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_version"), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

// A file that an earlier release made keeps its batches; what it never counted is 0.
func TestMigrationKeepsBatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := schema(t, path, 1)
	if _, err := db.Exec(`
INSERT INTO batch (id, state, phase, attempt, model, version, run_id, model_digest, generation, git_sha, trained_at,
       feature_schema_hash, engine_build, input_source, input_version, input_date, output_table, config_digest, rows,
       started_at, finished_at, scored_at, timings, histogram, output_digest, replaced, error)
VALUES ('old', 'running', 'score', 1, 'churn', 3, '', 'd', 5, '', '', '', '', 's', 'v', '', 'a.b.c', 'd', 1234,
       '2026-01-02T03:04:05.000000Z', '', '', 'null', 'null', '', 0, '')`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := store.NewLedger(s)
	b, err := l.GetBatch(t.Context(), "old")
	if err != nil {
		t.Fatal(err)
	}
	if b.Rows != 1234 || b.RowsRefused != 0 {
		t.Errorf("%d rows, %d refused, want 1234 and 0", b.Rows, b.RowsRefused)
	}
	b.State, b.RowsRefused = store.BatchSucceeded, 9
	if err := l.FinishBatch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if b, err = l.GetBatch(t.Context(), "old"); err != nil || b.RowsRefused != 9 {
		t.Errorf("%d refused, want 9 (%v)", b.RowsRefused, err)
	}
}

// lines reads a query as text, a line a row.
func lines(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, v := range values {
			texts = append(texts, fmt.Sprint(*v.(*any)))
		}
		out = append(out, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// oldRows fill a file of schema version 2 through its own triggers and foreign keys.
const oldRows = `
PRAGMA foreign_keys = ON;
INSERT INTO model VALUES ('churn', 1, 2, '2026-01-02T03:04:05.000000Z');
INSERT INTO version VALUES
  ('churn', 1, 'champion', '2026-01-02T03:04:05.000000Z', 'sha256:1', 'm.txt', 'g.parquet', 'f', 'l', 'v', 'o', 11, 200,
   'run', 'abc', '', '2026-01-02T03:04:05.000000Z', 'ann', '{"team":"growth"}'),
  ('churn', 2, 'rejected', '2026-01-02T03:04:05.000000Z', 'sha256:2', 'm.txt', '', 'f', 'l', 'v', 'o', 1, 2, '', '', '',
   '2026-01-02T03:04:05.000000Z', 'bob', '{}');
INSERT INTO audit VALUES (1, '2026-01-02T03:04:05.000000Z', 'ann', 'none', 'promote', 'churn', 1, 'validated', 'champion', 1,
   'r', '', '', '0000000000000000000000000000000000000000000000000000000000000000',
   'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO champion_period VALUES ('churn', 1, 1, 0, '2026-01-02T03:04:05.000000Z', '', 'promote', 'ann', 'r', 1);
INSERT INTO evidence (model, version, outcome, digest, report, at, actor)
  VALUES ('churn', 1, 'pass', 'sha256:e', x'7b7d', '2026-01-02T03:04:05.000000Z', 'ann');
INSERT INTO outbox (kind, key, payload, created_at) VALUES ('promotion', 1, x'7b7d', '2026-01-02T03:04:05.000000Z');`

// A file of the release before trainings keeps every row, and every rule that the schema holds rows to.
func TestMigrationKeepsVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := schema(t, path, 2)
	if _, err := db.Exec(oldRows); err != nil {
		t.Fatal(err)
	}
	const old = `SELECT model, version, stage, stage_at, digest, model_file, golden_file, format, library, library_version, objective,
		features, trees, run_id, git_sha, trained_at, registered_at, registered_by, tags FROM version`
	before := map[string][]string{}
	queries := []string{
		old, `SELECT * FROM champion_period`, `SELECT * FROM evidence`, `SELECT * FROM promotions`, `SELECT * FROM audit`,
		`SELECT id, kind, key, payload, created_at, delivered_at, attempts, last_error FROM outbox`,
	}
	for _, q := range queries {
		before[q] = lines(t, db, q)
	}
	const objects = `SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY 1`
	had := lines(t, db, objects)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		v, err := r.Version("churn", 1)
		if v.Digest != "sha256:1" || v.Trees != 200 || v.Tags["team"] != "growth" || v.TrainingID != "" || len(v.Metrics) != 0 {
			t.Errorf("version is %+v", v)
		}
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}

	db = raw(t, path)
	for _, q := range queries {
		if d := cmp.Diff(before[q], lines(t, db, q)); d != "" {
			t.Errorf("%s\n%s", q, d)
		}
	}
	has := lines(t, db, objects)
	for _, o := range had {
		if !slices.Contains(has, o) {
			t.Errorf("%s is gone", o)
		}
	}
	if slices.ContainsFunc(has, func(o string) bool { return strings.Contains(o, "aside") }) {
		t.Errorf("left behind: %v", has)
	}
	if bad := append(lines(t, db, `PRAGMA foreign_key_check`), lines(t, db, `PRAGMA integrity_check`)...); !slices.Equal(bad, []string{"ok"}) {
		t.Errorf("after the migration: %v", bad)
	}
	if _, err := db.Exec(`PRAGMA foreign_keys = ON`); err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		`DELETE FROM version`,
		`UPDATE version SET stage = 'champion' WHERE version = 2`,
		`UPDATE version SET digest = 'sha256:3' WHERE version = 2`,
		`UPDATE version SET digest = '' WHERE version = 1`,
		`UPDATE version SET version = 3 WHERE version = 1`,
		`UPDATE evidence SET version = 9`,
		`UPDATE champion_period SET version = 2`,
		`DELETE FROM outbox`,
	} {
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("accepted: %s", stmt)
		}
	}
}

// The rules of the new tables hold for whoever writes the file.
func TestNewTablesRefuse(t *testing.T) {
	db := raw(t, seeded(t))
	if _, err := db.Exec(`
INSERT INTO training SELECT 't', 'churn', 1, 'failed', 1, '', '', '', '', '', '', '', '', '', 0, '', '', '', '', '{}', '', 'x', '', '',
   '', 0, 0, 0, 0, '', '';
INSERT INTO workflow VALUES ('w', 'k', '', 'running', x'', x'', '', '', 1, 'x', 'x', '');
INSERT INTO workflow_step VALUES ('w', 1, 'one', x'', '', '', '');
UPDATE workflow SET state = 'failed', finished_at = 'x';
INSERT INTO decision (model, kind, at, outcome, reason, actor, run_id, evidence) VALUES ('m', 'k', 'x', 'fired', '', '', '', '{}');
INSERT INTO drift (model, version, batch_id, reference, mode, verdict, at, body) VALUES ('m', 1, '', '', '', 'ok', 'x', x'');`); err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		`UPDATE training SET state = 'running'`,
		`DELETE FROM training`,
		`UPDATE workflow SET state = 'running', finished_at = ''`,
		`UPDATE workflow SET error = 'other'`,
		`DELETE FROM workflow`,
		`INSERT INTO workflow VALUES ('v', 'k', '', 'succeeded', x'', x'', '', '', 1, 'x', 'x', '')`,
		`INSERT INTO workflow_step VALUES ('w', 2, 'two', x'', '', '', '')`,
		`UPDATE workflow_step SET output = x'00'`,
		`DELETE FROM workflow_step`,
		`INSERT INTO workflow_signal (workflow_id, name, payload, at) VALUES ('w', 'go', x'', 'x')`,
		`UPDATE decision SET outcome = 'cooldown'`,
		`DELETE FROM decision`,
		`UPDATE drift SET verdict = 'drift'`,
		`DELETE FROM drift`,
		`UPDATE version SET digest = 'e' WHERE digest = 'd'`,
	} {
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("accepted: %s", stmt)
		}
	}
}
