// Package projection keeps a registry of another system (MLflow) as our store says: aliases, tags, and the versions
// themselves.
//
//	store (decides) --outbox rows "registry"--> Deliver --> aliases Champion, Challenger; tags treeline.*
//	store           <------ compare ----------  Check   <-- whoever else writes there
//
// A row only says that a model changed. What to write is read from the store at that moment, so that rows may come late,
// twice, in another order or not at all: the last one, or the next Check, makes everything right.
//
// # Whose change was it
//
// No such registry offers compare-and-set, and others write there too. So the projection leaves a note of what it wrote:
// a tag of the registered model (NoteTag) with the aliases as it left them. With it three states can be told apart:
//
//	note = what is there   what we want differs  our change is on its way: write
//	note = what we want    what is there differs somebody else's change: divergence, the model's Policy decides
//	all three differ                             both changed; ours is the newer decision: write
//
// Without a note (the first contact) an alias that is not there is written. One that is there and names another version
// is somebody's, and only a change of Champion that comes through the outbox replaces it.
//
// # Invariants
//
//	R1  The store is never changed by what is found in the registry, unless a model's Policy is Adopt; then only through
//	    the gates and a promotion like any other.
//	R2  What is written is read back.
//	R3  A converged model costs two reads and no write.
//	R4  A divergence is told once, until it is gone or becomes another.
//	R5  Publishing a version twice makes one version there: it is found again by its key.
//
// # Concurrency
//
// A Service serves any number of goroutines; the work on one model runs one after the other.
package projection

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/internal/service"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// The aliases that the projection owns.
const (
	Champion   = "Champion"
	Challenger = "Challenger"
)

// The tags that the projection owns, of versions.
const (
	TagStage      = "treeline.stage"        // "Champion"
	TagDigest     = "treeline.model_digest" // of the artifact in our registry
	TagVersion    = "treeline.version"      // our number of it
	TagGeneration = "treeline.generation"   // of the model since this version became Champion last; absent if it never did
	TagCheckpoint = "treeline.checkpoint"   // "<seq>:<hash>" of the audit log's head at that promotion
)

// NoteTag is the tag of the registered model that holds what the projection wrote last (JSON).
const NoteTag = "treeline.projection"

// Target is the other system's registry; *mlflow.Client is one. Errors match registry.ErrNotFound or
// registry.ErrUnavailable where they mean that.
type Target interface {
	// State returns everything about a registered model; registry.ErrNotFound when there is none.
	State(ctx context.Context, name string) (registry.State, error)
	SetAlias(ctx context.Context, name, alias, version string) error
	// DeleteAlias succeeds for an alias that is not there.
	DeleteAlias(ctx context.Context, name, alias string) error
	SetModelTag(ctx context.Context, name, key, value string) error
	SetVersionTag(ctx context.Context, name, version, key, value string) error
	// Publish makes a version and returns its number; the same Key again returns the same version.
	Publish(ctx context.Context, p registry.Publication) (string, error)
}

// Policy says what a divergence leads to.
type Policy string

// The policies.
const (
	Alert  Policy = "alert"  // tell people, change nothing
	Revert Policy = "revert" // set it back
	// Adopt makes the version that the alias Champion names there our Champion, if it passes the gates; other differences
	// are set back.
	Adopt Policy = "adopt"
)

// Settings are how one model is projected.
type Settings struct {
	Name    string // of the registered model there
	Policy  Policy // Alert when empty
	Publish bool   // versions that are not there are published
}

// Adopter makes a version that was found as Champion ours. Validate runs the gates of a Trained, Archived or Validated
// version; promotable is false, with the reason in a sentence, when they do not pass.
type Adopter interface {
	Validate(ctx context.Context, model string, version int64) (promotable bool, reason string, err error)
	Promote(ctx context.Context, model string, version, expectedGeneration int64, reason string) error
}

// Alerts hears of divergences: of each one once, and once that it is gone. Calls that fail are repeated.
type Alerts interface {
	Diverged(ctx context.Context, d Divergence) error
	Converged(ctx context.Context, d Divergence) error
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Target   Target
	Registry registry.Registry // of the files that are published
	// Models returns the settings of a model; false for models that are not projected.
	Models  func(model string) (Settings, bool)
	Adopter Adopter // nil: Adopt is Alert
	Alerts  Alerts  // nil: divergences are logged
	// Interval is the time between two checks of Start; 1 min when 0.
	Interval time.Duration
	Logger   *slog.Logger // discards when nil
}

// Service is the projection and its reconciler.
type Service struct {
	d    Deps
	loop *service.Loop
	wake chan struct{} // of capacity 1: any number of wakes before the next look are one

	mu     sync.Mutex
	models map[string]*state
}

// state is what the Service remembers of one model between two looks. Forgetting it costs a repetition, no more.
type state struct {
	turn      chan struct{} // of capacity 1: held while working on the model
	alerted   map[string]Divergence
	refused   string           // the divergence that could not be adopted
	unpublish map[int64]string // versions that the target refuses, and why
}

// New returns a Service that is not running.
func New(d Deps) *Service {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Interval <= 0 {
		d.Interval = time.Minute
	}
	s := &Service{d: d, wake: make(chan struct{}, 1), models: map[string]*state{}}
	s.loop = service.NewLoop(s.run)
	return s
}

// lock takes the model for the caller.
func (s *Service) lock(ctx context.Context, model string) (*state, func(), error) {
	s.mu.Lock()
	st := s.models[model]
	if st == nil {
		st = &state{turn: make(chan struct{}, 1), alerted: map[string]Divergence{}, unpublish: map[int64]string{}}
		s.models[model] = st
	}
	s.mu.Unlock()
	select {
	case st.turn <- struct{}{}:
		return st, func() { <-st.turn }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}
