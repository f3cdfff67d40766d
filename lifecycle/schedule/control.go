package schedule

import (
	"context"
	"fmt"
	"strings"

	"github.com/treeline-ml/treeline/store"
)

// List returns the configured schedules in the order of the configuration; an empty model means those of all models. It
// fails with ErrNotFound when the named model has none.
func (s *Service) List(ctx context.Context, model string) ([]Status, error) {
	states, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	var out []Status
	for _, e := range s.d.Entries {
		if model == "" || e.Model == model {
			out = append(out, s.status(e, states[key{e.Model, e.Job}]))
		}
	}
	if model != "" && out == nil {
		return nil, fmt.Errorf("%w: %s has no schedules; add schedules: to its config.yml", ErrNotFound, model)
	}
	return out, nil
}

func (s *Service) status(e Entry, state store.Schedule) Status {
	st := Status{Entry: e, Paused: e.Paused || state.Paused, PauseReason: state.PauseReason, LastOutcome: state.LastOutcome}
	if e.Paused {
		st.PauseReason = "pause_status is PAUSED in its config.yml"
	}
	if state.LastOutcome != "" {
		st.LastAt = state.LastAt
	}
	if !st.Paused {
		from := state.LastAt
		if from.IsZero() {
			from = s.d.Now()
		}
		if at, ok := e.Cron.Next(from, e.Location); ok {
			st.NextAt = at.Add(e.delay(at))
		}
	}
	return st
}

// Pause stops a schedule from firing until Resume, also after a restart. A reason is required. It fails with ErrNotFound
// or ErrInvalid.
func (s *Service) Pause(ctx context.Context, model, job, reason, actor string) (Status, error) {
	if strings.TrimSpace(reason) == "" {
		return Status{}, fmt.Errorf("%w: a reason is required to pause %s of %s", ErrInvalid, job, model)
	}
	return s.change(ctx, model, job, func(state *store.Schedule) {
		state.Paused, state.PauseReason = true, who(actor)+": "+reason
	})
}

// Resume lets a paused schedule fire again. Times that came while it was paused do not fire. It fails with ErrNotFound or
// ErrPaused.
func (s *Service) Resume(ctx context.Context, model, job string) (Status, error) {
	if e, err := s.entry(model, job); err == nil && e.Paused {
		return Status{}, fmt.Errorf("%w: %s of %s has pause_status PAUSED in its config.yml; set it to UNPAUSED and restart the daemon", ErrPaused, job, model)
	}
	return s.change(ctx, model, job, func(state *store.Schedule) {
		if state.Paused {
			state.LastAt = s.d.Now()
		}
		state.Paused, state.PauseReason = false, ""
	})
}

func (s *Service) change(ctx context.Context, model, job string, f func(*store.Schedule)) (Status, error) {
	e, err := s.entry(model, job)
	if err != nil {
		return Status{}, err
	}
	state, err := s.update(ctx, e, f)
	if err != nil {
		return Status{}, err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return s.status(e, state), nil
}

func (s *Service) entry(model, job string) (Entry, error) {
	var jobs []string
	for _, e := range s.d.Entries {
		if e.Model == model {
			if e.Job == job {
				return e, nil
			}
			jobs = append(jobs, e.Job)
		}
	}
	if jobs == nil {
		return Entry{}, fmt.Errorf("%w: %s has no schedules; add schedules: to its config.yml", ErrNotFound, model)
	}
	return Entry{}, fmt.Errorf("%w: %s has no schedule %q; it has %s", ErrNotFound, model, job, strings.Join(jobs, ", "))
}

func who(actor string) string {
	if actor == "" {
		return "unknown"
	}
	return actor
}
