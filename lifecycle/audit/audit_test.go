package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func add(t *testing.T, s store.Store, e audit.Entry) (out audit.Entry) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) (err error) {
		out, err = audit.Append(tx, e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fill makes a log of n entries and returns them, oldest first.
func fill(t *testing.T, path string, n int) []audit.Entry {
	t.Helper()
	s := open(t, path)
	var out []audit.Entry
	for i := range n {
		out = append(out, add(t, s, audit.Entry{
			At: now.Add(time.Duration(i)), Actor: "ann", Action: "promote", Model: []string{"a", "b"}[i%2],
			Version: int64(i), FromStage: "validated", ToStage: "champion", Generation: int64(i), Reason: fmt.Sprint("ö", i),
		}))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAppendAndList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	entries := fill(t, path, 5)
	svc := audit.New(audit.Deps{Store: open(t, path)})
	got, next, err := svc.List(t.Context(), audit.Filter{})
	if err != nil || next != "" {
		t.Fatal(next, err)
	}
	for i, e := range entries {
		if d := cmp.Diff(e, got[len(got)-1-i]); d != "" {
			t.Errorf("seq %d (-appended +listed)\n%s", e.Seq, d)
		}
	}
	if e := entries[0]; e.Seq != 1 || e.AuthMethod != "none" || e.At != now.UTC().Truncate(time.Microsecond) {
		t.Errorf("first entry is %+v", e)
	}
	page, next, err := svc.List(t.Context(), audit.Filter{Model: "a", PageSize: 2})
	if err != nil || next == "" || len(page) != 2 || page[0].Seq != 5 || page[1].Seq != 3 {
		t.Fatalf("page %+v, next %q (%v)", page, next, err)
	}
	page, next, err = svc.List(t.Context(), audit.Filter{Model: "a", PageSize: 2, PageToken: next})
	if err != nil || next != "" || len(page) != 1 || page[0].Seq != 1 {
		t.Fatalf("page %+v, next %q (%v)", page, next, err)
	}
	if _, _, err := svc.List(t.Context(), audit.Filter{PageToken: "x"}); !errors.Is(err, store.ErrPageToken) {
		t.Errorf("error is %v", err)
	}
	r, err := svc.Verify(t.Context())
	want := audit.Result{Valid: true, Entries: 5, Head: entries[4].Hash}
	if err != nil || r != want {
		t.Errorf("result %+v, want %+v (%v)", r, want, err)
	}
}

func TestEmptyLog(t *testing.T) {
	r, err := audit.New(audit.Deps{Store: open(t, filepath.Join(t.TempDir(), "s.db"))}).Verify(t.Context())
	if want := (audit.Result{Valid: true, Head: strings.Repeat("0", 64)}); err != nil || r != want {
		t.Errorf("result %+v, want %+v (%v)", r, want, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	for what, e := range map[string]audit.Entry{
		"long":     {At: now, Reason: strings.Repeat("x", audit.MaxText+1)},
		"not UTF8": {At: now, Actor: "a\xff"},
		"NUL":      {At: now, RequestID: "a\x00"},
		"no time":  {},
		"far time": {At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			_, err := audit.Append(tx, e)
			return err
		})
		if !errors.Is(err, audit.ErrInvalid) {
			t.Errorf("%s: error is %v, want %v", what, err, audit.ErrInvalid)
		}
	}
}

// TestTampering changes the file behind the store's back, as someone with a SQLite client and the permission to write
// the file would, with all the protections of the schema removed.
func TestTampering(t *testing.T) {
	const columns = `actor, auth_method, action, model, version, from_stage, to_stage, generation, reason, evidence_digest,
		request_id, prev_hash, hash`
	for name, c := range map[string]struct {
		sql     string
		seq     int64
		problem string
	}{
		"actor":                {`UPDATE audit SET actor = 'eve' WHERE seq = 3`, 3, "altered row"},
		"reason":               {`UPDATE audit SET reason = reason || ' ' WHERE seq = 1`, 1, "altered row"},
		"time":                 {`UPDATE audit SET at = '2026-03-01T12:00:00.123457Z' WHERE seq = 4`, 4, "altered row"},
		"version":              {`UPDATE audit SET version = 99 WHERE seq = 5`, 5, "altered row"},
		"stage":                {`UPDATE audit SET to_stage = 'archived' WHERE seq = 2`, 2, "altered row"},
		"generation":           {`UPDATE audit SET generation = generation + 1 WHERE seq = 2`, 2, "altered row"},
		"hash":                 {`UPDATE audit SET hash = replace(hash, substr(hash, 1, 1), 'f') || '' WHERE seq = 6`, 6, ""},
		"prev_hash":            {`UPDATE audit SET prev_hash = hash WHERE seq = 3`, 3, "altered row"},
		"field moved":          {`UPDATE audit SET actor = actor || action, action = '' WHERE seq = 2`, 2, "altered row"},
		"first deleted":        {`DELETE FROM audit WHERE seq = 1`, 1, "missing row"},
		"middle deleted":       {`DELETE FROM audit WHERE seq = 3`, 3, "missing row"},
		"last deleted":         {`DELETE FROM audit WHERE seq = 6`, 6, "missing row"},
		"tail deleted":         {`DELETE FROM audit WHERE seq >= 4`, 4, "missing row"},
		"all deleted":          {`DELETE FROM audit`, 1, "missing row"},
		"gap closed":           {`DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3`, 3, "altered row"},
		"rows swapped":         {`UPDATE audit SET seq = -2 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = -2`, 2, "altered row"},
		"row before first":     {`INSERT INTO audit SELECT 0, at, ` + columns + ` FROM audit WHERE seq = 1`, 1, "unexpected row"},
		"row appended":         {`INSERT INTO audit SELECT 7, at, ` + columns + ` FROM audit WHERE seq = 6`, 7, "altered row"},
		"head back":            {`UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5)`, 6, "head mismatch"},
		"head hash":            {`UPDATE audit_head SET hash = (SELECT hash FROM audit WHERE seq = 5)`, 6, "head mismatch"},
		"head deleted":         {`DELETE FROM audit_head`, 7, "end record"},
		"time is no time":      {`UPDATE audit SET at = 'noon' WHERE seq = 2`, 2, "cannot be read"},
		"contents exchanged":   {`UPDATE audit SET reason = CASE seq WHEN 2 THEN 'ö2' ELSE 'ö1' END WHERE seq IN (2, 3)`, 2, "altered row"},
		"tail and head undone": {`DELETE FROM audit WHERE seq = 6; UPDATE audit_head SET seq = 5, hash = (SELECT hash FROM audit WHERE seq = 5)`, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s.db")
			entries := fill(t, path, 6)
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			db.SetMaxOpenConns(1)
			for _, trigger := range []string{
				"audit_continues", "audit_moves_head", "audit_no_update", "audit_no_delete", "audit_head_stays", "audit_head_advances",
			} {
				if _, err := db.Exec(`DROP TRIGGER ` + trigger); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := db.Exec(c.sql); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := audit.New(audit.Deps{Store: open(t, path)}).Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.seq < 0 {
				// Out of reach without a head that was noted elsewhere; the head shows the difference.
				if !r.Valid || r.Head == entries[5].Hash || r.Head != entries[4].Hash {
					t.Errorf("result %+v", r)
				}
				return
			}
			if r.Valid || r.BrokenSeq != c.seq || !strings.Contains(r.Problem, c.problem) || r.Problem == "" {
				t.Errorf("result %+v, want seq %d broken by %q", r, c.seq, c.problem)
			}
			if c.seq > 1 && c.seq <= 6 && !strings.HasPrefix(c.problem, "head") && r.Head != entries[c.seq-2].Hash {
				t.Errorf("head is %s, want the hash before the broken entry", r.Head)
			}
		})
	}
}

// Each entry that changes a stage is in the outbox once, under its seq; one that does not is not.
func TestOutbox(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	add(t, s, audit.Entry{At: now, Action: "register", Model: "churn", Version: 3, ToStage: "trained", Generation: 2})
	add(t, s, audit.Entry{At: now, Action: "validate", Model: "churn", Version: 3, FromStage: "validated", ToStage: "validated"})
	add(t, s, audit.Entry{At: now, Action: "promote", Model: "churn", Version: 3, FromStage: "validated", ToStage: "champion", Generation: 3})
	refused := s.Update(t.Context(), func(tx store.Tx) error {
		_, err := audit.Append(tx, audit.Entry{At: now, Action: "archive", Model: "churn", FromStage: "champion", ToStage: "archived"})
		return errors.Join(err, errors.New("undone"))
	})
	if refused == nil {
		t.Fatal("not undone")
	}
	err := s.View(t.Context(), func(r store.Reader) error {
		rows, err := r.OutboxAll()
		var got []string
		for _, o := range rows {
			got = append(got, fmt.Sprintf("%s %d %s", o.Kind, o.Key, o.Payload))
		}
		want := []string{
			`registry 1 {"model":"churn","version":3,"from":"","to":"trained","generation":2,"seq":1}`,
			`registry 3 {"model":"churn","version":3,"from":"validated","to":"champion","generation":3,"seq":3}`,
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
