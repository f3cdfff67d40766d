package sklearn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// node is an element of a tree's nodes.
type node struct {
	left, right, feature int64
	threshold, impurity  float64
	weight               float64
	missingLeft          byte
}

// leaf is how scikit-learn writes one.
var leaf = node{left: -1, right: -1, feature: -2, threshold: -2, weight: 1}

// nodes is the array in the given byte order.
func nodes(order binary.AppendByteOrder, list []node) *ndarray.Array {
	big := order == binary.AppendByteOrder(binary.BigEndian)
	t := ndarray.Dtype{Kind: 'V', Size: 56}
	for i, f := range []string{"left_child", "right_child", "feature", "threshold", "impurity", "weighted_n_node_samples", "missing_go_to_left"} {
		d := ndarray.Dtype{Kind: 'i', Size: 8, Big: big}
		switch {
		case i == 6:
			d = ndarray.Dtype{Kind: 'u', Size: 1}
		case i > 2:
			d.Kind = 'f'
		}
		t.Fields = append(t.Fields, ndarray.Field{Name: f, Type: d, Offset: 8 * i})
	}
	var data []byte
	for _, n := range list {
		for _, v := range []int64{n.left, n.right, n.feature} {
			data = order.AppendUint64(data, uint64(v))
		}
		for _, v := range []float64{n.threshold, n.impurity, n.weight} {
			data = order.AppendUint64(data, math.Float64bits(v))
		}
		data = append(data, n.missingLeft, 0, 0, 0, 0, 0, 0, 0)
	}
	a, err := ndarray.New(t, []int64{int64(len(list))}, false, data)
	if err != nil {
		panic(err)
	}
	return a
}

// values is an array of shape (n, 1, classes).
func values(classes int, v ...float64) *ndarray.Array {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, math.Float64bits(x))
	}
	a, err := ndarray.New(ndarray.Dtype{Kind: 'f', Size: 8}, []int64{int64(len(v) / classes), 1, int64(classes)}, false, data)
	if err != nil {
		panic(err)
	}
	return a
}

func object(class string, attrs ...any) *pydata.Object {
	i := strings.LastIndexByte(class, '.')
	d := &pydata.Dict{}
	for k := 0; k < len(attrs); k += 2 {
		d.Keys = append(d.Keys, attrs[k])
		d.Values = append(d.Values, attrs[k+1])
	}
	return &pydata.Object{Class: &pydata.Global{Module: class[:i], Name: class[i+1:]}, State: d}
}

// tree is a Tree of two features.
func tree(n, v *ndarray.Array) *pydata.Object {
	o := object(treeClass, "node_count", int64(n.N), "nodes", n, "values", v)
	o.Args = []pydata.Value{int64(2), nil, int64(1)}
	return o
}

// regressor is a DecisionTreeRegressor with the tree.
func regressor(t *pydata.Object) *pydata.Object {
	return object(treeModule+"DecisionTreeRegressor", "_sklearn_version", "1.9.1", "n_features_in_", int64(2), "n_outputs_", int64(1),
		"criterion", "squared_error", "splitter", "best", "tree_", t)
}

func decode(v pydata.Value) (*forest.Model, error) {
	d := decoder{limits: limit.Default(), format: FormatPickle, budget: 1 << 20}
	return d.model(v)
}

func little(list ...node) *ndarray.Array { return nodes(binary.LittleEndian, list) }

// TestByteOrder: an array of the other byte order is read as what it says.
func TestByteOrder(t *testing.T) {
	list := []node{{left: 1, right: 2, feature: 1, threshold: 0.1, weight: 5, impurity: 1, missingLeft: 1}, leaf, leaf}
	want, err := decode(regressor(tree(little(list...), values(1, 0, 7, 9))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(regressor(tree(nodes(binary.BigEndian, list), values(1, 0, 7, 9))))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	n := want.Trees[0].Nodes[0]
	if n.Feature != 1 || !n.NaNLeft || n.Threshold > 0.1 || float64(float32(n.Threshold)) != n.Threshold || !slices.Equal(want.Trees[0].Leaves, []float64{7, 9}) {
		t.Errorf("%+v", want.Trees[0])
	}
}

// TestHostileTrees: nodes that are no tree, and arrays that do not fit the model.
func TestHostileTrees(t *testing.T) {
	split := node{left: 1, right: 2, feature: 0, threshold: 1, weight: 2}
	with := func(change func(*node)) *pydata.Object {
		n := split
		change(&n)
		return regressor(tree(little(n, leaf, leaf), values(1, 0, 1, 2)))
	}
	good := func() *pydata.Object { return regressor(tree(little(split, leaf, leaf), values(1, 0, 1, 2))) }
	set := func(o *pydata.Object, name string, v any) *pydata.Object {
		d := o.State.(*pydata.Dict)
		d.Keys, d.Values = append(d.Keys, name), append(d.Values, v)
		return o
	}
	inner := func(name string, v any) *pydata.Object {
		o := good()
		tree, _ := o.Attr("tree_")
		set(tree.(*pydata.Object), name, v)
		return o
	}
	self := &pydata.List{}
	self.Items = []pydata.Value{self}
	two := tree(little(split, leaf, leaf), values(1, 0, 1, 2))
	two.Args[2] = int64(2)
	for _, c := range []struct {
		name string
		o    *pydata.Object
		kind error
		text string
	}{
		{"child beyond", with(func(n *node) { n.right = 3 }), fault.ErrMalformed, "node 0: its children are 1 and 3"},
		{"child far beyond", with(func(n *node) { n.right = math.MaxInt64 }), fault.ErrMalformed, "its children are"},
		{"negative child", with(func(n *node) { n.right = -1 }), fault.ErrMalformed, "its children are"},
		{"another negative child", with(func(n *node) { n.left = -2 }), fault.ErrMalformed, "its children are"},
		{"its own child", with(func(n *node) { n.left = 0 }), fault.ErrMalformed, "its own ancestor"},
		{"one child twice", with(func(n *node) { n.right = 1 }), fault.ErrMalformed, "two parents"},
		{"NaN threshold", with(func(n *node) { n.threshold = math.NaN() }), fault.ErrMalformed, "node 0: its threshold is NaN"},
		{"negative feature", with(func(n *node) { n.feature = -2 }), fault.ErrMalformed, "splits on feature -2"},
		{"feature beyond", with(func(n *node) { n.feature = 2 }), fault.ErrMalformed, "splits on feature 2, the model has 2"},
		{"feature far beyond", with(func(n *node) { n.feature = 1 << 32 }), fault.ErrMalformed, "splits on feature"},
		{"missing_go_to_left", with(func(n *node) { n.missingLeft = 7 }), fault.ErrMalformed, "missing_go_to_left is 7"},
		{"unreachable", regressor(tree(little(leaf, leaf), values(1, 0, 1))), fault.ErrMalformed, "1 of 2 nodes cannot be reached"},
		{"cycle", regressor(tree(little(split, node{left: 0, right: 2, weight: 1}, leaf), values(1, 0, 1, 2))), fault.ErrMalformed, "its own ancestor"},
		{"no nodes", regressor(tree(little(), values(1))), fault.ErrMalformed, "nodes of shape [0]"},
		{"node_count", inner("node_count", int64(4)), fault.ErrMalformed, "node_count is 4"},
		{"no tree", set(good(), "tree_", nil), fault.ErrMalformed, "tree_ is None"},
		{"values of another shape", inner("values", values(2, 0, 1, 2, 3, 4, 5)), fault.ErrMalformed, "values of shape [3 1 2]"},
		{"values of fewer nodes", inner("values", values(1, 0, 1)), fault.ErrMalformed, "values of shape [2 1 1]"},
		{"nodes that are floats", inner("nodes", values(1, 0, 1, 2)), fault.ErrMalformed, "nodes of shape [3 1 1]"},
		{"nodes without fields", inner("nodes", &ndarray.Array{Type: ndarray.Dtype{Kind: 'f', Size: 8}, Shape: []int64{3}, N: 3, Data: make([]byte, 24)}), fault.ErrMalformed, `no field "left_child"`},
		{"more features", set(good(), "n_features_in_", int64(3)), fault.ErrMalformed, "tree_ has 2 features, the model 3"},
		{"no features", set(good(), "n_features_in_", int64(0)), fault.ErrMalformed, "n_features_in_ is 0"},
		{"many features", set(good(), "n_features_in_", int64(1<<40)), fault.ErrLimit, "Limits.Features"},
		{"two outputs", set(good(), "n_outputs_", int64(2)), fault.ErrNotSupported, "multi-output models"},
		{"two outputs inside", regressor(two), fault.ErrNotSupported, "multi-output models"},
		{"names", set(good(), "feature_names_in_", names("a")), fault.ErrMalformed, "1 names, n_features_in_ is 2"},
		{"many names", set(good(), "feature_names_in_", names("a", "b", "c")), fault.ErrMalformed, "array of shape [3]"},
		{"names that are bytes", set(good(), "feature_names_in_", &pydata.List{}), fault.ErrMalformed, "where an array is wanted"},
		{"no version", set(good(), "_sklearn_version", nil), fault.ErrMalformed, "states no _sklearn_version"},
		{"strange version", set(good(), "_sklearn_version", "one"), fault.ErrMalformed, `_sklearn_version is "one"`},
		{"old version", set(good(), "_sklearn_version", "0.24.2"), fault.ErrNotSupported, "models of scikit-learn 0.24.2"},
		{"new version", set(good(), "_sklearn_version", "1.10.0"), fault.ErrNotSupported, "models of scikit-learn 1.10.0"},
		{"newer version", set(good(), "_sklearn_version", "2.0.dev0"), fault.ErrNotSupported, "models of scikit-learn 2.0.dev0"},
		{"not fitted", object(treeModule+"DecisionTreeRegressor", "_sklearn_version", "1.9.1", "n_features_in_", int64(2)), fault.ErrMalformed, "saved before it was fitted"},
		{"another class", object("sklearn.svm._classes.SVC"), fault.ErrNotSupported, "sklearn.svm._classes.SVC"},
		{"forest of itself", object(forestModule+"RandomForestRegressor", "_sklearn_version", "1.9.1", "estimators_", self), fault.ErrMalformed, "estimators_, tree 0: it is a list"},
		{"forest of nothing", object(forestModule+"RandomForestRegressor", "_sklearn_version", "1.9.1", "estimators_", &pydata.List{}), fault.ErrMalformed, "a list of 0 trees"},
		{"forest of a classifier", object(forestModule+"RandomForestRegressor", "_sklearn_version", "1.9.1",
			"estimators_", &pydata.List{Items: []pydata.Value{object(treeModule + "DecisionTreeClassifier")}}), fault.ErrMalformed, "it is a sklearn.tree._classes.DecisionTreeClassifier"},
		{"booster of nothing", object("lightgbm.sklearn.LGBMClassifier", "_Booster", nil), fault.ErrMalformed, "_Booster is None"},
		{"booster without text", object("lightgbm.basic.Booster", "handle", nil), fault.ErrMalformed, "holds no model text"},
		{"booster of other bytes", object("xgboost.core.Booster", "handle", []byte("CONFIG-offset:")), fault.ErrNotSupported, "before 1.6"},
		{"booster of bad text", object("lightgbm.basic.Booster", "_handle", "tree\nversion=v4\n"), fault.ErrMalformed, ""},
	} {
		m, err := decode(c.o)
		if err == nil || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, %v; want %q", c.name, m, err, c.text)
		}
	}
	if _, err := decode(good()); err != nil {
		t.Error(err)
	}
}

func names(list ...string) *ndarray.Array {
	var items []pydata.Value
	for _, s := range list {
		items = append(items, s)
	}
	a, err := ndarray.OfObjects([]int64{int64(len(items))}, items)
	if err != nil {
		panic(err)
	}
	return a
}

// TestShared: a forest whose trees share one array costs what its bytes cost, not what it says.
func TestShared(t *testing.T) {
	n, v := little(node{left: 1, right: 2, weight: 2}, leaf, leaf), values(1, 0, 1, 2)
	var items []pydata.Value
	for range 1000 {
		items = append(items, regressor(tree(n, v)))
	}
	o := object(forestModule+"RandomForestRegressor", "_sklearn_version", "1.9.1", "n_features_in_", int64(2),
		"estimators_", &pydata.List{Items: items})
	d := decoder{limits: limit.Default(), budget: int64(len(n.Data) + len(v.Data))}
	if _, err := d.model(o); !errors.Is(err, fault.ErrMalformed) || !strings.Contains(err.Error(), "tree 1: its trees share arrays") {
		t.Errorf("%v", err)
	}
}

// TestDeep: a tree that is a chain ends at the limit, not in the stack.
func TestDeep(t *testing.T) {
	var list []node
	const depth = 1 << 12
	for i := range int64(depth) {
		list = append(list, node{left: 2*i + 1, right: 2*i + 2, weight: 1})
		list = append(list, leaf)
	}
	// Node 2i is the i-th split: its children are the leaf beside it and the next split.
	for i := range list {
		if list[i].left >= 0 {
			list[i].left, list[i].right = int64(i)+1, int64(i)+2
		}
	}
	list = append(list, leaf)
	o := regressor(tree(little(list...), values(1, make([]float64, len(list))...)))
	if _, err := decode(o); err != nil {
		t.Error(err)
	}
	l := limit.Default()
	l.Depth = 100
	d := decoder{limits: l, budget: 1 << 30}
	if _, err := d.model(o); !errors.Is(err, fault.ErrLimit) {
		t.Errorf("%v", err)
	}
}

// TestFloor32: the float32 threshold decides as the float64 one does, for every float32 value.
func TestFloor32(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		threshold := math.Float64frombits(rng.Uint64())
		if rng.IntN(2) == 0 {
			threshold = float64(math.Float32frombits(rng.Uint32()))
			threshold += threshold * (rng.Float64() - 0.5) * 1e-7
		}
		if math.IsNaN(threshold) {
			continue
		}
		got := floor32(threshold)
		if float64(float32(got)) != got {
			t.Fatalf("%v gives %v, no float32", threshold, got)
		}
		for _, x := range []float32{
			float32(threshold), math.Nextafter32(float32(threshold), float32(math.Inf(1))),
			math.Nextafter32(float32(threshold), float32(math.Inf(-1))), math.Float32frombits(rng.Uint32()), 0, math.MaxFloat32, -math.MaxFloat32,
		} {
			if (float64(x) <= threshold) != (float64(x) <= got) {
				t.Fatalf("%v <= %v but not <= %v", x, threshold, got)
			}
		}
	}
}

// TestPairwise: sums of 1/(i+1.3) as numpy 2.5 gives them.
func TestPairwise(t *testing.T) {
	for n, want := range map[int]float64{
		7: 0x1.1cabf370021dbp+1, 8: 0x1.2c17e719a5960p+1, 9: 0x1.39db57f5dca3cp+1, 16: 0x1.7ecfd32c2f0f2p+1,
		17: 0x1.8635edcef5592p+1, 100: 0x1.3211bfe113f1ap+2, 128: 0x1.41c1cf51f9ed7p+2, 129: 0x1.424085ddc1b2ep+2,
		136: 0x1.459d177dff625p+2, 137: 0x1.46146bf494eb6p+2, 300: 0x1.780a6f86ab51dp+2, 1000: 0x1.c4f9c9e55420ap+2,
	} {
		v := make([]float64, n)
		for i := range v {
			v[i] = 1 / (float64(i) + 1.3)
		}
		if got := pairwise(v); got != want {
			t.Errorf("%d values: %x, want %x", n, got, want)
		}
	}
	zero := []float64{0, 0}
	if normalise(zero); zero[0] != 0 || zero[1] != 0 {
		t.Errorf("no counts become %v", zero)
	}
}

// TestHints: what is refused comes with a way out.
func TestHints(t *testing.T) {
	for text, hint := range map[string]string{
		"\x80\x02csklearn.pipeline\nPipeline\n.":                        "pipeline[-1]",
		"\x80\x02csklearn.model_selection._search\nGridSearchCV\n.":     "best_estimator_",
		"\x80\x02c__main__\nloss\n.":                                    "needs code",
		"\x80\x02ccatboost.core\nCatBoostClassifier\n.":                 "save_model()",
		"\x80\x02cos\nsystem\n.":                                        "what can be read",
		"\x80\x01N.":                                                    "protocol 2 to 5",
		"\x80\x02csklearn.tree._classes\nDecisionTreeClassifier\n)\x81": "cut off",
	} {
		_, err := DecodePickle([]byte(text), limit.Limits{})
		placed, ok := errors.AsType[*fault.Error](err)
		if !ok || !strings.Contains(placed.Hint, hint) || placed.Format != FormatPickle {
			t.Errorf("%q: %v, hint %q; want %q", text, err, placed.Hint, hint)
		}
	}
	if _, err := DecodePickle(append([]byte("\x80\x02N."), 'x'), limit.Limits{}); err == nil || !strings.Contains(err.Error(), "1 bytes after the end") {
		t.Errorf("%v", err)
	}
	if _, err := DecodePickle(bytes.Repeat([]byte{0x80, 4}, 3), limit.Limits{}); err == nil {
		t.Error("nonsense was read")
	}
}
