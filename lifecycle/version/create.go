package version

import (
	"fmt"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/lifecycle/audit"
	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/store"
)

// CreateRequest describes a version that a training was accepted for.
type CreateRequest struct {
	Model      string
	TrainingID string
	GitSHA     string
	Tags       map[string]string

	Actor, AuthMethod, Reason, RequestID string
}

// Create adds a version in stage Created, in the caller's transaction. It fails with ErrName or ErrInvalid.
func (s *Service) Create(tx store.Tx, r CreateRequest) (Version, error) {
	if err := CheckName(r.Model); err != nil {
		return Version{}, err
	}
	if r.TrainingID == "" {
		return Version{}, fmt.Errorf("%w: a version in stage Created has a training", ErrInvalid)
	}
	now := s.now()
	return s.add(tx, store.Version{
		Model: r.Model, Stage: string(stage.Created), StageAt: now, GitSHA: r.GitSHA, RegisteredAt: now, RegisteredBy: r.Actor,
		Tags: r.Tags, TrainingID: r.TrainingID,
	}, audit.Entry{
		At: now, Actor: r.Actor, AuthMethod: r.AuthMethod, Action: stage.ActionCreate, Reason: r.Reason, RequestID: r.RequestID,
	})
}

// FailRequest says why a version will not be.
type FailRequest struct {
	Model   string
	Version int64

	Actor, AuthMethod, Reason, RequestID string
}

// Fail moves a version from Created to Failed, in the caller's transaction. A version that is Failed stays so. It fails with
// stage.ErrWrong, store.ErrModelNotFound or store.ErrVersionNotFound.
func (s *Service) Fail(tx store.Tx, r FailRequest) error {
	row, err := tx.Version(r.Model, r.Version)
	if err != nil || row.Stage == string(stage.Failed) {
		return err
	}
	if err := created(row); err != nil {
		return err
	}
	return s.move(tx, row, stage.Failed, audit.Entry{
		At: s.now(), Actor: r.Actor, AuthMethod: r.AuthMethod, Action: stage.ActionFail, Reason: r.Reason, RequestID: r.RequestID,
	})
}

func created(row store.Version) error {
	if row.Stage != string(stage.Created) {
		return fmt.Errorf("%s version %d is %s, want %s: %w", row.Model, row.Version, stage.Stage(row.Stage).Title(), stage.Created.Title(), stage.ErrWrong)
	}
	return nil
}

// complete turns the Created version into the registered one.
func (s *Service) complete(tx store.Tx, r RegisterRequest, m *forest.Model) (Version, error) {
	old, err := tx.Version(r.Model, r.CreatedVersion)
	if err != nil {
		return Version{}, err
	}
	if err := created(old); err != nil {
		return Version{}, err
	}
	now := s.now()
	row := r.row(m, now)
	row.Version = old.Version
	if err := tx.UpdateCreated(row); err != nil {
		return Version{}, err
	}
	err = s.move(tx, row, stage.Trained, audit.Entry{
		At: now, Actor: r.Actor, AuthMethod: r.AuthMethod, Action: stage.ActionRegister, RequestID: r.RequestID,
	})
	if err != nil {
		return Version{}, err
	}
	row, err = tx.Version(r.Model, r.CreatedVersion)
	return FromRow(row), err
}

// move moves a Created version, with the audit entry, of which it fills in the rest.
func (s *Service) move(tx store.Tx, row store.Version, to stage.Stage, e audit.Entry) error {
	model, err := tx.Model(row.Model)
	if err != nil {
		return err
	}
	if err := tx.SetStage(row.Model, row.Version, string(stage.Created), string(to), e.At); err != nil {
		return err
	}
	e.Model, e.Version, e.FromStage, e.ToStage, e.Generation = row.Model, row.Version, string(stage.Created), string(to), model.Generation
	_, err = audit.Append(tx, e)
	return err
}
