package engine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/engine/enginetest"
)

// FuzzKernels compares the kernels with the oracle on models and tables that the input seeds and shapes.
func FuzzKernels(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(8), uint8(2), uint8(70))
	f.Add(uint64(2), uint8(1), uint8(255), uint8(0), uint8(5))
	f.Add(uint64(3), uint8(12), uint8(30), uint8(9), uint8(130))
	f.Fuzz(func(t *testing.T, seed uint64, trees, leaves, features, rows uint8) {
		shape := enginetest.Shape{
			Trees: 1 + int(trees%16), Leaves: 2 * (1 + int(leaves)), Features: 1 + int(features%32), Outputs: 1 + int(seed%4),
			Chains: seed%8 == 0,
		}
		rng := rand.New(rand.NewPCG(seed, 9))
		m := enginetest.Model(rng, shape)
		for _, tier := range engine.Tiers() {
			for _, compile := range compilers {
				enginetest.Check(t, forced(tier, compile), m, rng, 1+int(rows))
			}
		}
	})
}
