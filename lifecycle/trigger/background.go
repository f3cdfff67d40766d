package trigger

import (
	"context"
	"errors"
	"slices"
	"time"
)

// errRunning: Start was called twice.
var errRunning = errors.New("trigger: service is running already")

// background is the actor of decisions that nobody asked for.
const background = "trigger"

// Start begins to evaluate every policy now, on the interval, and a single model's when it is woken. It ends with Stop,
// not with ctx.
func (s *Service) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return errRunning
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	go s.run(life, s.done)
	return nil
}

// Stop ends the evaluation and waits for it. What was decided stays.
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

// Wake evaluates a model soon, say because a batch of it has just ended. It does not block. A model without a policy is
// passed over.
func (s *Service) Wake(model string) {
	s.mu.Lock()
	if !slices.Contains(s.woken, model) {
		s.woken = append(s.woken, model)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Service) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	tick := time.NewTicker(s.d.Interval)
	defer tick.Stop()
	all := make([]string, len(s.d.Policies))
	for i, p := range s.d.Policies {
		all[i] = p.Model
	}
	s.look(ctx, all)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.look(ctx, all)
		case <-s.wake:
			s.mu.Lock()
			models := s.woken
			s.woken = nil
			s.mu.Unlock()
			s.look(ctx, models)
		}
	}
}

func (s *Service) look(ctx context.Context, models []string) {
	for _, m := range models {
		if ctx.Err() != nil {
			return
		}
		_, err := s.Evaluate(ctx, m, background, false)
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnknownModel) {
			s.d.Logger.WarnContext(ctx, "triggers not evaluated", "model", m, "error", err, "retry_in", s.d.Interval)
		}
	}
}
