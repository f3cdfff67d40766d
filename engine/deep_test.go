package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
)

// Each tier, over several batches of rows.
func TestDeepTiers(t *testing.T) {
	shapes := map[string]enginetest.Shape{
		"large":     {Trees: 4, Leaves: 900, Features: 12, Outputs: 3},
		"mixed":     {Trees: 8, Leaves: 400, Features: 40, Outputs: 2, Chains: true},
		"few":       {Trees: 12, Leaves: 40, Features: 5, Outputs: 2},
		"many cuts": {Trees: 3, Leaves: 5000, Features: 2, Outputs: 1},
	}
	for _, tier := range engine.Tiers() {
		for name, shape := range shapes {
			t.Run(tier+"/"+name, func(t *testing.T) {
				for seed := range uint64(8) {
					rng := rand.New(rand.NewPCG(seed, 11))
					enginetest.Check(t, forced(tier, engine.CompileDeep), enginetest.Model(rng, shape), rng, 500+rng.IntN(700))
				}
			})
		}
	}
}
