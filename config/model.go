package config

import (
	"path/filepath"
	"time"
)

// Model is a per-model config.yml.
type Model struct {
	ModelKey            string `yaml:"model_key"`             // prefix of the output columns
	RegisteredModelName string `yaml:"registered_model_name"` // model_key when absent
	// TrainerClass is the Python class that trains the model: one that treeline.training has, or module.Class of a module
	// beside the file or of an installed package. Absent: versions are only registered.
	TrainerClass string `yaml:"trainer_class"`
	// ValidatorClass is a Python class that judges versions in a required gate of its own.
	ValidatorClass string `yaml:"validator_class"`
	// InferenceClass is a Python class that changes the scores of a batch after the engine has made them.
	InferenceClass string `yaml:"inference_class"`
	Data           Data   `yaml:"data"`
	// Hyperparameters go to the trainer as they are.
	Hyperparameters map[string]any `yaml:"hyperparameters"`
	Metrics         Metrics        `yaml:"metrics"`
	Output          Output         `yaml:"output"`
	// DecisionThreshold: a row is predicted positive at or above it. 0.5 when absent.
	DecisionThreshold float64 `yaml:"decision_threshold"`

	// DependsOn are registered model names whose runs come first in an orchestrated run.
	DependsOn []string `digest:"-" yaml:"depends_on"`
	// Group names models that are shown and run together. "default" when absent.
	Group string `digest:"-" yaml:"group"`

	Training   Training        `yaml:"training"`
	Schedules  Schedules       `digest:"-"        yaml:"schedules"`
	Triggers   Triggers        `digest:"-"        yaml:"triggers"`
	Gates      Gates           `yaml:"gates"`
	Promotion  Promotion       `digest:"-"        yaml:"promotion"`
	Registry   ModelRegistry   `digest:"-"        yaml:"registry"`
	Alerts     ModelAlerts     `digest:"-"        yaml:"alerts"`
	Monitoring ModelMonitoring `yaml:"monitoring"`

	path   string
	origin origins
}

// DefaultModel is a model's configuration before its file is read. What depends on other keys is filled in by LoadModel:
// registered_model_name, training.experiment, gates.auc_floor.mode, gates.champion_challenger.mode, gates.slices.mode and
// the values below a trigger that is present.
func DefaultModel() Model {
	return Model{
		DecisionThreshold: 0.5,
		Group:             "default",
		Training:          Training{Split: SplitKeyHash, HoldoutFraction: 0.2, Seed: 7, Attempts: 3},
		Schedules:         Schedules{Train: defaultSchedule(), BatchInference: defaultSchedule()},
		Triggers:          Triggers{Cooldown: 24 * time.Hour, MaxCooldown: 30 * 24 * time.Hour, MaxPerWeek: 3},
		Gates:             defaultGates(),
		Promotion:         Promotion{Policy: PolicyAuto},
		Registry:          ModelRegistry{Divergence: "alert"},
		Monitoring:        ModelMonitoring{DriftMode: "psi", PThreshold: 0.05, Share: 0.3},
	}
}

// Data says where a model's rows come from.
type Data struct {
	FeaturesTable string `yaml:"features_table"` // catalog.schema.table
	// FeaturesSQL computes the features of one compute_date, once for training and inference together. Absent: the
	// features table is filled by somebody else.
	FeaturesSQL string   `yaml:"features_sql"`
	LabelCol    string   `yaml:"label_col"`
	KeyCols     []string `yaml:"key_cols"` // identify a row; they lead the output
	DateCol     string   `yaml:"date_col"` // the day of a row, for batches of one day
	ExcludeCols []string `yaml:"exclude_cols"`
}

// Metrics are the floors of validation. Further keys are kept as they are and reach the trainer and the validator.
type Metrics struct {
	// AUCThreshold is the lowest AUC that a version may have: the AUC floor gate. 0 means no floor.
	AUCThreshold float64        `yaml:"auc_threshold"`
	More         map[string]any `yaml:",inline"`
}

// Output is the table that batches write, or a file instead.
type Output struct {
	Catalog string `yaml:"catalog"`
	Schema  string `yaml:"schema"`
	Table   string `yaml:"table"`
	// File is a .parquet file that a batch replaces as a whole. {date} in it is the day of the batch, or "all".
	File string `yaml:"file"`
}

func (o Output) String() string { return o.Catalog + "." + o.Schema + "." + o.Table }

// Path is the file that the model was loaded from.
func (m Model) Path() string { return m.path }

// OutputFile is the absolute path of the file that batches write, relative paths being relative to the model's own file;
// empty when they write a table.
func (m Model) OutputFile() (string, error) {
	if m.Output.File == "" || filepath.IsAbs(m.Output.File) {
		return m.Output.File, nil
	}
	return filepath.Abs(filepath.Join(filepath.Dir(m.path), m.Output.File))
}

// Where is the place of a key in the file, "file:line:column", or of what holds it; the file itself for absent keys.
func (m Model) Where(key string) string {
	return (&faults{origin: m.origin, fallback: m.path}).where(key)
}

// set reports whether the file has the key.
func (m *Model) set(key string) bool {
	_, ok := m.origin[key]
	return ok
}

// fillDefaults sets what depends on other keys.
func (m *Model) fillDefaults() {
	if m.RegisteredModelName == "" {
		m.RegisteredModelName = m.ModelKey
	}
	if m.Training.Experiment == "" {
		m.Training.Experiment = m.RegisteredModelName
	}
	m.Gates.fillDefaults(m)
	m.Triggers.fillDefaults(m)
}
