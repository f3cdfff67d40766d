package main

import (
	"fmt"
	"strings"
)

// goal is one of the engine's targets and what was measured for it.
type goal struct {
	Name     string // model/what, without spaces: the last line lists these
	Want     float64
	Reach    float64 // what to aim for beyond; 0: nothing
	Got      float64
	Unit     string // "x", "ms", ...
	AtMost   bool   // Want is an upper bound
	Measured bool
	Failed   bool // missed whatever the figure
	Optional bool // not part of this kind of run: unmeasured is no miss
}

func (g *goal) met() bool {
	if !g.Measured {
		return g.Optional
	}
	if g.AtMost {
		return !g.Failed && g.Got <= g.Want
	}
	return !g.Failed && g.Got >= g.Want
}

// speedGoals are the ratios against other engines at one thread and batches of all rows.
var speedGoals = []struct {
	model, peer string
	want, reach float64
}{
	{"lgb_100x31", "lightgbm", 50, 70},
	{"lgb_100x31", "lleaves", 12, 17},
	{"lgb_100x31", "ydf", 4, 5.5},
	{"lgb_500x31", "lightgbm", 90, 115},
	{"lgb_500x31", "lleaves", 20, 25},
	{"lgb_mc5", "lightgbm", 90, 115},
	{"lgb_mc5", "lleaves", 20, 25},
	{"lgb_100x255", "lightgbm", 25, 30},
	{"lgb_100x255", "lleaves", 9, 11},
	{"lgb_500x127", "lightgbm", 26, 31},
	{"lgb_500x127", "daal4py", 9, 11},
	{"lgb_cat", "lightgbm", 20, 35},
	{"lgb_cat", "lleaves", 3, 5},
	{"xgb_100d6", "xgboost", 13, 17},
	{"xgb_100d6", "daal4py", 8, 10},
	{"xgb_500d6", "xgboost", 20, 25},
	{"xgb_500d6", "daal4py", 12, 15},
	{"xgb_500d8", "xgboost", 10, 16},
	{"xgb_500d8", "daal4py", 6, 10},
	{"rf_d10", "sklearn", 6, 8},
	{"rf_d10", "sklearnex", 2.5, 3.2},
	{"rf_full", "sklearn", 4, 5},
	{"hgb_100x31", "sklearn", 40, 55},
	{"hgb_100x31", "tl2cgen", 30, 0},
	{"cat_500d6", "catboost", 2.5, 3},
}

// singleGoals are the ratios against the fastest other engine for single rows.
var singleGoals = []struct {
	model string
	want  float64
}{{"lgb_100x31", 5}, {"lgb_500x31", 4}}

const (
	wantThreads    = 1.9 // of two threads against one
	wantCompileMS  = 200 // lgb_500x255
	wantProgram    = 2   // times nodes at nodeBytes
	nodeBytes      = 16
	wantPipeline   = 8
	portableCatGBM = 0.5
)

// evaluate compares a report with the goals. Models that a run left out have no goals in it.
func evaluate(r *report) []goal {
	var out []goal
	add := func(g goal) {
		g.Measured = g.Got > 0
		out = append(out, g)
	}
	present := func(model string) bool { return r.at(model, ours, 1, allRows) != nil }
	partial := r.Context.Mode != "full"
	for _, g := range speedGoals {
		if present(g.model) {
			add(goal{
				Name: g.model + "/" + g.peer, Want: g.want, Reach: g.reach, Got: r.ratio(g.model, g.peer, ours, 1, allRows),
				Unit: "x", Optional: partial,
			})
		}
	}
	for _, g := range singleGoals {
		if present(g.model) {
			add(goal{Name: g.model + "/single-row", Want: g.want, Got: r.single(g.model), Unit: "x"})
		}
	}
	for _, m := range models {
		if !present(m) {
			continue
		}
		want := 1.0
		if native(m) == "catboost" {
			want = portableCatGBM
		}
		add(goal{Name: m + "/portable", Want: want, Got: r.ratio(m, native(m), portable, 1, allRows), Unit: "x"})
	}
	for _, m := range models {
		if present(m) {
			add(goal{Name: m + "/threads", Want: wantThreads, Got: r.scaling(m), Unit: "x"})
		}
	}
	out = append(out, programGoals(r)...)
	for _, m := range models {
		if present(m) {
			out = append(out, exactGoal(r, m))
		}
	}
	if p := r.Context.Pipeline; p != nil {
		out = append(out, goal{Name: "pipeline", Want: wantPipeline, Got: p.Ratio, Unit: "x", Measured: true, Failed: !p.Passed})
	}
	return out
}

// single is the ratio of the fastest other engine to ours for single rows.
func (r *report) single(model string) float64 {
	best := 0.0
	for i := range r.Results {
		x := &r.Results[i]
		if x.Model != model || x.Threads != 1 || x.Batch != 1 || strings.HasPrefix(x.Engine, ours) {
			continue
		}
		if ratio := r.ratio(model, x.Engine, ours, 1, 1); best == 0 || ratio < best {
			best = ratio
		}
	}
	return best
}

// scaling is how many times faster two threads are than one.
func (r *report) scaling(model string) float64 {
	one, two := r.at(model, ours, 1, allRows), r.at(model, ours, 2, allRows)
	if one == nil || two == nil {
		return 0
	}
	return one.NsPerRow / two.NsPerRow
}

func programGoals(r *report) []goal {
	var out []goal
	if p := r.program(compileOnly, ours); p != nil {
		ms := p.CompileSeconds * 1000
		out = append(out, goal{Name: "compile_500x255", Want: wantCompileMS, Got: ms, Unit: " ms", AtMost: true, Measured: true})
	}
	for i := range r.Context.Programs {
		p := &r.Context.Programs[i]
		if p.Engine != ours || p.Nodes == 0 {
			continue
		}
		out = append(out, goal{
			Name: p.Model + "/memory", Want: wantProgram, Got: float64(p.Bytes) / float64(nodeBytes*p.Nodes), Unit: "x", AtMost: true, Measured: true,
		})
		if p.Model != compileOnly {
			out = append(out, goal{Name: p.Model + "/allocations", Got: float64(p.Allocations), AtMost: true, Measured: true})
		}
	}
	return out
}

// exactGoal counts our engine's measurements of a model whose predictions are not equal: none may be.
func exactGoal(r *report, model string) goal {
	g := goal{Name: model + "/exact", AtMost: true}
	for i := range r.Results {
		if x := &r.Results[i]; x.Model == model && strings.HasPrefix(x.Engine, ours) {
			g.Measured = true
			if !x.Exact {
				g.Got++
			}
		}
	}
	return g
}

func missed(goals []goal) []string {
	var out []string
	for i := range goals {
		if g := &goals[i]; !g.met() {
			name := g.Name
			if !g.Measured {
				name += "(not measured)"
			}
			out = append(out, name)
		}
	}
	return out
}

func (g *goal) value(v float64) string {
	switch {
	case v == 0 && g.Unit == "x":
		return "-"
	case g.Unit == "x" && v < 10:
		return fmt.Sprintf("%.2fx", v)
	case g.Unit == "x":
		return fmt.Sprintf("%.1fx", v)
	default:
		return fmt.Sprintf("%.0f%s", v, g.Unit)
	}
}
