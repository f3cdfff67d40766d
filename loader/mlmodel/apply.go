package mlmodel

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/sklearn"
)

// Apply gives a model that was read from the directory's file what the metadata adds: the behaviour of the Python class
// that predicts with it, the signature, and the names of columns that the file does not have.
func (d *Description) Apply(m *forest.Model) error {
	return fault.Complete(Format, d.apply(m))
}

func (d *Description) apply(m *forest.Model) error {
	p := &m.Provenance
	if d.Flavor != "sklearn" && p.Library != d.Flavor {
		return fault.At(d.Data, fault.Malformed("the flavour is %s, the file holds a model of %s", d.Flavor, p.Library))
	}
	p.Format = "mlflow-" + p.Format
	if p.Estimator == "" {
		p.Estimator = d.Class
		if class, ok := strings.CutPrefix(d.Class, "xgboost.sklearn."); ok {
			if err := sklearn.WrapXGBoost(m, class); err != nil {
				return err
			}
		}
	}
	p.Inputs = d.Inputs
	d.names(m)
	return nil
}

// names takes the columns' names from the signature, by position as MLflow gives columns to the library, where the
// model was trained without names; and the spaces that LightGBM wrote as underscores.
func (d *Description) names(m *forest.Model) {
	if len(d.Inputs) != len(m.Features) {
		return
	}
	nameless := true
	for i, f := range m.Features {
		nameless = nameless && f.Name == placeholder(m.Provenance.Library)+strconv.Itoa(i)
	}
	for i := range m.Features {
		f := &m.Features[i]
		if nameless || strings.ReplaceAll(d.Inputs[i].Name, " ", "_") == f.Name {
			f.Name = d.Inputs[i].Name
		}
	}
}

// placeholder begins the names of columns that had none in training.
func placeholder(library string) string {
	switch library {
	case "lightgbm":
		return "Column_"
	case "xgboost":
		return "f"
	}
	return "x"
}

// String is what errors and logs say.
func (d *Description) String() string {
	return fmt.Sprintf("MLflow %s, flavour %s, file %s", d.MLflowVersion, d.Flavor, d.Data)
}
