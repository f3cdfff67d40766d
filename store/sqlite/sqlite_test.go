package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB, dir string) store.Store {
		s, err := Open(t.Context(), filepath.Join(dir, "a b?c#d%20.db")) // a path that a URI would read otherwise
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// raw opens the file as any SQLite client would, with none of our pragmas.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func seeded(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(t.Context(), func(tx store.Tx) error {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		prev := strings.Repeat("0", 64)
		for i, action := range []string{"register", "promote"} {
			hash := strings.Repeat(string(rune('a'+i)), 64)
			err := tx.AppendAudit(store.AuditRow{
				Seq: int64(i + 1), At: now, Actor: "ann", Action: action, Model: "churn", Version: 1,
				FromStage: []string{"", "validated"}[i], ToStage: []string{"trained", "champion"}[i],
				PrevHash: prev, Hash: hash,
			})
			if err != nil {
				return err
			}
			prev = hash
		}
		if err := tx.EnsureModel("churn", now); err != nil {
			return err
		}
		return tx.InsertVersion(store.Version{Model: "churn", Version: 1, Stage: "trained", Digest: "d"})
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettings(t *testing.T) {
	path := seeded(t)
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, db := range map[string]*sql.DB{"writer": s.writer, "reader": s.reader} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
			"query_only": map[string]string{"writer": "0", "reader": "1"}[name],
		} {
			var got string
			if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q (%v)", name, pragma, got, want, err)
			}
		}
	}
}

func TestFileMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	for range 2 {
		s, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		err = s.Update(t.Context(), func(tx store.Tx) error { return tx.EnsureModel("m", time.Now()) })
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(path + "*")
		if err != nil || len(files) < 3 {
			t.Fatalf("files %v, want the database, its WAL and its index (%v)", files, err)
		}
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, want 0600 (%v)", f, info.Mode(), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil { // the second round narrows it again
			t.Fatal(err)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	path := seeded(t)
	db := raw(t, path)
	for _, stmt := range []string{
		`UPDATE audit SET reason = 'x' WHERE seq = 1`,
		`DELETE FROM audit WHERE seq = 2`,
		`DELETE FROM audit`,
		`INSERT OR REPLACE INTO audit SELECT seq, at, 'eve', auth_method, action, model, version, from_stage, to_stage,
		   generation, reason, evidence_digest, request_id, prev_hash, hash FROM audit WHERE seq = 1`,
		`INSERT INTO audit SELECT seq + 9, at, 'eve', auth_method, action, model, version, from_stage, to_stage,
		   generation, reason, evidence_digest, request_id, prev_hash, hash FROM audit WHERE seq = 1`,
		`UPDATE audit_head SET seq = 1`,
		`DELETE FROM audit_head`,
		`DELETE FROM version`,
		`UPDATE version SET stage = 'star'`,
		`UPDATE version SET features = 'many'`,
	} {
		if _, err := db.Exec(stmt); err == nil {
			t.Errorf("accepted: %s", stmt)
		}
	}
	var n int
	if err := db.QueryRow(`SELECT count(*) FROM audit WHERE actor = 'ann'`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d audit rows, want 2 (%v)", n, err)
	}
}

func TestPromotionsView(t *testing.T) {
	db := raw(t, seeded(t))
	var row [6]string
	err := db.QueryRow(`SELECT model_name, version, promotion_timestamp, promoted_by, from_stage, to_stage FROM promotions`).
		Scan(&row[0], &row[1], &row[2], &row[3], &row[4], &row[5])
	want := [6]string{"churn", "1", "2026-01-02T03:04:05.000000Z", "ann", "Validated", "Champion"}
	if err != nil || row != want {
		t.Fatalf("row %q, want %q (%v)", row, want, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Run("locked by another process", func(t *testing.T) {
		path := seeded(t)
		db := raw(t, path)
		if _, err := db.Exec(`BEGIN EXCLUSIVE`); err != nil {
			t.Fatal(err)
		}
		_, err := open(t.Context(), path, 10*time.Millisecond)
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), path) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("locked while open", func(t *testing.T) {
		path := seeded(t)
		s, err := open(t.Context(), path, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		db := raw(t, path)
		if _, err := db.Exec(`BEGIN IMMEDIATE`); err != nil {
			t.Fatal(err)
		}
		err = s.Update(t.Context(), func(store.Tx) error { return nil })
		if !errors.Is(err, store.ErrLocked) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("not a database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("hello ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("another program's database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.db")
		if _, err := raw(t, path).Exec(`CREATE TABLE recipes (name TEXT)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("newer schema", func(t *testing.T) {
		path := seeded(t)
		if _, err := raw(t, path).Exec(`INSERT INTO schema_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); !errors.Is(err, store.ErrNewerSchema) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		path := seeded(t)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 4096; i < len(b); i++ {
			b[i] = 0xff
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), path); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("directory", func(t *testing.T) {
		if _, err := Open(t.Context(), t.TempDir()); err == nil {
			t.Fatal("opened a directory")
		}
	})
	t.Run("missing directory", func(t *testing.T) {
		if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "a", "b.db")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("error is %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Open(ctx, filepath.Join(t.TempDir(), "x.db")); !errors.Is(err, context.Canceled) {
			t.Fatalf("error is %v", err)
		}
	})
}

func TestFull(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.writer.Exec(`PRAGMA max_page_count = 1`); err != nil { // means: not one page more than now
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	err = s.Update(t.Context(), func(tx store.Tx) error {
		_, err := tx.Enqueue(store.OutboxRow{Kind: "k", Payload: big, CreatedAt: time.Now()})
		return err
	})
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("error is %v", err)
	}
	err = s.View(t.Context(), func(r store.Reader) error {
		rows, err := r.OutboxAll()
		if len(rows) != 0 {
			t.Errorf("%d rows, want none", len(rows))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
