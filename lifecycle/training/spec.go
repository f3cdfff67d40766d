package training

import (
	"encoding/json"
	"fmt"
	"time"
)

// Format is the number of the file formats of the trainer contract (docs/format/trainer.md).
const Format = 1

// Spec is spec.json: everything that a trainer is told.
type Spec struct {
	Format              int            `json:"format"`
	TrainingID          string         `json:"training_id"`
	IdempotencyKey      string         `json:"idempotency_key"` // the same for all attempts of a training
	ModelKey            string         `json:"model_key"`
	RegisteredModelName string         `json:"registered_model_name"`
	TrainerClass        string         `json:"trainer_class"`
	ModulePath          []string       `json:"module_path"`
	Features            Features       `json:"features"`
	LabelCol            string         `json:"label_col"`
	KeyCols             []string       `json:"key_cols"`
	DateCol             string         `json:"date_col"`
	ExcludeCols         []string       `json:"exclude_cols"`
	Hyperparameters     map[string]any `json:"hyperparameters"`
	Metrics             map[string]any `json:"metrics"`
	DecisionThreshold   float64        `json:"decision_threshold"` // of precision and recall
	Split               Split          `json:"split"`
	Seed                int64          `json:"seed"`
	GitSHA              string         `json:"git_sha"`
	Environment         string         `json:"environment"`
	MLflow              *MLflow        `json:"mlflow"` // null: no tracking server
	Traceparent         string         `json:"traceparent"`
	OutputDir           string         `json:"output_dir"` // set by the Trainer
	HeartbeatSeconds    float64        `json:"heartbeat_seconds"`
	ParityRows          int            `json:"parity_rows"`

	// Timeout ends the work by the wall clock; 0 means the Trainer's default. It is not part of the file.
	Timeout time.Duration `json:"-"`
}

// Features is the table to train on, as a Parquet file.
type Features struct {
	Path        string `json:"path"`
	Rows        int64  `json:"rows"`
	Version     string `json:"version"`
	ComputeDate string `json:"compute_date"`
	Table       string `json:"table"`
}

// Split says how the holdout is taken.
type Split struct {
	Method          string  `json:"method"` // "key_hash" or "time"
	HoldoutFraction float64 `json:"holdout_fraction"`
	Seed            int64   `json:"seed"`
}

// MLflow says where the run is logged.
type MLflow struct {
	TrackingURI string `json:"tracking_uri"`
	Experiment  string `json:"experiment"`
	RunName     string `json:"run_name"`
}

// Encode returns the bytes of spec.json. Lists and maps are never null. It fails for values that JSON cannot hold (NaN,
// infinities).
func (s Spec) Encode() ([]byte, error) {
	for _, list := range []*[]string{&s.ModulePath, &s.KeyCols, &s.ExcludeCols} {
		if *list == nil {
			*list = []string{}
		}
	}
	for _, m := range []*map[string]any{&s.Hyperparameters, &s.Metrics} {
		if *m == nil {
			*m = map[string]any{}
		}
	}
	s.Format = Format
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing spec.json: %w", err)
	}
	return append(b, '\n'), nil
}
