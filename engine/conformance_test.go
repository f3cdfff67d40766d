package engine_test

import (
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
	"github.com/treeline-ml/treeline/forest"
)

// Every tier gives the oracle's bits, whichever kernel evaluates the trees.
func TestConformance(t *testing.T) {
	for _, tier := range engine.Tiers() {
		for name, compile := range compilers {
			t.Run(tier+"/"+name, func(t *testing.T) { enginetest.Run(t, forced(tier, compile)) })
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
