package importer

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/treeline-ml/treeline/forest"
)

// histModel is export_histogram's document. Nodes are in scikit-learn's order: a parent before its children.
type histModel struct {
	Features int        `json:"features"`
	Baseline float64    `json:"baseline"`
	Trees    []histTree `json:"trees"`
}

type histTree struct {
	Feature     []int32   `json:"feature"`
	Threshold   []string  `json:"threshold"` // text: JSON has no infinity
	MissingLeft []int     `json:"missing_left"`
	Left        []int32   `json:"left"`
	Right       []int32   `json:"right"`
	Leaf        []int     `json:"leaf"`
	Value       []float64 `json:"value"`
}

// decodeHist reads a binary classifier: doubles, x <= threshold goes left, sums start at the baseline.
func decodeHist(data []byte) (*forest.Model, error) {
	var h histModel
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	m := &forest.Model{
		Features: numeric(h.Features), Outputs: 1, Base: []float64{h.Baseline}, Scale: 1, Iterations: len(h.Trees),
		Link:       forest.Link{Kind: forest.Sigmoid, Slope: 1, Divisor: 1},
		Provenance: forest.Provenance{Format: "hist-gradient-boosting", Library: "sklearn"},
	}
	for i := range h.Trees {
		t, err := h.Trees[i].tree()
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		m.Trees = append(m.Trees, t)
	}
	return m, nil
}

func (h *histTree) tree() (forest.Tree, error) {
	n := len(h.Leaf)
	if n == 0 || len(h.Feature) != n || len(h.Threshold) != n || len(h.MissingLeft) != n || len(h.Left) != n ||
		len(h.Right) != n || len(h.Value) != n {
		return forest.Tree{}, fmt.Errorf("columns of different lengths: %w", ErrFormat)
	}
	var t forest.Tree
	place := make([]int32, n) // a node's index, or ^ of a leaf's
	inner := int32(0)
	for i := range n {
		if h.Leaf[i] != 0 {
			place[i] = ^int32(len(t.Leaves))
			t.Leaves = append(t.Leaves, h.Value[i])
			continue
		}
		place[i] = inner
		inner++
	}
	for i := range n {
		if h.Leaf[i] != 0 {
			continue
		}
		threshold, err := strconv.ParseFloat(h.Threshold[i], 64)
		if err != nil {
			return forest.Tree{}, fmt.Errorf("node %d: %w: %w", i, ErrFormat, err)
		}
		if uint(h.Left[i]) >= uint(n) || uint(h.Right[i]) >= uint(n) {
			return forest.Tree{}, fmt.Errorf("node %d: children %d and %d of %d: %w", i, h.Left[i], h.Right[i], n, ErrFormat)
		}
		t.Nodes = append(t.Nodes, forest.Node{
			Threshold: threshold, Feature: h.Feature[i], Left: place[h.Left[i]], Right: place[h.Right[i]],
			Op: forest.LessEqual, NaNLeft: h.MissingLeft[i] != 0,
		})
	}
	return t, nil
}
