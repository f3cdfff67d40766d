package store

import "time"

// Model is a registered model name.
type Model struct {
	Name string
	// Generation counts the changes of Champion: 0 before the first.
	Generation int64
	CreatedAt  time.Time
	// Versions is the number of versions, Latest the highest number, Champion the present Champion or 0.
	Versions, Latest, Champion int64
}

// Version is one version of a model. Of one in stage Created only what its training was accepted with is known; since
// it is Trained, all but Stage, StageAt and RegistryVersion never change.
type Version struct {
	Model   string
	Version int64
	Stage   string
	StageAt time.Time // when it entered Stage
	// Digest is the artifact's "sha256:<hex>" in the registry, empty only in stages Created and Failed; ModelFile,
	// GoldenFile and HoldoutFile name files of it. GoldenFile and HoldoutFile are empty when no such rows came with the
	// version.
	Digest, ModelFile, GoldenFile, HoldoutFile string

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

// Period is a time during which one version was Champion.
type Period struct {
	Model      string
	Generation int64 // the model's generation since the period began; identifies the period within the model
	Version    int64
	// Below is the generation of the period that a rollback returns to from here, 0 for none.
	Below        int64
	Since, Until time.Time // Until is zero for the present Champion
	Action       string    // "promote" or "rollback"
	Actor        string
	Reason       string
	AuditSeq     int64 // the audit entry of the change that began it
}

// Evidence is the stored outcome of one validation.
type Evidence struct {
	ID      int64 // assigned by the store, ascending
	Model   string
	Version int64
	Outcome string // "pass", "fail" or "inconclusive"
	Digest  string // "sha256:<hex>" of Report
	Report  []byte // canonical JSON
	At      time.Time
	Actor   string
}
