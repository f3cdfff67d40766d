package local

import (
	"context"
	"errors"

	"github.com/treeline-ml/treeline/registry"
)

// Options are limits of a Registry.
type Options struct {
	// MaxBytes caps the summed size of one artifact's files; DefaultMaxBytes when 0.
	MaxBytes int64
}

// DefaultMaxBytes is 4 GiB.
const DefaultMaxBytes = 4 << 30

// Registry keeps artifacts in a directory.
type Registry struct{ dir string }

// Open opens or creates the directory.
func Open(dir string, o Options) (*Registry, error) { return nil, errSkeleton }

// NewUpload begins an upload.
func (r *Registry) NewUpload(ctx context.Context) (registry.Upload, error) { return nil, errSkeleton }

// Fetch verifies an artifact and returns its directory.
func (r *Registry) Fetch(ctx context.Context, digest string) (string, registry.Artifact, error) {
	return "", registry.Artifact{}, errSkeleton
}

var errSkeleton = errors.New("local: under construction")
