package orchestration

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/lifecycle/promotion"
	"github.com/treeline-ml/treeline/lifecycle/workflow"
	"github.com/treeline-ml/treeline/store"
)

func churn() Request {
	return Request{Models: []string{"churn"}, Reason: "test", Actor: "ann", ComputeDate: "2026-11-02"}
}

// The story of one model: a first Champion, a refused candidate, a failed training, a better one.
func TestChampionStaysUntilABetterOnePasses(t *testing.T) {
	d := setup(t, options{models: trainable("churn")})
	run := d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features succeeded", "churn/train succeeded", "churn/validate succeeded", "churn/promote succeeded", "churn/score succeeded")
	if run.State != Succeeded || run.Error != "" || run.Trigger != "manual" || run.FinishedAt.IsZero() {
		t.Errorf("%+v", run)
	}
	if n := node(run, "churn/train"); n.Subject != "t-churn-1" || n.Message != "version 1: auc 0.81" {
		t.Errorf("%+v", n)
	}
	if d.batches["churn 2026-11-02"] != 1 {
		t.Errorf("batches: %v", d.batches)
	}

	d.fails["churn/validate"] = true
	run = d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features succeeded", "churn/train succeeded", "churn/validate failed", "churn/promote skipped", "churn/score succeeded")
	if want := "blocked by validate; version 1 stays the Champion"; node(run, "churn/promote").Message != want {
		t.Errorf("promote says %q, want %q", node(run, "churn/promote").Message, want)
	}
	if run.State != Failed || !strings.HasPrefix(run.Error, "churn/validate failed: version 2 is blocked") || !node(run, "churn/validate").Refused {
		t.Errorf("%+v", run)
	}
	if got := d.alert("candidate/churn/2"); !strings.Contains(got, "AUC 0.71") || !strings.Contains(got, "[ctl promote churn --version 2 --force --reason WHY]") || !strings.Contains(got, "version 1 stays the Champion") {
		t.Errorf("alert %q", got)
	}
	if d.champion(t.Context(), "churn") != 1 || node(run, "churn/score").Message != "scored with version 1" {
		t.Error(tree(run))
	}

	d.fails["churn/validate"], d.fails["churn/train"] = false, true
	run = d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features succeeded", "churn/train failed", "churn/validate skipped", "churn/promote skipped", "churn/score succeeded")
	if want := "train failed; version 1 stays the Champion"; node(run, "churn/promote").Message != want || node(run, "churn/validate").Message != want {
		t.Error(tree(run))
	}
	if got := d.alert("churn/train"); !strings.Contains(got, "train is to fail") || !strings.Contains(got, "ctl runs show "+run.ID) {
		t.Errorf("alert %q", got)
	}

	d.fails["churn/train"] = false
	run = d.wait(d.start(churn()).ID)
	if run.State != Succeeded || d.champion(t.Context(), "churn") != 4 || d.batches["churn 2026-11-02"] != 4 {
		t.Error(tree(run))
	}
	if a, b := d.alert("churn/train"), d.alert("candidate/churn/2"); a != "" || b != "" {
		t.Errorf("alerts %q and %q are not resolved", a, b)
	}

	d.fails["churn/features"] = true
	run = d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features failed", "churn/train skipped", "churn/validate skipped", "churn/promote skipped", "churn/score skipped")
	if want := "features failed; version 4 stays the Champion"; node(run, "churn/score").Message != want {
		t.Error(tree(run))
	}
}

func TestNoChampionYet(t *testing.T) {
	d := setup(t, options{models: trainable("churn")})
	d.fails["churn/validate"] = true
	run := d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features succeeded", "churn/train succeeded", "churn/validate failed", "churn/promote skipped", "churn/score skipped")
	if m := node(run, "churn/score").Message; m != "the model has no Champion yet" {
		t.Error(m)
	}
	r := churn()
	r.Steps = []Step{StepScore}
	run = d.wait(d.start(r).ID)
	expect(t, run, "churn/score failed")
	if !strings.Contains(run.Error, "no Champion yet; promote a version first") {
		t.Error(run.Error)
	}
}

// Validate and promote work without a training in the same run.
func TestPartsOfAChain(t *testing.T) {
	d := setup(t, options{models: trainable("churn")})
	part := func(steps ...Step) Run {
		t.Helper()
		r := churn()
		r.Steps = steps
		return d.wait(d.start(r).ID)
	}
	run := part(StepValidate)
	expect(t, run, "churn/validate failed")
	if node(run, "churn/validate").Refused || !strings.Contains(run.Error, "no version yet") {
		t.Error(tree(run))
	}
	expect(t, part(StepTrain), "churn/train succeeded")
	run = part(StepPromote)
	expect(t, run, "churn/promote failed")
	if !strings.Contains(run.Error, "no version is Validated") {
		t.Error(tree(run))
	}
	expect(t, part(StepValidate), "churn/validate succeeded")
	expect(t, part(StepPromote, StepScore), "churn/promote succeeded", "churn/score succeeded")
	if d.champion(t.Context(), "churn") != 1 {
		t.Error("version 1 is not the Champion")
	}
}

func TestProposePolicy(t *testing.T) {
	models := trainable("churn")
	models[0].Policy = PolicyPropose
	d := setup(t, options{models: models})
	run := d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features succeeded", "churn/train succeeded", "churn/validate succeeded", "churn/promote awaiting_approval", "churn/score skipped")
	const command = "ctl promote churn --version 1 --expected-generation 0 --reason WHY"
	if n := node(run, "churn/promote"); !strings.Contains(n.Message, command) || n.Subject != "1" {
		t.Error(n)
	}
	if got := d.alert("candidate/churn/1"); !strings.Contains(got, "["+command+"]") {
		t.Errorf("alert %q", got)
	}
	if run.State != Succeeded || d.champion(t.Context(), "churn") != 0 {
		t.Error(tree(run))
	}
}

// Somebody promotes another version while the candidate is being judged.
func TestLostRace(t *testing.T) {
	d := setup(t, options{models: trainable("churn")})
	r := churn()
	r.Steps = []Step{StepTrain, StepValidate}
	d.wait(d.start(r).ID)
	d.hooks["churn/validate"] = func(ctx context.Context) error {
		_, err := d.promo.Promote(ctx, promotion.Request{Model: "churn", Version: 1, Reason: "urgent", Actor: "bob"})
		return err
	}
	run := d.wait(d.start(churn()).ID)
	expect(t, run, "churn/features succeeded", "churn/train succeeded", "churn/validate succeeded", "churn/promote failed", "churn/score succeeded")
	m := node(run, "churn/promote").Message
	if !strings.Contains(m, "bob promoted version 1") || !strings.Contains(m, "expected 0") {
		t.Error(m)
	}
	if d.champion(t.Context(), "churn") != 1 || d.batches["churn 2026-11-02"] != 1 || d.alert("churn/promote") == "" {
		t.Error(tree(run))
	}
}

// A node that panics ends its chain, not the daemon, the run or another model; somebody is paged.
func TestPanic(t *testing.T) {
	d := setup(t, options{models: trainable("a", "b")})
	d.hooks["a/validate"] = func(context.Context) error { panic("index out of range") }
	run := d.wait(d.start(Request{All: true}).ID)
	expect(t, run, "a/features succeeded", "a/train succeeded", "a/validate failed", "a/promote skipped", "a/score skipped",
		"b/features succeeded", "b/train succeeded", "b/validate succeeded", "b/promote succeeded", "b/score succeeded")
	if run.State != Failed || !strings.Contains(run.Error, "index out of range") || !strings.Contains(d.alert("a/run"), "index out of range") {
		t.Error(tree(run))
	}
	delete(d.hooks, "a/validate")
	if run := d.wait(d.start(Request{All: true}).ID); run.State != Succeeded || d.alert("a/run") != "" {
		t.Error(tree(run))
	}
}

func TestFailureStaysInItsModel(t *testing.T) {
	models := trainable("a", "b", "c", "d")
	models[1].DependsOn = []string{"a"}
	models[3].DependsOn = []string{"b", "c"}
	d := setup(t, options{models: models})
	d.fails["a/features"] = true
	run := d.wait(d.start(Request{All: true, Steps: []Step{StepFeatures, StepTrain}}).ID)
	expect(t, run, "a/features failed", "a/train skipped", "b/features skipped", "b/train skipped",
		"c/features succeeded", "c/train succeeded", "d/features skipped", "d/train skipped")
	if want := "a/train was skipped: features failed"; node(run, "d/features").Message != want {
		t.Errorf("d says %q, want %q", node(run, "d/features").Message, want)
	}
	if got := node(run, "d/features").DependsOn; strings.Join(got, " ") != "b/train c/train" {
		t.Error(got)
	}
}

// A model's batch resumes with the Champion, and what depends on it goes on.
func TestDependentRunsAfterRefusedCandidate(t *testing.T) {
	models := trainable("a", "b")
	models[1].DependsOn = []string{"a"}
	d := setup(t, options{models: models})
	d.wait(d.start(Request{All: true}).ID)
	d.fails["a/validate"] = true
	run := d.wait(d.start(Request{All: true}).ID)
	expect(t, run, "a/features succeeded", "a/train succeeded", "a/validate failed", "a/promote skipped", "a/score succeeded",
		"b/features succeeded", "b/train succeeded", "b/validate succeeded", "b/promote succeeded", "b/score succeeded")
	if run.State != Failed {
		t.Error(run.State)
	}
}

func TestCoalescing(t *testing.T) {
	d := setup(t, options{models: trainable("churn", "fraud")})
	d.wait(d.start(churn()).ID)
	g := newGateway()
	d.hooks["churn/train"] = g.hook
	first := d.start(churn())
	<-g.reached

	// The same date, fewer steps, another model besides: joined for churn.
	second := d.start(Request{Models: []string{"churn", "fraud"}, ComputeDate: "2026-11-02"})
	seen := d.until(second.ID, func(r Run) bool {
		return node(r, "churn/train").State == Running && node(r, "fraud/score").State == Succeeded
	})
	if m := node(seen, "churn/train").Message; !strings.HasPrefix(m, "joined run "+first.ID) {
		t.Error(m)
	}
	// Another date: waited for.
	other := churn()
	other.ComputeDate = "2026-11-03"
	other.Steps = []Step{StepScore}
	third := d.start(other)
	seen = d.until(third.ID, func(r Run) bool { return strings.Contains(node(r, "churn/score").Message, first.ID) })
	if n := node(seen, "churn/score"); n.State != Pending || n.Message != "waits for run "+first.ID+", which is working on the model" {
		t.Error(n)
	}
	close(g.open)
	expect(t, d.wait(second.ID), "churn/features succeeded", "churn/train succeeded", "churn/validate succeeded", "churn/promote succeeded", "churn/score succeeded",
		"fraud/features succeeded", "fraud/train succeeded", "fraud/validate succeeded", "fraud/promote succeeded", "fraud/score succeeded")
	expect(t, d.wait(third.ID), "churn/score succeeded")
	if d.champion(t.Context(), "churn") != 2 || len(d.trainers) != 3 {
		t.Errorf("champion %d, trainers %v", d.champion(t.Context(), "churn"), d.trainers)
	}
	if d.batches["churn 2026-11-03"] != 2 {
		t.Error(d.batches)
	}
}

// A run that joined a chain which is then cancelled begins its own.
func TestJoinedChainIsCancelled(t *testing.T) {
	d := setup(t, options{models: trainable("churn")})
	g := newGateway()
	d.hooks["churn/train"] = g.hook
	first := d.start(churn())
	<-g.reached
	second := d.start(churn())
	d.until(second.ID, is("churn/train", Running))
	d.mu.Lock()
	delete(d.hooks, "churn/train")
	d.mu.Unlock()
	if _, err := d.Cancel(t.Context(), first.ID, "changed my mind", "ann"); err != nil {
		t.Fatal(err)
	}
	expect(t, d.wait(first.ID), "churn/features succeeded", "churn/train cancelled", "churn/validate cancelled", "churn/promote cancelled", "churn/score cancelled")
	run := d.wait(second.ID)
	if run.State != Succeeded || d.champion(t.Context(), "churn") != 2 {
		t.Error(tree(run))
	}
}

func TestCancel(t *testing.T) {
	models := trainable("churn", "fraud", "late")
	models[2].DependsOn = []string{"fraud"}
	d := setup(t, options{models: models})
	g := newGateway()
	d.hooks["fraud/train"] = g.hook
	run := d.start(Request{All: true, ComputeDate: "2026-11-02"})
	<-g.reached
	d.until(run.ID, is("churn/score", Succeeded))
	got, err := d.Cancel(t.Context(), run.ID, "wrong date", "ann")
	if err != nil || got.State != Running && got.State != Cancelled {
		t.Fatal(got.State, err)
	}
	got = d.wait(run.ID)
	expect(t, got, "churn/features succeeded", "churn/train succeeded", "churn/validate succeeded", "churn/promote succeeded", "churn/score succeeded",
		"fraud/features succeeded", "fraud/train cancelled", "fraud/validate cancelled", "fraud/promote cancelled", "fraud/score cancelled",
		"late/features cancelled", "late/train cancelled", "late/validate cancelled", "late/promote cancelled", "late/score cancelled")
	if got.State != Cancelled || got.Error != "cancelled by ann: wrong date" {
		t.Error(tree(got))
	}
	if key := run.ID + "/fraud/train"; !d.killed[key] {
		t.Errorf("training %s was not cancelled: %v", key, d.killed)
	}
	if d.champion(t.Context(), "churn") != 1 {
		t.Error("the promotion that happened is gone")
	}
	if _, err := d.Cancel(t.Context(), run.ID, "", ""); !errors.Is(err, ErrNotActive) {
		t.Error(err)
	}
	if _, err := d.Cancel(t.Context(), "nothing", "", ""); !errors.Is(err, ErrRunNotFound) {
		t.Error(err)
	}
	// The model is free again.
	d.hooks = map[string]func(context.Context) error{}
	if run := d.wait(d.start(Request{All: true}).ID); run.State != Succeeded {
		t.Error(tree(run))
	}
}

func TestLimits(t *testing.T) {
	d := setup(t, options{models: trainable("a", "b", "c", "d", "e"), nodes: 3, trainings: 2})
	var gs []*gateway
	for _, m := range []string{"a", "b", "c"} {
		g := newGateway()
		gs = append(gs, g)
		d.hooks[m+"/train"] = g.hook
	}
	run := d.start(Request{Models: []string{"a", "b", "c"}})
	// Two train, the third waits and says so.
	seen := d.until(run.ID, func(r Run) bool {
		n := 0
		for _, m := range []string{"a", "b", "c"} {
			if strings.Contains(node(r, m+"/train").Message, "waits for another training") {
				n++
			}
		}
		return n == 1
	})
	waiting := 0
	for _, m := range []string{"a", "b", "c"} {
		if node(seen, m+"/train").State == Pending {
			waiting++
		}
	}
	if waiting != 1 {
		t.Error(tree(seen))
	}
	// The third slot is for what does not train, of any run.
	other := d.wait(d.start(Request{Models: []string{"d"}, Steps: []Step{StepFeatures}}).ID)
	expect(t, other, "d/features succeeded")
	for _, g := range gs {
		close(g.open)
	}
	if run := d.wait(run.ID); run.State != Succeeded {
		t.Error(tree(run))
	}
	d.wait(d.start(Request{All: true}).ID)
	if d.peak["train"] != 2 || d.peak["node"] > 3 {
		t.Errorf("at most %v worked at once, want 2 trainings and 3 nodes", d.peak)
	}
}

func TestWatch(t *testing.T) {
	d := setup(t, options{models: trainable("churn")})
	g := newGateway()
	d.hooks["churn/train"] = g.hook
	run := d.start(churn())
	if run.State != Running || len(run.Nodes) != 5 || node(run, "churn/score").State != Pending {
		t.Error(tree(run))
	}
	<-g.reached
	seen := d.until(run.ID, func(r Run) bool { return node(r, "churn/train").Message != "" })
	if n := node(seen, "churn/train"); n.Message != "training version 1" || n.Subject != "t-churn-1" || n.StartedAt.IsZero() {
		t.Errorf("%+v", n)
	}
	close(g.open)
	var states []State
	err := d.Watch(t.Context(), run.ID, func(r Run) error {
		states = append(states, r.State)
		return nil
	})
	if err != nil || states[len(states)-1] != Succeeded {
		t.Error(states, err)
	}
	if err := d.Watch(t.Context(), "nothing", nil); !errors.Is(err, ErrRunNotFound) {
		t.Error(err)
	}
	// A watcher of a run that goes on hears that the daemon stops.
	g = newGateway()
	d.hooks["churn/train"] = g.hook
	run = d.start(churn())
	<-g.reached
	heard := make(chan error, 1)
	first := make(chan struct{}, 1)
	go func() {
		heard <- d.Watch(context.Background(), run.ID, func(Run) error {
			select {
			case first <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-first
	if err := d.engine.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; !errors.Is(err, workflow.ErrStopped) {
		t.Error(err)
	}
}

func TestList(t *testing.T) {
	d := setup(t, options{models: trainable("churn", "fraud")})
	var want []string
	for i := range 7 {
		m := []string{"churn", "fraud"}[i%2]
		run := d.start(Request{Models: []string{m}, Steps: []Step{StepFeatures}})
		d.wait(run.ID)
		if m == "churn" {
			want = append([]string{run.ID}, want...)
		}
	}
	var got []string
	for q := (ListQuery{Model: "churn", PageSize: 3}); ; {
		runs, next, err := d.List(t.Context(), q)
		if err != nil || len(runs) > 3 {
			t.Fatal(len(runs), err)
		}
		for _, r := range runs {
			got = append(got, r.ID)
		}
		if q.PageToken = next; next == "" {
			break
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, _, err := d.List(t.Context(), ListQuery{PageToken: "x"}); !errors.Is(err, store.ErrPageToken) {
		t.Error(err)
	}
	if _, err := d.Get(t.Context(), "x"); !errors.Is(err, ErrRunNotFound) {
		t.Error(err)
	}
}
