package schedule

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// The jobs that a schedule starts.
const (
	Train          = "train"
	BatchInference = "batch_inference"
)

// Misfire says what becomes of times that passed while the daemon was down.
type Misfire string

// The misfire policies.
const (
	RunOnce Misfire = "run_once" // fires once, for the latest of them
	Skip    Misfire = "skip"
)

// Sentinel errors.
var (
	// ErrNotFound: the model has no such schedule. The message names those that it has.
	ErrNotFound = errors.New("schedule: not found")
	// ErrPaused: the configuration itself pauses the schedule; change pause_status there.
	ErrPaused = errors.New("schedule: paused by configuration")
	errTwice  = errors.New("schedule: service is running already")
)

// Entry is one configured schedule.
type Entry struct {
	Model    string
	Job      string
	Cron     Cron
	Location *time.Location
	Misfire  Misfire // RunOnce when empty
	// Jitter delays each firing by a time below it that depends on model, job and scheduled time only.
	Jitter time.Duration
	Paused bool // pause_status PAUSED
}

// Firing is one scheduled time that has come.
type Firing struct {
	Entry
	At   time.Time // the scheduled time, in the entry's zone
	Late bool      // it came while the daemon was down
	// Key names the firing: after a crash the same firing may come again with the same key.
	Key string
}

// Status is a schedule as it is now.
type Status struct {
	Entry
	Paused      bool
	PauseReason string
	NextAt      time.Time // zero when paused or when it never fires again
	LastAt      time.Time // zero before the first firing
	LastOutcome string
}

// Deps are what a Service needs.
type Deps struct {
	Store   store.Store
	Entries []Entry
	// Fire begins the work of a firing and returns what it began, in words. It does not wait for the work: the next
	// schedule fires after it returns.
	Fire   func(ctx context.Context, f Firing) (outcome string, err error)
	Now    func() time.Time // time.Now when nil
	Logger *slog.Logger     // discards when nil
}

// Service fires schedules. A scheduled time fires once, or again with the same key after a crash.
type Service struct {
	d    Deps
	wake chan struct{}

	mu   sync.Mutex
	stop context.CancelFunc // nil when not running
	done chan struct{}
}

// grace is how late a firing may be without counting as missed.
const grace = time.Minute

// retryAfter is the wait after the store failed.
const retryAfter = 30 * time.Second

// maxMissed bounds the count of missed times in a message.
const maxMissed = 10_000

// New returns a Service that is not running.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{d: d, wake: make(chan struct{}, 1)}
}

// Start begins to fire in the background. It ends with Stop or with ctx.
func (s *Service) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return errTwice
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.done = make(chan struct{})
	go s.run(ctx, s.done)
	return nil
}

// Stop ends the background work and waits for it.
func (s *Service) Stop(context.Context) error {
	s.mu.Lock()
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
		<-done
	}
	return nil
}

func (s *Service) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		next, err := s.tick(ctx)
		wait := retryAfter
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.d.Logger.ErrorContext(ctx, "schedules not looked at", "error", err, "retry_in", wait)
		case next.IsZero():
			timer.Stop() // a resume wakes
			continue
		default:
			// Clocks are set and machines sleep: look at least once a minute.
			wait = min(next.Sub(s.d.Now()), grace)
		}
		timer.Reset(max(wait, 0))
	}
}

// tick fires what is due and returns when the next firing is, zero for never.
func (s *Service) tick(ctx context.Context) (time.Time, error) {
	states, err := s.states(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var next time.Time
	for _, e := range s.d.Entries {
		state, known := states[key{e.Model, e.Job}]
		if !known {
			// A schedule begins when it is first seen: it does not fire for the past.
			if state, err = s.update(ctx, e, func(*store.Schedule) {}); err != nil {
				return time.Time{}, err
			}
		}
		if e.Paused || state.Paused {
			continue
		}
		at, err := s.fire(ctx, e, state)
		if err != nil {
			return time.Time{}, err
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next, nil
}

// fire fires an entry if it is due and returns when it is due again.
func (s *Service) fire(ctx context.Context, e Entry, state store.Schedule) (time.Time, error) {
	now := s.d.Now()
	at, ok := e.Cron.Next(state.LastAt, e.Location)
	if !ok {
		return time.Time{}, nil
	}
	if due := at.Add(e.delay(at)); due.After(now) {
		return due, nil
	}
	// One firing stands for all times that came since the last one: the latest of them.
	missed := 0
	for ; missed < maxMissed; missed++ {
		later, ok := e.Cron.Next(at, e.Location)
		if !ok || later.Add(e.delay(later)).After(now) {
			break
		}
		at = later
	}
	f := Firing{Entry: e, At: at, Late: now.Sub(at.Add(e.delay(at))) > grace}
	if f.Late {
		missed++
	}
	f.Key = fmt.Sprintf("%s/%s/%s", e.Model, e.Job, f.At.UTC().Format(time.RFC3339))
	outcome := fmt.Sprintf("skipped: %s while the daemon was down", times(missed))
	if !f.Late || e.Misfire != Skip {
		var err error
		outcome, err = s.d.Fire(ctx, f)
		switch {
		case ctx.Err() != nil:
			return time.Time{}, ctx.Err() // stopped: it fires at the next start
		case err != nil:
			outcome = "failed: " + err.Error()
			s.d.Logger.ErrorContext(ctx, "schedule did not start its job", "model", e.Model, "job", e.Job, "at", f.At, "error", err)
		case missed > 0:
			outcome = fmt.Sprintf("%s (once for all, after %s while the daemon was down)", outcome, times(missed))
		}
	}
	s.d.Logger.InfoContext(ctx, "schedule fired", "model", e.Model, "job", e.Job, "at", f.At, "outcome", outcome)
	_, err := s.update(ctx, e, func(state *store.Schedule) { state.LastAt, state.LastOutcome = f.At, outcome })
	if err != nil {
		return time.Time{}, err
	}
	next, ok := e.Cron.Next(f.At, e.Location)
	if !ok {
		return time.Time{}, nil
	}
	return next.Add(e.delay(next)), nil
}

func times(n int) string {
	if n == 1 {
		return "1 time that came"
	}
	return fmt.Sprintf("%d times that came", n)
}

// delay is the jitter of one firing.
func (e Entry) delay(at time.Time) time.Duration {
	if e.Jitter <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%d", e.Model, e.Job, at.Unix())
	return time.Duration(h.Sum64() % uint64(e.Jitter))
}

type key struct{ model, job string }

func (s *Service) states(ctx context.Context) (map[key]store.Schedule, error) {
	out := map[key]store.Schedule{}
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		rows, err := r.Schedules()
		for _, row := range rows {
			out[key{row.Model, row.Job}] = row
		}
		return err
	})
	return out, err
}

// update changes the stored state of an entry; a new one begins now.
func (s *Service) update(ctx context.Context, e Entry, f func(*store.Schedule)) (store.Schedule, error) {
	state := store.Schedule{Model: e.Model, Job: e.Job, LastAt: s.d.Now()}
	err := s.d.Store.Update(ctx, func(tx store.Tx) error {
		rows, err := tx.Schedules()
		if err != nil {
			return err
		}
		for _, row := range rows {
			if row.Model == e.Model && row.Job == e.Job {
				state = row
			}
		}
		f(&state)
		return tx.PutSchedule(state)
	})
	return state, err
}
