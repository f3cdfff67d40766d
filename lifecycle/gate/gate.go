package gate

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/store"
)

// Outcome is a verdict.
type Outcome string

// The outcomes. Inconclusive never passes.
const (
	Pass         Outcome = "pass"
	Fail         Outcome = "fail"
	Inconclusive Outcome = "inconclusive"
)

// Result is the verdict of one gate.
type Result struct {
	Gate     string // "artifact", "parity"
	Outcome  Outcome
	Summary  string            // one sentence with the figures
	Hint     string            // what to do, unless it passed
	Evidence map[string]string // the figures
}

// Report is the stored evidence of one validation.
type Report struct {
	Version        version.Version // as it is after the validation
	Outcome        Outcome
	Gates          []Result
	ValidatedAt    time.Time
	Actor          string
	EvidenceDigest string // "sha256:<hex>" of the canonical JSON
}

// Passed reports whether all gates passed.
func (r Report) Passed() bool { return r.Outcome == Pass }

// Request asks for a validation.
type Request struct {
	Model   string
	Version int64 // 0 means the newest Trained version

	Actor, AuthMethod, RequestID string
}

// Columns tells which columns a model's configured feature table has. configured is false when the model has none.
type Columns interface {
	FeatureColumns(ctx context.Context, model string) (columns []string, configured bool, err error)
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Versions *version.Service
	Columns  Columns          // nil skips the check against the feature table
	MinRows  int64            // golden rows below which parity is inconclusive; DefaultMinRows when 0
	Alloc    memory.Allocator // memory.DefaultAllocator when nil
	Logger   *slog.Logger     // discards when nil
	Now      func() time.Time // time.Now when nil
}

// DefaultMinRows is a floor for small examples; production asks for 1000 or more.
const DefaultMinRows = 100

// ErrNotPassed: a check of a version that must hold did not. The message has the gate's summary and hint.
var ErrNotPassed = errors.New("gate: not passed")

// Service runs the gates. It is safe for concurrent use.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d: d} }

// Validate runs all gates.
func (s *Service) Validate(ctx context.Context, r Request) (Report, error) {
	return Report{}, errSkeleton
}

// Report returns the latest evidence of a version; 0 means the newest version that has any.
func (s *Service) Report(ctx context.Context, model string, v int64) (Report, error) {
	return Report{}, errSkeleton
}

// Verify runs the gates again without a change of stage; ErrNotPassed unless all pass.
func (s *Service) Verify(ctx context.Context, model string, v int64) (summary string, err error) {
	return "", errSkeleton
}

var errSkeleton = errors.New("gate: under construction")
