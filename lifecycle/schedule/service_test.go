package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fired collects what a service fires. The clock of the bubble is that of the service.
type fired struct {
	mu  sync.Mutex
	log []string
	err error
}

func (f *fired) fire(_ context.Context, x schedule.Firing) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	late := ""
	if x.Late {
		late = " late"
	}
	f.log = append(f.log, fmt.Sprintf("%s %s%s at %s", x.Key, x.Job, late, time.Now().UTC().Format("01-02 15:04:05")))
	return "run r1", f.err
}

func (f *fired) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := strings.Join(f.log, "\n")
	f.log = nil
	return out
}

func entry(t *testing.T, text string, misfire schedule.Misfire) schedule.Entry {
	t.Helper()
	c, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return schedule.Entry{Model: "churn", Job: schedule.Train, Cron: c, Location: time.UTC, Misfire: misfire}
}

// during runs a service on a store for a while of the bubble's time.
func during(t *testing.T, path string, d time.Duration, deps schedule.Deps, f func(*schedule.Service)) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	deps.Store = st
	s := schedule.New(deps)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if f != nil {
		synctest.Wait()
		f(s)
	}
	<-time.After(d)
	synctest.Wait()
}

// The bubble begins at 2000-01-01 00:00:00 UTC, a Saturday.
func TestFires(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		var got fired
		deps := schedule.Deps{Entries: []schedule.Entry{entry(t, "0 0 6 * * ?", "")}, Fire: got.fire}
		during(t, path, 49*time.Hour, deps, nil)
		want := "churn/train/2000-01-01T06:00:00Z train at 01-01 06:00:00\nchurn/train/2000-01-02T06:00:00Z train at 01-02 06:00:00"
		if log := got.take(); log != want {
			t.Errorf("fired\n%s\nwant\n%s", log, want)
		}
		// Down from 01-03 01:00 to 01-05 01:00: two times are missed.
		<-time.After(48 * time.Hour)
		during(t, path, 6*time.Hour, deps, func(s *schedule.Service) {
			if log, want := got.take(), "churn/train/2000-01-04T06:00:00Z train late at 01-05 01:00:00"; log != want {
				t.Errorf("after the start fired %q, want %q", log, want)
			}
			list, err := s.List(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if want := "run r1 (once for all, after 2 times that came while the daemon was down)"; list[0].LastOutcome != want {
				t.Errorf("outcome %q, want %q", list[0].LastOutcome, want)
			}
			if want := time.Date(2000, 1, 5, 6, 0, 0, 0, time.UTC); !list[0].NextAt.Equal(want) {
				t.Errorf("next at %s, want %s", list[0].NextAt, want)
			}
		})
		if log, want := got.take(), "churn/train/2000-01-05T06:00:00Z train at 01-05 06:00:00"; log != want {
			t.Errorf("fired %q, want %q", log, want)
		}
		// The same with the policy to skip: only the time that comes while it runs fires.
		<-time.After(41 * time.Hour) // 01-07 00:00
		deps.Entries[0].Misfire = schedule.Skip
		during(t, path, 7*time.Hour, deps, func(s *schedule.Service) {
			list, err := s.List(t.Context(), "churn")
			if err != nil {
				t.Fatal(err)
			}
			if want := "skipped: 1 time that came while the daemon was down"; list[0].LastOutcome != want {
				t.Errorf("outcome %q, want %q", list[0].LastOutcome, want)
			}
		})
		if log, want := got.take(), "churn/train/2000-01-07T06:00:00Z train at 01-07 06:00:00"; log != want {
			t.Errorf("fired %q, want %q", log, want)
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		var got fired
		deps := schedule.Deps{Entries: []schedule.Entry{entry(t, "0 0 * * * ?", "")}, Fire: got.fire}
		during(t, path, 150*time.Minute, deps, func(s *schedule.Service) {
			if _, err := s.Pause(t.Context(), "churn", schedule.Train, " ", "ann"); !errors.Is(err, schedule.ErrInvalid) {
				t.Errorf("pause without a reason: %v", err)
			}
			st, err := s.Pause(t.Context(), "churn", schedule.Train, "holiday", "ann")
			if err != nil || !st.Paused || st.PauseReason != "ann: holiday" || !st.NextAt.IsZero() {
				t.Errorf("pause: %+v, %v", st, err)
			}
		})
		if log := got.take(); log != "" {
			t.Errorf("fired while paused: %s", log)
		}
		// It stays paused over a restart; after the resume at 02:30 the next hour fires, those before do not.
		during(t, path, time.Hour, deps, func(s *schedule.Service) {
			if _, err := s.Resume(t.Context(), "churn", schedule.Train); err != nil {
				t.Error(err)
			}
		})
		if log, want := got.take(), "churn/train/2000-01-01T03:00:00Z train at 01-01 03:00:00"; log != want {
			t.Errorf("fired %q, want %q", log, want)
		}
		deps.Entries[0].Paused = true
		during(t, path, 2*time.Hour, deps, func(s *schedule.Service) {
			if _, err := s.Resume(t.Context(), "churn", schedule.Train); !errors.Is(err, schedule.ErrPaused) {
				t.Errorf("resume of a schedule that the configuration pauses: %v", err)
			}
			if _, err := s.Resume(t.Context(), "churn", "nap"); !errors.Is(err, schedule.ErrNotFound) || !strings.Contains(err.Error(), "it has train") {
				t.Errorf("resume of an unknown job: %v", err)
			}
			if _, err := s.List(t.Context(), "fraud"); !errors.Is(err, schedule.ErrNotFound) {
				t.Errorf("list of an unknown model: %v", err)
			}
		})
		if log := got.take(); log != "" {
			t.Errorf("fired while paused by configuration: %s", log)
		}
	})
}

// A job that does not start is recorded, and the schedule goes on.
func TestFireFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		got := fired{err: errors.New("no trainer")}
		e := entry(t, "0 0/30 * * * ?", "")
		e.Jitter = 10 * time.Minute
		during(t, path, 85*time.Minute, schedule.Deps{Entries: []schedule.Entry{e}, Fire: got.fire}, nil)
		if n := strings.Count(got.take(), "\n") + 1; n != 2 {
			t.Errorf("fired %d times, want 2", n)
		}
		st, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		err = st.View(t.Context(), func(r store.Reader) error {
			rows, err := r.Schedules()
			if err == nil && (len(rows) != 1 || rows[0].LastOutcome != "failed: no trainer") {
				t.Errorf("stored %+v", rows)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
