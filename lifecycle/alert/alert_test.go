package alert_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func open(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t *testing.T, s store.Store, alerts ...alert.Alert) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, a := range alerts {
			if err := alert.Put(tx, a); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func rows(t *testing.T, s store.Store) (out []store.OutboxRow) {
	t.Helper()
	err := s.View(t.Context(), func(r store.Reader) (err error) {
		out, err = r.OutboxAll()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An alert is sent once until it is resolved, which is sent too; after that it may be raised anew.
func TestPut(t *testing.T) {
	s := open(t)
	a := alert.Alert{Key: "churn/train", Severity: alert.Ticket, Model: "churn", Version: 3, Title: "Training failed", Text: "exit 10", At: at}
	later, over := a, a
	later.At = at.Add(time.Hour)
	over.Resolved, over.At = true, at.Add(2*time.Hour)
	put(t, s, over) // nothing to resolve
	if n := len(rows(t, s)); n != 0 {
		t.Fatalf("%d rows before anything was raised", n)
	}
	put(t, s, a, later, later)
	other := a
	other.Key = "fraud/train"
	put(t, s, other)
	err := s.View(t.Context(), func(r store.Reader) error {
		row, err := r.Alert(a.Key)
		if row.Count != 3 || !row.LastAt.Equal(later.At.Truncate(time.Microsecond)) || row.Title != a.Title || row.Severity != "ticket" {
			t.Errorf("alert is %+v", row)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(rows(t, s)); n != 2 {
		t.Fatalf("%d rows for two alerts", n)
	}
	put(t, s, over, over)
	put(t, s, a)
	got := rows(t, s)
	if len(got) != 4 {
		t.Fatalf("%d rows, want raised, raised, resolved, raised", len(got))
	}
	for i, resolved := range []bool{false, false, true, false} {
		if strings.Contains(string(got[i].Payload), `"resolved":true`) != resolved || got[i].Kind != alert.OutboxKind {
			t.Errorf("row %d is %s %s", i, got[i].Kind, got[i].Payload)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	s := open(t)
	good := alert.Alert{Key: "k", Severity: alert.Page, Title: "t", At: at}
	for name, change := range map[string]func(a *alert.Alert){
		"no key":      func(a *alert.Alert) { a.Key = "" },
		"long key":    func(a *alert.Alert) { a.Key = strings.Repeat("k", 600) },
		"no severity": func(a *alert.Alert) { a.Severity = "" },
		"unknown":     func(a *alert.Alert) { a.Severity = "urgent" },
		"no title":    func(a *alert.Alert) { a.Title = "" },
		"no time":     func(a *alert.Alert) { a.At = time.Time{} },
	} {
		a := good
		change(&a)
		err := s.Update(t.Context(), func(tx store.Tx) error { return alert.Put(tx, a) })
		if !errors.Is(err, alert.ErrInvalid) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	long := good
	long.Text, long.Title = strings.Repeat("ö", alert.MaxText), "two\nlines\xff"
	put(t, s, long)
	if p := rows(t, s)[0].Payload; len(p) > alert.MaxText+600 || !strings.Contains(string(p), `"title":"two lines?"`) {
		t.Errorf("payload of %d bytes: %.200s", len(p), p)
	}
}
