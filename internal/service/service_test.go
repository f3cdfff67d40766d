package service

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		l := NewLoop(func(ctx context.Context, started func()) error {
			started()
			<-ctx.Done()
			<-time.After(time.Second) // work that ends in its own time; the clock is the bubble's
			ended = true
			return context.Cause(ctx)
		})
		ctx, cancel := context.WithCancel(t.Context())
		if err := l.Start(ctx); err != nil {
			t.Fatal(err)
		}
		cancel() // the end of Start's context is not the end of the service
		synctest.Wait()
		select {
		case <-l.Done():
			t.Fatal("ended with Start's context")
		default:
		}
		if err := l.Start(t.Context()); !errors.Is(err, ErrState) {
			t.Errorf("second Start: %v", err)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if err := l.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if !ended {
					t.Error("Stop did not wait")
				}
			})
		}
		all.Wait()
	})
}

func TestStopBeforeStart(t *testing.T) {
	l := NewLoop(func(context.Context, func()) error { return errors.New("ran") })
	for range 2 {
		if err := l.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Start(t.Context()); !errors.Is(err, ErrState) {
		t.Errorf("Start after Stop: %v", err)
	}
}

func TestLoopReportsItsError(t *testing.T) {
	broken := errors.New("broken")
	l := NewLoop(func(context.Context, func()) error { return broken })
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-l.Started()
	<-l.Done()
	if err := l.Stop(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestStartGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := NewLoop(func(ctx context.Context, _ func()) error {
		cancel()
		<-ctx.Done()
		return nil
	})
	if err := l.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-l.Done()
}

func TestGroupStopsInOppositeOrder(t *testing.T) {
	var order []string
	var g Group
	broken := errors.New("broken")
	for _, name := range []string{"a", "b", "c"} {
		g.Add(name, StopFunc(func(context.Context) error {
			order = append(order, name)
			if name == "b" {
				return broken
			}
			return nil
		}))
	}
	if err := g.Stop(t.Context()); !errors.Is(err, broken) || err.Error() != "stopping b: broken" {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(order, []string{"c", "b", "a"}) {
		t.Errorf("order %v", order)
	}
	if err := g.Stop(t.Context()); err != nil || len(order) != 3 {
		t.Errorf("stopped twice: %v, %v", order, err)
	}
}
