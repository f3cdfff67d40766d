package xgboost_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/internal/testmodels"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/loader/xgboost"
)

func decode(text string) (*forest.Model, error) {
	return xgboost.DecodeJSON(strings.NewReader(text), loader.Limits{})
}

// TestEncodings: JSON and UBJSON of one booster are one model.
func TestEncodings(t *testing.T) {
	cases, err := testmodels.Cases()
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, c := range cases {
		if c.Library != "xgboost" || c.Refused != "" || filepath.Base(c.Models[0]) != "model.json" {
			continue // pickles and directories hold one of the encodings only
		}
		text, err := os.ReadFile(filepath.Join(c.Dir, "model.json"))
		if err != nil {
			t.Fatal(err)
		}
		binary, err := os.ReadFile(filepath.Join(c.Dir, "model.ubj"))
		if err != nil {
			t.Fatal(err)
		}
		a, err := xgboost.DecodeJSON(bytes.NewReader(text), loader.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := xgboost.DecodeUBJSON(bytes.NewReader(binary), loader.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Provenance.Format != "xgboost-json" || b.Provenance.Format != "xgboost-ubjson" ||
			a.Provenance.Version != c.Version || a.Provenance.Objective != c.Objective {
			t.Errorf("%s: provenance %+v and %+v", c.Name, a.Provenance, b.Provenance)
		}
		if strings.HasSuffix(c.Name, "early-stopping") &&
			(a.Provenance.BestIteration == nil || *a.Provenance.BestIteration != 0) {
			t.Errorf("%s: best iteration %v, want 0", c.Name, a.Provenance.BestIteration)
		}
		if !reflect.DeepEqual(a.Provenance.BestIteration, b.Provenance.BestIteration) {
			t.Errorf("%s: JSON and UBJSON name different best iterations", c.Name)
		}
		b.Provenance = a.Provenance
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: JSON and UBJSON are different models", c.Name)
		}
		compared++
	}
	if compared < 80 {
		t.Errorf("%d models compared", compared)
	}
}

// doc is a model in the schema of 3.4 that tests change before it is written.
type doc map[string]any

func (d doc) at(path string) doc {
	for key := range strings.SplitSeq(path, ".") {
		switch next := d[key].(type) {
		case doc:
			d = next
		case []doc:
			d = next[0]
		default:
			panic("no object at " + path)
		}
	}
	return d
}

func (d doc) text(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const (
	model = "learner.gradient_booster.model"
	tree  = model + ".trees"
	param = "learner.learner_model_param"
)

func stump() doc {
	return doc{
		"version": []int{3, 4, 1},
		"learner": doc{
			"feature_names": []string{"a", "b"}, "feature_types": []string{"float", "c"},
			"objective": doc{"name": "reg:squarederror"},
			"learner_model_param": doc{
				"base_score": "[2.5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1",
			},
			"gradient_booster": doc{"name": "gbtree", "model": doc{
				"gbtree_model_param": doc{"num_trees": "1", "num_parallel_tree": "1"},
				"tree_info":          []int{0},
				"iteration_indptr":   []int{0, 1},
				"trees": []doc{{
					"id": 0, "left_children": []int{1, -1, -1}, "right_children": []int{2, -1, -1},
					"split_indices": []int{0, 0, 0}, "split_conditions": []float64{0.5, 1, 2},
					"default_left": []int{1, 0, 0}, "split_type": []int{0, 0, 0},
					"loss_changes": []float64{9, 0, 0}, "sum_hessian": []float64{7, 3, 4},
					"categories": []int{}, "categories_nodes": []int{}, "categories_segments": []int{},
					"categories_sizes": []int{},
					"tree_param":       doc{"num_nodes": "3", "num_deleted": "0", "size_leaf_vector": "1"},
				}},
			}},
		},
	}
}

func TestModel(t *testing.T) {
	m, err := decode(stump().text(t))
	if err != nil {
		t.Fatal(err)
	}
	want := &forest.Model{
		Features: []forest.Feature{
			{Name: "a", RejectInfinite: true}, {Name: "b", Kind: forest.Categorical, RejectInfinite: true},
		},
		Outputs: 1,
		Trees: []forest.Tree{{
			Nodes:  []forest.Node{{Threshold: 0.5, Left: ^0, Right: ^1, Op: forest.Less, NaNLeft: true}},
			Leaves: []float64{1, 2}, NodeCover: []float64{7}, LeafCover: []float64{3, 4}, Gain: []float64{9},
			LeafNames: []int32{1, 2},
		}},
		Arithmetic: forest.Arithmetic{
			Input: forest.Float32, Sum: forest.Float32, CategoryCast: forest.CastNonNegative,
		},
		Base:       []float64{0.25},
		Scale:      1,
		Link:       forest.Link{Slope: 1, Divisor: 1, Type: forest.Float32},
		Iterations: 1,
		Provenance: forest.Provenance{
			Format: "xgboost-json", Library: "xgboost", Version: "3.4.1", Objective: "reg:squarederror",
		},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
}

// TestCategoricalSplit: listed categories go right, everything else left.
func TestCategoricalSplit(t *testing.T) {
	d := stump()
	n := d.at(tree)
	n["split_type"] = []int{1, 0, 0}
	n["split_indices"] = []int{1, 0, 0}
	n["categories"] = []int{0, 33}
	n["categories_nodes"], n["categories_segments"], n["categories_sizes"] = []int{0}, []int{0}, []int{2}
	m, err := decode(d.text(t))
	if err != nil {
		t.Fatal(err)
	}
	want := forest.Node{Feature: 1, Left: ^0, Right: ^1, Op: forest.NotInSet, NaNLeft: true, OtherLeft: true}
	if m.Trees[0].Nodes[0] != want || !reflect.DeepEqual(m.Sets, []forest.CategorySet{{1, 2}}) {
		t.Errorf("%+v with %v, want %+v", m.Trees[0].Nodes[0], m.Sets, want)
	}
	for name, change := range map[string]func(){
		"no segment":  func() { n["categories_nodes"] = []int{1} },
		"out of list": func() { n["categories_nodes"], n["categories_sizes"] = []int{0}, []int{3} },
		"empty":       func() { n["categories_sizes"] = []int{0} },
		"negative":    func() { n["categories_sizes"], n["categories"] = []int{2}, []int{-1, 3} },
		"not paired":  func() { n["categories_sizes"] = []int{2, 2} },
	} {
		change()
		if _, err := decode(d.text(t)); !errors.Is(err, loader.ErrMalformed) || !strings.Contains(err.Error(), "tree 0") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBaseScore: each form that files have, as the margin that the library starts at. The expected bits of the
// logarithms are the library's own: the corpus holds models with such base scores.
func TestBaseScore(t *testing.T) {
	for _, c := range []struct {
		objective string
		version   []int
		base      any
		want      float32
	}{
		{"reg:squarederror", []int{3, 4, 1}, "[4.9066666E-1]", 4.9066666e-1},
		{"reg:squarederror", []int{1, 7, 6}, "5E-1", 0.5},
		{"reg:squarederror", []int{2, 0, 0}, " ( 5e-1 ) ", 0.5},
		{"reg:squarederror", []int{2, 0, 0}, 0.25, 0.25},
		{"reg:squarederror", []int{2, 0, 0}, []float64{0.25}, 0.25},
		{"reg:squarederror", nil, "-1.9E-2", -1.9e-2},
		{"binary:logitraw", []int{3, 4, 1}, "0.3", 0.3},
		{"binary:logistic", []int{1, 7, 6}, "5E-1", 0},
		{"binary:logistic", []int{3, 4, 1}, "[4.76E-1]", -0.09607382118701935},
		{"binary:logistic", []int{3, 4, 1}, "[0E0]", -13.815510},
		{"count:poisson", []int{3, 4, 1}, "1", 0},
	} {
		d := stump()
		d.at("learner.objective")["name"] = c.objective
		d.at(param)["base_score"] = c.base
		if d["version"] = c.version; c.version == nil {
			delete(d, "version")
		}
		m, err := decode(d.text(t))
		if err != nil {
			t.Errorf("%s, %v: %v", c.objective, c.base, err)
		} else if got := float32(m.Base[0]); got != c.want || float64(got) != m.Base[0] {
			t.Errorf("%s, %v: %v, want %v", c.objective, c.base, m.Base[0], c.want)
		}
	}
	for base, want := range map[string]error{
		"": loader.ErrMalformed, "[]": loader.ErrMalformed, "x": loader.ErrMalformed, "nan": loader.ErrMalformed,
		"[1,2]": loader.ErrMalformed, "0x1p-2": loader.ErrMalformed, "inf": loader.ErrNotSupported,
	} {
		d := stump()
		d.at(param)["base_score"] = base
		if _, err := decode(d.text(t)); !errors.Is(err, want) {
			t.Errorf("base_score %q: %v, want %v", base, err, want)
		}
	}
	for base, want := range map[string]error{"1.5": loader.ErrMalformed, "-0.1": loader.ErrMalformed} {
		d := stump()
		d.at("learner.objective")["name"] = "binary:logistic"
		d.at(param)["base_score"] = base
		if _, err := decode(d.text(t)); !errors.Is(err, want) {
			t.Errorf("logistic base_score %q: %v, want %v", base, err, want)
		}
	}
}

// TestRefused: what is valid and not scored.
func TestRefused(t *testing.T) {
	for name, change := range map[string]func(doc){
		`objective "my:loss"`:                    func(d doc) { d.at("learner.objective")["name"] = "my:loss" },
		`objective ""`:                           func(d doc) { delete(d.at("learner"), "objective") },
		`booster "forest"`:                       func(d doc) { d.at("learner.gradient_booster")["name"] = "forest" },
		"gblinear":                               func(d doc) { d.at("learner.gradient_booster")["name"] = "gblinear" },
		"vector leaves":                          func(d doc) { d.at(tree + ".tree_param")["size_leaf_vector"] = "3" },
		"several classes and several targets":    func(d doc) { d.at(param)["num_class"], d.at(param)["num_target"] = "3", "2" },
		"categories of type 8":                   func(d doc) { cats(d, doc{"type": 8, "values": []float64{1}}) },
		"integer categories beyond 2^53":         func(d doc) { cats(d, doc{"type": 15, "values": []int64{1 << 54}}) },
		"reg:expectileerror with several alphas": func(d doc) { expectile(d) },
	} {
		d := stump()
		change(d)
		_, err := decode(d.text(t))
		if !errors.Is(err, loader.ErrNotSupported) || !strings.Contains(err.Error(), "not supported: "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func cats(d doc, second doc) {
	d.at(model)["cats"] = doc{"enc": []any{doc{"offsets": []int{}, "values": []int{}}, second}}
}

func expectile(d doc) {
	d.at("learner.objective")["name"] = "reg:expectileerror"
	d.at(param)["num_target"], d.at(param)["base_score"] = "2", "[1,2]"
}

// TestInconsistent: files whose parts disagree.
func TestInconsistent(t *testing.T) {
	for text, change := range map[string]func(doc){
		"feature_names has 3 entries":        func(d doc) { d.at("learner")["feature_names"] = []string{"a", "b", "c"} },
		"feature_types has 1 entries":        func(d doc) { d.at("learner")["feature_types"] = []string{"c"} },
		"cats.enc has 1 entries":             func(d doc) { d.at(model)["cats"] = doc{"enc": []doc{{"offsets": []int{}, "values": []int{}}}} },
		"tree_info has 2 entries":            func(d doc) { d.at(model)["tree_info"] = []int{0, 0} },
		"tree_info is 1":                     func(d doc) { d.at(model)["tree_info"] = []int{1} },
		"iteration_indptr does not span":     func(d doc) { d.at(model)["iteration_indptr"] = []int{0, 2} },
		"weight_drop has 2 entries":          func(d doc) { d.at(model)["weight_drop"] = []float64{1, 1} },
		"num_trees is 2":                     func(d doc) { d.at(model + ".gbtree_model_param")["num_trees"] = "2" },
		"num_class is \"x\"":                 func(d doc) { d.at(param)["num_class"] = "x" },
		"its id is 7":                        func(d doc) { d.at(tree)["id"] = 7 },
		"num_nodes is 4":                     func(d doc) { d.at(tree + ".tree_param")["num_nodes"] = "4" },
		"are said to be deleted":             func(d doc) { d.at(tree + ".tree_param")["num_deleted"] = "1" },
		"right_children has 2 values":        func(d doc) { d.at(tree)["right_children"] = []int{1, 2} },
		"default_left is 2":                  func(d doc) { d.at(tree)["default_left"] = []int{2, 0, 0} },
		"split_type is 2":                    func(d doc) { d.at(tree)["split_type"] = []int{2, 0, 0} },
		"split_indices is -1":                func(d doc) { d.at(tree)["split_indices"] = []int{-1, 0, 0} },
		"99999999999 is outside int32":       func(d doc) { d.at(tree)["split_indices"] = []int64{99999999999, 0, 0} },
		"the tree has no nodes":              func(d doc) { d.at(model)["trees"] = []doc{{}} },
		"learner has no learner_model_param": func(d doc) { delete(d.at("learner"), "learner_model_param") },
		"gradient_booster has no trees":      func(d doc) { delete(d.at(model), "trees") },
		"num_class is 0 under":               func(d doc) { d.at("learner.objective")["name"] = "multi:softprob" },
		"it has no learner":                  func(d doc) { delete(d, "learner") },
	} {
		d := stump()
		change(d)
		if _, err := decode(d.text(t)); !errors.Is(err, loader.ErrMalformed) || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestVocabularies: names are bytes as signed numbers; unsigned numbers have the bits of signed ones.
func TestVocabularies(t *testing.T) {
	for name, c := range map[string]struct {
		enc  doc
		want string
	}{
		"text":          {doc{"offsets": []int{0, 3, 3, 5}, "values": []int{114, 101, 100, -61, -68}}, "[{red 0} { 0} {ü 0}]"},
		"unsigned text": {doc{"offsets": []int{0, 2}, "values": []int{195, 188}}, "[{ü 0}]"},
		"int8":          {doc{"type": 9, "values": []int{-1, 7}}, "[{ -1} { 7}]"},
		"uint8":         {doc{"type": 10, "values": []int{-1, 7}}, "[{ 255} { 7}]"},
		"uint16":        {doc{"type": 12, "values": []int{-1, 7}}, "[{ 65535} { 7}]"},
		"uint32":        {doc{"type": 14, "values": []int{-1, 7}}, "[{ 4.294967295e+09} { 7}]"},
		"int64":         {doc{"type": 15, "values": []int64{-1 << 53, 10}}, "[{ -9.007199254740992e+15} { 10}]"},
	} {
		d := stump()
		cats(d, c.enc)
		m, err := decode(d.text(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, v := range m.Features[1].Vocabulary {
			if (v.Kind == forest.CategoryText) != strings.Contains(name, "text") {
				t.Errorf("%s: kind %v", name, v.Kind)
			}
			got = append(got, fmt.Sprintf("{%s %v}", v.Text, v.Number))
		}
		if fmt.Sprint(got) != c.want || m.Features[1].Unknown != forest.UnknownError || m.Features[0].Vocabulary != nil {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
	for name, enc := range map[string]doc{
		"offsets fall":     {"offsets": []int{0, 2, 1, 3}, "values": []int{1, 2, 3}},
		"offsets beyond":   {"offsets": []int{0, 4}, "values": []int{1, 2, 3}},
		"offsets begin at": {"offsets": []int{1, 3}, "values": []int{1, 2, 3}},
		"no offsets":       {"offsets": []int{}, "values": []int{1, 2, 3}},
		"no byte":          {"offsets": []int{0, 1}, "values": []int{300}},
	} {
		d := stump()
		cats(d, enc)
		if _, err := decode(d.text(t)); !errors.Is(err, loader.ErrMalformed) || !strings.Contains(err.Error(), "cats, enc[1]") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDart: both layouts; weights are multiplied in float32; trees without a weight weigh 1.
func TestDart(t *testing.T) {
	const w = 0.1
	want := []float64{float64(float32(w)), float64(float32(2) * float32(w))}
	current := stump()
	current.at(model)["weight_drop"] = []float64{w}
	old := stump()
	booster := old.at("learner")["gradient_booster"]
	old.at("learner")["gradient_booster"] = doc{"name": "dart", "gbtree": booster, "weight_drop": []float64{w}}
	for name, d := range map[string]doc{"current": current, "old": old} {
		m, err := decode(d.text(t))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(m.Trees[0].Leaves, want) {
			t.Errorf("%s: leaves %v, want %v", name, m.Trees[0].Leaves, want)
		}
	}
	none := stump()
	none.at(model)["weight_drop"] = []float64{}
	if m, err := decode(none.text(t)); err != nil || m.Trees[0].Leaves[1] != 2 {
		t.Errorf("no weights: %v", err)
	}
}

// TestSnapshot: a memory snapshot holds the model beside the configuration.
func TestSnapshot(t *testing.T) {
	d := doc{"Config": doc{"learner": doc{"generic_param": doc{"nested": []any{nil, true, 1.5, "x"}}}}, "Model": stump()}
	want, err := decode(stump().text(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode(d.text(t)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v", err)
	}
}

// TestIterations: rounds by iteration_indptr, or by trees, outputs and parallel trees, or not known.
func TestIterations(t *testing.T) {
	for name, c := range map[string]struct {
		indptr   any
		parallel any
		trees    int
		want     int
	}{
		"stated":            {[]int{0, 2, 4}, "2", 4, 2},
		"uneven":            {[]int{0, 1, 4}, "1", 4, 0},
		"computed":          {nil, "2", 4, 2},
		"not whole":         {nil, "3", 4, 0},
		"before 1.6":        {nil, nil, 4, 0},
		"no trees":          {[]int{0}, "1", 0, 0},
		"a tree each round": {[]int{0, 1, 2, 3, 4}, "1", 4, 4},
	} {
		d := stump()
		one := d.at(model)["trees"].([]doc)[0]
		delete(one, "id")
		trees, info := make([]doc, c.trees), make([]int, c.trees)
		for i := range trees {
			trees[i] = one
		}
		m := d.at(model)
		m["trees"], m["tree_info"], m["iteration_indptr"] = trees, info, c.indptr
		m["gbtree_model_param"] = doc{"num_parallel_tree": c.parallel}
		if c.indptr == nil {
			delete(m, "iteration_indptr")
		}
		if c.parallel == nil {
			delete(m, "gbtree_model_param")
		}
		got, err := decode(d.text(t))
		if err != nil || got.Iterations != c.want || len(got.Trees) != c.trees {
			t.Errorf("%s: %+v, %v, want %d iterations", name, got, err, c.want)
		}
	}
}

// TestNames: without names features are f0, f1, ...; types are told by splits where the file has none.
func TestNames(t *testing.T) {
	d := stump()
	d.at("learner")["feature_names"] = []string{}
	delete(d.at("learner"), "feature_types")
	m, err := decode(d.text(t))
	if err != nil {
		t.Fatal(err)
	}
	if m.Features[0].Name != "f0" || m.Features[1].Name != "f1" || m.Features[1].Kind != forest.Numeric {
		t.Errorf("features %+v", m.Features)
	}
}

// TestNonFinite: infinite leaves and thresholds are the library's own; NaN as a threshold is not.
func TestNonFinite(t *testing.T) {
	text := stump().text(t)
	m, err := decode(strings.Replace(text, "[0.5,1,2]", "[Infinity,-Infinity,NaN]", 1))
	if err != nil {
		t.Fatal(err)
	}
	if !m.NonFiniteLeaves || !math.IsInf(m.Trees[0].Nodes[0].Threshold, 1) || !math.IsInf(m.Trees[0].Leaves[0], -1) {
		t.Errorf("%+v", m.Trees[0])
	}
	if _, err := decode(strings.Replace(text, "[0.5,1,2]", "[NaN,1,2]", 1)); !errors.Is(err, loader.ErrMalformed) {
		t.Errorf("NaN: %v", err)
	}
}

// TestStrayCategories: up to 1.7.2 the default side took what is no category of the split, and codes beyond the bits of
// its set; since 1.7.3 all that goes left. The corpus holds both libraries' scores.
func TestStrayCategories(t *testing.T) {
	for _, c := range []struct {
		version     []int
		defaultLeft int
		want        forest.Node
		set         forest.CategorySet
	}{
		{[]int{1, 7, 2}, 0, forest.Node{Op: forest.InSet}, forest.CategorySet{^uint32(4)}},
		{[]int{1, 7, 2}, 1, forest.Node{Op: forest.NotInSet, NaNLeft: true, OtherLeft: true}, forest.CategorySet{4}},
		{[]int{1, 7, 3}, 0, forest.Node{Op: forest.NotInSet, OtherLeft: true}, forest.CategorySet{4}},
		{[]int{3, 4, 1}, 1, forest.Node{Op: forest.NotInSet, NaNLeft: true, OtherLeft: true}, forest.CategorySet{4}},
	} {
		d := stump()
		d["version"] = c.version
		n := d.at(tree)
		n["split_type"], n["default_left"] = []int{1, 0, 0}, []int{c.defaultLeft, 0, 0}
		n["categories"], n["categories_nodes"] = []int{2}, []int{0}
		n["categories_segments"], n["categories_sizes"] = []int{0}, []int{1}
		m, err := decode(d.text(t))
		if err != nil {
			t.Fatal(err)
		}
		c.want.Left, c.want.Right = ^0, ^1
		if m.Trees[0].Nodes[0] != c.want || !reflect.DeepEqual(m.Sets[0], c.set) {
			t.Errorf("%v: %+v with %b, want %+v with %b", c.version, m.Trees[0].Nodes[0], m.Sets, c.want, c.set)
		}
	}
}

// TestCutNames: 3.1 to 3.3 cut names beyond ASCII at wrong bytes; such a model is refused rather than matched wrongly.
func TestCutNames(t *testing.T) {
	for _, c := range []struct {
		version []int
		values  []int
		refused bool
	}{
		{[]int{3, 1, 0}, []int{97, -61}, true},
		{[]int{3, 3, 0}, []int{97, 195}, true},
		{[]int{3, 3, 0}, []int{97, 98}, false},
		{[]int{3, 4, 0}, []int{-61, -68}, false},
	} {
		d := stump()
		d["version"] = c.version
		cats(d, doc{"offsets": []int{0, 2}, "values": c.values})
		_, err := decode(d.text(t))
		if refused := errors.Is(err, loader.ErrNotSupported); refused != c.refused || err != nil && !refused {
			t.Errorf("%v of %v: %v", c.values, c.version, err)
		}
	}
}

// TestBaseScoreOfRelease: since 3.2 a probability is kept 1e-6 away from 0 and 1.
func TestBaseScoreOfRelease(t *testing.T) {
	margin := map[string]float64{}
	for name, version := range map[string][]int{"3.1": {3, 1, 3}, "3.2": {3, 2, 0}} {
		d := stump()
		d["version"] = version
		d.at("learner.objective")["name"], d.at(param)["base_score"] = "binary:logistic", "[1E-7]"
		m, err := decode(d.text(t))
		if err != nil {
			t.Fatal(err)
		}
		margin[name] = m.Base[0]
	}
	if !(margin["3.1"] < -16) || !(margin["3.2"] > -13.9) {
		t.Errorf("margins %v", margin)
	}
	d := stump()
	d["version"] = []int{4, 0, 0}
	if _, err := decode(d.text(t)); !errors.Is(err, loader.ErrNotSupported) {
		t.Errorf("version 4: %v", err)
	}
}

// Since 3.4 the library sorts the quantiles of a row; a file counts as the library that wrote it did.
func TestQuantilesAscend(t *testing.T) {
	for _, c := range []struct {
		version []int
		targets string
		want    forest.LinkKind
	}{
		{[]int{3, 4, 0}, "2", forest.Ascending},
		{[]int{3, 4, 1}, "3", forest.Ascending},
		{[]int{3, 4, 1}, "1", forest.Identity},
		{[]int{3, 3, 0}, "2", forest.Identity},
		{[]int{2, 1, 4}, "2", forest.Identity},
	} {
		d := stump()
		d["version"] = c.version
		d.at("learner.objective")["name"] = "reg:quantileerror"
		d.at(param)["num_target"] = c.targets
		m, err := decode(d.text(t))
		if err != nil {
			t.Fatal(err)
		}
		if m.Link.Kind != c.want {
			t.Errorf("version %v, %s targets: link %d, want %d", c.version, c.targets, m.Link.Kind, c.want)
		}
	}
}

func TestBestIteration(t *testing.T) {
	for _, c := range []struct {
		attributes any
		want       int // -1: none
	}{
		{nil, -1},
		{doc{}, -1},
		{doc{"best_score": "0.5", "best_iteration": "0"}, 0},
		{doc{"best_iteration": "41", "note": "mine"}, 41},
		{doc{"best_iteration": "-1"}, -1},
		{doc{"best_iteration": "99999999999"}, -1},
		{doc{"best_iteration": "soon"}, -1},
		{doc{"best_iteration": []int{1}}, -1},
		{[]int{1}, -1},
		{"best_iteration", -1},
	} {
		d := stump()
		d.at("learner")["attributes"] = c.attributes
		m, err := decode(d.text(t))
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		if m.Provenance.BestIteration != nil {
			got = *m.Provenance.BestIteration
		}
		if got != c.want {
			t.Errorf("attributes %v: best iteration %d, want %d", c.attributes, got, c.want)
		}
	}
}
