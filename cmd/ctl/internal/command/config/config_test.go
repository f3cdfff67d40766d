package config

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/console"
	"github.com/treeline-ml/treeline/cmd/ctl/internal/command/exit"
	"github.com/treeline-ml/treeline/config"
)

const repository = "../../../../.."

// python is the project's interpreter: TREELINE_PYTHON, or that of the repository's environment.
func python(t *testing.T) interpreter {
	t.Helper()
	path := os.Getenv("TREELINE_PYTHON")
	if path == "" {
		path = filepath.Join(repository, ".venv", "bin", "python")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make the Python environment with tools/python/env.sh, or set TREELINE_PYTHON", err)
	}
	return interpreter{python: path, packagePath: filepath.Join(repository, "python")}
}

func write1(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const modelFile = `model_key: churn
trainer_class: RandomForestTrainer
validator_class: own.Strict
data: {features_table: a.b.c, key_cols: [id], label_col: y}
output: {catalog: a, schema: b, table: scores}
schedules:
  train: {quartz_cron_expression: "0 0 3 ? * SUN", timezone_id: America/New_York}
`

const ownModule = `from treeline.training import Validator

print("imported")

class Strict(Validator):
    def validate(self, *args, **kwargs):
        raise NotImplementedError
`

func TestCheckImportsClasses(t *testing.T) {
	dir := t.TempDir()
	path := write1(t, dir, "config.yml", modelFile)
	write1(t, dir, "own.py", ownModule)
	now := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	// A daemon's configuration brings its own interpreter.
	i := python(t)
	for _, p := range []*string{&i.python, &i.packagePath} {
		full, err := filepath.Abs(*p)
		if err != nil {
			t.Fatal(err)
		}
		*p = full
	}
	daemon := write1(t, dir, "scorer.yml", "models: [config.yml]\ntraining: {python: "+i.python+", package_path: "+i.packagePath+"}\n")
	r, err := check(t.Context(), daemon, interpreter{}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []class{
		{Model: "churn", Key: "trainer_class", Name: "RandomForestTrainer", Resolved: "treeline.training.sklearn_trees.RandomForestTrainer"},
		{Model: "churn", Key: "validator_class", Name: "own.Strict", Resolved: "own.Strict"},
	}
	if diff := cmp.Diff(want, r.Classes); diff != "" {
		t.Errorf("classes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"2026-11-08T03:00:00-05:00", "2026-11-15T03:00:00-05:00", "2026-11-22T03:00:00-05:00"}, r.Schedules[0].Next); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	// Without an interpreter the answer is that nobody looked, not that all is well.
	if r, err = check(t.Context(), path, interpreter{}, now); err != nil || r.Classes != nil {
		t.Errorf("%v, %v", r.Classes, err)
	}
}

func TestCheckNamesClassesThatAreWrong(t *testing.T) {
	dir := t.TempDir()
	write1(t, dir, "own.py", ownModule)
	for key, change := range map[string][2]string{
		"one":   {"RandomForestTrainer", "RandomForstTrainer"}, // an unknown class
		"two":   {"own.Strict", "their.Strict"},                // no module
		"three": {"own.Strict", "RandomForestTrainer"},         // of another base class
	} {
		content := strings.Replace(modelFile, change[0], change[1], 1)
		write1(t, dir, key+".yml", strings.NewReplacer("model_key: churn", "model_key: "+key, "table: scores", "table: "+key).Replace(content))
	}
	daemon := write1(t, dir, "scorer.yml", "models: [one.yml, two.yml, three.yml]\n")
	_, err := check(t.Context(), daemon, python(t), time.Now())
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"one.yml:2:16: trainer_class", "did you mean RandomForestTrainer", "two.yml:3:18: validator_class", "no module 'their'",
		"three.yml:3:18: validator_class",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if exit.Hint(err) == "" {
		t.Error("no hint")
	}
}

// Without an interpreter names that treeline.training should have are still held to what it has; other modules are not.
func TestCheckWithoutPythonNamesUnknownReadyClasses(t *testing.T) {
	dir := t.TempDir()
	for change, want := range map[[2]string]string{
		{"RandomForestTrainer", "RandomForstTrainer"}:                    "config.yml:2:16: trainer_class: treeline.training has no class RandomForstTrainer for it; did you mean RandomForestTrainer?",
		{"RandomForestTrainer", "treeline.training.LightGMBTrainer"}:     "did you mean LightGBMTrainer?",
		{"own.Strict", "ThreshholdValidator"}:                            "config.yml:3:18: validator_class: treeline.training has no class ThreshholdValidator for it; did you mean ThresholdValidator?",
		{"own.Strict", "RandomForestTrainer"}:                            "it has ThresholdValidator, and a class of your own is module.Class",
		{"own.Strict", "own.Strict\ninference_class: Calibrated"}:        "config.yml:4:18: inference_class: treeline.training has no class Calibrated for it; name one of your own",
		{"RandomForestTrainer", "Trainer"}:                               "trainer_class: treeline.training has no class Trainer",
		{"RandomForestTrainer", "treeline.training.base.XGBoostTrainer"}: "did you mean XGBoostTrainer?",
	} {
		path := write1(t, dir, "config.yml", strings.Replace(modelFile, change[0], change[1], 1))
		_, err := check(t.Context(), path, interpreter{}, time.Now())
		if err == nil || !strings.Contains(err.Error(), want) || exit.Hint(err) == "" {
			t.Errorf("%s: %v, want %s", change[1], err, want)
		}
	}
	for _, name := range []string{"treeline.training.RandomForestTrainer", "treeline.training.sklearn_trees.RandomForestTrainer", "my.RandomForstTrainer"} {
		path := write1(t, dir, "config.yml", strings.Replace(modelFile, "RandomForestTrainer", name, 1))
		if _, err := check(t.Context(), path, interpreter{}, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The list of ready classes is what the Python package has, by its own account.
func TestReadyClassesAreThoseOfThePackage(t *testing.T) {
	i := python(t)
	cmd := exec.CommandContext(t.Context(), i.python, "-c", `
import json
import treeline.training as ready
from treeline.check import bases
from treeline.classes import available
print(json.dumps([[key, name, getattr(ready, name).__module__] for key, base in bases().items() for name in available(ready, base)]))
`)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+i.packagePath)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var have, want [][]string
	if err := json.Unmarshal(out, &have); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range config.ReadyClasses() {
		want = append(want, []string{c.Key, c.Name, "treeline.training." + c.Module})
	}
	slices.SortFunc(have, slices.Compare)
	slices.SortFunc(want, slices.Compare)
	if diff := cmp.Diff(have, want); diff != "" {
		t.Errorf("config.ReadyClasses (-package +list):\n%s", diff)
	}
}

// Versions of CatBoostTrainer cannot be loaded: the check says so before anybody trains one. It is no error.
func TestCheckWarnsOfCatBoost(t *testing.T) {
	dir := t.TempDir()
	for name, warned := range map[string]bool{"CatBoostTrainer": true, "treeline.training.CatBoostTrainer": true, "LightGBMTrainer": false, "own.CatBoostTrainer": false} {
		path := write1(t, dir, "config.yml", strings.Replace(modelFile, "RandomForestTrainer", name, 1))
		r, err := check(t.Context(), path, interpreter{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		if err := write(&console.Console{Out: &out, Err: &errs}, r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(errs.String(), "warning: "+path+":2:16: trainer_class: versions of "+name+" cannot be registered"); got != warned {
			t.Errorf("%s: warned is %v: %s", name, got, errs.String())
		}
	}
}

func TestCheckModelsOfADaemonTogether(t *testing.T) {
	dir := t.TempDir()
	write1(t, dir, "churn.yml", modelFile+"depends_on: [fraud]\n")
	daemon := write1(t, dir, "scorer.yml", "models: [churn.yml]\n")
	_, err := check(t.Context(), daemon, interpreter{}, time.Now())
	if err == nil || !strings.Contains(err.Error(), `churn.yml:8:14: depends_on[0]: "fraud" is no configured model`) {
		t.Error(err)
	}
}

// A program that is no Python with the package ends in an error that shows what it said, in bounded memory.
func TestCheckWithAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	path := write1(t, dir, "config.yml", modelFile)
	for name, script := range map[string]string{
		"says nothing":     "exit 0",
		"says much":        "yes x | head -c 20000000; exit 1",
		"writes no answer": `echo '{"format": 1, "configs": []}'`,
		"fails":            "echo 'No module named treeline' >&2; exit 1",
	} {
		program := write1(t, dir, "program", "#!/bin/sh\n"+script+"\n")
		if err := os.Chmod(program, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := check(t.Context(), path, interpreter{python: program}, time.Now())
		if err == nil || !strings.Contains(err.Error(), "importing the classes") || !strings.Contains(exit.Hint(err), "--package-path") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(err.Error()) > 10000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := check(ctx, path, interpreter{python: "sh"}, time.Now()); err == nil {
		t.Error("a cancelled check succeeded")
	}
}

// A schedule that never fires is a mistake: no date matches it, or its last time has passed.
func TestCheckRefusesSchedulesThatNeverFire(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	for expression, want := range map[string]string{
		"0 0 3 31 FEB ?":     "no date matches it",
		"0 0 3 1 JAN ? 2025": "its last time has passed",
	} {
		path := write1(t, dir, "config.yml", strings.Replace(modelFile, "0 0 3 ? * SUN", expression, 1))
		_, err := check(t.Context(), path, interpreter{}, now)
		if err == nil || !strings.Contains(err.Error(), "config.yml:7:") ||
			!strings.Contains(err.Error(), "schedules.train.quartz_cron_expression") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
