package orchestration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// graph is a random configuration and request.
type graph struct {
	models    []Model
	request   Request
	fails     map[string]bool
	champions bool // every model has one before
}

func randomGraph(rng *rand.Rand) graph {
	g := graph{fails: map[string]bool{}, champions: rng.IntN(2) == 0}
	n := 1 + rng.IntN(6)
	perm := rng.Perm(n)
	for i := range n {
		g.models = append(g.models, Model{Name: fmt.Sprint("m", i), Trainable: true, Policy: []string{PolicyAuto, PolicyAuto, PolicyPropose}[rng.IntN(3)]})
	}
	for i := range n { // edges from later to earlier ones of a hidden order
		for j := range i {
			if rng.IntN(3) == 0 {
				m := &g.models[perm[i]]
				m.DependsOn = append(m.DependsOn, g.models[perm[j]].Name)
			}
		}
	}
	g.request = Request{All: true, ComputeDate: "2026-11-02", Reason: "r", Actor: "a"}
	if rng.IntN(3) == 0 {
		g.request.All = false
		for _, m := range g.models {
			if rng.IntN(3) > 0 || len(g.request.Models) == 0 {
				g.request.Models = append(g.request.Models, m.Name)
			}
		}
	}
	if rng.IntN(3) == 0 {
		all := [][]Step{
			{StepFeatures, StepScore},
			{StepScore},
			{StepFeatures, StepTrain},
			{StepTrain, StepValidate, StepPromote},
			{StepScore, StepPromote, StepValidate, StepTrain},
			{StepTrain, StepScore},
		}
		g.request.Steps = all[rng.IntN(len(all))]
	}
	for _, m := range g.models {
		for _, s := range Steps() {
			if rng.IntN(8) == 0 {
				g.fails[nodeID(m.Name, s)] = true
			}
		}
	}
	return g
}

func (g graph) ids() (out []string) {
	for _, m := range g.models {
		out = append(out, m.Name+" after "+strings.Join(m.DependsOn, ","))
	}
	return out
}

// brute decides which nodes work and how each ends, by asking again and again until nothing is new. It knows the rules
// only: a node waits for the one before it, a model for the last nodes of those it depends on; a batch needs its features
// and a Champion.
func (g graph) brute() (state map[string]State, worked map[string]bool) {
	state, worked = map[string]State{}, map[string]bool{}
	steps := []Step{}
	for _, s := range Steps() {
		if g.request.Steps == nil || slices.Contains(g.request.Steps, s) {
			steps = append(steps, s)
		}
	}
	in := func(model string) bool { return g.request.All || slices.Contains(g.request.Models, model) }
	good := func(s State) bool { return s == Succeeded || s == AwaitingApproval }
	for changed := true; changed; {
		changed = false
		for _, m := range g.models {
			if !in(m.Name) {
				continue
			}
			for i, s := range steps {
				id := nodeID(m.Name, s)
				if state[id] != "" {
					continue
				}
				ready, blocked := true, false
				if i == 0 {
					for _, d := range m.DependsOn {
						if in(d) {
							last := state[nodeID(d, steps[len(steps)-1])]
							ready = ready && last != ""
							blocked = blocked || !good(last)
						}
					}
				} else {
					before := state[nodeID(m.Name, steps[i-1])]
					ready, blocked = before != "", !good(before)
				}
				if !ready {
					continue
				}
				first := state[nodeID(m.Name, steps[0])]
				if s == StepScore && i > 0 { // looks further: whether the model began, its features, a Champion
					blocked = first == Skipped || steps[0] == StepFeatures && !good(first)
				}
				champion := g.champions || state[nodeID(m.Name, StepPromote)] == Succeeded
				switch {
				case blocked:
					state[id] = Skipped
				case s == StepScore && !champion && (slices.Contains(steps, StepTrain) || slices.Contains(steps, StepPromote)):
					state[id] = Skipped
				case s == StepScore && !champion:
					state[id] = Failed
				case s == StepPromote && m.Policy == PolicyPropose:
					state[id] = AwaitingApproval
				case g.fails[id]:
					state[id], worked[id] = Failed, true
				default:
					state[id], worked[id] = Succeeded, true
				}
				changed = true
			}
		}
	}
	return state, worked
}

// TestGraphsAgainstBruteForce runs random graphs with random failures and holds which nodes worked, in which order and how
// each ended, to the oracle.
func TestGraphsAgainstBruteForce(t *testing.T) {
	total := 0
	for seed := range uint64(long(24, 600)) {
		rng := rand.New(rand.NewPCG(seed, 9))
		g := randomGraph(rng)
		for i := range g.models { // a first Champion needs the policy auto
			if g.champions {
				g.models[i].Policy = PolicyAuto
			}
		}
		limit := 1 + rng.IntN(4)
		d := setup(t, options{models: g.models, nodes: limit, trainings: max(1, limit-1), noClose: true})
		if g.champions {
			if run := d.wait(d.start(Request{All: true, ComputeDate: "2026-11-01"}).ID); run.State != Succeeded {
				t.Fatal(tree(run))
			}
			d.events = nil
		}
		d.fails = g.fails
		run := d.wait(d.start(g.request).ID)
		state, worked := g.brute()
		if len(state) != len(run.Nodes) {
			t.Fatalf("seed %d: %d nodes, want %d", seed, len(run.Nodes), len(state))
		}
		for _, n := range run.Nodes {
			total++
			if n.State != state[n.ID] {
				t.Errorf("seed %d: %s is %s, want %s\n%v\n%s", seed, n.ID, n.State, state[n.ID], g.ids(), tree(run))
			}
			if n.State != Succeeded && n.Message == "" {
				t.Errorf("seed %d: %s is %s and says nothing", seed, n.ID, n.State)
			}
		}
		began, ended := map[string]int{}, map[string]int{}
		for i, e := range d.events {
			at := began
			if e.end {
				at = ended
			}
			if _, twice := at[e.node]; twice {
				t.Errorf("seed %d: %s worked twice", seed, e.node)
			}
			at[e.node] = i
		}
		for _, n := range run.Nodes {
			if _, did := began[n.ID]; did != worked[n.ID] {
				t.Errorf("seed %d: %s worked: %v, want %v", seed, n.ID, did, worked[n.ID])
			}
			for _, before := range n.DependsOn {
				if worked[n.ID] && worked[before] && began[n.ID] < ended[before] {
					t.Errorf("seed %d: %s began before %s ended", seed, n.ID, before)
				}
			}
		}
		if d.peak["node"] > limit || d.peak["train"] > max(1, limit-1) {
			t.Errorf("seed %d: at most %v worked at once, limit %d", seed, d.peak, limit)
		}
		want := Succeeded
		for _, s := range state {
			if s == Failed {
				want = Failed
			}
		}
		if run.State != want {
			t.Errorf("seed %d: the run is %s, want %s", seed, run.State, want)
		}
		if t.Failed() {
			t.FailNow()
		}
		d.close()
	}
	t.Logf("%d nodes", total)
}
