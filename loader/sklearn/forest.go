package sklearn

import (
	"fmt"
	"math"
	"strconv"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
)

// shape is what all trees of a model have in common.
type shape struct {
	features   int
	classes    int // columns of a classifier's values; 1 for a regressor
	classifier bool
	counts     bool // values are weighted counts, not fractions
}

// outputs is the number of margins: one for two classes, the second's.
func (s shape) outputs() int {
	if s.classifier && s.classes > 2 {
		return s.classes
	}
	return 1
}

// sklearn builds the model of a forest or a tree.
func (d *decoder) sklearn(e *estimator) (*forest.Model, error) {
	full := e.class.String()
	version, err := e.release()
	if err != nil {
		return nil, err
	}
	if n, ok := e.o.Attr("n_outputs_"); ok {
		if k, ok := ndarray.Int(n); !ok || k != 1 {
			return nil, fault.NotSupported("multi-output models (n_outputs_ is %d)", k)
		}
	}
	trees := []*estimator{e}
	if isForest(full) {
		if trees, err = d.members(e); err != nil {
			return nil, fault.At("estimators_", err)
		}
	}
	s, labels, err := d.shape(e, version)
	if err != nil {
		return nil, err
	}
	missing := acceptsMissing(version, isForest(full), trees[0])
	features, err := d.features(e, s.features, !missing)
	if err != nil {
		return nil, err
	}
	m := &forest.Model{
		Features: features,
		Outputs:  s.outputs(),
		Arithmetic: forest.Arithmetic{
			Input: forest.Float32, Sum: forest.Float64, Average: isForest(full),
		},
		Base:  make([]float64, s.outputs()),
		Scale: 1, Link: forest.Link{Slope: 1, Divisor: 1}, Classes: labels,
		Provenance: forest.Provenance{
			Format: "sklearn-" + d.format, Library: "scikit-learn", Version: version.text, Objective: e.text("criterion"),
			Estimator: full,
		},
	}
	if s.classifier {
		m.Link.Kind = forest.Probability
	}
	if !m.Arithmetic.Average {
		for k := range m.Base {
			m.Base[k] = math.Copysign(0, -1) // a tree's value is predicted as it is, -0 too
		}
	}
	for i, t := range trees {
		tree, err := d.oneTree(t, s)
		if err != nil && isForest(full) {
			err = fault.At(fmt.Sprintf("tree %d", i), err)
		}
		if err != nil {
			return nil, err
		}
		m.Trees = append(m.Trees, tree)
	}
	for i := range m.Trees {
		for _, v := range m.Trees[i].Leaves {
			m.NonFiniteLeaves = m.NonFiniteLeaves || v-v != 0
		}
	}
	if err := m.Validate(); err != nil {
		return nil, fault.Invalid(err)
	}
	return m, nil
}

// members returns the trees of a forest, which all are of one class.
func (d *decoder) members(e *estimator) ([]*estimator, error) {
	v, err := e.attr("estimators_")
	if err != nil {
		return nil, err
	}
	items, ok := pydata.Sequence(v)
	if !ok || len(items) == 0 {
		return nil, fault.Malformed("%s of %d trees", pydata.Kind(v), len(items))
	}
	if err := limit.Check("Trees", d.limits.Trees, int64(len(items))); err != nil {
		return nil, err
	}
	var trees []*estimator
	for i, item := range items {
		o, ok := item.(*pydata.Object)
		if !ok || !isTree(o.Class.String()) || isClassifier(o.Class.Name) != isClassifier(e.name()) {
			return nil, fault.At(fmt.Sprintf("tree %d", i), fault.Malformed("it is %s", pydata.Kind(item)))
		}
		trees = append(trees, &estimator{o: o, class: o.Class})
	}
	return trees, nil
}

// shape reads the number of features and classes, and the labels of a classifier.
func (d *decoder) shape(e *estimator, r release) (shape, []string, error) {
	s := shape{classes: 1, classifier: isClassifier(e.name()), counts: r.before(4)}
	features, err := e.integer("n_features_in_")
	if err != nil {
		return s, nil, err
	}
	if features < 1 {
		return s, nil, fault.Malformed("n_features_in_ is %d", features)
	}
	if err := limit.Check("Features", d.limits.Features, features); err != nil {
		return s, nil, err
	}
	s.features = int(features)
	if !s.classifier {
		return s, nil, nil
	}
	v, err := e.attr("classes_")
	if err != nil {
		return s, nil, err
	}
	labels, err := d.labels(v, "classes_")
	if err != nil {
		return s, nil, err
	}
	if err := limit.Check("Outputs", d.limits.Outputs, int64(len(labels))); err != nil {
		return s, nil, err
	}
	if s.classes = len(labels); s.classes < 2 {
		return s, nil, fault.NotSupported("classifiers of a single class")
	}
	n, err := e.integer("n_classes_")
	if err == nil && n != int64(s.classes) {
		err = fault.Malformed("n_classes_ is %d, classes_ has %d labels", n, s.classes)
	}
	return s, labels, err
}

// features names the inputs: feature_names_in_, or x0, x1, ... as scikit-learn calls nameless ones.
func (d *decoder) features(e *estimator, n int, rejectMissing bool) ([]forest.Feature, error) {
	features := make([]forest.Feature, n)
	var names []string
	if v, ok := e.o.Attr("feature_names_in_"); ok {
		a, err := ndarray.Of(v)
		if err == nil {
			names, err = a.Texts(n)
		}
		if err == nil && len(names) != n {
			err = fault.Malformed("%d names, n_features_in_ is %d", len(names), n)
		}
		if err != nil {
			return nil, fault.At("feature_names_in_", err)
		}
	}
	for i := range features {
		features[i] = forest.Feature{Name: "x" + strconv.Itoa(i), RejectInfinite: true, RejectMissing: rejectMissing}
		if names != nil {
			features[i].Name = names[i]
			if err := limit.Check("StringBytes", d.limits.StringBytes, int64(len(names[i]))); err != nil {
				return nil, fault.At("feature_names_in_", err)
			}
		}
	}
	return features, nil
}
