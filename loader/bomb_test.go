package loader_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/loader"
)

const lightgbmHeader = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n" +
	"objective=regression\nfeature_names=a b\nfeature_infos=[0:1] [0:1]\n\n"

const lightgbmTail = "\n\nend of trees\n\nparameters:\nend of parameters\n"

// lightgbmTree is one split with leaves 1 and 2, and what else is given.
func lightgbmTree(lines string) string {
	return lightgbmHeader + "Tree=0\n" + lines + "\n" + lightgbmTail
}

// xgboostJSON is a model of the given trees.
func xgboostJSON(param, trees string) string {
	return `{"learner":{"gradient_booster":{"model":{"tree_info":[0],"trees":[` + trees +
		`]},"name":"gbtree"},"learner_model_param":{"base_score":"5E-1","num_class":"0","num_feature":"2","num_target":"1"` +
		param + `},"objective":{"name":"reg:squarederror"}},"version":[3,4,1]}`
}

const leafTree = `{"left_children":[-1],"right_children":[-1],"split_indices":[0],"split_conditions":[1.5],"default_left":[0]}`

// chain is a tree that is a list of n splits, as JSON or LightGBM text.
func chainJSON(n int) string {
	var left, right, zero, value strings.Builder
	for i := range n {
		left.WriteString(itoa(2*i+1) + ",-1,")
		right.WriteString(itoa(2*i+2) + ",-1,")
		zero.WriteString("0,0,")
		value.WriteString("1,1,")
	}
	return `{"left_children":[` + left.String() + `-1],"right_children":[` + right.String() + `-1],"split_indices":[` +
		zero.String() + `0],"split_conditions":[` + value.String() + `1],"default_left":[` + zero.String() + `0]}`
}

func itoa(n int) string {
	b := []byte{}
	for ; n > 0; n /= 10 {
		b = append([]byte{byte('0' + n%10)}, b...)
	}
	return string(b)
}

// ubj spells UBJSON: numbers are int64 lengths, strings as they are.
func ubj(parts ...any) string {
	var b bytes.Buffer
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b.WriteString(p)
		case int:
			_ = binary.Write(&b, binary.BigEndian, int64(p))
		}
	}
	return b.String()
}

func key(name string) string { return ubj("L", len(name), name) }

// intoTree is UBJSON up to a value inside the first tree.
func intoTree(name string) string {
	return "{" + key("learner") + "{" + key("gradient_booster") + "{" + key("model") + "{" + key("trees") + ubj("[#L", 1) +
		"{" + key(name)
}

// binaryModel is the old binary format with one tree of the given size, and the given nodes.
func binaryModel(trees, nodes uint32, rest string) string {
	var b bytes.Buffer
	param := make([]uint32, 34)
	param[0], param[1], param[5], param[6], param[7] = math.Float32bits(0.5), 2, 1, 7, 1
	model := make([]uint32, 40)
	model[0], model[1] = trees, 1
	tree := make([]uint32, 37)
	tree[0], tree[1] = 1, nodes
	b.WriteString("binf")
	_ = binary.Write(&b, binary.LittleEndian, param)
	for _, s := range []string{"reg:squarederror", "gbtree"} {
		_ = binary.Write(&b, binary.LittleEndian, uint64(len(s)))
		b.WriteString(s)
	}
	_ = binary.Write(&b, binary.LittleEndian, model)
	_ = binary.Write(&b, binary.LittleEndian, tree)
	b.WriteString(rest)
	return b.String()
}

// TestBombs: small files that announce or build something huge end in an error that says where, quickly and in little
// memory.
func TestBombs(t *testing.T) {
	huge := 1 << 60
	for _, c := range []struct {
		name, file string
		kind       error
		where      string // part of Error.Where
		text       string // part of the message
	}{
		{
			"lightgbm leaves", lightgbmTree("num_leaves=1152921504606846976\nnum_cat=0"),
			loader.ErrMalformed, "tree 0, num_leaves, line 12", "outside 1..2147483647",
		},
		{
			"lightgbm many leaves", lightgbmTree("num_leaves=2000000000\nnum_cat=0\nleaf_value=1"),
			loader.ErrLimit, "tree 0, num_leaves", "Limits.TreeNodes",
		},
		{
			"lightgbm fewer leaves than said", lightgbmTree("num_leaves=8000000\nnum_cat=0\nleaf_value=1 2"),
			loader.ErrMalformed, "tree 0", "leaf_value has 2 values, num_leaves is 8000000",
		},
		{
			"lightgbm features", "tree\nversion=v4\nnum_class=1\nmax_feature_idx=2147483646\nfeature_names=a\n\nend of trees\n",
			loader.ErrMalformed, "line", "feature_names has 1 names",
		},
		{
			"lightgbm outputs", strings.Replace(lightgbmTree("num_leaves=1\nnum_cat=0\nleaf_value=1"),
				"num_tree_per_iteration=1", "num_tree_per_iteration=2000000000", 1),
			loader.ErrLimit, "line", "Limits.Outputs",
		},
		{
			"lightgbm category bounds", lightgbmTree("num_leaves=2\nnum_cat=1\nsplit_feature=0\nthreshold=0\ndecision_type=1\n" +
				"left_child=-1\nright_child=-2\nleaf_value=1 2\ncat_boundaries=0 2147483647\ncat_threshold=1"),
			loader.ErrMalformed, "tree 0", "cat_boundaries",
		},
		{
			"lightgbm category set out of range", lightgbmTree("num_leaves=2\nnum_cat=1\nsplit_feature=0\nthreshold=1e18\n" +
				"decision_type=1\nleft_child=-1\nright_child=-2\nleaf_value=1 2\ncat_boundaries=0 1\ncat_threshold=1"),
			loader.ErrMalformed, "tree 0, node 0", "category set",
		},
		{
			"lightgbm cycle", lightgbmTree("num_leaves=3\nnum_cat=0\nsplit_feature=0 0\nthreshold=0 0\ndecision_type=2 2\n" +
				"left_child=1 0\nright_child=-1 -2\nleaf_value=1 2 3"),
			loader.ErrMalformed, "tree 0, node 0", "its own ancestor",
		},
		{
			"lightgbm shared leaf", lightgbmTree("num_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0\ndecision_type=2\n" +
				"left_child=-1\nright_child=-1\nleaf_value=1 2"),
			loader.ErrMalformed, "tree 0, node 0", "another parent",
		},
		{
			"lightgbm child", lightgbmTree("num_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0\ndecision_type=2\n" +
				"left_child=-1\nright_child=-2147483648\nleaf_value=1 2"),
			loader.ErrMalformed, "tree 0, node 0", "its child is -2147483648",
		},
		{
			"lightgbm feature", lightgbmTree("num_leaves=2\nnum_cat=0\nsplit_feature=2\nthreshold=0\ndecision_type=2\n" +
				"left_child=-1\nright_child=-2\nleaf_value=1 2"),
			loader.ErrMalformed, "tree 0, node 0", "splits on feature 2, the model has 2",
		},
		{
			"lightgbm NaN threshold", lightgbmTree("num_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=nan\ndecision_type=2\n" +
				"left_child=-1\nright_child=-2\nleaf_value=1 2"),
			loader.ErrMalformed, "tree 0, node 0", "NaN",
		},
		{
			"lightgbm decision", lightgbmTree("num_leaves=2\nnum_cat=0\nsplit_feature=0\nthreshold=0\ndecision_type=14\n" +
				"left_child=-1\nright_child=-2\nleaf_value=1 2"),
			loader.ErrMalformed, "tree 0, node 0", "decision_type is 14",
		},
		{
			"lightgbm long word", lightgbmTree("num_leaves=" + strings.Repeat("1", 1<<22)),
			loader.ErrMalformed, "tree 0, num_leaves", "no whole number",
		},
		{
			"lightgbm long key", lightgbmHeader + strings.Repeat("k", 1<<22),
			loader.ErrMalformed, "line 11", "the trees",
		},

		{"json nesting", `{"learner":` + strings.Repeat("[", 1e6), loader.ErrMalformed, "byte", "object"},
		{"json nesting skipped", `{"other":` + strings.Repeat("[", 1e6), loader.ErrLimit, "byte 7", "Limits.NestingDepth"},
		{"json nesting of objects", strings.Repeat(`{"a":`, 1e6), loader.ErrLimit, "byte", "Limits.NestingDepth"},
		{
			"json num_trees", strings.Replace(xgboostJSON("", leafTree), `"tree_info"`,
				`"gbtree_model_param":{"num_trees":"1152921504606846976"},"tree_info"`, 1),
			loader.ErrMalformed, "", "num_trees is 1152921504606846976",
		},
		{
			"json features", xgboostJSON(`,"num_feature":"1152921504606846976"`, leafTree),
			loader.ErrLimit, "learner_model_param", "Limits.Features",
		},
		{
			"json classes", xgboostJSON(`,"num_class":"2147483647"`, leafTree),
			loader.ErrLimit, "learner_model_param", "Limits.Outputs",
		},
		{"json long number", `{"version":[` + strings.Repeat("1", 1<<22) + `]}`, loader.ErrMalformed, "byte", "512 bytes"},
		{"json long string", `{"` + strings.Repeat("k", 1<<22) + `":1}`, loader.ErrLimit, "byte", "Limits.StringBytes"},
		{"json depth", xgboostJSON("", chainJSON(70000)), loader.ErrLimit, "tree 0, node", "Limits.Depth"},
		{
			"json huge category", xgboostJSON("", `{"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],`+
				`"split_conditions":[0,1,1],"default_left":[0,0,0],"split_type":[1,0,0],"categories":[2147483647],`+
				`"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[1]}`),
			loader.ErrLimit, "tree 0, node 0", "Limits.Categories",
		},
		{"json cycle", xgboostJSON("", `{"left_children":[1,0,-1],"right_children":[2,2,-1],"split_indices":[0,0,0],`+
			`"split_conditions":[0,1,1],"default_left":[0,0,0]}`), loader.ErrMalformed, "tree 0, node", "two parents"},
		{"json child", xgboostJSON("", `{"left_children":[3,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],`+
			`"split_conditions":[0,1,1],"default_left":[0,0,0]}`), loader.ErrMalformed, "tree 0, node 0", "its children are 3"},
		{"json feature", xgboostJSON("", `{"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[2,0,0],`+
			`"split_conditions":[0,1,1],"default_left":[0,0,0]}`), loader.ErrMalformed, "tree 0, node 0", "feature 2"},
		{"json NaN threshold", xgboostJSON("", `{"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],`+
			`"split_conditions":[NaN,1,1],"default_left":[0,0,0]}`), loader.ErrMalformed, "tree 0, node 0", "NaN"},
		{"json unreachable", xgboostJSON("", `{"left_children":[-1,-1],"right_children":[-1,-1],"split_indices":[0,0],`+
			`"split_conditions":[0,1],"default_left":[0,0]}`), loader.ErrMalformed, "tree 0", "cannot be reached"},
		{"json trailing", xgboostJSON("", leafTree) + "{}", loader.ErrMalformed, "byte", "after the end"},

		{
			"ubj typed count", intoTree("left_children") + ubj("[$l#L", huge), loader.ErrLimit,
			"tree 0, left_children, byte", "1152921504606846976 exceeds Limits.TreeNodes",
		},
		{
			"ubj count within the limits", intoTree("left_children") + ubj("[$l#L", 1<<24) + "\x00\x00\x00\x00",
			loader.ErrMalformed, "tree 0, left_children, byte", "ends inside",
		},
		{
			"ubj count of anything", "{" + key("learner") + "{" + key("feature_names") + ubj("[#L", huge) + "SL",
			loader.ErrMalformed, "byte", "ends inside",
		},
		{"ubj skipped count", "{" + key("x") + ubj("[$D#L", huge), loader.ErrMalformed, "byte", "array of"},
		{"ubj negative count", intoTree("left_children") + ubj("[$l#L", -1), loader.ErrMalformed, "tree 0", "length of an array"},
		{
			"ubj string", "{" + key("learner") + "{" + key("objective") + "{" + key("name") + ubj("SL", huge),
			loader.ErrLimit, "byte", "Limits.StringBytes",
		},
		{"ubj key", "{" + ubj("L", huge), loader.ErrLimit, "byte", "Limits.StringBytes"},
		{"ubj nesting", "{" + key("x") + strings.Repeat("[", 1e6), loader.ErrLimit, "byte", "Limits.NestingDepth"},
		{
			"ubj counted nesting", "{" + key("x") + strings.Repeat(ubj("[#L", 1), 1e5), loader.ErrLimit, "byte",
			"Limits.NestingDepth",
		},

		{"binary trees", binaryModel(math.MaxInt32, 1, ""), loader.ErrLimit, "byte", "Limits.Trees"},
		{"binary nodes", binaryModel(1, math.MaxInt32, ""), loader.ErrLimit, "tree 0, byte", "Limits.TreeNodes"},
		{"binary nodes within the limits", binaryModel(1, 1<<24, ""), loader.ErrMalformed, "tree 0, byte", "ends inside nodes"},
		{"binary negative trees", binaryModel(math.MaxUint32, 1, ""), loader.ErrMalformed, "byte", "num_trees is -1"},
		{
			"binary objective", binaryModel(1, 1, "")[:140] + strings.Repeat("\xff", 40), loader.ErrMalformed, "byte",
			"the objective has length",
		},

		{"nothing", "", loader.ErrUnknown, "", "empty"},
		{"pickle", "\x80\x04\x95\x00", loader.ErrMalformed, "byte 2", "ends inside the pickle"},
		{"zeros", strings.Repeat("\x00", 1<<20), loader.ErrUnknown, "", "no model format"},
		{"spaces", strings.Repeat(" ", 1<<20), loader.ErrUnknown, "", "no model format"},
		{"catboost json", `{"features_info":{},"oblivious_trees":[]}`, loader.ErrUnknown, "", "CatBoost"},
		{"lightgbm dump", `{"name":"tree","version":"v4","tree_info":[]}`, loader.ErrUnknown, "", "LightGBM's dump_model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			var err error
			used := allocated(func() { _, err = decode([]byte(c.file), loader.Limits{}) })
			checkError(t, c.name, err)
			var placed *loader.Error
			if !errors.As(err, &placed) || !errors.Is(err, c.kind) || !strings.Contains(placed.Where, c.where) ||
				!strings.Contains(err.Error(), c.text) {
				t.Errorf("%v at %q, want %v at %q with %q", err, placed.Where, c.kind, c.where, c.text)
			}
			if most := uint64(2<<20 + 16*len(c.file)); used > most {
				t.Errorf("%d bytes were allocated for a file of %d", used, len(c.file))
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestSetBytes: many splits on high categories would take memory far beyond the file's size; the limit stops them.
func TestSetBytes(t *testing.T) {
	const splits = 3000
	var trees []string
	for range splits {
		trees = append(trees, `{"left_children":[1,-1,-1],"right_children":[2,-1,-1],"split_indices":[0,0,0],`+
			`"split_conditions":[0,1,1],"default_left":[0,0,0],"split_type":[1,0,0],"categories":[16000000],`+
			`"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[1]}`)
	}
	file := []byte(xgboostJSON("", strings.Join(trees, ",")))
	var err error
	used := allocated(func() { _, err = decode(file, loader.Limits{SetBytes: 32 << 20}) })
	if !errors.Is(err, loader.ErrLimit) || !strings.Contains(err.Error(), "SetBytes") {
		t.Errorf("%v, want a limit", err)
	}
	if used > 48<<20 {
		t.Errorf("%d bytes were allocated under a limit of 32 MiB", used)
	}
}

// endless gives the same byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// TestBytes: a reader without an end stops at the limit.
func TestBytes(t *testing.T) {
	for name, head := range map[string]string{
		"json": `{"a":"`, "json space": "{ ", "ubj": "{L\x00", "text": "tree\nversion=v4\nx=", "binary": "binf",
	} {
		in := io.MultiReader(strings.NewReader(head), endless(' '))
		_, err := loader.Decode(in, -1, loader.Options{Path: "given", Limits: loader.Limits{Bytes: 1 << 24}})
		if err == nil {
			t.Errorf("%s was read", name)
			continue
		}
		checkError(t, name, err)
	}
	_, err := loader.Decode(strings.NewReader("tree\n"), 1<<40, loader.Options{})
	if !errors.Is(err, loader.ErrLimit) {
		t.Errorf("a file of 1 TiB: %v, want a limit", err)
	}
}

// TestReaderError: an error of the reader is passed on, not called damage of the file.
func TestReaderError(t *testing.T) {
	gone := errors.New("the disk is gone")
	for name, b := range tiny(t) {
		for _, n := range []int{0, 1, 100, len(b) - 1} {
			in := io.MultiReader(bytes.NewReader(b[:n]), failing{gone})
			_, err := loader.Decode(in, -1, loader.Options{})
			if !errors.Is(err, gone) || errors.Is(err, loader.ErrMalformed) {
				t.Errorf("%s after %d bytes: %v, want the reader's error", name, n, err)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
