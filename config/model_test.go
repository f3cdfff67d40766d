package config

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestLoadModel(t *testing.T) {
	got, err := LoadModel("testdata/good/churn.yml")
	if err != nil {
		t.Fatal(err)
	}
	want := Model{
		ModelKey: "churn", RegisteredModelName: "churn_model",
		TrainerClass:   "treeline.training.LightGBMTrainer",
		ValidatorClass: "treeline.training.Validator", InferenceClass: "treeline.training.BatchInference",
		Data: Data{
			FeaturesTable: "uat.features.churn_features",
			FeaturesSQL:   "-- one day of accounts\nSELECT * FROM uat.raw.accounts WHERE day = :compute_date\n",
			LabelCol:      "churn", KeyCols: []string{"account_id", "day"},
			DateCol: "compute_date", ExcludeCols: []string{"loaded_at"},
		},
		Hyperparameters: map[string]any{
			"n_estimators": uint64(100), "learning_rate": 0.05, "missing": math.NaN(),
			"monotone": []any{uint64(1), int64(-1), uint64(0)},
			"nested":   map[string]any{"deep": map[string]any{"deeper": true, "none": nil}},
		},
		Metrics:           Metrics{AUCThreshold: 0.75, More: map[string]any{"recall_at": 0.3}},
		Output:            Output{Catalog: "uat", Schema: "predictions", Table: "churn_scores"},
		DecisionThreshold: 0.4,
		DependsOn:         []string{"fraud"}, Group: "retention",
		Training: Training{
			Split: SplitTime, HoldoutFraction: 0.25, Seed: 11, Timeout: 30 * time.Minute, Attempts: 2, Environment: "uat",
			Experiment: "/churn/nightly",
		},
		Schedules: Schedules{
			Train: Schedule{
				QuartzCronExpression: "0 0 3 ? * SUN", TimezoneID: "America/New_York", Misfire: MisfireSkip, PauseStatus: Paused,
				Jitter: 5 * time.Minute,
			},
			BatchInference: Schedule{
				QuartzCronExpression: "0 30 6 * * ?", TimezoneID: "Europe/Berlin", Misfire: MisfireRunOnce, PauseStatus: Unpaused,
			},
		},
		Triggers: Triggers{
			Cooldown: 48 * time.Hour, MaxCooldown: 240 * time.Hour, MaxPerWeek: 2, LimitSchedule: true, ProposeOnly: true,
			Blackout: []Blackout{
				{From: "2026-12-20", To: "2026-12-31", TimezoneID: "America/New_York", Reason: "year end"},
				{From: "2027-01-06", TimezoneID: "UTC"},
			},
			Drift:   &DriftTrigger{Windows: 5, Agree: 3, Share: 0.4},
			NewData: &NewDataTrigger{MinRows: 5000},
			Performance: &PerformanceTrigger{
				LabelsTable: "uat.labels.churn", LabelCol: "churned", AvailableCol: "known_at", Metric: "auc", Baseline: 0.7, MinRows: 400,
				MinMaturity: 0.9,
			},
			ChampionMaxAge: 30 * 24 * time.Hour,
		},
		Gates: Gates{
			AUCFloor:           AUCFloorGate{Mode: GateRequired, On: "lower_bound"},
			ChampionChallenger: ChampionChallengerGate{Mode: GateReport, Test: "superior", Delta: 0.001},
			Slices:             SlicesGate{Mode: GateRequired, Columns: []string{"region", "plan"}, MaxDrop: 0.05, MinRows: 300},
			Calibration:        CalibrationGate{Mode: GateRequired, MaxECE: 0.04, MaxBrier: 0.2, MinSlope: 0.7, MaxSlope: 1.4},
			FeatureStability: FeatureStabilityGate{
				Mode: GateRequired, MaxPSI: 0.3, MaxNullRise: 0.01, MinRankCorrelation: 0.6, LeakageAUC: 0.98,
			},
			NoDrift:       NoDriftGate{Mode: GateRequired, Share: 0.2},
			HoldoutBudget: 5,
		},
		Promotion:  Promotion{Policy: PolicyPropose},
		Registry:   ModelRegistry{Divergence: "revert"},
		Alerts:     ModelAlerts{Owner: "growth"},
		Monitoring: ModelMonitoring{DriftMode: "p_value", PThreshold: 0.01, Share: 0.25},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Model{}), cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if where := got.Where("schedules.train.misfire"); where != "testdata/good/churn.yml:42:14" {
		t.Errorf("misfire is at %s", where)
	}
	if where := got.Where("schedules.train.absent"); where != "testdata/good/churn.yml:40:5" {
		t.Errorf("what is absent in schedules.train is at %s", where)
	}
	// The fixture must keep up with the struct.
	for _, key := range leafKeys(reflect.TypeFor[Model](), "") {
		if !got.set(key) {
			t.Errorf("testdata/good/churn.yml does not set %s", key)
		}
	}
}

// leafKeys are all keys of a struct, those below optional sections too.
func leafKeys(t reflect.Type, path string) []string {
	var out []string
	f := fieldsOf(t)
	for _, name := range f.names {
		ft := t.Field(f.index[name]).Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct {
			out = append(out, leafKeys(ft, join(path, name))...)
		} else {
			out = append(out, join(path, name))
		}
	}
	return out
}

func TestModelDefaults(t *testing.T) {
	m, err := LoadModel("testdata/good/small.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		key       string
		got, want any
	}{
		{"registered_model_name", m.RegisteredModelName, "churn"},
		{"training", m.Training, Training{Split: "key_hash", HoldoutFraction: 0.2, Seed: 7, Attempts: 3, Experiment: "churn"}},
		{"triggers.drift", m.Triggers.Drift, &DriftTrigger{Windows: 3, Agree: 2, Share: 0.2}},
		{"triggers.new_data", m.Triggers.NewData, (*NewDataTrigger)(nil)},
		{
			"triggers.performance", m.Triggers.Performance,
			&PerformanceTrigger{LabelsTable: "uat.labels.churn", LabelCol: "churn", Metric: "auc", MinRows: 1000, MinMaturity: 0.8},
		},
		{"gates.auc_floor", m.Gates.AUCFloor, AUCFloorGate{Mode: "required", On: "value"}},
		{"gates.champion_challenger.mode", m.Gates.ChampionChallenger.Mode, "required"},
		{"gates.slices.mode", m.Gates.Slices.Mode, "off"},
		{"gates.no_drift", m.Gates.NoDrift, NoDriftGate{Mode: "report", Share: 0.2}},
		{"promotion.policy", m.Promotion.Policy, "auto"},
		{"schedules.train", m.Schedules.Train.Set(), false},
	} {
		if diff := cmp.Diff(tc.want, tc.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.key, diff)
		}
	}
}

func TestDigest(t *testing.T) {
	base, err := os.ReadFile("testdata/good/small.yml")
	if err != nil {
		t.Fatal(err)
	}
	digest := func(yaml string) string {
		path := filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := LoadModel(path)
		if err != nil {
			t.Fatal(err)
		}
		return m.Digest()
	}
	first := digest(string(base))
	// A released digest: it stays what it is.
	if want := "sha256:958cf0a8659764695db56404a1f8441fee6a6745822f68149e25d17f429ebc38"; first != want {
		t.Errorf("digest of testdata/good/small.yml: %s, want %s", first, want)
	}
	for name, same := range map[string]string{
		"another order and spelling": "output:\n  catalog: uat\n  table: churn_scores\n  schema: predictions\n" +
			strings.Replace(string(base), "output: {catalog: uat, schema: predictions, table: churn_scores}\n", "", 1),
		"defaults written out": string(base) + "decision_threshold: 0.5\ntraining: {seed: 7, split: key_hash}\nhyperparameters: {}\n",
		"when and who":         string(base) + "promotion: {policy: propose}\nalerts: {owner: x}\ngroup: g\ntraining: {timeout: 5m, attempts: 1, environment: x}\n",
	} {
		if got := digest(same); got != first {
			t.Errorf("%s: another digest", name)
		}
	}
	seen := map[string]string{first: "the file itself"}
	for name, more := range map[string]string{
		"threshold":           "decision_threshold: 0.51\n",
		"seed":                "training: {seed: 8}\n",
		"gate":                "gates: {calibration: {mode: required}}\n",
		"drift mode":          "hyperparameters: {}\ninference_class: a.B\n",
		"hyperparameter":      "hyperparameters: {x: 1}\n",
		"hyperparameter 1.0":  "hyperparameters: {x: 1.5}\n",
		"hyperparameter text": "hyperparameters: {x: \"1\"}\n",
		"hyperparameter list": "hyperparameters: {x: [1]}\n",
		"hyperparameter nan":  "hyperparameters: {x: .nan}\n",
		"hyperparameter null": "hyperparameters: {x: null}\n",
		"hyperparameter bool": "hyperparameters: {x: true}\n",
		"a number as text":    "hyperparameters: {x: \"number 1\"}\n",
	} {
		d := digest(string(base) + more)
		if other, dup := seen[d]; dup {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}

func TestValidateModels(t *testing.T) {
	model := func(name string, depends ...string) Model {
		return Model{RegisteredModelName: name, DependsOn: depends, path: name + ".yml", origin: origins{"depends_on": name + ".yml:7:13"}}
	}
	for _, tc := range []struct {
		name   string
		models []Model
		want   string
	}{
		{"a chain", []Model{model("a"), model("b", "a"), model("c", "a", "b")}, ""},
		{
			"twice",
			[]Model{model("a"), {RegisteredModelName: "a", path: "z.yml"}},
			`z.yml: registered_model_name: "a" is configured by a.yml already: config: invalid`,
		},
		{
			"unknown",
			[]Model{model("fraud"), model("b", "fruad")},
			`b.yml:7:13: depends_on[0]: "fruad" is no configured model; did you mean "fraud"?: config: invalid`,
		},
		{
			"cycle",
			[]Model{model("x", "a"), model("a", "b"), model("b", "c"), model("c", "a")},
			`a.yml:7:13: depends_on: leads back to the model: a -> b -> c -> a: config: invalid`,
		},
	} {
		err := ValidateModels(tc.models)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.want != "" && (!errors.Is(err, ErrInvalid) || err.Error() != tc.want):
			t.Errorf("%s: got  %v\nwant %s", tc.name, err, tc.want)
		}
	}
}

func TestBlackoutSpan(t *testing.T) {
	// The day on which New York's clocks go forward has 23 hours.
	from, until, err := Blackout{From: "2026-03-08", TimezoneID: "America/New_York"}.Span()
	if err != nil || until.Sub(from) != 23*time.Hour || from.UTC().Format(time.RFC3339) != "2026-03-08T05:00:00Z" {
		t.Errorf("%v to %v, %v", from, until, err)
	}
	if from, until, err = (Blackout{From: "2026-12-24", To: "2026-12-26", TimezoneID: "UTC"}).Span(); err != nil || until.Sub(from) != 72*time.Hour {
		t.Errorf("%v to %v, %v", from, until, err)
	}
	if _, _, err := (Blackout{From: "x", TimezoneID: "UTC"}).Span(); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestSecrets(t *testing.T) {
	env := map[string]string{"PW": "hunter2", "HOOK": "https://hooks.example/T0/secret", "KEY": "whsec", "BAD": "hooks.example"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if c, err := (MLflow{Username: "me", PasswordEnv: "PW"}).Credentials(lookup); err != nil || c != (Credentials{Username: "me", Password: "hunter2"}) {
		t.Errorf("%v, %v", c, err)
	}
	_, err := MLflow{Username: "me", PasswordEnv: "NOPE"}.Credentials(lookup)
	if err == nil || err.Error() != "mlflow.password_env: the environment variable NOPE is not set: config: invalid" {
		t.Error(err)
	}
	if u, k, err := (Receiver{Name: "ops", URLEnv: "HOOK", SecretEnv: "KEY"}).Secrets(lookup); err != nil || u != env["HOOK"] || k != "whsec" {
		t.Errorf("%s, %s, %v", u, k, err)
	}
	_, _, err = Receiver{Name: "ops", URLEnv: "BAD"}.Secrets(lookup)
	if err == nil || strings.Contains(err.Error(), "hooks.example") || !strings.Contains(err.Error(), "the value of BAD is not") {
		t.Error(err)
	}
	c := Default()
	c.Alerts.Receivers = []Receiver{{URL: "https://u:p@hooks.example:8443/T0/secret?x=y"}, {URL: "secret"}, {URLEnv: "HOOK"}}
	c.MLflow.TrackingURI = "http://me:secret@127.0.0.1:5000"
	r := c.Redacted()
	if r.Alerts.Receivers[0].URL != "https://hooks.example:8443/REDACTED" || r.Alerts.Receivers[1].URL != "REDACTED" ||
		r.Alerts.Receivers[2].URL != "" || strings.Contains(r.MLflow.TrackingURI, "secret") {
		t.Errorf("%+v %s", r.Alerts.Receivers, r.MLflow.TrackingURI)
	}
	if c.Alerts.Receivers[1].URL != "secret" {
		t.Error("Redacted changed its receiver")
	}
}

// The text of features_sql may begin with comments of both kinds, and these may hold semicolons.
func TestQueriesMayBeginWithComments(t *testing.T) {
	for sql, want := range map[string]bool{
		"SELECT 1": true, "/* c */ SELECT 1": true, "/* c */SELECT 1;": true, "-- c\n/* a\n b */ -- d\nWITH x AS (SELECT 1) FROM x": true,
		"/* a /* b */ c */ SELECT 1": true, "/* a; b */ SELECT 1": true, "-- a; b\nSELECT 1": true, "SELECT 1 /* a; b */ + 1": true,
		"SELECT/**/1": true, "FROM/**/x": true,
		"/* c */ DROP TABLE x": false, "/* SELECT 1": false, "/* a /* b */ SELECT 1": false, "-- SELECT 1": false, "/*/ SELECT 1": false,
		"/* c */ SELECT 1; SELECT 2": false, "*/ SELECT 1": false, "": false,
	} {
		if isQuery(sql) != want {
			t.Errorf("%q: %v", sql, !want)
		}
	}
}
