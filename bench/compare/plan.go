package main

import (
	"fmt"
	"slices"
	"strings"
)

// models are the benchmark's models in the order of the tables; compileOnly is loaded to time Compile.
var models = []string{
	"lgb_100x31", "lgb_500x31", "lgb_100x255", "lgb_500x127", "lgb_mc5", "lgb_cat", "xgb_100d6", "xgb_500d6", "xgb_500d8",
	"rf_d10", "rf_full", "hgb_100x31", "cat_500d6",
}

const compileOnly = "lgb_500x255"

const (
	ours     = "treeline"
	portable = "treeline-portable"
)

// native returns the engine that is the library which trained a model.
func native(model string) string {
	switch prefix, _, _ := strings.Cut(model, "_"); prefix {
	case "lgb":
		return "lightgbm"
	case "xgb":
		return "xgboost"
	case "cat":
		return "catboost"
	default:
		return "sklearn"
	}
}

// spec is an engine to start: a Go worker with a tier, or a Python worker.
type spec struct {
	name string
	goes string // the argument of bench/score; empty for Python
	tier string
}

// natives and peers are the Python workers; leaves is a Go one.
var (
	natives = []string{"lightgbm", "xgboost", "sklearn", "catboost"}
	peers   = []string{"lleaves", "daal4py", "sklearnex", "ydf", "tl2cgen", "onnxruntime"}
)

// quickPeers are the engines that goals compare with: the others never were the fastest for a model.
var quickPeers = []string{"lleaves", "daal4py", "sklearnex", "ydf", "tl2cgen", "leaves"}

// specs lists the engines of a run.
func specs(o *options) ([]spec, error) {
	out := []spec{{name: ours, goes: "treeline"}}
	for _, tier := range list(o.tiers) {
		if tier != "portable" && tier != "avx2" && tier != "avx512" {
			return nil, fmt.Errorf("-tier %s: want portable, avx2 or avx512", tier)
		}
		out = append(out, spec{name: ours + "-" + tier, goes: "treeline", tier: tier})
	}
	for _, n := range natives {
		out = append(out, spec{name: n})
	}
	for _, p := range peers {
		out = append(out, spec{name: p})
	}
	out = append(out, spec{name: "leaves", goes: "leaves"})
	only := list(o.engines)
	for _, name := range only {
		if !slices.ContainsFunc(out, func(s spec) bool { return s.name == name }) {
			return nil, fmt.Errorf("-engines %s: there is no such engine", name)
		}
	}
	return slices.DeleteFunc(out, func(s spec) bool {
		switch {
		case slices.Contains(natives, s.name):
			return false
		case only != nil:
			return !slices.Contains(only, s.name)
		default:
			return o.quick && s.goes != "treeline" && !slices.Contains(quickPeers, s.name)
		}
	}), nil
}

// wants says whether an engine is measured on a model: with -quick the slow conversions only where a goal names them.
func (o *options) wants(engine, model string) bool {
	if slices.Contains(natives, engine) {
		return engine == native(model)
	}
	if !o.quick {
		return true
	}
	switch engine {
	case "tl2cgen":
		return model == "hgb_100x31"
	case "daal4py":
		return model == "lgb_500x127" || strings.HasPrefix(model, "xgb_")
	case "leaves":
		return model == "lgb_100x31" || model == "lgb_500x31"
	case "sklearnex":
		return model == "rf_d10"
	case "lleaves":
		return strings.HasPrefix(model, "lgb_") && model != "lgb_500x127"
	case "ydf":
		return model == "lgb_100x31"
	}
	return true
}

// setting is one way to run an engine.
type setting struct{ threads, batch int }

// settings lists how an engine is run. With -quick only ours on two threads: no goal asks for another's.
func (o *options) settings(engine string) []setting {
	switch {
	case o.quick && strings.HasPrefix(engine, ours):
		return []setting{{1, allRows}, {2, allRows}, {1, 1}}
	case o.quick:
		return []setting{{1, allRows}, {1, 1}}
	}
	return []setting{{1, allRows}, {2, allRows}, {1, 1000}, {2, 1000}, {1, 64}, {2, 64}, {1, 1}, {2, 1}}
}

// allRows is the largest batch: every row at once.
const allRows = 100_000

// checked returns how many rows the equality of a batch size is checked on. Single rows cost some peers milliseconds.
func checked(batch int) int {
	switch batch {
	case 1:
		return 200
	case allRows:
		return allRows
	default:
		return 10 * batch
	}
}

// seconds is the measured part of one run.
func (o *options) seconds(batch int) float64 {
	switch {
	case o.quick:
		return 0.1
	case batch == allRows:
		return 0.25
	default:
		return 0.15
	}
}

func (o *options) roundCount() int {
	switch {
	case o.rounds > 0:
		return o.rounds
	case o.quick:
		return 3
	default:
		return 5
	}
}

// compileLimit is how long a peer may compile a model. Those that were to give up before (lleaves at 500 trees of 127
// leaves, C compilers at forests) take over 15 minutes; what users would wait for is done by then.
func (o *options) compileLimit(engine string) float64 {
	switch {
	case o.limit > 0:
		return o.limit
	case o.quick:
		return 60
	case engine == "tl2cgen":
		return 240
	default:
		return 600
	}
}
