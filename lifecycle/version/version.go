package version

import (
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
)

// Version is one registered version of a model.
type Version struct {
	Model   string
	Version int64
	Stage   stage.Stage
	StageAt time.Time
	// Digest is the artifact's "sha256:<hex>": the identity of the version's bytes, in the registry and in lineage.
	Digest string
	// ModelFile and GoldenFile name files of the artifact; GoldenFile is empty when no golden rows came along.
	ModelFile, GoldenFile string

	Format, Library, LibraryVersion, Objective string
	Features, Trees                            int

	RunID, GitSHA string
	TrainedAt     time.Time // zero when unknown
	RegisteredAt  time.Time
	RegisteredBy  string
	Tags          map[string]string
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
