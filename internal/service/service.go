// Package service is the contract of everything that owns a goroutine, and the order in which services stop.
//
//	Start -> Started is closed -> ... -> Stop, which waits -> Stopped is closed
//
// # Invariants
//
//	V1  Stop returns only when every goroutine that Start made has returned.
//	V2  Stop may be called at any time, any number of times, also before Start.
//	V3  A Group stops its services in the opposite order of their start, so that none outlives what it works with.
package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Service owns goroutines between Start and Stop.
type Service interface {
	// Start returns once the service runs; an error means that nothing was left behind.
	Start(ctx context.Context) error
	// Stop ends the service and waits for its goroutines. ctx bounds how long it may take to end in an orderly way.
	Stop(ctx context.Context) error
}

// ErrState: a service was started twice, or after it was stopped.
var ErrState = errors.New("service: already started or stopped")

// Loop is a service of one goroutine. Its function runs until its context ends.
type Loop struct {
	run func(ctx context.Context, started func()) error

	mu      sync.Mutex
	cancel  context.CancelFunc
	stopped bool

	started chan struct{}
	done    chan struct{}
	once    sync.Once
	err     error // set before done is closed
}

// NewLoop returns a service that runs f. f calls started when it is ready for work, at the latest when it returns.
func NewLoop(f func(ctx context.Context, started func()) error) *Loop {
	return &Loop{run: f, started: make(chan struct{}), done: make(chan struct{})}
}

// Start runs the function and waits until it is ready. The function's context has the values of ctx, not its end.
func (l *Loop) Start(ctx context.Context) error {
	l.mu.Lock()
	if l.cancel != nil || l.stopped {
		l.mu.Unlock()
		return ErrState
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.mu.Unlock()
	go func() {
		defer close(l.done)
		defer l.ready()
		l.err = l.run(life, l.ready)
	}()
	select {
	case <-l.started:
		return nil
	case <-ctx.Done():
		cancel()
		<-l.done
		return context.Cause(ctx)
	}
}

func (l *Loop) ready() { l.once.Do(func() { close(l.started) }) }

// Started is closed when the service is ready for work.
func (l *Loop) Started() <-chan struct{} { return l.started }

// Done is closed when the function has returned, for whatever reason.
func (l *Loop) Done() <-chan struct{} { return l.done }

// Stop cancels the function's context, waits for it, and returns its error unless that is the cancellation. A function
// that does not heed its context is waited for all the same: V1 is worth more than ctx.
func (l *Loop) Stop(context.Context) error {
	l.mu.Lock()
	cancel := l.cancel
	if cancel == nil && !l.stopped {
		l.ready()
		close(l.done)
	}
	l.stopped = true
	l.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	<-l.done
	if errors.Is(l.err, context.Canceled) {
		return nil
	}
	return l.err
}

// Group starts services in order and stops them in the opposite one. It belongs to one goroutine.
type Group struct {
	names    []string
	services []Service
}

// Start starts a service and takes it in. When it fails, the caller stops the group.
func (g *Group) Start(ctx context.Context, name string, s Service) error {
	if err := s.Start(ctx); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	g.Add(name, s)
	return nil
}

// Add takes in a service that runs already.
func (g *Group) Add(name string, s Service) {
	g.names, g.services = append(g.names, name), append(g.services, s)
}

// Stop stops everything, the newest first, and reports every error. The group is empty afterwards.
func (g *Group) Stop(ctx context.Context) error {
	var errs []error
	for i, s := range slices.Backward(g.services) {
		if err := s.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", g.names[i], err))
		}
	}
	g.names, g.services = nil, nil
	return errors.Join(errs...)
}

// StopFunc makes a service, running already, of what has to be done at its end.
type StopFunc func(ctx context.Context) error

// Start does nothing.
func (StopFunc) Start(context.Context) error { return nil }

// Stop calls the function.
func (f StopFunc) Stop(ctx context.Context) error { return f(ctx) }
