// Package version registers model versions and reads them.
//
//	artifact in the registry --Register--> loads? every tree valid? --> version n+1 in stage Trained, audit entry
//	training accepted --Create--> version n+1 in stage Created --Register--> Trained
//	                                                           --Fail------> Failed
//
// # Invariants
//
//	V1  Before a version is Trained, its artifact was read back from the registry digest by digest, its model file loaded,
//	    and every tree of it passed forest.Validate.
//	V2  The same files under the same name are one version: registering them again returns it. A version that ended as
//	    Rejected, Failed or Retired does not count, so that such files can have another try, as a new version.
//	V3  An artifact has one model file, whatever names it is registered under: a digest says what is scored.
//	V4  Everything of a version but its stage is fixed by Register. A version that is or ends before that has no digest.
//
// # Concurrency
//
// A Service serves any number of goroutines.
package version

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// Version is one registered version of a model.
type Version struct {
	Model   string
	Version int64
	Stage   stage.Stage
	StageAt time.Time // when it entered Stage
	// Digest is the artifact's "sha256:<hex>": the identity of the version's bytes, in the registry and in lineage.
	Digest string
	// ModelFile, GoldenFile and HoldoutFile name files of the artifact; the latter two are empty when no such rows came
	// along.
	ModelFile, GoldenFile, HoldoutFile string

	// What the model file says of itself.
	Format, Library, LibraryVersion, Objective string
	Features, Trees                            int

	RunID, GitSHA string
	TrainedAt     time.Time // zero when unknown
	RegisteredAt  time.Time
	RegisteredBy  string
	Tags          map[string]string

	TrainingID      string             // of the training that made it; empty when it was registered by hand
	Metrics         map[string]float64 // as the trainer reported them
	RegistryVersion string             // its number in the external registry, empty while there is none
}

// FromRow turns a stored row into a Version.
func FromRow(r store.Version) Version {
	return Version{
		Model: r.Model, Version: r.Version, Stage: stage.Stage(r.Stage), StageAt: r.StageAt, Digest: r.Digest,
		ModelFile: r.ModelFile, GoldenFile: r.GoldenFile, Format: r.Format, Library: r.Library,
		LibraryVersion: r.LibraryVersion, Objective: r.Objective, Features: r.Features, Trees: r.Trees, RunID: r.RunID,
		GitSHA: r.GitSHA, TrainedAt: r.TrainedAt, RegisteredAt: r.RegisteredAt, RegisteredBy: r.RegisteredBy, Tags: r.Tags,
		HoldoutFile: r.HoldoutFile, TrainingID: r.TrainingID, Metrics: r.Metrics, RegistryVersion: r.RegistryVersion,
	}
}

// Model is a registered model with its counts.
type Model struct {
	Name       string
	Versions   int64
	Latest     int64 // highest version number
	Champion   int64 // 0 before the first promotion
	Generation int64
	CreatedAt  time.Time
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Registry registry.Registry
	// Open reads a model file; loader.Open when nil.
	Open   func(path string) (*forest.Model, error)
	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
}

// Service registers versions and reads them.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.Open == nil {
		d.Open = loader.Open
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Service{d: d}
}

// Get returns a version; 0 is the newest, whatever its stage. It fails with store.ErrModelNotFound or
// store.ErrVersionNotFound.
func (s *Service) Get(ctx context.Context, model string, version int64) (Version, error) {
	var row store.Version
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		if version == 0 {
			m, err := r.Model(model)
			if err != nil {
				return err
			}
			version = m.Latest
		}
		row, err = r.Version(model, version)
		return err
	})
	return FromRow(row), err
}

// Versions lists a model's versions, newest first. It fails with store.ErrModelNotFound.
func (s *Service) Versions(ctx context.Context, model string) ([]Version, error) {
	var out []Version
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		rows, err := r.Versions(model)
		for _, row := range rows {
			out = append(out, FromRow(row))
		}
		return err
	})
	return out, err
}

// Models lists all models by name.
func (s *Service) Models(ctx context.Context) ([]Model, error) {
	var out []Model
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		rows, err := r.Models()
		for _, m := range rows {
			out = append(out, Model{
				Name: m.Name, Versions: m.Versions, Latest: m.Latest, Champion: m.Champion, Generation: m.Generation,
				CreatedAt: m.CreatedAt,
			})
		}
		return err
	})
	return out, err
}

// Artifact verifies the artifact of a version and returns the directory of its files, which must not be written. It
// fails with registry.ErrNotFound or registry.ErrDigest.
func (s *Service) Artifact(ctx context.Context, v Version) (dir string, a registry.Artifact, err error) {
	dir, a, err = s.d.Registry.Fetch(ctx, v.Digest)
	if err != nil {
		return "", a, fmt.Errorf("%s version %d: %w", v.Model, v.Version, err)
	}
	return dir, a, nil
}

// Load reads the model of a version, verifying its artifact and every tree.
func (s *Service) Load(ctx context.Context, v Version) (*forest.Model, error) {
	dir, _, err := s.Artifact(ctx, v)
	if err != nil {
		return nil, err
	}
	m, err := s.open(dir, v.ModelFile)
	if err != nil {
		return nil, fmt.Errorf("%s version %d: %w", v.Model, v.Version, err)
	}
	return m, nil
}

// LoadDigest reads the model of the artifact that some version was registered with, verifying the artifact and every
// tree. It fails with store.ErrVersionNotFound when no version has the digest.
func (s *Service) LoadDigest(ctx context.Context, digest string) (*forest.Model, error) {
	var file string
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		file, err = r.ModelFile(digest)
		return err
	})
	if err != nil {
		return nil, err
	}
	dir, _, err := s.d.Registry.Fetch(ctx, digest)
	if err != nil {
		return nil, err
	}
	return s.open(dir, file)
}

// open loads a model file and checks every tree.
func (s *Service) open(dir, name string) (*forest.Model, error) {
	m, err := s.d.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return m, nil
}
