package training

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/treeline-ml/treeline/store"
)

// Event is one thing that a watcher is told: the training as it is now, or a piece of output.
type Event struct {
	Training *store.Training
	Log      *LogChunk
}

// Watch calls f with the training as it is now and after each change, and with the output of its trainer from an offset
// on, until the training has ended. The output of a further attempt begins at 0. It fails with store.ErrTrainingNotFound,
// with f's error, or when ctx ends.
func (s *Service) Watch(ctx context.Context, id string, offset int64, f func(Event) error) error {
	changed, stop := s.subscribe(id)
	defer stop()
	// Output is looked for once per interval, and only while a trainer runs; changes come by themselves.
	tick := time.NewTicker(s.d.Poll)
	defer tick.Stop()
	var shown store.Training
	for first := true; ; first = false {
		t, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		if t.Handle != shown.Handle && !first && shown.Handle != "" {
			offset = 0
		}
		if first || !reflect.DeepEqual(t, shown) {
			shown = t
			if err := f(Event{Training: &t}); err != nil {
				return err
			}
		}
		if t.Handle != "" {
			if offset, err = s.sendLogs(ctx, Handle(t.Handle), offset, f); err != nil {
				return err
			}
		}
		if !store.TrainingActive(t.State) {
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
				waiting = false
			case <-tick.C:
				if t.State != store.TrainingRunning {
					continue
				}
				if offset, err = s.sendLogs(ctx, Handle(t.Handle), offset, f); err != nil {
					return err
				}
			}
		}
	}
}

// sendLogs sends what there is from offset on, and returns where it ends.
func (s *Service) sendLogs(ctx context.Context, h Handle, offset int64, f func(Event) error) (int64, error) {
	for {
		if err := ctx.Err(); err != nil {
			return offset, err
		}
		c, err := s.d.Trainer.Logs(ctx, h, offset)
		if err != nil {
			// The state is told all the same; logs may have been removed.
			s.d.Logger.DebugContext(ctx, "no output to show", "handle", string(h), "error", err)
			return offset, nil
		}
		if c.Text != "" || c.Truncated {
			if err := f(Event{Log: &c}); err != nil {
				return offset, err
			}
		}
		if c.Next <= offset || c.End {
			return max(c.Next, offset), nil
		}
		offset = c.Next
	}
}

// Wait returns the training when it has ended. progress, unless nil, is told each change.
func (s *Service) Wait(ctx context.Context, id string, progress func(store.Training)) (store.Training, error) {
	changed, stop := s.subscribe(id)
	defer stop()
	for {
		t, err := s.Get(ctx, id)
		if err != nil || !store.TrainingActive(t.State) {
			return t, err
		}
		if progress != nil {
			progress(t)
		}
		select {
		case <-ctx.Done():
			return t, context.Cause(ctx)
		case <-changed:
		}
	}
}

// subscribe returns a channel that gets a value after changes of a training, one for any number of them.
func (s *Service) subscribe(id string) (changed <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[id] = append(s.watchers[id], ch)
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		left := slices.DeleteFunc(s.watchers[id], func(c chan struct{}) bool { return c == ch })
		if s.watchers[id] = left; len(left) == 0 {
			delete(s.watchers, id)
		}
	}
}

func (s *Service) notify(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.watchers[id] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
