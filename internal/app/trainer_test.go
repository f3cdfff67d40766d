package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// A trainer that somebody kills is tried again, in a directory of its own, until the attempts are used up; a training that
// fails leaves the model without that version.
func TestTrainerKilled(t *testing.T) {
	t.Parallel()
	config, dir := newForests(t, withPython(t),
		forest{name: "again"}, forest{name: "once", extra: "training: {attempts: 1}\n"})
	d := start(t, command(config, dir))
	a := d.adminServices(t)
	id := a.startRun(t, "again", "once")

	killed := map[string]bool{}
	eventually(t, "both trainers", func() bool {
		for _, model := range []string{"again", "once"} {
			work := workOf(t, a, model, dir)
			pid, err := os.ReadFile(filepath.Join(work, "control", "pid"))
			if err != nil || killed[model] {
				continue
			}
			wrapper, err := strconv.Atoi(strings.TrimSpace(string(pid)))
			if err != nil {
				t.Fatal(err)
			}
			// Of one model everything is killed; of the other what the wrapper waits for, as the kernel does without memory.
			victims := []int{-wrapper}
			if model == "once" {
				victims = slices.DeleteFunc(marked(work), func(p int) bool { return p == wrapper })
			}
			for _, p := range victims {
				if syscall.Kill(p, syscall.SIGKILL) == nil {
					killed[model] = true
				}
			}
		}
		return len(killed) == 2
	})
	last := a.follow(t, id, nil, nil)
	states := map[string]string{}
	for _, n := range last.GetNodes() {
		states[n.GetId()] = strings.TrimPrefix(n.GetState().String(), "RUN_STATE_")
		if n.GetId() == "once/train" && !strings.Contains(n.GetMessage(), "the trainer was lost: ") {
			t.Errorf("the node says %q", n.GetMessage())
		}
	}
	for node, want := range map[string]string{
		"again/train": "SUCCEEDED", "again/promote": "SUCCEEDED", "again/score": "SUCCEEDED",
		"once/train": "FAILED", "once/validate": "SKIPPED", "once/promote": "SKIPPED", "once/score": "SKIPPED",
	} {
		if states[node] != want {
			t.Errorf("%s is %s, want %s", node, states[node], want)
		}
	}
	if err := d.terminate(t); err != nil {
		t.Fatalf("stopping: %v", err)
	}
	db := state(t, dir)
	if got := table(t, db, `SELECT model, version, state, attempt, error <> '', hint <> '' FROM training ORDER BY model`); !slices.Equal(
		got, []string{"again 1 succeeded 2 0 0", "once 1 failed 1 1 1"}) {
		t.Errorf("trainings %q", got)
	}
	if got := table(t, db, `SELECT model, stage FROM version ORDER BY model`); !slices.Equal(got, []string{"again champion", "once failed"}) {
		t.Errorf("versions %q", got)
	}
	if got := table(t, db, `SELECT key, resolved_at FROM alert`); !slices.Equal(got, []string{"once/train "}) {
		t.Errorf("alerts %q", got)
	}
	if left := marked(dir); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
}

// workOf is the directory of the first attempt of a model's only training.
func workOf(t *testing.T, a admin, model, dir string) string {
	t.Helper()
	got, err := a.trainings.ListTrainings(t.Context(), &lifecyclev1.ListTrainingsRequest{ModelName: model})
	if err != nil || len(got.GetTrainings()) > 1 {
		t.Fatalf("trainings of %s: %v, %v", model, got, err)
	}
	if len(got.GetTrainings()) == 0 {
		return filepath.Join(dir, "none")
	}
	return filepath.Join(dir, "trainings", got.GetTrainings()[0].GetTrainingId(), "1")
}

// A daemon without Python says what it lacks, and everything else works.
func TestNoPython(t *testing.T) {
	t.Parallel()
	config, dir := newForests(t, "", forest{name: "churn"})
	d := start(t, command(config, dir))
	a := d.adminServices(t)
	_, err := a.trainings.TriggerTraining(t.Context(), &lifecyclev1.TriggerTrainingRequest{ModelName: "churn", Actor: "test"})
	refused(t, err, codes.FailedPrecondition, "training.python")
	_, err = a.runs.StartRun(t.Context(), &lifecyclev1.StartRunRequest{
		ModelNames: []string{"churn"}, Steps: []lifecyclev1.RunStep{lifecyclev1.RunStep_RUN_STEP_TRAIN}, Actor: "test",
	})
	refused(t, err, codes.InvalidArgument, "churn", "cannot be trained")
	// All steps that it can do: the features are computed, and the score fails because no version was promoted.
	last := a.follow(t, a.startRun(t, "churn"), nil, nil)
	if n := last.GetNodes(); len(n) != 2 || n[0].GetState() != lifecyclev1.RunState_RUN_STATE_SUCCEEDED ||
		!strings.Contains(n[1].GetMessage(), "no Champion yet") {
		t.Errorf("the run ended as %v", last)
	}
	if err := d.terminate(t); err != nil {
		t.Fatalf("stopping: %v", err)
	}

	// A Python that is not there keeps the daemon from starting.
	config, dir = newForests(t, "training: {python: nowhere/python}\n", forest{name: "churn"})
	if said := fails(t, command(config, dir)); !strings.Contains(said, "training.python") || !strings.Contains(said, "nowhere/python") {
		t.Errorf("it says: %s", said)
	}
}

// Times that pass while the daemon is down fire once at its next start, or not at all, as misfire says; and not again later.
func TestScheduleAfterDowntime(t *testing.T) {
	t.Parallel()
	_, dir := newDataDir(t) // with a Champion of each model
	root := t.TempDir()
	config := filepath.Join(root, "scorer.yml")
	if err := os.WriteFile(config, []byte("warehouse: {memory_limit: 256MiB}\nmodels: [small.yml, churn.yml]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for model, misfire := range map[string]string{"small": "run_once", "churn": "skip"} {
		content := fmt.Sprintf("model_key: churn\nregistered_model_name: %s\ndata: {features_table: uat.features.small, label_col: churn, "+
			"key_cols: [account_id]}\noutput: {catalog: %s, schema: predictions, table: scores}\n"+
			"schedules: {batch_inference: {quartz_cron_expression: \"0 0 * * * ?\", timezone_id: UTC, misfire: %s}}\n", model, model, misfire)
		if err := os.WriteFile(filepath.Join(root, model+".yml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := start(t, command(config, dir))
	db := state(t, dir)
	eventually(t, "the first look at the schedules", func() bool { return len(table(t, db, `SELECT model FROM schedule`)) == 2 })
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	// As if it had been down for three hours and some minutes.
	down := time.Now().UTC().Add(-190 * time.Minute).Format("2006-01-02T15:04:05.000000Z")
	execState(t, dir, `UPDATE schedule SET last_at = ?`, down)

	d = start(t, command(config, dir))
	a := d.adminServices(t)
	var runs []*lifecyclev1.Run
	eventually(t, "the firing", func() bool {
		got, err := a.runs.ListRuns(t.Context(), &lifecyclev1.ListRunsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		runs = got.GetRuns()
		return len(runs) > 0
	})
	hour := time.Now().UTC().Truncate(time.Hour)
	last := a.follow(t, runs[0].GetRunId(), nil, nil)
	if r := last; r.GetState() != lifecyclev1.RunState_RUN_STATE_SUCCEEDED || r.GetTrigger() != "schedule" || r.GetNodes()[0].GetModelName() != "small" || r.GetComputeDate() != hour.Format(time.DateOnly) {
		t.Errorf("fired run %v", r)
	}
	outcomes := map[string]string{}
	eventually(t, "both outcomes", func() bool {
		got, err := a.schedules.ListSchedules(t.Context(), &lifecyclev1.ListSchedulesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range got.GetSchedules() {
			outcomes[s.GetModelName()] = s.GetLastOutcome()
		}
		return outcomes["small"] != "" && outcomes["churn"] != ""
	})
	if got := outcomes["small"]; !strings.Contains(got, "run "+last.GetRunId()) || !strings.Contains(got, "times that came while the daemon was down") {
		t.Errorf("run_once: %s", got)
	}
	if got := outcomes["churn"]; !strings.Contains(got, "skipped: ") {
		t.Errorf("skip: %s", got)
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	d = start(t, command(config, dir))
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}
	// At most the full hour that came during the test.
	fired := table(t, state(t, dir), `SELECT id FROM workflow WHERE kind = 'run'`)
	if most := 1 + int(time.Now().UTC().Truncate(time.Hour).Sub(hour)/time.Hour); len(fired) > most {
		t.Errorf("%d runs, want %d", len(fired), most)
	}
	t.Logf("run_once: %s; skip: %s", outcomes["small"], outcomes["churn"])
}
