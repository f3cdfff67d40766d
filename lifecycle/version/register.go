package version

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// Sentinel errors.
var (
	// ErrName: the model name breaks the rules of CheckName. The caller chooses another.
	ErrName = errors.New("version: model name not allowed")
	// ErrInvalid: a field of the request is missing or out of its limits.
	ErrInvalid = errors.New("version: request not valid")
	// ErrModel: the model file does not load. The wrapped loader error says where.
	ErrModel = errors.New("version: model does not load")
)

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Registry registry.Registry
	// Open reads a model file; loader.Open when nil.
	Open   func(path string) (*forest.Model, error)
	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
}

// RegisterRequest describes a new version.
type RegisterRequest struct {
	Model    string
	Artifact registry.Artifact // as committed to the registry
	// ModelFile names the model file in the artifact, GoldenFile the golden rows, if any.
	ModelFile, GoldenFile string

	RunID, GitSHA string
	TrainedAt     time.Time // zero when unknown
	Tags          map[string]string

	Actor, AuthMethod, RequestID string
}

// Service registers versions and reads them. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d: d} }

// CheckName refuses a model name that is empty, longer than 128 bytes, or has anything but ASCII letters, digits, "_",
// "-" and "." in it, or begins with "." or "-".
func CheckName(name string) error { return errSkeleton }

// Register adds a version in stage Trained.
func (s *Service) Register(ctx context.Context, r RegisterRequest) (Version, bool, error) {
	return Version{}, false, errSkeleton
}

// Get returns a version; 0 is the newest of any stage.
func (s *Service) Get(ctx context.Context, model string, version int64) (Version, error) {
	return Version{}, errSkeleton
}

// Versions lists a model's versions, newest first.
func (s *Service) Versions(ctx context.Context, model string) ([]Version, error) {
	return nil, errSkeleton
}

// Models lists all models by name.
func (s *Service) Models(ctx context.Context) ([]Model, error) { return nil, errSkeleton }

// Load reads the model of a version from the registry, verifying the artifact.
func (s *Service) Load(ctx context.Context, v Version) (*forest.Model, error) {
	return nil, errSkeleton
}

var errSkeleton = errors.New("version: under construction")
