package engine_test

import (
	"slices"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// Every tier gives the oracle's bits, whichever kernel evaluates the trees. Models at the limits of size meet every tier, and
// every kernel on the fastest one; with -short, which is for the race detector, only the slowest and the fastest tier run.
func TestConformance(t *testing.T) {
	tiers := engine.Tiers()
	fastest := tiers[len(tiers)-1]
	if testing.Short() {
		tiers = slices.Compact([]string{tiers[0], fastest})
	}
	for _, tier := range tiers {
		for name, compile := range compilers {
			if testing.Short() && name != "chosen" && tier != fastest {
				continue
			}
			t.Run(tier+"/"+name, func(t *testing.T) {
				enginetest.Run(t, forced(tier, compile))
				if !testing.Short() && (name == "chosen" || tier == fastest) {
					t.Run("edges", func(t *testing.T) { enginetest.Edges(t, forced(tier, compile)) })
				}
			})
		}
	}
}

// compilers choose a kernel by cost, or take one wherever it can be used.
var compilers = map[string]enginetest.Compiler{
	"chosen": engine.Compile, "bits": engine.CompileBits, "deep": engine.CompileDeep,
}

func forced(tier string, compile enginetest.Compiler) enginetest.Compiler {
	return func(m *forest.Model, o engine.Options) (*engine.Program, error) {
		o.Tier = tier
		return compile(m, o)
	}
}
