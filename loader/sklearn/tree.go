package sklearn

import (
	"fmt"
	"math"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// arrays are the columns of a tree's nodes, read through the layout that the file states.
type arrays struct {
	n                    int
	left, right, feature func(int) int64
	threshold            func(int) float64
	impurity, weight     func(int) float64
	missingLeft          func(int) int64 // nil before 1.3
	value                func(int) float64
}

// oneTree converts the tree of an estimator.
func (d *decoder) oneTree(e *estimator, s shape) (forest.Tree, error) {
	v, err := e.attr("tree_")
	if err != nil {
		return forest.Tree{}, err
	}
	o, ok := v.(*pydata.Object)
	if !ok || !o.Class.Is(treeClass) {
		return forest.Tree{}, fault.Malformed("tree_ is %s", pydata.Kind(v))
	}
	if len(o.Args) != 3 {
		return forest.Tree{}, fault.Malformed("tree_ is made of %d arguments", len(o.Args))
	}
	if n, ok := ndarray.Int(o.Args[0]); !ok || n != int64(s.features) {
		return forest.Tree{}, fault.Malformed("tree_ has %d features, the model %d", n, s.features)
	}
	if n, ok := ndarray.Int(o.Args[2]); !ok || n != 1 {
		return forest.Tree{}, fault.NotSupported("multi-output models (n_outputs is %d)", n)
	}
	a, err := d.arrays(&estimator{o: o, class: o.Class}, s)
	if err != nil {
		return forest.Tree{}, err
	}
	w := walker{a: a, s: s, depth: d.limits.Depth}
	return w.tree()
}

func (d *decoder) arrays(t *estimator, s shape) (*arrays, error) {
	v, err := t.attr("nodes")
	if err != nil {
		return nil, err
	}
	nodes, err := ndarray.Of(v)
	if err != nil {
		return nil, fault.At("nodes", err)
	}
	if v, err = t.attr("values"); err != nil {
		return nil, err
	}
	values, err := ndarray.Of(v)
	if err != nil {
		return nil, fault.At("values", err)
	}
	a := &arrays{n: nodes.N}
	count, err := t.integer("node_count")
	switch {
	case err != nil:
		return nil, err
	case len(nodes.Shape) != 1 || nodes.N == 0 || count != int64(nodes.N):
		return nil, fault.Malformed("nodes of shape %v, node_count is %d", nodes.Shape, count)
	case len(values.Shape) != 3 || values.Shape[0] != count || values.Shape[1] != 1 || values.Shape[2] != int64(s.classes):
		return nil, fault.Malformed("values of shape %v for %d nodes of %d classes", values.Shape, count, s.classes)
	case values.Fortran && s.classes > 1 && count > 1:
		return nil, fault.NotSupported("values in Fortran order")
	}
	if err := limit.Check("TreeNodes", d.limits.TreeNodes, count); err != nil {
		return nil, err
	}
	d.nodes += count
	if err := limit.Check("TotalNodes", d.limits.TotalNodes, d.nodes); err != nil {
		return nil, err
	}
	if err := d.spend(int64(len(nodes.Data)) + int64(len(values.Data))); err != nil {
		return nil, err
	}
	return a, a.bind(nodes, values)
}

func (a *arrays) bind(nodes, values *ndarray.Array) (err error) {
	for _, f := range []struct {
		name string
		to   *func(int) int64
	}{{"left_child", &a.left}, {"right_child", &a.right}, {"feature", &a.feature}} {
		if *f.to, err = nodes.Ints(f.name); err != nil {
			return fault.At("nodes", err)
		}
	}
	for _, f := range []struct {
		name string
		to   *func(int) float64
	}{{"threshold", &a.threshold}, {"impurity", &a.impurity}, {"weighted_n_node_samples", &a.weight}} {
		if *f.to, err = nodes.Floats(f.name); err != nil {
			return fault.At("nodes", err)
		}
	}
	if _, ok := nodes.Type.Field("missing_go_to_left"); ok {
		if a.missingLeft, err = nodes.Ints("missing_go_to_left"); err != nil {
			return fault.At("nodes", err)
		}
	}
	if a.value, err = values.Floats(""); err != nil {
		return fault.At("values", err)
	}
	return nil
}

// walker numbers the nodes of one tree in depth-first order, so that children follow parents.
type walker struct {
	a     *arrays
	s     shape
	depth int64
	place []int32 // by node of the file: its index (inner >= 0, leaf < 0), or unplaced
	out   forest.Tree
	row   []float64
}

// unplaced marks a node that the walk has not reached; no leaf has this index.
const unplaced = math.MinInt32

func (w *walker) tree() (forest.Tree, error) {
	n := w.a.n
	w.place = make([]int32, n)
	for i := range w.place {
		w.place[i] = unplaced
	}
	inner, outputs := n/2, w.s.outputs()
	w.row = make([]float64, w.s.classes)
	w.out = forest.Tree{
		Nodes: make([]forest.Node, 0, inner), Leaves: make([]float64, 0, (inner+1)*outputs), Vector: outputs > 1,
		NodeCover: make([]float64, 0, inner), LeafCover: make([]float64, 0, inner+1), Gain: make([]float64, 0, inner),
		LeafNames: make([]int32, 0, inner+1),
	}
	type step struct{ node, depth int }
	stack := []step{{}}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if w.place[at.node] != unplaced {
			return w.out, nodeError(at.node, fault.Malformed("it has two parents or is its own ancestor"))
		}
		if w.a.left(at.node) == -1 {
			w.leaf(at.node)
			continue
		}
		if err := limit.Check("Depth", w.depth, int64(at.depth)+1); err != nil {
			return w.out, nodeError(at.node, err)
		}
		left, right, err := w.split(at.node)
		if err != nil {
			return w.out, nodeError(at.node, err)
		}
		stack = append(stack, step{right, at.depth + 1}, step{left, at.depth + 1})
	}
	if reached := len(w.out.Nodes) + len(w.out.LeafCover); reached != n {
		return w.out, fault.Malformed("%d of %d nodes cannot be reached from the root", n-reached, n)
	}
	for i := range w.out.Nodes {
		node := &w.out.Nodes[i]
		node.Left, node.Right = w.place[node.Left], w.place[node.Right]
	}
	return w.out, nil
}

// leaf adds the prediction of a leaf.
func (w *walker) leaf(i int) {
	w.place[i] = int32(^len(w.out.LeafCover))
	w.out.LeafCover, w.out.LeafNames = append(w.out.LeafCover, w.a.weight(i)), append(w.out.LeafNames, int32(i))
	for k := range w.row {
		w.row[k] = w.a.value(i*len(w.row) + k)
	}
	if w.s.classifier && w.s.counts {
		normalise(w.row)
	}
	if w.s.classifier && len(w.row) == 2 {
		w.out.Leaves = append(w.out.Leaves, w.row[1])
		return
	}
	w.out.Leaves = append(w.out.Leaves, w.row...)
}

// split adds a node, its children still numbered as the file does, and returns them.
func (w *walker) split(i int) (left, right int, err error) {
	n, l, r, feature := int64(w.a.n), w.a.left(i), w.a.right(i), w.a.feature(i)
	threshold := w.a.threshold(i)
	missing := int64(0)
	if w.a.missingLeft != nil {
		missing = w.a.missingLeft(i)
	}
	switch {
	case l < 0 || l >= n || r < 0 || r >= n:
		return 0, 0, fault.Malformed("its children are %d and %d, nodes are 0..%d", l, r, n-1)
	case feature < 0 || feature >= int64(w.s.features):
		return 0, 0, fault.Malformed("it splits on feature %d, the model has %d", feature, w.s.features)
	case threshold != threshold:
		return 0, 0, fault.Malformed("its threshold is NaN")
	case missing&^1 != 0:
		return 0, 0, fault.Malformed("missing_go_to_left is %d", missing)
	}
	w.place[i] = int32(len(w.out.Nodes))
	w.out.Nodes = append(w.out.Nodes, forest.Node{
		Threshold: floor32(threshold), Feature: int32(feature), Left: int32(l), Right: int32(r), Op: forest.LessEqual,
		NaNLeft: missing == 1,
	})
	a := w.a
	gain := float64(a.weight(i)*a.impurity(i)) - float64(a.weight(int(l))*a.impurity(int(l))) -
		float64(a.weight(int(r))*a.impurity(int(r)))
	w.out.NodeCover = append(w.out.NodeCover, a.weight(i))
	w.out.Gain = append(w.out.Gain, gain)
	return int(l), int(r), nil
}

// floor32 returns the largest float32 that is not above t: the same float32 values lie at or below both.
func floor32(t float64) float64 {
	f := float32(t)
	if float64(f) > t {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	return float64(f)
}

// normalise divides weighted counts by their sum, as predict_proba did before 1.4.
func normalise(row []float64) {
	sum := pairwise(row)
	if sum == 0 {
		sum = 1
	}
	for k := range row {
		row[k] /= sum
	}
}

// pairwise adds in the order of NumPy's sum: eight sums for long rows, halves for longer ones.
func pairwise(v []float64) float64 {
	switch n := len(v); {
	case n < 8:
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		return sum
	case n <= 128:
		var r [8]float64
		copy(r[:], v)
		i := 8
		for ; i+8 <= n; i += 8 {
			for k := range r {
				r[k] += v[i+k]
			}
		}
		sum := ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
		for ; i < n; i++ {
			sum += v[i]
		}
		return sum
	default:
		half := n / 2
		half -= half % 8
		return pairwise(v[:half]) + pairwise(v[half:])
	}
}

func nodeError(node int, err error) error { return fault.At(fmt.Sprintf("node %d", node), err) }
