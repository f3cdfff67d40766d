// Package orchestration runs the steps of many models as a graph, durably.
//
//	features -> train -> validate -> promote -> score      the nodes of one model, one after the other
//	                                              |
//	                                              +------> features -> ...      of a model that depends on it
//
// A run is a workflow (package workflow) that begins one workflow a model, its chain, as soon as what the model depends on
// has ended. Chains work in parallel, as many nodes at once as the limits allow.
//
// # Invariants
//
//	O1  A node whose predecessor did not succeed is skipped and says why. Only score looks further: it needs its
//	    features, and what became of a candidate does not matter to it. The present Champion scores.
//	O2  What fails in one model changes nothing in another, unless that one's first node waits for the last node of this.
//	O3  A candidate that the gates refuse, or cannot judge, leaves the Champion as it is, and somebody is alerted.
//	O4  A promotion happens at the generation that was read when the validation began, or not at all.
//	O5  A model has one chain at a time, whatever asks for it. A run joins a running chain that does all it wants for the
//	    same date, and waits for one that does not. A run that joined a chain which is then cancelled begins its own.
//	O6  After a kill at any moment and a restart every node ends as if there had been none, and nothing is done twice: a
//	    training has the key "<run id>/<model>/train"; a verdict that is newer than the beginning of the validation is
//	    taken instead of another validation; a version that is Champion already is promoted; a batch replaces itself.
//
// # What a run journals
//
// The run: "<model>/begin#<n>", the chain that was begun, joined, waited for, or left out. The chain: "<step>/begin", the
// version and generation that a validation or promotion is about; "<step>/do", the effect; "<step>", the outcome, with
// its alerts in the same transaction. Get, List and Watch read these; only the progress of a node under way is in memory.
//
// # Concurrency
//
// A Service serves any number of goroutines. The engine that it is given runs its workflows and owns its goroutines.
package orchestration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/alert"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
)

// Deps are what a Service needs.
type Deps struct {
	Engine *workflow.Engine // New registers the kinds "run" and "chain"; started and stopped by the caller
	Store  store.Store      // the engine's
	Models []Model          // configured

	Features   Features
	Trainings  Trainings
	Gates      Gates
	Promotions Promotions
	Batches    Batches
	// Alert raises and resolves alerts in a transaction; alert.Put. Nil alerts nobody.
	Alert func(tx store.Tx, a alert.Alert) error

	// ParallelNodes bounds the nodes of all runs that work at once, ParallelTrainings those among them that train.
	// DefaultParallelNodes and DefaultParallelTrainings when 0.
	ParallelNodes, ParallelTrainings int

	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
}

// The limits that hold when Deps name none.
const (
	DefaultParallelNodes     = 4
	DefaultParallelTrainings = 2
)

// Service starts runs and follows them.
type Service struct {
	d     Deps
	slots *slots
	live  *live
}

// New returns a Service and registers its workflows with the engine, which must not run yet.
func New(d Deps) *Service {
	if d.ParallelNodes <= 0 {
		d.ParallelNodes = DefaultParallelNodes
	}
	if d.ParallelTrainings <= 0 {
		d.ParallelTrainings = DefaultParallelTrainings
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	d.Models = slices.Clone(d.Models)
	s := &Service{d: d, slots: newSlots(d.ParallelNodes, d.ParallelTrainings), live: newLive()}
	d.Engine.Register(kindRun, s.run)
	d.Engine.Register(kindChain, s.chain)
	return s
}

func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

// StartRun begins a run and returns at once. It fails with ErrUnknownModel or ErrInvalid.
func (s *Service) StartRun(ctx context.Context, r Request) (run Run, err error) {
	err = s.d.Store.Update(ctx, func(tx store.Tx) error {
		id, err := s.Begin(tx, r)
		if err != nil {
			return err
		}
		run, err = s.RunOf(tx, id)
		return err
	})
	if err != nil {
		return Run{}, err
	}
	s.Wake()
	return run, nil
}

// Begin is StartRun inside a transaction. Call Wake once that has committed.
func (s *Service) Begin(tx store.Tx, r Request) (id string, err error) {
	p, err := makePlan(s.d.Models, r, s.now())
	if err != nil {
		return "", err
	}
	id, _, err = s.d.Engine.BeginTx(tx, kindRun, "", p)
	return id, err
}

// Wake has runs that were begun in a transaction start now.
func (s *Service) Wake() { s.d.Engine.Wake() }

// Get fails with ErrRunNotFound.
func (s *Service) Get(ctx context.Context, id string) (run Run, err error) {
	err = s.d.Store.View(ctx, func(r store.Reader) error {
		w, err := runWorkflow(r, id)
		if err != nil {
			return err
		}
		run, err = view(r, w, s.live.snapshot())
		return err
	})
	return run, err
}

// List lists runs, the newest first, and the token of the next page ("" at the end).
func (s *Service) List(ctx context.Context, q ListQuery) (runs []Run, next string, err error) {
	size := q.PageSize
	if size <= 0 {
		size = store.DefaultPageSize
	}
	size = min(size, store.MaxPageSize)
	nodes := s.live.snapshot()
	err = s.d.Store.View(ctx, func(r store.Reader) error {
		runs, next = nil, q.PageToken
		for {
			var page []store.Workflow
			page, next, err = r.Workflows(store.WorkflowQuery{Kind: kindRun, PageSize: size - len(runs), PageToken: next})
			if err != nil {
				return err
			}
			for _, w := range page {
				run, err := view(r, w, nodes)
				if err != nil {
					return err
				}
				if q.Model == "" || slices.ContainsFunc(run.Nodes, func(n Node) bool { return n.Model == q.Model }) {
					runs = append(runs, run)
				}
			}
			if next == "" || len(runs) == size {
				return nil
			}
		}
	})
	return runs, next, err
}

// Watch calls f with the run as it is now and after each change until the run has ended, f fails, or ctx ends; it returns
// nil in the first case. Changes that come close together may be one. It fails with ErrRunNotFound.
func (s *Service) Watch(ctx context.Context, id string, f func(Run) error) error {
	ctx, stop := context.WithCancel(ctx)
	var (
		last     *Run
		follower sync.WaitGroup
		ended    = make(chan error, 1)
	)
	defer follower.Wait()
	defer stop()
	for {
		changed := s.live.change()
		run, err := s.Get(ctx, id)
		if err != nil {
			return err
		}
		if last == nil {
			follower.Go(func() { ended <- s.wait(ctx, id) })
		}
		if last == nil || !reflect.DeepEqual(run, *last) {
			if err := f(run); err != nil {
				return err
			}
			last = &run
		}
		if run.State.Ended() {
			return nil
		}
		select {
		case <-changed:
		case err := <-ended:
			if err != nil {
				return err
			}
			// The next look finds the run ended.
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// wait waits until a workflow has ended.
func (s *Service) wait(ctx context.Context, id string) error {
	_, err := s.d.Engine.Wait(ctx, id)
	return err
}

// Cancel cancels a run: its nodes under way, trainings included, and those to come. Promotions that happened stay, and so
// does a chain that the run joined: it is another run's. The run ends soon, not at once. It fails with
// ErrRunNotFound, ErrNotActive or ErrInvalid.
func (s *Service) Cancel(ctx context.Context, id, reason, actor string) (Run, error) {
	run, err := s.Get(ctx, id)
	if err != nil {
		return Run{}, err
	}
	if err := CheckTexts(reason, actor, ""); err != nil {
		return Run{}, err
	}
	if run.State.Ended() {
		return Run{}, fmt.Errorf("%w: %s is %s", ErrNotActive, id, run.State)
	}
	err = s.d.Engine.Cancel(ctx, id, cancelReason(reason, actor))
	if errors.Is(err, workflow.ErrEnded) { // at this moment
		return Run{}, fmt.Errorf("%w: %w", ErrNotActive, err)
	}
	if err != nil {
		return Run{}, err
	}
	s.live.notify()
	return s.Get(ctx, id)
}

func cancelReason(reason, actor string) string {
	if actor == "" {
		actor = "unknown"
	}
	text := "cancelled by " + actor
	if reason != "" {
		text += ": " + reason
	}
	return text
}
