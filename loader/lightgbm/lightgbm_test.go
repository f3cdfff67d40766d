package lightgbm_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader"
	"github.com/treeline-ml/treeline/loader/lightgbm"
)

// file is a model text to be filled in.
type file struct {
	version, objective, extra, names, infos, tree, tail string
	outputs                                             int
}

const stump = "num_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=5\nthreshold=0.5\ndecision_type=2\nleft_child=-1\n" +
	"right_child=-2\nleaf_value=1 2\nleaf_count=3 4\ninternal_count=7\nshrinkage=1\n"

func (f file) text() string {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&f.version, "v4")
	def(&f.names, "a b")
	def(&f.infos, "[0:1] [0:1]")
	def(&f.tree, stump)
	def(&f.tail, "parameters:\nend of parameters\n")
	if f.outputs == 0 {
		f.outputs = 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tree\nversion=%s\nnum_class=%d\nnum_tree_per_iteration=%d\nlabel_index=0\nmax_feature_idx=%d\n",
		f.version, f.outputs, f.outputs, len(strings.Fields(f.names))-1)
	if f.objective != "" {
		fmt.Fprintf(&b, "objective=%s\n", f.objective)
	}
	fmt.Fprintf(&b, "%sfeature_names=%s\nfeature_infos=%s\n\n", f.extra, f.names, f.infos)
	for k := range f.outputs {
		fmt.Fprintf(&b, "Tree=%d\n%s\n\n", k, f.tree)
	}
	b.WriteString("end of trees\n\nfeature_importances:\na=1\n\n" + f.tail)
	return b.String()
}

func decode(text string) (*forest.Model, error) {
	return lightgbm.Decode(strings.NewReader(text), loader.Limits{})
}

func mustDecode(t *testing.T, text string) *forest.Model {
	t.Helper()
	m, err := decode(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return m
}

func TestObjectives(t *testing.T) {
	for _, c := range []struct {
		line    string
		outputs int
		extra   string
		want    forest.Link
	}{
		{"", 1, "", forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1}},
		{"", 3, "", forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1}},
		{"custom", 1, "", forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1}},
		{"regression", 1, "", forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1}},
		{"regression sqrt", 1, "", forest.Link{Kind: forest.SignedSquare, Slope: 1, Divisor: 1}},
		{"quantile sqrt", 1, "", forest.Link{Kind: forest.SignedSquare, Slope: 1, Divisor: 1}},
		{"huber sqrt", 1, "", forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1}}, // the library drops it
		{"poisson sqrt", 1, "", forest.Link{Kind: forest.Exp, Slope: 1, Divisor: 1}},
		{"tweedie tweedie_variance_power:1.3", 1, "", forest.Link{Kind: forest.Exp, Slope: 1, Divisor: 1}},
		{"binary sigmoid:1.7", 1, "", forest.Link{Kind: forest.Sigmoid, Slope: 1.7, Divisor: 1}},
		{"binary sigmoid:1e-05", 1, "", forest.Link{Kind: forest.Sigmoid, Slope: 1e-05, Divisor: 1}},
		{"binary sigmoid:2", 1, "average_output\n", forest.Link{Kind: forest.Sigmoid, Slope: 2, Divisor: 1}},
		{"xentropy", 1, "", forest.Link{Kind: forest.Sigmoid, Slope: 1, Divisor: 1}},
		{"cross_entropy_lambda", 1, "", forest.Link{Kind: forest.Log1pExp, Slope: 1, Divisor: 1}},
		{"multiclass num_class:3", 3, "", forest.Link{Kind: forest.Softmax, Slope: 1, Divisor: 1}},
		{"multiclassova num_class:3 sigmoid:0.5", 3, "", forest.Link{Kind: forest.OneVsAll, Slope: 0.5, Divisor: 1}},
		{"lambdarank", 1, "", forest.Link{Kind: forest.Identity, Slope: 1, Divisor: 1}},
	} {
		m := mustDecode(t, file{objective: c.line, outputs: c.outputs, extra: c.extra}.text())
		if m.Link != c.want || m.Provenance.Objective != c.line || m.Outputs != c.outputs {
			t.Errorf("%q: link %+v of %q, want %+v", c.line, m.Link, m.Provenance.Objective, c.want)
		}
	}
	for line, want := range map[string]error{
		"binary":                             loader.ErrMalformed, // no sigmoid
		"binary sigmoid:0":                   loader.ErrMalformed,
		"binary sigmoid:nan":                 loader.ErrMalformed,
		"binary sigmoid:-1":                  loader.ErrMalformed,
		"multiclass num_class:3":             loader.ErrMalformed, // one tree per iteration
		"multiclassova num_class:1":          loader.ErrMalformed,
		"a new objective":                    loader.ErrNotSupported,
		"binary sigmoid:" + digits(50, "1"):  loader.ErrMalformed,
		"multiclass num_class:" + "99999999": loader.ErrMalformed,
	} {
		if _, err := decode(file{objective: line}.text()); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", line, err, want)
		}
	}
}

func digits(n int, d string) string { return strings.Repeat(d, n) }

// TestDecisions: each decision_type as the doc comment of forest.Node spells it.
func TestDecisions(t *testing.T) {
	for _, c := range []struct {
		decision  int
		threshold float64
		want      forest.Node
	}{
		{0, 0.5, forest.Node{NaNLeft: true}}, // NaN is 0, and 0 <= 0.5
		{2, -0.5, forest.Node{NaNLeft: false}},
		{2, 0, forest.Node{NaNLeft: true}},
		{0, 1.0000000180025095e-35, forest.Node{NaNLeft: true}},
		{4, 0.5, forest.Node{Zero: forest.ZeroRight}},
		{6, -0.5, forest.Node{Zero: forest.ZeroLeft, NaNLeft: true}},
		{8, 0.5, forest.Node{}},
		{10, -0.5, forest.Node{NaNLeft: true}},
	} {
		tree := strings.NewReplacer("decision_type=2", fmt.Sprintf("decision_type=%d", c.decision),
			"threshold=0.5", fmt.Sprintf("threshold=%v", c.threshold)).Replace(stump)
		want := c.want
		want.Op, want.Threshold, want.Left, want.Right = forest.LessEqual, c.threshold, ^0, ^1
		if got := mustDecode(t, file{tree: tree}.text()).Trees[0].Nodes[0]; got != want {
			t.Errorf("decision_type %d at %v: %+v, want %+v", c.decision, c.threshold, got, want)
		}
	}
	m := mustDecode(t, file{tree: strings.NewReplacer("decision_type=2", "decision_type=9", "threshold=0.5", "threshold=1",
		"num_cat=0", "num_cat=2").Replace(stump) + "cat_boundaries=0 1 3\ncat_threshold=1 4294967295 5\n"}.text())
	want := forest.Node{Op: forest.InSet, Set: 1, Left: ^0, Right: ^1}
	if got := m.Trees[0].Nodes[0]; got != want {
		t.Errorf("categorical split %+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(m.Sets, []forest.CategorySet{{1}, {math.MaxUint32, 5}}) {
		t.Errorf("sets %v", m.Sets)
	}
	if m.Features[0].Kind != forest.Categorical || m.Features[1].Kind != forest.Numeric {
		t.Errorf("kinds %v and %v", m.Features[0].Kind, m.Features[1].Kind)
	}
}

// TestModel: everything that stands in the file comes through.
func TestModel(t *testing.T) {
	m := mustDecode(t, file{objective: "regression", names: "a=b größe"}.text())
	want := &forest.Model{
		Features: []forest.Feature{{Name: "a=b"}, {Name: "größe"}},
		Outputs:  1,
		Trees: []forest.Tree{{
			Nodes:  []forest.Node{{Threshold: 0.5, Left: ^0, Right: ^1, NaNLeft: true}},
			Leaves: []float64{1, 2}, NodeCover: []float64{7}, LeafCover: []float64{3, 4}, Gain: []float64{5},
		}},
		Arithmetic: forest.Arithmetic{FlushZero: true},
		Base:       []float64{0},
		Scale:      1,
		Link:       forest.Link{Slope: 1, Divisor: 1},
		Iterations: 1,
		Provenance: forest.Provenance{
			Format: "lightgbm-text", Library: "lightgbm", Version: "v4", Objective: "regression",
		},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got  %+v\nwant %+v", m, want)
	}
	average := mustDecode(t, file{extra: "average_output\n", outputs: 1}.text())
	if average.Link.Divisor != 1 {
		t.Errorf("divisor %v for one iteration", average.Link.Divisor)
	}
}

// TestChildrenFirst: splits in another order than the library writes give the same tree.
func TestChildrenFirst(t *testing.T) {
	tree := func(feature, threshold, left, right, gain string) string {
		return "num_leaves=4\nnum_cat=0\nsplit_feature=" + feature + "\nsplit_gain=" + gain + "\nthreshold=" + threshold +
			"\ndecision_type=2 2 2\nleft_child=" + left + "\nright_child=" + right +
			"\nleaf_value=1 2 4 8\nleaf_count=1 1 1 1\ninternal_count=" + gain + "\n"
	}
	usual := mustDecode(t, file{tree: tree("0 1 0", "0 1 2", "1 -1 -3", "2 -2 -4", "10 20 30")}.text())
	// 0 -> 2 -> 1: the second split of the file is the last of the tree.
	chained := mustDecode(t, file{tree: tree("0 1 0", "0 1 2", "2 -1 -3", "-4 -2 1", "10 20 30")}.text())
	inOrder := mustDecode(t, file{tree: tree("0 0 1", "0 2 1", "1 -3 -1", "-4 2 -2", "10 30 20")}.text())
	if !reflect.DeepEqual(chained, inOrder) {
		t.Errorf("got  %+v\nwant %+v", chained.Trees, inOrder.Trees)
	}
	if want := (forest.Node{Threshold: 0, Left: 1, Right: 2, NaNLeft: true}); usual.Trees[0].Nodes[0] != want {
		t.Errorf("usual root %+v, want %+v", usual.Trees[0].Nodes[0], want)
	}
}

// TestVersions: v2 and v3 are read, others are refused by name.
func TestVersions(t *testing.T) {
	mustDecode(t, file{version: "v3"}.text())
	mustDecode(t, file{version: "v2"}.text())
	old := strings.SplitAfter(file{version: "v2"}.text(), "end of trees\n")[0]
	mustDecode(t, strings.Replace(old, "end of trees", "feature importances:", 1)) // 2.1 ends so
	if _, err := decode(old); err != nil {
		t.Errorf("v2 without parameters: %v", err)
	}
	if _, err := decode(strings.Replace(old, "v2", "v4", 1)); !errors.Is(err, loader.ErrMalformed) {
		t.Errorf("v4 without parameters: %v", err)
	}
	for _, text := range []string{
		file{version: "v5"}.text(), strings.Replace(file{}.text(), "version=v4\n", "", 1),
	} {
		if _, err := decode(text); !errors.Is(err, loader.ErrNotSupported) {
			t.Errorf("%v, want not supported", err)
		}
	}
}

// TestLineEnds: a file with the line ends of Windows is the same model; one with tree_sizes is altered by them.
func TestLineEnds(t *testing.T) {
	text := file{objective: "regression"}.text()
	want := mustDecode(t, text)
	if got := mustDecode(t, strings.ReplaceAll(text, "\n", "\r\n")); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	size := len("Tree=0\n") + len(stump) + 2
	sized := func(n string) string {
		return strings.Replace(text, "feature_infos", "tree_sizes="+n+"\nfeature_infos", 1)
	}
	mustDecode(t, sized(fmt.Sprint(size)))
	for _, n := range []string{fmt.Sprint(size + 1), "", fmt.Sprint(size, size), "-1", "x"} {
		if _, err := decode(sized(n)); !errors.Is(err, loader.ErrMalformed) {
			t.Errorf("tree_sizes=%s: %v", n, err)
		}
	}
}

// TestNonFinite: leaves may be infinite, where training diverged; the model says so.
func TestNonFinite(t *testing.T) {
	m := mustDecode(t, file{tree: strings.Replace(stump, "leaf_value=1 2", "leaf_value=-inf 1e999", 1)}.text())
	if !m.NonFiniteLeaves || !math.IsInf(m.Trees[0].Leaves[1], 1) || !math.IsInf(m.Trees[0].Leaves[0], -1) {
		t.Errorf("leaves %v, said %v", m.Trees[0].Leaves, m.NonFiniteLeaves)
	}
	for _, bad := range []string{"0x10 2", "1_0 2", "1 2 3", "1", "1 two", "1 " + digits(500, "1")} {
		_, err := decode(file{tree: strings.Replace(stump, "leaf_value=1 2", "leaf_value="+bad, 1)}.text())
		if !errors.Is(err, loader.ErrMalformed) {
			t.Errorf("leaf_value=%.20s: %v", bad, err)
		}
	}
}
