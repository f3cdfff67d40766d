package config

// Model is a per-model config.yml.
type Model struct {
	ModelKey            string `yaml:"model_key"`             // prefix of the output columns
	RegisteredModelName string `yaml:"registered_model_name"` // model_key when absent
	// TrainerClass, ValidatorClass and InferenceClass name the Python classes of the training pipeline. They are kept for
	// the components that start it; scoring does not use them.
	TrainerClass   string `yaml:"trainer_class"`
	ValidatorClass string `yaml:"validator_class"`
	InferenceClass string `yaml:"inference_class"`
	Data           Data   `yaml:"data"`
	// Hyperparameters go to the trainer as they are.
	Hyperparameters map[string]any `yaml:"hyperparameters"`
	Metrics         Metrics        `yaml:"metrics"`
	Output          Output         `yaml:"output"`
	// DecisionThreshold: a row is predicted positive at or above it. 0.5 when absent.
	DecisionThreshold float64 `yaml:"decision_threshold"`

	path   string
	origin origins
}

// Data says where a model's rows come from.
type Data struct {
	FeaturesTable string   `yaml:"features_table"` // catalog.schema.table
	LabelCol      string   `yaml:"label_col"`
	KeyCols       []string `yaml:"key_cols"` // identify a row; they lead the output
	DateCol       string   `yaml:"date_col"` // the day of a row, for batches of one day
	ExcludeCols   []string `yaml:"exclude_cols"`
}

// Metrics are the floors of validation. Further keys are kept as they are.
type Metrics struct {
	// AUCThreshold is the lowest AUC that a version may have. It is kept for the gate that measures it.
	AUCThreshold float64        `yaml:"auc_threshold"`
	More         map[string]any `yaml:",inline"`
}

// Output is the table that batches write.
type Output struct {
	Catalog string `yaml:"catalog"`
	Schema  string `yaml:"schema"`
	Table   string `yaml:"table"`
}

func (o Output) String() string { return o.Catalog + "." + o.Schema + "." + o.Table }

// Path is the file that the model was loaded from.
func (m Model) Path() string { return m.path }
