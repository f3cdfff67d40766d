package sklearn

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/ndarray"
	"github.com/treeline-ml/treeline/loader/internal/pydata"
	"github.com/treeline-ml/treeline/loader/lightgbm"
	"github.com/treeline-ml/treeline/loader/xgboost"
)

// booster returns the library's own object: the estimator itself, or the _Booster of a wrapper.
func booster(e *estimator) (*estimator, error) {
	if e.name() == "Booster" {
		return e, nil
	}
	v, err := e.attr("_Booster")
	if err != nil {
		return nil, err
	}
	o, ok := v.(*pydata.Object)
	if !ok || o.Class.Name != "Booster" {
		return nil, fault.Malformed("_Booster is %s: the model was saved before it was fitted, or the file is altered", pydata.Kind(v))
	}
	return &estimator{o: o, class: o.Class}, nil
}

// lightgbm reads a Booster or a wrapper: the model's text, with the labels of a classifier. Both predict with the best
// iteration of early stopping.
func (d *decoder) lightgbm(e *estimator) (*forest.Model, error) {
	b, err := booster(e)
	if err != nil {
		return nil, err
	}
	text := b.text("_handle")
	if text == "" {
		text = b.text("handle") // before 4.0
	}
	if text == "" {
		return nil, fault.Malformed("the Booster holds no model text")
	}
	m, err := lightgbm.Decode(strings.NewReader(text), d.limits)
	if err != nil {
		return nil, err
	}
	d.wrapped(e, m, "lightgbm-")
	if v, ok := b.o.Attr("best_iteration"); ok {
		if n, ok := ndarray.Int(v); ok && n > 0 {
			stopAfter(m, n)
		}
	}
	if !isClassifier(e.name()) {
		return m, nil
	}
	for _, name := range []string{"_classes", "classes_"} {
		v, ok := e.o.Attr(name)
		if !ok || v == nil {
			continue
		}
		labels, err := d.labels(v, name)
		if err != nil {
			return nil, err
		}
		return m, setLabels(m, labels, name)
	}
	return nil, fault.Malformed("%s has no class labels", e.name())
}

// xgboost reads a Booster or a wrapper: the model in the memory snapshot. Wrappers predict with the rounds up to the best
// one, and have a value that means missing.
func (d *decoder) xgboost(e *estimator) (*forest.Model, error) {
	b, err := booster(e)
	if err != nil {
		return nil, err
	}
	handle, err := b.attr("handle")
	if err != nil {
		return nil, err
	}
	data, err := ndarray.Bytes(handle)
	if err != nil {
		return nil, fault.At("handle", err)
	}
	var m *forest.Model
	switch {
	case bytes.HasPrefix(data, []byte("{L")):
		m, err = xgboost.DecodeUBJSON(bytes.NewReader(data), d.limits)
	case bytes.HasPrefix(data, []byte(`{"`)):
		m, err = xgboost.DecodeJSON(bytes.NewReader(data), d.limits)
	default:
		err = fault.NotSupported("memory snapshots of XGBoost before 1.6")
	}
	if err != nil {
		return nil, err
	}
	d.wrapped(e, m, "xgboost-")
	if e.name() == "Booster" {
		return m, nil
	}
	v, ok := e.o.Attr("missing")
	missing, isNumber := ndarray.Float(v)
	switch {
	case ok && v != nil && !isNumber:
		return nil, fault.Malformed("missing is %s", pydata.Kind(v))
	case ok && v != nil && !math.IsNaN(missing):
		m.Missing = &missing
	}
	return m, WrapXGBoost(m, e.name())
}

// wrapped notes where the model comes from.
func (d *decoder) wrapped(e *estimator, m *forest.Model, prefix string) {
	m.Provenance.Format = prefix + d.format
	m.Provenance.Estimator = e.class.String()
}

// WrapXGBoost gives a model of XGBoost the behaviour of a scikit-learn wrapper of the given class name: prediction stops
// at the best round, and a classifier gives class probabilities with the labels 0, 1, ....
func WrapXGBoost(m *forest.Model, class string) error {
	if best := m.Provenance.BestIteration; best != nil && int64(*best)+1 < int64(m.Iterations) {
		m.Stop = *best + 1
	}
	if !isClassifier(class) {
		return nil
	}
	if m.Link.Kind == forest.ArgMax {
		err := fault.NotSupported("%s with the objective multi:softmax, whose probabilities NumPy computes", class)
		return &fault.Error{Hint: wayOut(err.Error()), Err: err}
	}
	m.Classes = nil
	for i := range max(2, m.Outputs) {
		m.Classes = append(m.Classes, strconv.Itoa(i))
	}
	return nil
}

// stopAfter makes the first n rounds count, where the model has more.
func stopAfter(m *forest.Model, n int64) {
	if n < int64(m.Iterations) {
		m.Stop = int(n)
	}
}

// setLabels checks that there is a label for each class.
func setLabels(m *forest.Model, labels []string, name string) error {
	if len(labels) < 2 {
		return fault.NotSupported("classifiers of a single class")
	}
	if want := max(2, m.Outputs); len(labels) != want {
		return fault.At(name, fault.Malformed("%d labels, the model has %d classes", len(labels), want))
	}
	m.Classes = labels
	return nil
}
