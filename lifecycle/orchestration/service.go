// Package orchestration runs the steps of many models as a graph.
package orchestration

import (
	"context"

	"github.com/treeline-ml/treeline/store"
)

// Service starts runs and follows them.
type Service struct{}

// StartRun begins a run and returns at once.
func (s *Service) StartRun(ctx context.Context, r Request) (Run, error) { return Run{}, nil }

// Begin is StartRun inside a transaction.
func (s *Service) Begin(tx store.Tx, r Request) (id string, err error) { return "", nil }

// Get fails with ErrRunNotFound.
func (s *Service) Get(ctx context.Context, id string) (Run, error) { return Run{}, nil }

// List lists runs, the newest first, and the token of the next page ("" at the end).
func (s *Service) List(ctx context.Context, q ListQuery) ([]Run, string, error) { return nil, "", nil }

// Watch calls f with the run as it is now and after each change until it has ended or f fails.
func (s *Service) Watch(ctx context.Context, id string, f func(Run) error) error { return nil }

// Cancel cancels a run.
func (s *Service) Cancel(ctx context.Context, id, reason, actor string) (Run, error) {
	return Run{}, nil
}
