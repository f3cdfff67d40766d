package registry

import "errors"

// ErrUnavailable: a registry of another system cannot be reached, or what answers is something else. Try again later.
var ErrUnavailable = errors.New("registry: not reachable")

// State is what a registry of another system (MLflow) holds of one registered model.
type State struct {
	Aliases  map[string]string            // alias to version
	Tags     map[string]string            // of the registered model
	Versions map[string]map[string]string // version to its tags
}

// Publication describes a version that a registry of another system shall have.
type Publication struct {
	Name string // of the registered model there
	// Key identifies the publication: the same key again is the version that was made the first time, also when its
	// reply was lost. No two versions have the same.
	Key         string
	Experiment  string // that holds the run; the target's own when empty
	RunName     string
	Description string
	// Dir holds the files of Artifact. ModelFile is the one that is scored: a native model file, or "<dir>/MLmodel".
	Dir       string
	Artifact  Artifact
	ModelFile string
	// Format and LibraryVersion are what the model file says of itself: "lightgbm-text", "4.7.0".
	Format, LibraryVersion string
	Params                 map[string]string
	Metrics                map[string]float64
	Tags                   map[string]string // of the run and of the version
}
