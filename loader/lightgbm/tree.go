package lightgbm

import (
	"fmt"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// block is one tree as the file lists it, parallel arrays over splits and leaves. One block is used for all trees.
type block struct {
	leaves, cats int64 // num_leaves, num_cat; -1 when the line is missing
	linear       bool

	feature, decision, left, right []int32
	threshold, gain, innerCount    []float64
	value, leafCount               []float64
	bounds                         []int32  // cat_boundaries
	words                          []uint32 // cat_threshold
}

func (b *block) reset() {
	*b = block{
		leaves: -1, cats: -1,
		feature: b.feature[:0], decision: b.decision[:0], left: b.left[:0], right: b.right[:0],
		threshold: b.threshold[:0], gain: b.gain[:0], innerCount: b.innerCount[:0],
		value: b.value[:0], leafCount: b.leafCount[:0], bounds: b.bounds[:0], words: b.words[:0],
	}
}

// The bits of decision_type.
const (
	bitCategorical = 1
	bitDefaultLeft = 2
	missingShift   = 2
	missingNone    = 0
	missingZero    = 1
	missingNaN     = 2
)

// readTree reads the lines of a block up to the blank line, and adds the tree.
func (d *decoder) readTree() error {
	b := &d.tree
	b.reset()
	for {
		line := d.in.number
		w, err := d.in.next(atEquals, keyBytes)
		if err != nil {
			return err
		}
		if w.stop != '=' {
			if len(w.text) == 0 && w.stop == '\n' {
				break
			}
			if w.stop == 0 {
				return fault.Truncated("a tree")
			}
			return d.in.at(line, fault.Malformed("%.40q in a tree", w.text))
		}
		key := string(w.text)
		if err := d.treeLine(key); err != nil {
			return fault.At(key, d.in.at(line, err))
		}
	}
	if b.linear {
		return fault.NotSupported("linear trees")
	}
	tree, err := d.convert()
	if err != nil {
		return err
	}
	d.trees = append(d.trees, tree)
	return nil
}

// treeLine reads the value of key into the block.
func (d *decoder) treeLine(key string) (err error) {
	b := &d.tree
	switch key {
	case "num_leaves":
		if b.leaves, err = d.number(1, math.MaxInt32); err == nil {
			err = limit.Check("TreeNodes", d.limits.TreeNodes, 2*b.leaves-1)
		}
	case "num_cat":
		b.cats, err = d.number(0, math.MaxInt32)
	case "is_linear":
		var n int64
		n, err = d.number(0, 1)
		b.linear = n == 1
	case "split_feature":
		b.feature, err = d.int32s(b.feature[:0], 0, math.MaxInt32)
	case "decision_type":
		b.decision, err = d.int32s(b.decision[:0], math.MinInt8, math.MaxUint8)
	case "left_child":
		b.left, err = d.int32s(b.left[:0], math.MinInt32, math.MaxInt32)
	case "right_child":
		b.right, err = d.int32s(b.right[:0], math.MinInt32, math.MaxInt32)
	case "threshold":
		b.threshold, err = d.floats(b.threshold[:0])
	case "leaf_value":
		b.value, err = d.floats(b.value[:0])
	case "split_gain":
		b.gain, err = d.floats(b.gain[:0])
	case "internal_count":
		b.innerCount, err = d.floats(b.innerCount[:0])
	case "leaf_count":
		b.leafCount, err = d.floats(b.leafCount[:0])
	case "cat_boundaries":
		b.bounds, err = d.int32s(b.bounds[:0], 0, math.MaxInt32)
	case "cat_threshold":
		b.words, err = d.setWords(b.words[:0])
	default:
		err = d.in.skip()
	}
	return err
}

// tooMany bounds an array by the leaves of the largest tree.
func (d *decoder) tooMany(i int) error {
	if int64(i) < d.limits.TreeNodes {
		return nil
	}
	return fault.Limit("TreeNodes", d.limits.TreeNodes, int64(i)+1)
}

func (d *decoder) int32s(dst []int32, least, most int64) ([]int32, error) {
	err := d.in.fields(numberBytes, func(i int, w word) error {
		v, err := integer(w, least, most)
		if err != nil {
			return err
		}
		dst = append(dst, int32(v))
		return d.tooMany(i)
	})
	return dst, err
}

func (d *decoder) floats(dst []float64) ([]float64, error) {
	err := d.in.fields(numberBytes, func(i int, w word) error {
		v, err := float(w)
		if err != nil {
			return err
		}
		dst = append(dst, v)
		return d.tooMany(i)
	})
	return dst, err
}

func (d *decoder) setWords(dst []uint32) ([]uint32, error) {
	err := d.in.fields(numberBytes, func(i int, w word) error {
		v, err := integer(w, 0, math.MaxUint32)
		if err != nil {
			return err
		}
		dst = append(dst, uint32(v))
		return limit.Check("SetBytes", d.limits.SetBytes, d.setBytes+4*int64(i+1))
	})
	return dst, err
}

// float parses a decimal number, correctly rounded as the library's parser is.
func float(w word) (float64, error) {
	for _, c := range w.text {
		if c == 'x' || c == 'X' || c == '_' || c == 'p' || c == 'P' {
			return 0, fault.Malformed("%.40q is no number", w.text)
		}
	}
	v, err := strconv.ParseFloat(string(w.text), 64)
	if w.cut || err != nil && !math.IsInf(v, 0) {
		return 0, fault.Malformed("%.40q is no number", w.text)
	}
	return v, nil
}

// convert turns the block into a forest.Tree. Leaves keep their numbers; splits do, too, unless a child stands before
// its parent, which the library never writes.
func (d *decoder) convert() (forest.Tree, error) {
	b := &d.tree
	t := forest.Tree{Output: len(d.trees) % int(d.head.outputs)}
	if b.leaves < 0 || b.cats < 0 {
		return t, fault.Malformed("it has no num_leaves or no num_cat")
	}
	inner := int(b.leaves - 1)
	d.nodes += 2*b.leaves - 1
	if err := limit.Check("TotalNodes", d.limits.TotalNodes, d.nodes); err != nil {
		return t, err
	}
	if err := b.checkShape(inner); err != nil {
		return t, err
	}
	t.Leaves = append(make([]float64, 0, len(b.value)), b.value...)
	for _, v := range t.Leaves {
		d.nonFinite = d.nonFinite || math.IsNaN(v) || math.IsInf(v, 0)
	}
	if len(b.leafCount) > 0 && len(b.innerCount) == inner && len(b.gain) == inner {
		t.LeafCover = append(make([]float64, 0, len(b.leafCount)), b.leafCount...)
		t.NodeCover = append(make([]float64, 0, inner), b.innerCount...)
		t.Gain = append(make([]float64, 0, inner), b.gain...)
	}
	if inner == 0 {
		return t, nil
	}
	sets, err := d.addSets()
	if err != nil {
		return t, err
	}
	t.Nodes = make([]forest.Node, inner)
	ordered := true
	for i := range t.Nodes {
		node, err := d.node(i, sets)
		if err != nil {
			return t, fault.At(fmt.Sprintf("node %d", i), err)
		}
		ordered = ordered && (node.Left < 0 || int(node.Left) > i) && (node.Right < 0 || int(node.Right) > i)
		t.Nodes[i] = node
	}
	if !ordered {
		if err := reorder(&t); err != nil {
			return t, err
		}
	}
	return t, d.checkTree(&t)
}

// checkShape verifies the lengths of the arrays.
func (b *block) checkShape(inner int) error {
	leaves := inner + 1
	for _, a := range []struct {
		name      string
		len, want int
		must      bool
	}{
		{"leaf_value", len(b.value), leaves, true},
		{"leaf_count", len(b.leafCount), leaves, false},
		{"split_feature", len(b.feature), inner, true},
		{"threshold", len(b.threshold), inner, true},
		{"left_child", len(b.left), inner, true},
		{"right_child", len(b.right), inner, true},
		{"decision_type", len(b.decision), inner, false}, // old files leave it out: all zero
		{"split_gain", len(b.gain), inner, false},
		{"internal_count", len(b.innerCount), inner, false},
	} {
		if a.len != a.want && (a.must || a.len > 0) {
			return fault.Malformed("%s has %d values, num_leaves is %d", a.name, a.len, leaves)
		}
	}
	if b.cats == 0 {
		return nil
	}
	if int64(len(b.bounds)) != b.cats+1 || b.bounds[0] != 0 || int(b.bounds[b.cats]) != len(b.words) {
		return fault.Malformed("cat_boundaries does not span the %d words of cat_threshold for num_cat %d",
			len(b.words), b.cats)
	}
	for i := 1; i < len(b.bounds); i++ {
		if b.bounds[i] < b.bounds[i-1] {
			return fault.Malformed("cat_boundaries[%d] is %d after %d", i, b.bounds[i], b.bounds[i-1])
		}
	}
	return nil
}

// addSets copies the tree's category sets and returns the index of the first.
func (d *decoder) addSets() (int, error) {
	b := &d.tree
	first := len(d.sets)
	if b.cats == 0 {
		return first, nil
	}
	d.setBytes += 4 * int64(len(b.words))
	if err := limit.Check("SetBytes", d.limits.SetBytes, d.setBytes); err != nil {
		return 0, err
	}
	all := append(make([]uint32, 0, len(b.words)), b.words...)
	for i := range b.cats {
		from, to := b.bounds[i], b.bounds[i+1]
		if err := limit.Check("Categories", d.limits.Categories, 32*int64(to-from)); err != nil {
			return 0, err
		}
		d.sets = append(d.sets, forest.CategorySet(all[from:to:to]))
	}
	return first, nil
}

// node converts split i; sets is the index of the tree's first category set.
func (d *decoder) node(i, sets int) (forest.Node, error) {
	b := &d.tree
	n := forest.Node{Feature: b.feature[i], Left: b.left[i], Right: b.right[i]}
	inner := int32(len(b.feature))
	for _, child := range []int32{n.Left, n.Right} {
		if child >= inner || ^child > inner {
			return n, fault.Malformed("its child is %d, the tree has %d splits and %d leaves", child, inner, inner+1)
		}
	}
	if int64(n.Feature) >= d.head.features {
		return n, fault.Malformed("it splits on feature %d, the model has %d", n.Feature, d.head.features)
	}
	decision := int32(0)
	if len(b.decision) > 0 {
		decision = b.decision[i]
	}
	threshold := b.threshold[i]
	if decision < 0 || decision > 15 || decision>>missingShift > missingNaN {
		return n, fault.Malformed("decision_type is %d", decision)
	}
	if decision&bitCategorical != 0 {
		if !(threshold >= 0 && threshold < float64(b.cats)) {
			return n, fault.Malformed("its category set is %v, num_cat is %d", threshold, b.cats)
		}
		n.Op, n.Set = forest.InSet, int32(sets+int(threshold))
		d.categorical[n.Feature] = true
		return n, nil
	}
	if math.IsNaN(threshold) {
		return n, fault.Malformed("its threshold is NaN")
	}
	n.Op, n.Threshold = forest.LessEqual, threshold
	defaultLeft := decision&bitDefaultLeft != 0
	switch decision >> missingShift {
	case missingNone:
		n.NaNLeft = 0 <= threshold // NaN is read as 0
	case missingZero:
		n.NaNLeft, n.Zero = defaultLeft, forest.ZeroRight // NaN is read as 0, and 0 takes the default side
		if defaultLeft {
			n.Zero = forest.ZeroLeft
		}
	default:
		n.NaNLeft = defaultLeft
	}
	return n, nil
}
