package store

import "time"

// The states of a training.
const (
	TrainingQueued      = "queued"
	TrainingPreparing   = "preparing"
	TrainingRunning     = "running"
	TrainingRegistering = "registering"
	TrainingSucceeded   = "succeeded"
	TrainingFailed      = "failed"
	TrainingCancelled   = "cancelled"
)

// TrainingActive reports whether a training in this state has not ended.
func TrainingActive(state string) bool {
	switch state {
	case TrainingQueued, TrainingPreparing, TrainingRunning, TrainingRegistering:
		return true
	default:
		return false
	}
}

// Training is one run of a trainer. ID, Model, Version and what asked for it (IdempotencyKey, Trigger, Reason, Actor,
// ComputeDate, CreatedAt) never change, nor does State once it has ended.
type Training struct {
	ID             string
	Model          string
	Version        int64 // in stage Created since the training was accepted
	State          string
	Attempt        int
	IdempotencyKey string // unique where not empty

	Trigger, Reason, Actor string
	ComputeDate            string // YYYY-MM-DD
	GitSHA                 string
	TrainerClass           string
	ConfigDigest           string

	InputVersion string // of the feature snapshot
	InputRows    int64
	// Handle is what the trainer needs to find its work again after a crash of the daemon (JSON).
	Handle string

	RunID, RunName  string
	RegistryVersion string // the version's number in the external registry
	Metrics         map[string]float64

	Step                                          string
	CreatedAt, StartedAt, FinishedAt, HeartbeatAt time.Time
	ExitCode                                      int
	UserCPU, SystemCPU                            time.Duration
	MaxRSS                                        int64 // bytes
	Error, Hint                                   string
}

// TrainingQuery selects trainings. Zero fields do not restrict.
type TrainingQuery struct {
	Model string
	State string
	// PageSize 0 means DefaultPageSize; more than MaxPageSize is cut to it.
	PageSize  int
	PageToken string
}

// TrainingReader is the part of Reader about trainings.
type TrainingReader interface {
	// Training fails with ErrTrainingNotFound.
	Training(id string) (Training, error)
	// Trainings lists trainings, newest first, and the token of the next page ("" at the end).
	Trainings(q TrainingQuery) ([]Training, string, error)
	// ActiveTraining returns the training of a model that has not ended, or ErrTrainingNotFound.
	ActiveTraining(model string) (Training, error)
	// TrainingByKey returns the training with an idempotency key, or ErrTrainingNotFound.
	TrainingByKey(idempotencyKey string) (Training, error)
}

// TrainingTx is the part of Tx about trainings.
type TrainingTx interface {
	// InsertTraining adds a training; its version must be there. ErrConflict when the model has an active one, or the
	// idempotency key or the id was used.
	InsertTraining(t Training) error
	// UpdateTraining stores every field but ID, Model, Version, IdempotencyKey, Trigger, Reason, Actor, ComputeDate and
	// CreatedAt, which never change. ErrTrainingNotFound; ErrConflict when it ended in another state.
	UpdateTraining(t Training) error
}
