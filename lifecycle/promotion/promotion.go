package promotion

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// Sentinel errors. A version in the wrong stage is stage.ErrWrong, also known here as ErrWrongStage.
var (
	ErrWrongStage = stage.ErrWrong
	// ErrGeneration: another change of Champion came first. The message names it; read the history and decide again.
	ErrGeneration = errors.New("promotion: champion changed meanwhile")
	// ErrInvalid: a field of the request is missing or out of its limits.
	ErrInvalid = errors.New("promotion: request not valid")
	// ErrNoEarlier: the champion history holds no version to go back to.
	ErrNoEarlier = errors.New("promotion: no earlier champion to go back to")
)

// Request asks for a promotion.
type Request struct {
	Model              string
	Version            int64 // 0 means the newest Validated version
	Reason             string
	ExpectedGeneration *int64
	DryRun             bool

	Actor, AuthMethod, RequestID string
}

// RollbackRequest asks to make an earlier Champion the Champion again.
type RollbackRequest struct {
	Model              string
	To                 int64 // 0 means the Champion below the present one in the history
	Reason             string
	ExpectedGeneration *int64
	Keep               bool // archive the replaced version instead of quarantining it
	DryRun             bool

	Actor, AuthMethod, RequestID string
}

// Change is the effect of a promotion or rollback.
type Change struct {
	Model            string
	FromVersion      int64 // 0 when there was none
	FromVersionStage stage.Stage
	ToVersion        int64
	Generation       int64 // after the change, or the one it would have
	At               time.Time
	AuditSeq         int64 // 0 for a dry run
	AuditHash        string
	Effects          []string
	DryRun           bool
}

// Period is a time during which one version was Champion.
type Period struct {
	Version      int64
	Generation   int64
	Since, Until time.Time // Until is zero for the present Champion
	Actor        string
	Reason       string
	Action       string // "promote" or "rollback"
}

// Verifier checks that a version still scores as its training library did; gate.Service is one.
type Verifier interface {
	Verify(ctx context.Context, model string, version int64) (summary string, err error)
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Registry registry.Registry
	Verifier Verifier
	// Committed is called after each change that filled the outbox; Mirror.Wake, for one. May be nil.
	Committed func()
	Logger    *slog.Logger     // discards when nil
	Now       func() time.Time // time.Now when nil
}

// Service changes Champions. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d: d} }

// Promote makes a Validated version the Champion.
func (s *Service) Promote(ctx context.Context, r Request) (Change, error) {
	return Change{}, errSkeleton
}

// Rollback makes an earlier Champion the Champion again.
func (s *Service) Rollback(ctx context.Context, r RollbackRequest) (c Change, affected []string, err error) {
	return Change{}, nil, errSkeleton
}

// History lists the champion history, newest first.
func (s *Service) History(ctx context.Context, model string) ([]Period, error) {
	return nil, errSkeleton
}

// Champion returns the present Champion and the model's generation.
func (s *Service) Champion(ctx context.Context, model string) (version.Version, int64, error) {
	return version.Version{}, 0, errSkeleton
}

var errSkeleton = errors.New("promotion: under construction")

// MirrorDeps are what a Mirror needs.
type MirrorDeps struct {
	Store  store.Store
	Target PromotionWriter
	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
	// MinRetry and MaxRetry bound the exponential wait after a failure; 500 ms and 1 min when 0.
	MinRetry, MaxRetry time.Duration
}

// PromotionWriter takes promotion rows, each at least once; warehouse.Warehouse is one.
type PromotionWriter interface {
	MirrorPromotions(ctx context.Context, rows []warehouse.PromotionRow) error
}

// Mirror copies promotions from the outbox.
type Mirror struct{ d MirrorDeps }

// NewMirror returns a Mirror that is not running.
func NewMirror(d MirrorDeps) *Mirror { return &Mirror{d: d} }

// Start begins to deliver in the background.
func (m *Mirror) Start(ctx context.Context) error { return errSkeleton }

// Stop ends the background work and waits for it.
func (m *Mirror) Stop() {}

// Wake asks for a delivery now. It does not block.
func (m *Mirror) Wake() {}

// Drain delivers until the outbox is empty or a delivery fails.
func (m *Mirror) Drain(ctx context.Context) error { return errSkeleton }
