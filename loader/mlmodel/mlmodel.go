// Package mlmodel reads the metadata of an MLflow model directory, the file MLmodel, as MLflow 2.9 to 3.18 write it: which
// flavour the model has, in which file it is, of which Python class, and the columns of its signature.
//
//	MLmodel --Parse--> Description --Open--> the model's own file --loader--> forest.Model --Apply--> forest.Model
//
// The flavours lightgbm, xgboost and sklearn are read. Others are refused by name.
//
// # Invariants
//
//	M1  The model's file lies in the directory: its path is local, and no symbolic link leads out (os.Root).
//	M2  The YAML is small, shallow, and has no anchors, aliases or tags: this is checked on its tokens before it is parsed.
//
// # Concurrency
//
// Functions are safe for concurrent use.
package mlmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
)

// FileName is the name of the metadata file.
const FileName = "MLmodel"

// Format is Error.Format.
const Format = "mlflow"

// MaxBytes bounds an MLmodel file: a signature of ten thousand columns has less.
const MaxBytes = 4 << 20

// Description is what an MLmodel file says.
type Description struct {
	Flavor         string // "lightgbm", "xgboost", "sklearn"
	Data           string // path of the model's file in the directory, with slashes
	Class          string // Python class, "xgboost.sklearn.XGBClassifier"; empty for sklearn
	Serialization  string // "skops", "cloudpickle", "pickle", "joblib"; of no meaning for files of a Booster
	LibraryVersion string
	MLflowVersion  string
	RunID          string // empty when the model was saved, not logged
	ModelUUID      string
	Inputs         []forest.Input // the signature's columns; nil when there is none or it is a tensor
}

// Sniff reports whether a text begins as an MLmodel file: it has the key flavors at the start of a line.
func Sniff(head []byte) bool {
	return bytes.HasPrefix(head, []byte("flavors:")) || bytes.Contains(head, []byte("\nflavors:"))
}

// Parse reads the text of an MLmodel file. Errors are *loader.Error with the line or key. Zero fields of l mean the
// defaults.
func Parse(text []byte, l limit.Limits) (*Description, error) {
	d, err := parse(text, l.OrDefault())
	return d, fault.Complete(Format, err)
}

func parse(text []byte, l limit.Limits) (*Description, error) {
	if len(text) > MaxBytes {
		return nil, fault.Limit("Bytes", MaxBytes, int64(len(text)))
	}
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	flavors := root.child("flavors")
	if flavors == nil || len(flavors.keys) == 0 {
		return nil, fault.Unknown("no MLflow model: it has no flavors")
	}
	d := &Description{
		MLflowVersion: root.text("mlflow_version"), RunID: root.text("run_id"), ModelUUID: root.text("model_uuid"),
	}
	if err := d.flavor(flavors); err != nil {
		return nil, fault.At("flavors", err)
	}
	if signature := root.child("signature"); signature != nil {
		d.Inputs, err = inputs(signature.text("inputs"), l)
		if err != nil {
			return nil, fault.At("signature.inputs", err)
		}
	}
	return d, nil
}

// flavor picks the flavour that is read.
func (d *Description) flavor(flavors *node) error {
	for _, f := range []struct{ name, data, class, version string }{
		{"lightgbm", "data", "model_class", "lgb_version"},
		{"xgboost", "data", "model_class", "xgb_version"},
		{"sklearn", "pickled_model", "model_class", "sklearn_version"},
	} {
		n := flavors.child(f.name)
		if n == nil {
			continue
		}
		d.Flavor, d.Data, d.Class = f.name, n.text(f.data), n.text(f.class)
		d.LibraryVersion, d.Serialization = n.text(f.version), n.text("serialization_format")
		if d.Data == "" || !filepath.IsLocal(filepath.FromSlash(d.Data)) || strings.Contains(d.Data, "\\") ||
			path.Clean(d.Data) == FileName {
			return fault.At(f.name, fault.Malformed("%s is %.200q, no file in the directory", f.data, d.Data))
		}
		return nil
	}
	names := slices.DeleteFunc(slices.Clone(flavors.keys), func(s string) bool { return s == "python_function" })
	if len(names) == 0 {
		return &fault.Error{
			Err:  fault.NotSupported("MLflow models of the flavour python_function alone"),
			Hint: "log the trained model with its own flavour: mlflow.lightgbm, mlflow.xgboost or mlflow.sklearn",
		}
	}
	return &fault.Error{
		Err:  fault.NotSupported("MLflow models of the flavour %.80s", names[0]),
		Hint: "what can be read: the flavours lightgbm, xgboost and sklearn; train and log the model with one of them",
	}
}

// column is an entry of a signature.
type column struct {
	Name     *string         `json:"name"`
	Type     json.RawMessage `json:"type"`
	Required *bool           `json:"required"`
}

// inputs reads the JSON list inside the YAML: columns, or one tensor.
func inputs(text string, l limit.Limits) ([]forest.Input, error) {
	if text == "" {
		return nil, nil
	}
	var columns []column
	if err := json.Unmarshal([]byte(text), &columns); err != nil {
		return nil, fault.Malformed("a list of columns is wanted: %v", err)
	}
	if err := limit.Check("Features", l.Features, int64(len(columns))); err != nil {
		return nil, err
	}
	var out []forest.Input
	seen := map[string]bool{}
	for i, c := range columns {
		if c.Name == nil { // a tensor, or columns by position
			return nil, nil
		}
		in := forest.Input{Name: *c.Name, Required: c.Required == nil || *c.Required}
		if json.Unmarshal(c.Type, &in.Type) != nil {
			in.Type = ""
		}
		if seen[in.Name] {
			return nil, fault.At(fmt.Sprintf("column %d", i), fault.Malformed("two columns are named %.80q", in.Name))
		}
		seen[in.Name] = true
		out = append(out, in)
	}
	return out, nil
}

// Open opens the model's file in the directory. The error names it.
func (d *Description) Open(root *os.Root) (*os.File, int64, error) {
	fail := func(err error) (*os.File, int64, error) {
		return nil, 0, fault.Complete(Format, &fault.Error{
			Where: d.Data, Hint: "MLmodel names this file: copy the whole directory again, or log the model again", Err: err,
		})
	}
	f, err := root.Open(filepath.FromSlash(d.Data))
	if err != nil {
		return fail(fault.Malformed("%v", err))
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fault.Malformed("it is no regular file")
	}
	if err != nil {
		_ = f.Close()
		return fail(err)
	}
	return f, info.Size(), nil
}
