// Package gate runs the checks that stand between Trained and Validated, and keeps their evidence.
//
//	artifact             every digest recomputed, the loader accepts every tree, the engine compiles it, the signature makes sense
//	parity               the engine's margins and predictions on the version's golden rows, bit for bit those of the library
//	auc_floor            AUC on the holdout, as this engine computes it, >= the threshold
//	champion_challenger  the version against the Champion, both scored now on the same holdout rows: paired DeLong, or bootstrap
//	slices               the same within the values of some columns, corrected for their number
//	calibration          ECE, Brier score and calibration line of the probabilities
//	feature_stability    training data against those of the Champion; features that give the label away
//	no_drift             training data against the latest scored batch
//	validator            the model's own Python validator
//
// docs/format/gates.md says how each figure is made, and what it agrees with. artifact and parity are always required; the
// others are required, reported or off by the model's Policy.
//
// A gate passes, fails, or is inconclusive: there was not enough to judge. All that are required must pass for a version to
// become Validated; one failure makes it Rejected; otherwise it stays what it was, and the report says what is missing.
// Waive accepts a version in somebody's name in spite of required gates other than artifact and parity.
//
// The artifact gate also binds the model to its configured feature table, by names and types, as a batch would. A failure
// is final, so it is kept for what is wrong with the version itself: a table that is absent, or lacks columns, or has
// them in types that the model cannot read makes the gate inconclusive, and the version can be validated again once the
// table is repaired.
//
// # Evidence
//
// A report is stored as canonical JSON: encoding/json without HTML escapes and without spaces, fields in the order of
// the type evidence, map keys sorted. Its SHA-256 is the evidence digest, which the audit entry of the validation and
// those of later promotions name. It names what it is about: the digests of artifact, policy and holdout rows, the Champion
// that was compared with, and the engine's build; a promotion refuses evidence about anything else.
//
// # Golden rows
//
// A Parquet file in the artifact with the feature columns and what the training library gives for them: raw (or raw_0,
// raw_1, ...) and pred (or pred_0, ...), as float32 or float64. Any other column is ignored. A null in them stands for
// NaN, which is how pandas writes it, or for a row that the library refuses. Two NaN are equal whatever their payload;
// 0 and -0 are not.
//
// # Holdout rows
//
// A Parquet file in the artifact with rows that the training did not see: key columns, feature columns, the label (0 and
// 1, the class, or the number), and columns to cut into slices. They are streamed; a few numbers a row are kept.
//
// # Concurrency
//
// A Service serves any number of goroutines.
package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/treeline-ml/treeline/lifecycle/stage"
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
	Waived       Outcome = "waived" // somebody accepted the version in spite of it; see Result.WaivedBy
)

// The names of the gates.
const (
	Artifact           = "artifact"
	Parity             = "parity"
	AUCFloor           = "auc_floor"
	ChampionChallenger = "champion_challenger"
	Slices             = "slices"
	Calibration        = "calibration"
	FeatureStability   = "feature_stability"
	NoDrift            = "no_drift"
	Validator          = "validator"
)

// ErrNotPassed means that a version that must pass the gates does not. The message has the gate's summary and hint.
var ErrNotPassed = errors.New("gate: not passed")

// ErrNotWaivable: the artifact and parity gates cannot be waived, nor gates that do not stand in the way.
var ErrNotWaivable = errors.New("gate: cannot be waived")

// ErrInvalid: a field of the request is missing or out of its limits.
var ErrInvalid = errors.New("gate: request not valid")

// Result is the verdict of one gate.
type Result struct {
	Gate     string
	Outcome  Outcome
	Summary  string            // one sentence with the figures
	Hint     string            // what to do; empty when it passed
	Evidence map[string]string // the figures
	// Required: without it the version does not pass. Other gates are reported and decide nothing.
	Required               bool
	WaivedBy, WaivedReason string
	Details                []Detail // per slice or feature
}

// Detail is the part of a verdict about one slice or feature.
type Detail struct {
	Name    string
	Outcome Outcome
	Summary string
	Figures map[string]float64
}

// Report is the outcome of one validation.
type Report struct {
	Version        version.Version // as it is now
	Outcome        Outcome
	Gates          []Result
	ValidatedAt    time.Time
	Actor          string
	EvidenceDigest string // "sha256:<hex>" of the canonical JSON
	// Explanation says in one to six sentences why the version is blocked and what to do, or that it passed.
	Explanation string
}

// Passed reports whether all gates passed.
func (r Report) Passed() bool { return r.Outcome == Pass }

// Request asks for a validation.
type Request struct {
	Model   string
	Version int64 // 0 means the newest Trained version

	Progress Progress // may be nil

	Actor, AuthMethod, RequestID string
}

// Columns tells what a model's configured feature table looks like; configured is false when the model has none.
type Columns interface {
	FeatureColumns(ctx context.Context, model string) (table FeatureTable, configured bool, err error)
}

// FeatureTable is the table that a model's batches read.
type FeatureTable struct {
	Name    string
	Schema  *arrow.Schema // of the whole table
	Keys    []string      // columns that it must have besides the features
	Allowed []string      // columns that are no features: label, date and those that the configuration excludes
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Versions *version.Service
	Columns  Columns // nil skips the check against the feature table
	// Policies gives a model's policy; nil, or ok false: only the artifact and parity gates.
	Policies   func(model string) (p Policy, ok bool)
	Statistics Statistics       // nil: feature_stability and no_drift are inconclusive
	Runner     Runner           // nil: the validator is inconclusive
	MinRows    int64            // golden rows below which parity is inconclusive; DefaultMinRows when 0
	Alloc      memory.Allocator // memory.DefaultAllocator when nil
	Logger     *slog.Logger     // discards when nil
	Now        func() time.Time // time.Now when nil
}

// DefaultMinRows suits small models and examples. In production ask for 1000 or more.
const DefaultMinRows = 100

// Service runs the gates.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.MinRows <= 0 {
		d.MinRows = DefaultMinRows
	}
	if d.Alloc == nil {
		d.Alloc = memory.DefaultAllocator
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Service{d: d}
}

// Validate runs all gates on a version that is Trained, or again on one that is Validated or Archived, stores the
// evidence, and moves the version: to Validated when all pass, to Rejected when one fails. A verdict is a Report, not an
// error. It fails with stage.ErrWrong, store.ErrModelNotFound, store.ErrVersionNotFound or registry.ErrNotFound.
func (s *Service) Validate(ctx context.Context, r Request) (Report, error) {
	v, err := s.candidate(ctx, r)
	if err != nil {
		return Report{}, err
	}
	run := &run{s: s, v: v, tell: r.Progress, minRows: s.d.MinRows, columns: true}
	if s.d.Policies != nil {
		run.policy, run.governed = s.d.Policies(v.Model)
	}
	if err := run.all(ctx); err != nil {
		return Report{}, err
	}
	report, err := s.conclude(ctx, run, r)
	if err != nil {
		return Report{}, err
	}
	s.d.Logger.InfoContext(ctx, "version validated", "model", v.Model, "version", v.Version, "outcome", report.Outcome,
		"stage", report.Version.Stage, "evidence", report.EvidenceDigest, "actor", report.Actor)
	return report, nil
}

// candidate finds the version and refuses stages that a validation does not start from.
func (s *Service) candidate(ctx context.Context, r Request) (version.Version, error) {
	var row store.Version
	err := s.d.Store.View(ctx, func(tx store.Reader) (err error) {
		if r.Version != 0 {
			row, err = tx.Version(r.Model, r.Version)
			return err
		}
		row, err = tx.NewestVersion(r.Model, string(stage.Trained))
		if !errors.Is(err, store.ErrVersionNotFound) {
			return err
		}
		m, err := tx.Model(r.Model)
		if err != nil {
			return err
		}
		if row, err = tx.Version(r.Model, m.Latest); err != nil {
			return err
		}
		return wrong(row, "and no version is Trained")
	})
	if err == nil {
		err = check(row)
	}
	return version.FromRow(row), err
}

func check(row store.Version) error {
	if stage.Can(stage.Stage(row.Stage), stage.Validated, stage.ActionValidate) {
		return nil
	}
	return wrong(row, "not Trained")
}

func wrong(row store.Version, want string) error {
	st := stage.Stage(row.Stage)
	return fmt.Errorf("%w: %s version %d is %s, %s; %s", stage.ErrWrong, row.Model, row.Version, st.Title(), want,
		stage.Next(st, row.Model, row.Version))
}

// Verify runs the artifact and parity gates on a version, whatever its stage, and changes nothing. It is for a version
// that passed before and is wanted again: any number of golden rows will do, and the feature table is not asked, so that
// a rollback does not hang on it. It fails with ErrNotPassed unless both pass.
func (s *Service) Verify(ctx context.Context, model string, v int64) (summary string, err error) {
	ver, err := s.d.Versions.Get(ctx, model, v)
	if err != nil {
		return "", err
	}
	run := &run{s: s, v: ver, minRows: 1}
	if err := run.all(ctx); err != nil {
		return "", err
	}
	gates := run.gates
	for _, g := range gates {
		if g.Outcome != Pass {
			return "", fmt.Errorf("%w: %s: %s; %s", ErrNotPassed, g.Gate, g.Summary, g.Hint)
		}
	}
	return gates[len(gates)-1].Summary, nil
}

// overall is the verdict of the required gates together; a waived one stands in nobody's way.
func overall(gates []Result) Outcome {
	out := Pass
	for _, g := range gates {
		switch {
		case !g.Required || g.Outcome == Pass || g.Outcome == Waived:
		case g.Outcome == Fail:
			return Fail
		default:
			out = Inconclusive
		}
	}
	return out
}
