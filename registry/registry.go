// Package registry is the seam to model registries: where the bytes of a model version are kept.
//
// Which version is Champion is not decided here but in lifecycle; a registry resolves, delivers and publishes bytes.
// Implementations live below (local); registrytest is the suite that each of them passes.
package registry

import (
	"context"
	"errors"
	"io"
)

// Sentinel errors.
var (
	// ErrNotFound: no such model or version.
	ErrNotFound = errors.New("registry: model version not found")
	// ErrDigest: the stored bytes are not those that were registered.
	ErrDigest = errors.New("registry: artifact does not match its digest")
	// ErrPath: a file name would leave the artifact's directory.
	ErrPath = errors.New("registry: file name not allowed")
	// ErrTooLarge: the artifact is over the configured size.
	ErrTooLarge = errors.New("registry: artifact too large")
)

// Artifact names the stored files of one model version.
type Artifact struct {
	Digest string // "sha256:<hex>" over the sorted manifest of file names, sizes and digests
	Files  []File // sorted by name
}

// File is one file of an artifact. Name is relative, slash-separated, without "." or "..".
type File struct {
	Name   string
	Size   int64
	Digest string // "sha256:<hex>"
}

// Upload receives the files of a new artifact, one after the other.
type Upload interface {
	// Create starts the next file; the previous one must be closed.
	Create(name string) (io.WriteCloser, error)
	// Commit stores the files under their digest and returns it. Committing equal files twice is the same artifact.
	Commit(ctx context.Context) (Artifact, error)
	// Abort removes what was received. It is a no-op after Commit.
	Abort() error
}

// Registry keeps artifacts by digest.
type Registry interface {
	NewUpload(ctx context.Context) (Upload, error)
	// Fetch verifies every file against its digest and returns a directory that the caller may read until Close of the
	// registry. It fails with ErrNotFound or ErrDigest.
	Fetch(ctx context.Context, digest string) (dir string, a Artifact, err error)
}
