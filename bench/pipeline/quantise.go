package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/treeline-ml/treeline/engine"
	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
)

// quantiseShare estimates which share of a job's scoring is spent on bringing values to codes. A model in which every tree
// stands twice has the same cuts: what scoring it takes longer is the trees, the rest is quantising.
func quantiseShare(j job) (float64, error) {
	m, err := loader.Open(j.model)
	if err != nil {
		return 0, err
	}
	twice := *m
	twice.Trees = append(slices.Clone(m.Trees), m.Trees...)
	twice.Iterations *= 2
	single, double, err := scoreTimes(m, &twice)
	if err != nil || single <= 0 {
		return 0, err
	}
	return max(0, min(1, (2*single-double)/single)), nil
}

// scoreTimes are the shortest of many passes over the same rows.
func scoreTimes(models ...*forest.Model) (single, double float64, err error) {
	const rows, passes = 1 << 14, 40
	rng := rand.New(rand.NewPCG(28, 100))
	columns := make([][]float64, len(models[0].Features))
	for f := range columns {
		columns[f] = make([]float64, rows)
		for i := range columns[f] {
			columns[f][i] = rng.NormFloat64()
		}
	}
	best := make([]float64, len(models))
	for k, m := range models {
		p, err := engine.Compile(m, engine.Options{})
		if err != nil {
			return 0, 0, fmt.Errorf("compiling the model: %w", err)
		}
		b, dst := p.NewBlock(), make([]float64, rows*p.Outputs())
		b.Reset(rows)
		for f, values := range columns {
			if err := b.Set(f, engine.Float64s(values)); err != nil {
				return 0, 0, err
			}
		}
		for range passes {
			start := time.Now()
			if err := p.Score(dst, b); err != nil {
				return 0, 0, err
			}
			if took := time.Since(start).Seconds(); best[k] == 0 || took < best[k] {
				best[k] = took
			}
		}
	}
	return best[0], best[1], nil
}
