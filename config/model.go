package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strconv"
)

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

// Digest is "sha256:<hex>" over the canonical JSON of all settings: equal settings have equal digests, however the file
// writes them.
func (m Model) Digest() string {
	settings := canonical(reflect.ValueOf(m))
	b, err := json.Marshal(settings) // keys of maps are sorted
	if err != nil {
		panic("config: canonical values are always JSON: " + err.Error())
	}
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// canonical turns settings into what JSON can write: structs into maps by their keys, numbers into text.
func canonical(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return canonical(v.Elem())
	case reflect.Struct:
		out := map[string]any{}
		f := fieldsOf(v.Type())
		for key, i := range f.index {
			out[key] = canonical(v.Field(i))
		}
		if f.rest >= 0 {
			for it := v.Field(f.rest).MapRange(); it.Next(); {
				out[it.Key().String()] = canonical(it.Value())
			}
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for it := v.MapRange(); it.Next(); {
			out[it.Key().String()] = canonical(it.Value())
		}
		return out
	case reflect.Slice:
		out := make([]any, 0, v.Len())
		for i := range v.Len() {
			out = append(out, canonical(v.Index(i)))
		}
		return out
	case reflect.Float64:
		// Text keeps NaN, infinities and every bit, and keeps 1.0 apart from "1".
		return map[string]any{"number": strconv.FormatFloat(v.Float(), 'g', -1, 64)}
	case reflect.Int64:
		return map[string]any{"number": strconv.FormatInt(v.Int(), 10)}
	case reflect.Uint64:
		return map[string]any{"number": strconv.FormatUint(v.Uint(), 10)}
	case reflect.Bool:
		return v.Bool()
	default:
		return v.String()
	}
}

// Path is the file that the model was loaded from.
func (m Model) Path() string { return m.path }
