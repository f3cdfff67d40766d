package importer

import (
	"encoding/json"
	"fmt"

	"github.com/treeline-ml/treeline/forest"
)

// catModel is what CatBoost's save_model(format="json") writes, as far as numeric models with one output need it.
type catModel struct {
	Features struct {
		Float []struct {
			Flat int    `json:"flat_feature_index"`
			NaN  string `json:"nan_value_treatment"`
		} `json:"float_features"`
		Categorical []json.RawMessage `json:"categorical_features"`
	} `json:"features_info"`
	Trees []struct {
		Leaves []float64 `json:"leaf_values"`
		Splits []struct {
			Border  float64 `json:"border"`
			Feature int     `json:"float_feature_index"`
			Type    string  `json:"split_type"`
		} `json:"splits"`
	} `json:"oblivious_trees"`
	ScaleAndBias [2]json.RawMessage `json:"scale_and_bias"`
}

// decodeCatBoost reads the raw value of an oblivious model: inputs are float32, bit d of the leaf's number is x > border
// of split d, sums are double, then scale and bias.
func decodeCatBoost(data []byte) (*forest.Model, error) {
	var c catModel
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(c.Features.Categorical) > 0 {
		return nil, fmt.Errorf("categorical features: %w", ErrFormat)
	}
	m := &forest.Model{
		Features: numeric(len(c.Features.Float)), Outputs: 1, Base: []float64{0}, Iterations: len(c.Trees),
		Arithmetic: forest.Arithmetic{Input: forest.Float32},
		Link:       forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1},
		Provenance: forest.Provenance{Format: "catboost-json", Library: "catboost"},
	}
	if err := json.Unmarshal(c.ScaleAndBias[0], &m.Scale); err != nil {
		return nil, fmt.Errorf("scale: %w: %w", ErrFormat, err)
	}
	if err := json.Unmarshal(c.ScaleAndBias[1], &m.Bias); err != nil || len(m.Bias) != 1 {
		return nil, fmt.Errorf("bias %s: %w", c.ScaleAndBias[1], ErrFormat)
	}
	for i := range c.Trees {
		splits := make([]forest.Node, len(c.Trees[i].Splits))
		for d, s := range c.Trees[i].Splits {
			if s.Type != "FloatFeature" || uint(s.Feature) >= uint(len(c.Features.Float)) {
				return nil, fmt.Errorf("tree %d, split %d: %s of feature %d: %w", i, d, s.Type, s.Feature, ErrFormat)
			}
			feature := c.Features.Float[s.Feature]
			splits[d] = forest.Node{
				Threshold: float64(float32(s.Border)), Feature: int32(feature.Flat), Op: forest.LessEqual,
				NaNLeft: feature.NaN != "AsTrue", // missing is below all borders unless said otherwise
			}
		}
		t, err := oblivious(splits, c.Trees[i].Leaves)
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		m.Trees = append(m.Trees, t)
	}
	return m, nil
}

// oblivious writes out a tree that asks split d on every path, the highest first: leaf numbers then run from left to
// right, split d being their bit d.
func oblivious(splits []forest.Node, leaves []float64) (forest.Tree, error) {
	depth := len(splits)
	if depth > 16 || len(leaves) != 1<<depth {
		return forest.Tree{}, fmt.Errorf("%d leaves for %d splits: %w", len(leaves), depth, ErrFormat)
	}
	t := forest.Tree{Leaves: leaves}
	for level := range depth {
		for i := range 1 << level {
			n := splits[depth-1-level]
			next := int32(2*(1<<level-1+i) + 1) // breadth first: the children of node k are 2k+1 and 2k+2
			n.Left, n.Right = next, next+1
			if level == depth-1 {
				n.Left, n.Right = ^int32(2*i), ^int32(2*i+1)
			}
			t.Nodes = append(t.Nodes, n)
		}
	}
	return t, nil
}
