// Package promotion decides which version of a model is Champion: promote, roll back, and tell the warehouse.
//
//	Validated --Promote--> Champion --(replaced)--> Archived        one transaction: both stages, the generation,
//	Archived  --Rollback-> Champion --(replaced)--> Quarantined     the history, the audit entries, the outbox
//
// # Invariants
//
//	P1  A model has one Champion, or none before its first promotion, at every moment that anyone can see.
//	P2  generation counts the changes of Champion. A change with an expected generation happens only at it; of any
//	    number of callers that expect the same one, one wins and the others get ErrGeneration.
//	P3  Each change has its audit entries, its period in the champion history and its outbox rows, or did not happen.
//	P4  A promotion rests on evidence about these very files, this configuration and this Champion.
//	P5  A rollback goes to a version that was Champion, whose bytes and parity were checked again just now.
//
// # How a rollback finds its way
//
// The champion history is a list of periods that only grows. Each period knows the one below it: the period to go back
// to. A promotion puts its period on top of the present one. A rollback to a period takes its place: what was below that
// one is below the new one.
//
//	promote 1    promote 2    promote 3    rollback     rollback
//	g1: v1       g2: v2       g3: v3       g4: v2       g5: v1
//	below: none  below: g1    below: g2    below: g1    below: none
//
// So a second rollback goes further back instead of forth again, also when the replaced version was kept. Periods of a
// version that is not Archived any more (quarantined, rejected by a later validation, retired) are passed over. "The
// newest archived version" would be wrong: in g4 that is v3 when it was kept, and after other rollbacks may be a version
// that never stood below the present one.
//
// # Concurrency
//
// A Service serves any number of goroutines; changes of Champion run one after the other in the store.
package promotion

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
)

// Sentinel errors.
var (
	// ErrWrongStage: the version's stage does not allow what was asked; it is stage.ErrWrong. The message says what to
	// do first.
	ErrWrongStage = stage.ErrWrong
	// ErrGeneration: another change of Champion came first. The message names it; look at the history and decide again.
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
	DryRun             bool // report the effects, change nothing
	// Waived, with DryRun: what would happen to a Trained or Rejected version once the gates in its way are waived.
	Waived bool

	Actor, AuthMethod, RequestID string
}

// RollbackRequest asks to make an earlier Champion the Champion again.
type RollbackRequest struct {
	Model              string
	To                 int64 // a version of the champion history; 0 means the nearest below the present Champion
	Reason             string
	ExpectedGeneration *int64
	Keep               bool // archive the replaced version instead of quarantining it
	DryRun             bool // report the effects, change nothing

	Actor, AuthMethod, RequestID string
}

// Change is the effect of a promotion or rollback.
type Change struct {
	Model            string
	FromVersion      int64       // 0 when there was none
	FromVersionStage stage.Stage // the stage that FromVersion has now
	ToVersion        int64
	Generation       int64 // after the change, or the one it would have
	At               time.Time
	AuditSeq         int64 // of the entry of ToVersion; 0 for a dry run
	AuditHash        string
	Effects          []string // in words, in order
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

// Verifier checks that a version still scores as its training library did; *gate.Service is one.
type Verifier interface {
	Verify(ctx context.Context, model string, version int64) (summary string, err error)
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Registry registry.Registry
	Verifier Verifier
	// Policy gives the digest of a model's present configuration, which the evidence of a promotion must name ("" for a
	// model without one). Nil: it need not.
	Policy func(model string) string
	// Committed is called after each change that filled the outbox; outbox.Relay.Wake, for one. May be nil.
	Committed func()
	Logger    *slog.Logger     // discards when nil
	Now       func() time.Time // time.Now when nil
}

// Service changes Champions.
type Service struct{ d Deps }

// New returns a Service.
func New(d Deps) *Service {
	if d.Committed == nil {
		d.Committed = func() {}
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Service{d: d}
}

// Promote makes a Validated version the Champion and archives the present one. It fails with ErrInvalid, ErrGeneration,
// ErrWrongStage, store.ErrModelNotFound, store.ErrVersionNotFound, registry.ErrNotFound or registry.ErrDigest; nothing
// is changed then.
func (s *Service) Promote(ctx context.Context, r Request) (Change, error) {
	if err := checkReason(r.Reason); err != nil {
		return Change{}, err
	}
	policy := ""
	if s.d.Policy != nil {
		policy = s.d.Policy(r.Model)
	}
	var p plan
	prepare := func(tx store.Reader) (err error) {
		p, err = planPromotion(tx, r, policy)
		return err
	}
	if err := s.d.Store.View(ctx, prepare); err != nil {
		return Change{}, err
	}
	// A version whose bytes are damaged would be a Champion that cannot score. The bytes are immutable, so checking
	// them before the transaction is as good as in it, and holds nobody up.
	checked := p.target.Digest
	if _, _, err := s.d.Registry.Fetch(ctx, checked); err != nil {
		return Change{}, fmt.Errorf("%s version %d: %w", r.Model, p.target.Version, err)
	}
	if r.DryRun {
		return p.change(s.now()), nil
	}
	var c Change
	err := s.d.Store.Update(ctx, func(tx store.Tx) error {
		if err := prepare(tx); err != nil {
			return err
		}
		if p.target.Digest != checked {
			return fmt.Errorf("%w: version %d became the newest Validated version of %s at this moment; name the version you mean",
				ErrGeneration, p.target.Version, r.Model)
		}
		var err error
		c, err = p.apply(tx, s.now())
		return err
	})
	return s.done(ctx, c, &p, err)
}

// Rollback makes an earlier Champion the Champion again and returns, beside the change, the ids of the batches that the
// replaced version scored since it first became Champion, oldest first. It fails like Promote, with store.ErrNoChampion
// or ErrNoEarlier, or with the Verifier's error; nothing is changed then.
func (s *Service) Rollback(ctx context.Context, r RollbackRequest) (c Change, affected []string, err error) {
	if err := checkReason(r.Reason); err != nil {
		return Change{}, nil, err
	}
	var p plan
	prepare := func(tx store.Reader) (err error) {
		p, err = planRollback(tx, r)
		return err
	}
	if err := s.d.Store.View(ctx, prepare); err != nil {
		return Change{}, nil, err
	}
	checked := p
	summary, err := s.verify(ctx, p.target)
	if err != nil {
		return Change{}, nil, err
	}
	if r.DryRun {
		p.verified = summary
		return p.change(s.now()), p.affected, nil
	}
	err = s.d.Store.Update(ctx, func(tx store.Tx) error {
		if err := prepare(tx); err != nil {
			return err
		}
		if p.model.Generation != checked.model.Generation || p.target.Version != checked.target.Version {
			return lost(tx, p.model, checked.model.Generation)
		}
		p.verified = summary
		var err error
		c, err = p.apply(tx, s.now())
		return err
	})
	c, err = s.done(ctx, c, &p, err)
	if err != nil {
		return Change{}, nil, err
	}
	return c, p.affected, nil
}

// verify checks the bytes and the parity of a version that is to be Champion again.
func (s *Service) verify(ctx context.Context, v store.Version) (string, error) {
	if _, _, err := s.d.Registry.Fetch(ctx, v.Digest); err != nil {
		return "", fmt.Errorf("%s version %d cannot be Champion again: %w", v.Model, v.Version, err)
	}
	summary, err := s.d.Verifier.Verify(ctx, v.Model, v.Version)
	if err != nil {
		return "", fmt.Errorf("%s version %d cannot be Champion again: %w", v.Model, v.Version, err)
	}
	return summary, nil
}

func (s *Service) done(ctx context.Context, c Change, p *plan, err error) (Change, error) {
	if err != nil {
		return Change{}, err
	}
	s.d.Committed()
	s.d.Logger.InfoContext(ctx, "champion changed", "model", c.Model, "action", p.action, "from_version", c.FromVersion,
		"to_version", c.ToVersion, "generation", c.Generation, "audit_seq", c.AuditSeq, "audit_hash", c.AuditHash,
		"actor", p.by.actor)
	return c, nil
}

// now is what the store keeps of the time.
func (s *Service) now() time.Time { return s.d.Now().UTC().Truncate(time.Microsecond) }

func checkReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return fmt.Errorf("%w: a reason is required; it goes to the audit log", ErrInvalid)
	}
	return nil
}

// History lists the champion history, newest first; it is empty before the first promotion. It fails with
// store.ErrModelNotFound.
func (s *Service) History(ctx context.Context, model string) ([]Period, error) {
	var out []Period
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		rows, err := r.Periods(model)
		for _, p := range rows {
			out = append(out, Period{
				Version: p.Version, Generation: p.Generation, Since: p.Since, Until: p.Until, Actor: p.Actor,
				Reason: p.Reason, Action: p.Action,
			})
		}
		return err
	})
	return out, err
}

// Champion returns the present Champion and the model's generation. It fails with store.ErrModelNotFound or
// store.ErrNoChampion.
func (s *Service) Champion(ctx context.Context, model string) (version.Version, int64, error) {
	var (
		row store.Version
		p   store.Period
	)
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		if p, err = r.OpenPeriod(model); err != nil {
			return err
		}
		row, err = r.Version(model, p.Version)
		return err
	})
	return version.FromRow(row), p.Generation, err
}
