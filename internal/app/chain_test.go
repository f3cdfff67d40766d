package app_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// moment is how far a chain has come.
type moment int

const (
	computing moment = iota // its features
	preparing               // the training
	training                // the trainer runs
	registering
	validating
	promoting
	scoring
	ended
)

func (m moment) String() string {
	return [...]string{"features", "before the trainer", "trainer", "register", "validate", "promote", "score", "after the end"}[m]
}

// momentOf reads the moment from the last state that got out.
func momentOf(r *lifecyclev1.Run) moment {
	m := computing
	for _, n := range r.GetNodes() {
		if n.GetState() == lifecyclev1.RunState_RUN_STATE_PENDING {
			continue
		}
		switch n.GetStep() {
		case lifecyclev1.RunStep_RUN_STEP_TRAIN:
			m = max(m, preparing)
			switch n.GetMessage() {
			case "", "queued", "preparing":
			case "registering":
				m = max(m, registering)
			default:
				m = max(m, training)
			}
		case lifecyclev1.RunStep_RUN_STEP_VALIDATE:
			m = max(m, validating)
		case lifecyclev1.RunStep_RUN_STEP_PROMOTE:
			m = max(m, promoting)
		case lifecyclev1.RunStep_RUN_STEP_SCORE:
			m = max(m, scoring)
		}
	}
	switch r.GetState() {
	case lifecyclev1.RunState_RUN_STATE_PENDING, lifecyclev1.RunState_RUN_STATE_RUNNING:
		return m
	default:
		return ended
	}
}

// chainPlans says at what moments of each chain the daemon is killed: all of them in the short form.
func chainPlans(rng *rand.Rand) [][]moment {
	plans := [][]moment{{computing, training}, {preparing, validating}, {registering, scoring}, {training, promoting}}
	if os.Getenv("TREELINE_LONG") == "" {
		return plans
	}
	for len(plans) < 20 {
		var p []moment
		for m := computing; m < ended; m++ {
			if rng.IntN(3) == 0 {
				p = append(p, m)
			}
		}
		plans = append(plans, p)
	}
	return plans
}

// Whatever moment of the retraining chain the daemon dies at, the next one finishes what was begun, and does nothing twice.
func TestKillDuringRetraining(t *testing.T) {
	t.Parallel()
	config, dir := newForests(t, withPython(t), forest{name: "churn"})
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 2))
	t.Logf("seed %d", seed)
	plans := chainPlans(rng)
	begin := time.Now()

	d := start(t, command(config, dir))
	hits, kills, adopted := map[moment]int{}, 0, 0
	trainer := 2 * time.Second // how long one runs on this machine
	runs := make([]string, len(plans))
	for i, aims := range plans {
		a := d.adminServices(t)
		id := a.startRun(t, "churn")
		runs[i] = id
		for _, aim := range aims {
			seen := time.Time{}
			last := a.follow(t, id, nil, func(r *lifecyclev1.Run) bool {
				if m := momentOf(r); m == training && seen.IsZero() {
					seen = time.Now()
				} else if m > training && !seen.IsZero() {
					trainer = max(100*time.Millisecond, time.Since(seen))
				}
				return momentOf(r) >= aim
			})
			most := 30 * time.Millisecond
			switch momentOf(last) {
			case training:
				most = trainer / 2
			case validating:
				most = 50 * time.Millisecond
			}
			// The daemon goes on meanwhile; what is hit is seen from the last state that gets out.
			timer := time.AfterFunc(time.Duration(rng.Int64N(int64(most))), func() { _ = d.cmd.Process.Kill() })
			last = a.follow(t, id, last, nil)
			<-d.exited
			timer.Stop()
			d.kill()
			kills++
			hits[momentOf(last)]++
			if len(marked(dir)) > 0 {
				adopted++
			}
			d = start(t, command(config, dir))
			a = d.adminServices(t)
			if kills == 1 {
				if said := fails(t, command(config, dir)); !strings.Contains(said, "belongs to the scorer with process id") {
					t.Errorf("a second daemon on the data directory says: %s", said)
				}
			}
		}
		if last := a.follow(t, id, nil, nil); last.GetState() != lifecyclev1.RunState_RUN_STATE_SUCCEEDED {
			t.Fatalf("run %d, killed in %v: %v", i, aims, last)
		}
	}
	verified, err := d.audit.VerifyChain(t.Context(), &lifecyclev1.VerifyChainRequest{})
	if err != nil || !verified.GetValid() {
		t.Errorf("audit chain: %v, %v", verified, err)
	}
	if err := d.terminate(t); err != nil {
		t.Fatalf("stopping: %v", err)
	}
	wantWholeChains(t, config, dir, runs)

	t.Logf("%d kills in %d chains in %.0f s; a trainer outlived %d of them", kills, len(plans), time.Since(begin).Seconds(), adopted)
	for m := computing; m <= ended; m++ {
		t.Logf("  %-18s %2d", m, hits[m])
	}
	if adopted == 0 {
		t.Error("no kill hit a running trainer")
	}
}

// wantWholeChains checks what runs left behind that all succeeded, in this order.
func wantWholeChains(t *testing.T, config, dir string, runs []string) {
	t.Helper()
	db := state(t, dir)
	want := func(what string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", what, got, want)
		}
	}
	var trainings, stages, periods, changes []string
	work := map[string]int{}
	for i, id := range runs {
		n := i + 1
		row := table(t, db, `SELECT id, version, state, attempt FROM training WHERE idempotency_key = ?`, id+"/churn/train")
		if len(row) != 1 {
			t.Fatalf("run %s has trainings %q", id, row)
		}
		training, rest, _ := strings.Cut(row[0], " ")
		trainings = append(trainings, rest)
		work[filepath.Join(dir, "trainings", training, "1")] = 1
		stage, leaves := "archived", " archive"
		if n == len(runs) {
			stage, leaves = "champion", ""
		}
		stages = append(stages, stage)
		periods = append(periods, fmt.Sprint(n, n, n == len(runs)))
		changes = append(changes, fmt.Sprintf("%d create register validate promote%s", n, leaves))
	}
	for i, got := range trainings {
		if got != fmt.Sprint(i+1, " succeeded 1") {
			t.Errorf("training of run %d: %s", i, got)
		}
	}
	want("trainings", table(t, db, `SELECT count(*) FROM training`), fmt.Sprint(len(runs)))
	want("stages", table(t, db, `SELECT stage FROM version ORDER BY version`), stages...)
	want("champions", table(t, db, `SELECT generation, version, CASE until WHEN '' THEN 'true' ELSE 'false' END FROM champion_period
		ORDER BY generation`), periods...)
	want("gaps in the history", table(t, db, `SELECT a.generation FROM champion_period a JOIN champion_period b
		ON b.generation = a.generation + 1 WHERE a.until <> b.since`))
	// A validation that was repeated and changed nothing is noted, too.
	want("changes", table(t, db, `SELECT version, group_concat(action, ' ') FROM (SELECT version, action FROM audit WHERE from_stage <> to_stage
		ORDER BY seq) GROUP BY version ORDER BY version`), changes...)
	want("undelivered", table(t, db, `SELECT id, kind, last_error FROM outbox WHERE delivered_at = '' OR dead_at <> ''`))
	want("lost changes", table(t, db, `SELECT seq FROM audit WHERE from_stage <> to_stage AND seq NOT IN
		(SELECT key FROM outbox WHERE kind = 'registry')`))
	want("unfinished workflows", table(t, db, `SELECT id, kind FROM workflow WHERE state <> 'succeeded'`))
	want("batches", table(t, db, `SELECT state, count(DISTINCT version), sum(rows) FROM batch GROUP BY state`),
		fmt.Sprint("succeeded ", len(runs), " ", len(runs)*forestRows))
	got := contents(t, dir, "churn", "predictions.scores")
	for id, c := range got {
		if c.Rows != forestRows || c.Keys != forestRows {
			t.Errorf("batch %s has %+v", id, c)
		}
	}
	if len(got) != len(runs) {
		t.Errorf("%d batches in the table, want %d", len(got), len(runs))
	}

	if counted := starts(t, config); fmt.Sprint(counted) != fmt.Sprint(work) {
		t.Errorf("trainers that started: %v, want %v", counted, work)
	}
	if left := marked(dir); len(left) != 0 {
		t.Errorf("processes %v are left", left)
	}
	if left := staged(t, dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
