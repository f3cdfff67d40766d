package app

import (
	"fmt"
	"maps"
	"path/filepath"

	"github.com/treeline-ml/treeline/config"
	"github.com/treeline-ml/treeline/lifecycle/feature"
	"github.com/treeline-ml/treeline/lifecycle/gate"
	"github.com/treeline-ml/treeline/lifecycle/orchestration"
	"github.com/treeline-ml/treeline/lifecycle/projection"
	"github.com/treeline-ml/treeline/lifecycle/schedule"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/trigger"
	"github.com/treeline-ml/treeline/monitor"
	"github.com/treeline-ml/treeline/monitor/performance"
	"github.com/treeline-ml/treeline/scoring"
	"github.com/treeline-ml/treeline/warehouse"
)

// settings are the configured models, by registered name, in the words of each part that works with them.
type settings struct {
	order  []string
	models map[string]config.Model
	files  map[string]string                // output files of models that write no table, absolute
	post   map[string]scoring.PostProcessor // of models with an inference_class
}

// loadSettings reads the per-model files and checks what their reader cannot: names that collide, schedules, and the
// graph of models that depend on each other.
func loadSettings(paths []string) (*settings, error) {
	s := &settings{models: map[string]config.Model{}, files: map[string]string{}}
	var all []config.Model
	for _, p := range paths {
		m, err := config.LoadModel(p)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	if err := config.ValidateModels(all); err != nil {
		return nil, err
	}
	for _, m := range all {
		s.models[m.RegisteredModelName] = m
		path, err := m.OutputFile()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Where("output.file"), err)
		}
		s.files[m.RegisteredModelName] = path
		s.order = append(s.order, m.RegisteredModelName)
	}
	if _, err := s.schedules(); err != nil {
		return nil, err
	}
	return s, orchestration.Check(s.runnable())
}

func (s *settings) scoring() []scoring.ModelConfig {
	var out []scoring.ModelConfig
	for _, name := range s.order {
		m := s.models[name]
		out = append(out, scoring.ModelConfig{
			Key: m.ModelKey, Name: name, FeaturesTable: m.Data.FeaturesTable, Label: m.Data.LabelCol,
			Keys: m.Data.KeyCols, DateColumn: m.Data.DateCol, Exclude: m.Data.ExcludeCols,
			Output: warehouse.Output{
				Table: warehouse.TableName{Catalog: m.Output.Catalog, Schema: m.Output.Schema, Table: m.Output.Table},
				File:  s.files[name],
			},
			Threshold: m.DecisionThreshold, PostProcessor: s.post[name],
		})
	}
	return out
}

// schedules are the configured schedules of all models.
func (s *settings) schedules() ([]schedule.Entry, error) {
	var out []schedule.Entry
	for _, name := range s.order {
		m := s.models[name]
		for _, job := range []struct {
			name string
			s    config.Schedule
		}{{schedule.Train, m.Schedules.Train}, {schedule.BatchInference, m.Schedules.BatchInference}} {
			if !job.s.Set() {
				continue
			}
			key := "schedules." + job.name
			cron, err := schedule.Parse(job.s.QuartzCronExpression)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Where(key+".quartz_cron_expression"), err)
			}
			if !cron.Possible() {
				return nil, fmt.Errorf("%s: %s: %q never fires: no date matches it: %w", m.Where(key+".quartz_cron_expression"), key,
					job.s.QuartzCronExpression, config.ErrInvalid)
			}
			loc, err := schedule.Location(job.s.TimezoneID)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Where(key+".timezone_id"), err)
			}
			if job.name == schedule.Train && m.TrainerClass == "" {
				return nil, fmt.Errorf("%s: %s is given, but the model has no trainer_class: %w", m.Where(key), key, config.ErrInvalid)
			}
			out = append(out, schedule.Entry{
				Model: name, Job: job.name, Cron: cron, Location: loc, Misfire: schedule.Misfire(job.s.Misfire),
				Jitter: job.s.Jitter, Paused: job.s.PauseStatus == config.Paused,
			})
		}
	}
	return out, nil
}

// training is what a model's trainer is told, and where it logs to.
func (s *settings) training(c config.Config) func(model string) (training.ModelSpec, bool) {
	return func(model string) (training.ModelSpec, bool) {
		m, ok := s.models[model]
		if !ok || m.TrainerClass == "" {
			return training.ModelSpec{}, false
		}
		spec := training.ModelSpec{
			ModelKey: m.ModelKey, RegisteredModelName: model, TrainerClass: m.TrainerClass, ModulePath: []string{modulePath(m)},
			FeaturesTable: m.Data.FeaturesTable, LabelCol: m.Data.LabelCol, KeyCols: m.Data.KeyCols, DateCol: m.Data.DateCol,
			ExcludeCols: m.Data.ExcludeCols, Hyperparameters: m.Hyperparameters, Metrics: metrics(m), DecisionThreshold: m.DecisionThreshold,
			Split: training.Split{Method: m.Training.Split, HoldoutFraction: m.Training.HoldoutFraction, Seed: m.Training.Seed},
			Seed:  m.Training.Seed, Environment: m.Training.Environment, ConfigDigest: m.Digest(), TrackingURI: c.MLflow.TrackingURI,
			Experiment: m.Training.Experiment, Attempts: m.Training.Attempts, Timeout: m.Training.Timeout, GitSHA: commitOf(modulePath(m)),
		}
		if spec.Environment == "" {
			spec.Environment = c.MLflow.Environment
		}
		return spec, true
	}
}

// runnable are the models as orchestrated runs see them.
func (s *settings) runnable() []orchestration.Model {
	var out []orchestration.Model
	for _, name := range s.order {
		m := s.models[name]
		out = append(out, orchestration.Model{
			Name: name, DependsOn: m.DependsOn, Policy: m.Promotion.Policy, Owner: m.Alerts.Owner, Trainable: m.TrainerClass != "",
		})
	}
	return out
}

// policies say when each model that can be trained is trained again.
func (s *settings) policies() ([]trigger.Policy, error) {
	var out []trigger.Policy
	for _, name := range s.order {
		m := s.models[name]
		if m.TrainerClass == "" {
			continue
		}
		t := m.Triggers
		p := trigger.Policy{
			Model: name, Owner: m.Alerts.Owner, Cooldown: t.Cooldown, MaxCooldown: t.MaxCooldown, MaxPerWeek: t.MaxPerWeek,
			ProposeOnly: t.ProposeOnly, Schedule: m.Schedules.Train.Set(), LimitSchedule: t.LimitSchedule, MaxAge: t.ChampionMaxAge,
		}
		for _, b := range t.Blackout {
			from, until, err := b.Span()
			if err != nil {
				return nil, fmt.Errorf("%s: triggers.blackout: %w", m.Path(), err)
			}
			p.Blackout = append(p.Blackout, trigger.Blackout{From: from, Until: until, Reason: b.Reason})
		}
		if d := t.Drift; d != nil {
			p.Drift = &trigger.DriftPolicy{Windows: d.Windows, Agree: d.Agree, Share: d.Share}
		}
		if n := t.NewData; n != nil {
			p.NewData = &trigger.NewDataPolicy{MinRows: n.MinRows}
		}
		if f := t.Performance; f != nil {
			p.Performance = &trigger.PerformancePolicy{MinRows: f.MinRows}
		}
		out = append(out, p)
	}
	return out, nil
}

// performance is how a model's scores are measured once labels have arrived.
func (s *settings) performance(model string) (performance.Settings, bool) {
	m, ok := s.models[model]
	p := m.Triggers.Performance
	if !ok || p == nil {
		return performance.Settings{}, false
	}
	table, err := warehouse.ParseTableName(p.LabelsTable)
	if err != nil {
		return performance.Settings{}, false // config.LoadModel refuses such names
	}
	return performance.Settings{
		Key: m.ModelKey, Keys: m.Data.KeyCols, Threshold: m.DecisionThreshold, Labels: table, Label: p.LabelCol, DateColumn: m.Data.DateCol,
		Available: p.AvailableCol, Metric: p.Metric, Baseline: p.Baseline, MinRows: p.MinRows, MinMaturity: p.MinMaturity,
	}, true
}

// source is where a model's features come from.
func (s *settings) source(model string) (feature.Source, bool) {
	m, ok := s.models[model]
	if !ok {
		return feature.Source{}, false
	}
	table, err := warehouse.ParseTableName(m.Data.FeaturesTable)
	if err != nil {
		return feature.Source{}, false // config.LoadModel refuses such names
	}
	return feature.Source{
		Model: model, Table: table, SQL: m.Data.FeaturesSQL, DateColumn: m.Data.DateCol, Keys: m.Data.KeyCols,
	}, true
}

// gates is what a version of a model must pass.
func (s *settings) gates(model string) (gate.Policy, bool) {
	m, ok := s.models[model]
	if !ok {
		return gate.Policy{}, false
	}
	g := m.Gates
	p := gate.Policy{
		Digest: m.Digest(), Label: m.Data.LabelCol, Keys: m.Data.KeyCols,
		Modes: map[string]gate.Mode{
			gate.AUCFloor: gate.Mode(g.AUCFloor.Mode), gate.ChampionChallenger: gate.Mode(g.ChampionChallenger.Mode),
			gate.Slices: gate.Mode(g.Slices.Mode), gate.Calibration: gate.Mode(g.Calibration.Mode),
			gate.FeatureStability: gate.Mode(g.FeatureStability.Mode), gate.NoDrift: gate.Mode(g.NoDrift.Mode),
		},
		AUCFloor:           gate.AUCFloorPolicy{Threshold: m.Metrics.AUCThreshold, On: g.AUCFloor.On},
		ChampionChallenger: gate.ChampionPolicy{Test: g.ChampionChallenger.Test, Delta: g.ChampionChallenger.Delta},
		Slices:             gate.SlicesPolicy{Columns: g.Slices.Columns, MaxDrop: g.Slices.MaxDrop, MinRows: g.Slices.MinRows},
		Calibration: gate.CalibrationPolicy{
			MaxECE: g.Calibration.MaxECE, MaxBrier: g.Calibration.MaxBrier, MinSlope: g.Calibration.MinSlope, MaxSlope: g.Calibration.MaxSlope,
		},
		FeatureStability: gate.StabilityPolicy{
			MaxPSI: g.FeatureStability.MaxPSI, MaxNullRise: g.FeatureStability.MaxNullRise,
			MinRankCorrelation: g.FeatureStability.MinRankCorrelation, LeakageAUC: g.FeatureStability.LeakageAUC,
		},
		NoDrift: gate.NoDriftPolicy{Share: g.NoDrift.Share}, HoldoutBudget: g.HoldoutBudget,
	}
	if m.ValidatorClass != "" {
		p.Validator = &gate.External{
			Class: m.ValidatorClass, ModulePath: []string{modulePath(m)}, Metrics: metrics(m), Hyperparameters: m.Hyperparameters,
		}
	}
	return p, true
}

// modulePath is the folder in which a model's own Python classes are found.
func modulePath(m config.Model) string {
	dir := filepath.Dir(m.Path())
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// metrics are all keys below metrics, as Python classes get them.
func metrics(m config.Model) map[string]any {
	out := map[string]any{"auc_threshold": m.Metrics.AUCThreshold}
	maps.Copy(out, m.Metrics.More)
	return out
}

// drift is when a model's input counts as drifted.
func (s *settings) drift(model string) monitor.Options {
	m := s.models[model].Monitoring
	return monitor.Options{Mode: monitor.Mode(m.DriftMode), PThreshold: m.PThreshold, Share: m.Share}
}

// projected is how a model is mirrored in the external registry. Without mirror none is: the registry is only logged to.
func (s *settings) projected(mirror bool) func(model string) (projection.Settings, bool) {
	return func(model string) (projection.Settings, bool) {
		m, ok := s.models[model]
		return projection.Settings{Name: model, Policy: projection.Policy(m.Registry.Divergence), Publish: true}, ok && mirror
	}
}
