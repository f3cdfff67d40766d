package engine

import (
	"github.com/treeline-ml/treeline/engine/internal/kernel"
	"github.com/treeline-ml/treeline/forest"
)

// CompileBits and CompileDeep force one kernel wherever it can be used.
func CompileBits(m *forest.Model, o Options) (*Program, error) { return compile(m, o, bitsOnly) }

func CompileDeep(m *forest.Model, o Options) (*Program, error) { return compile(m, o, deepOnly) }

// Tiers are the tiers that this processor can run.
func Tiers() []string {
	var names []string
	for _, t := range kernel.Tables() {
		names = append(names, t.Tier.String())
	}
	return names
}
