package training_test

import (
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/lifecycle/stage"
	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
	"github.com/treeline-ml/treeline/store"
)

// The whole way with the product's own trainer: SQL, snapshot, Parquet, scikit-learn, MLflow model directory, our loader.
func TestRandomForest(t *testing.T) {
	w := newWorld(t, absolute(t, "../../python"), training.ModelSpec{
		ModelKey: "churn", TrainerClass: "treeline.training.RandomForestTrainer", FeaturesTable: "uat.features.churn",
		LabelCol: "churned", KeyCols: []string{"id"}, DateCol: "day", Hyperparameters: map[string]any{"n_estimators": 20, "max_depth": 5},
		Metrics: map[string]any{"auc_threshold": 0.75}, DecisionThreshold: 0.5,
		Split: training.Split{Method: "key_hash", HoldoutFraction: 0.2, Seed: 7}, Seed: 7, HeartbeatSeconds: 1,
	})
	w.halt()
	w.options.Limits.Misses, w.options.Limits.Timeout = 60, local.DefaultLimits().Timeout
	w.boot()
	tr, _ := w.trigger(training.Request{GitSHA: "abc"})
	end := w.wait(tr.ID)
	if end.State != store.TrainingSucceeded {
		t.Fatalf("%s: %s\n%s", end.State, end.Error, w.output(end))
	}
	// The label is a sum of two features and noise: a forest finds most of it.
	if end.Metrics["auc"] < 0.75 || end.InputRows != 4000 || end.RunID != "" || end.RegistryVersion != "" {
		t.Errorf("ended as %+v", end)
	}
	v := w.wantStage(1, stage.Trained)
	if v.Trees != 20 || v.Features != 3 || !strings.Contains(v.Library, "sklearn") && !strings.Contains(v.Library, "scikit") {
		t.Errorf("version is %+v", v)
	}
	if m, err := w.versions.Load(t.Context(), v); err != nil || len(m.Features) != 3 {
		t.Errorf("loading: %v", err)
	}

	// The same trainer refuses a label that is not there, in its own words.
	w.spec.LabelCol = "nothing"
	tr, _ = w.trigger(training.Request{})
	end = w.wait(tr.ID)
	if end.State != store.TrainingFailed || end.ExitCode != 10 || !strings.Contains(end.Error, "nothing") {
		t.Errorf("ended as %s, exit code %d: %s", end.State, end.ExitCode, end.Error)
	}
	w.wantStage(2, stage.Failed)
	w.wantStage(1, stage.Trained)
}

// output is what the trainer wrote.
func (w *world) output(tr store.Training) string {
	var b strings.Builder
	_ = w.Watch(w.t.Context(), tr.ID, 0, func(e training.Event) error {
		if e.Log != nil {
			b.WriteString(e.Log.Text)
		}
		return nil
	})
	return b.String()
}
