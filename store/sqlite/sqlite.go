package sqlite

import (
	"context"
	"errors"

	"github.com/treeline-ml/treeline/store"
)

// Store is a store.Store in one SQLite file.
type Store struct{}

// Open opens or creates the database.
func Open(ctx context.Context, path string) (*Store, error) { return nil, errSkeleton }

// View runs f on a snapshot.
func (s *Store) View(ctx context.Context, f func(store.Reader) error) error { return errSkeleton }

// Update runs f in a write transaction.
func (s *Store) Update(ctx context.Context, f func(store.Tx) error) error { return errSkeleton }

// Close closes the database.
func (s *Store) Close() error { return errSkeleton }

var errSkeleton = errors.New("sqlite: under construction")
