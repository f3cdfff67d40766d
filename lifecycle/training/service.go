package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/treeline-ml/treeline/lifecycle/version"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/store"
	"github.com/treeline-ml/treeline/warehouse"
)

// Sentinel errors; the server maps them to status codes.
var (
	// ErrModel: the model has no configuration here, or one without trainer_class. The operator adds it.
	ErrModel = errors.New("training: model is not trained here")
	// ErrInvalid: a field of the request is not valid.
	ErrInvalid = errors.New("training: request not valid")
	// ErrEnded: the training has ended already.
	ErrEnded = errors.New("training: has ended")
)

// Kind is the kind of the workflows of trainings; their key is the training's id.
const Kind = "training"

// ModelSpec is what a model's configuration says of its training. It is kept with each training, so that one that is under
// way ends as it began.
type ModelSpec struct {
	ModelKey            string         `json:"model_key"`
	RegisteredModelName string         `json:"registered_model_name"`
	TrainerClass        string         `json:"trainer_class"`
	ModulePath          []string       `json:"module_path"`
	FeaturesTable       string         `json:"features_table"`
	LabelCol            string         `json:"label_col"`
	KeyCols             []string       `json:"key_cols"`
	DateCol             string         `json:"date_col"`
	ExcludeCols         []string       `json:"exclude_cols"`
	Hyperparameters     map[string]any `json:"hyperparameters"`
	Metrics             map[string]any `json:"metrics"`
	DecisionThreshold   float64        `json:"decision_threshold"`
	Split               Split          `json:"split"`
	Seed                int64          `json:"seed"`
	GitSHA              string         `json:"git_sha"` // where the request names none
	Environment         string         `json:"environment"`
	ConfigDigest        string         `json:"config_digest"`
	// TrackingURI and Experiment say where runs are logged; without a URI they are not.
	TrackingURI string `json:"tracking_uri"`
	Experiment  string `json:"experiment"`
	// HeartbeatSeconds, ParityRows and Attempts are 5, 2000 and 3 when 0; Timeout is the Trainer's.
	HeartbeatSeconds float64       `json:"heartbeat_seconds"`
	ParityRows       int           `json:"parity_rows"`
	Attempts         int           `json:"attempts"`
	Timeout          time.Duration `json:"timeout"`
}

// FeatureStore computes, pins and exports the rows to train on; *feature.Service is one.
type FeatureStore interface {
	// Compute materialises the features of a day, once.
	Compute(ctx context.Context, model, date string) (warehouse.Materialised, error)
	// Pin pins the model's whole history through a day.
	Pin(ctx context.Context, model, through string) (warehouse.Ref, error)
	// Export makes path a Parquet file of the pinned rows and returns their number.
	Export(ctx context.Context, ref warehouse.Ref, path string) (int64, error)
}

// Deps are what a Service needs.
type Deps struct {
	Store    store.Store
	Engine   *workflow.Engine // not started yet
	Versions *version.Service
	Registry registry.Registry
	Features FeatureStore
	Trainer  Trainer
	// Specs finds a model's configuration by its registered name.
	Specs func(model string) (ModelSpec, bool)
	// Dir gets <training>/features.parquet of each training. It may be the Trainer's own directory.
	Dir string
	// OnEnd is called in the transaction in which a training ends, however it ended, so that alerts go out with it.
	OnEnd func(tx store.Tx, t store.Training) error
	// Traceparent is the W3C trace context of a call, for the trainer.
	Traceparent func(ctx context.Context) string
	Logger      *slog.Logger     // discards when nil
	Now         func() time.Time // time.Now when nil
	// Poll is the longest time between two looks at a trainer, Backoff the wait before the second attempt. 1 second and 10
	// seconds when 0.
	Poll, Backoff time.Duration
}

// Service runs trainings.
type Service struct {
	d Deps

	mu       sync.Mutex
	watchers map[string][]chan struct{} // by training
}

// New registers the workflow of trainings with the engine.
func New(d Deps) *Service {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Poll <= 0 {
		d.Poll = time.Second
	}
	if d.Backoff <= 0 {
		d.Backoff = 10 * time.Second
	}
	s := &Service{d: d, watchers: map[string][]chan struct{}{}}
	d.Engine.Register(Kind, s.run)
	return s
}

// Request asks for a training.
type Request struct {
	Model       string
	ComputeDate string // YYYY-MM-DD; today in UTC when empty
	// Trigger is "manual", "schedule", "drift", "new_data", "performance" or "max_age".
	Trigger, Reason string
	GitSHA          string
	// IdempotencyKey: the same key is the same training for good. Empty: a new one unless one is active.
	IdempotencyKey string

	Actor, AuthMethod, RequestID string
}

// input is the workflow's input.
type input struct {
	TrainingID  string    `json:"training_id"`
	Spec        ModelSpec `json:"spec"`
	AuthMethod  string    `json:"auth_method"`
	Traceparent string    `json:"traceparent"`
}

// Trigger accepts a training: its row, its version in stage Created and its workflow are one transaction. When the model has
// an active training, or one has the same key, it returns that and joined. It fails with ErrModel or ErrInvalid.
func (s *Service) Trigger(ctx context.Context, r Request) (t store.Training, joined bool, err error) {
	spec, ok := s.d.Specs(r.Model)
	switch {
	case !ok:
		return t, false, fmt.Errorf("%w: no configuration names %q as its registered model", ErrModel, r.Model)
	case spec.TrainerClass == "":
		return t, false, fmt.Errorf("%w: the configuration of %s has no trainer_class; versions are registered by hand", ErrModel, r.Model)
	}
	now := s.d.Now().UTC().Truncate(time.Microsecond)
	if r.ComputeDate == "" {
		r.ComputeDate = now.Format(time.DateOnly)
	}
	if _, err := time.Parse(time.DateOnly, r.ComputeDate); err != nil {
		return t, false, fmt.Errorf("%w: compute_date %q is not YYYY-MM-DD", ErrInvalid, r.ComputeDate)
	}
	if r.GitSHA == "" {
		r.GitSHA = spec.GitSHA
	}
	id, err := uuid.NewV7() // ids sort by time
	if err != nil {
		return t, false, fmt.Errorf("naming a training: %w", err)
	}
	trace := ""
	if s.d.Traceparent != nil {
		trace = s.d.Traceparent(ctx)
	}
	err = s.d.Store.Update(ctx, func(tx store.Tx) error {
		if t, joined, err = present(tx, r); err != nil || joined {
			return err
		}
		v, err := s.d.Versions.Create(tx, version.CreateRequest{
			Model: r.Model, TrainingID: id.String(), GitSHA: r.GitSHA, Tags: tags(spec, r), Actor: r.Actor, AuthMethod: r.AuthMethod,
			Reason: r.Reason, RequestID: r.RequestID,
		})
		if err != nil {
			return err
		}
		t = store.Training{
			ID: id.String(), Model: r.Model, Version: v.Version, State: store.TrainingQueued, IdempotencyKey: r.IdempotencyKey,
			Trigger: r.Trigger, Reason: r.Reason, Actor: r.Actor, ComputeDate: r.ComputeDate, GitSHA: r.GitSHA,
			TrainerClass: spec.TrainerClass, ConfigDigest: spec.ConfigDigest, CreatedAt: now,
		}
		if err := tx.InsertTraining(t); err != nil {
			return err
		}
		_, _, err = s.d.Engine.BeginTx(tx, Kind, t.ID, input{TrainingID: t.ID, Spec: spec, AuthMethod: r.AuthMethod, Traceparent: trace})
		if err != nil {
			return err
		}
		t, err = tx.Training(t.ID) // as a later Get gives it
		return err
	})
	if err != nil {
		return store.Training{}, false, err
	}
	if !joined {
		s.d.Engine.Wake()
		s.d.Logger.InfoContext(ctx, "training accepted", "training", t.ID, "model", t.Model, "version", t.Version, "trigger", t.Trigger,
			"actor", t.Actor)
	}
	return t, joined, nil
}

// present finds the training that the request joins.
func present(tx store.Reader, r Request) (t store.Training, found bool, err error) {
	if r.IdempotencyKey != "" {
		t, err = tx.TrainingByKey(r.IdempotencyKey)
		if err == nil && t.Model != r.Model {
			return t, false, fmt.Errorf("%w: the key %q is that of a training of %s", ErrInvalid, r.IdempotencyKey, t.Model)
		}
		if !errors.Is(err, store.ErrTrainingNotFound) {
			return t, err == nil, err
		}
	}
	t, err = tx.ActiveTraining(r.Model)
	if errors.Is(err, store.ErrTrainingNotFound) {
		return t, false, nil
	}
	return t, err == nil, err
}

func tags(spec ModelSpec, r Request) map[string]string {
	out := map[string]string{"trainer_class": spec.TrainerClass, "compute_date": r.ComputeDate}
	if r.Trigger != "" {
		out["trigger"] = r.Trigger
	}
	if spec.Environment != "" {
		out["environment"] = spec.Environment
	}
	return out
}

// Get returns a training or store.ErrTrainingNotFound.
func (s *Service) Get(ctx context.Context, id string) (t store.Training, err error) {
	err = s.d.Store.View(ctx, func(r store.Reader) (err error) {
		t, err = r.Training(id)
		return err
	})
	return t, err
}

// ByKey returns the training with an idempotency key or store.ErrTrainingNotFound.
func (s *Service) ByKey(ctx context.Context, key string) (t store.Training, err error) {
	err = s.d.Store.View(ctx, func(r store.Reader) (err error) {
		t, err = r.TrainingByKey(key)
		return err
	})
	return t, err
}

// List lists trainings, newest first, and the token of the next page ("" at the end).
func (s *Service) List(ctx context.Context, q store.TrainingQuery) (rows []store.Training, next string, err error) {
	err = s.d.Store.View(ctx, func(r store.Reader) (err error) {
		rows, next, err = r.Trainings(q)
		return err
	})
	return rows, next, err
}

// Cancel asks a training to end and returns it as it is; Wait says when it has ended. It fails with store.ErrTrainingNotFound
// or ErrEnded.
func (s *Service) Cancel(ctx context.Context, id, reason, actor string) (store.Training, error) {
	var w store.Workflow
	var t store.Training
	err := s.d.Store.View(ctx, func(r store.Reader) (err error) {
		if t, err = r.Training(id); err != nil {
			return err
		}
		if !store.TrainingActive(t.State) {
			return fmt.Errorf("training %s is %s: %w", id, t.State, ErrEnded)
		}
		w, err = r.WorkflowByKey(Kind, id)
		return err
	})
	if err != nil {
		return t, err
	}
	if actor != "" {
		reason = actor + ": " + reason
	}
	err = s.d.Engine.Cancel(ctx, w.ID, reason)
	if errors.Is(err, workflow.ErrEnded) {
		err = fmt.Errorf("training %s: %w", id, ErrEnded)
	}
	return t, err
}

// Recover ends trainings whose workflow is gone: a release that runs other steps refuses to go on with them. Call it before
// the engine starts.
func (s *Service) Recover(ctx context.Context) error {
	rows := []store.Training{}
	err := s.d.Store.View(ctx, func(r store.Reader) error {
		for q := (store.TrainingQuery{PageSize: store.MaxPageSize}); ; {
			page, next, err := r.Trainings(q)
			if err != nil {
				return err
			}
			for _, t := range page {
				if !store.TrainingActive(t.State) {
					continue
				}
				_, err := r.WorkflowByKey(Kind, t.ID)
				if errors.Is(err, store.ErrWorkflowNotFound) {
					rows = append(rows, t)
				} else if err != nil {
					return err
				}
			}
			if next == "" {
				return nil
			}
			q.PageToken = next
		}
	})
	if err != nil {
		return err
	}
	for _, t := range rows {
		s.d.Logger.WarnContext(ctx, "training has no workflow; it ends", "training", t.ID, "model", t.Model)
		if err := s.abandon(ctx, t.ID, errors.New("its workflow ended without it")); err != nil {
			return err
		}
	}
	return nil
}

// featuresPath is where the rows of a training are.
func (s *Service) featuresPath(id string) string {
	return filepath.Join(s.d.Dir, id, "features.parquet")
}

// closing joins the error of a deferred Close.
func closing(err *error, c io.Closer) { *err = errors.Join(*err, c.Close()) }
