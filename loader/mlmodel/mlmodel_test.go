package mlmodel_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/treeline-ml/treeline/forest"
	"github.com/treeline-ml/treeline/loader/internal/fault"
	"github.com/treeline-ml/treeline/loader/internal/limit"
	"github.com/treeline-ml/treeline/loader/mlmodel"
)

// current is what MLflow 3.17.2 writes for a logged model.
const current = `artifact_path: model
flavors:
  python_function:
    data: model.ubj
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.xgboost
    python_version: 3.12.1
  xgboost:
    code: null
    data: model.ubj
    model_class: xgboost.sklearn.XGBClassifier
    model_format: ubj
    xgb_version: 3.4.1
is_signature_from_type_hint: false
mlflow_version: 3.17.2
model_id: m-6a1c
model_size_bytes: 2480
model_uuid: c2a866a25629464895f835c3036486f3
prompts: null
run_id: 0123456789abcdef0123456789abcdef
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "long",
    "name": "it''s b", "required": false}, {"type": "double", "name": "\u00fc", "required":
    true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1]}}]'
  params: null
type_hint_from_example: false
utc_time_created: '2026-11-23 22:10:40.180973'
`

func TestParse(t *testing.T) {
	d, err := mlmodel.Parse([]byte(current), limit.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := &mlmodel.Description{
		Flavor: "xgboost", Data: "model.ubj", Class: "xgboost.sklearn.XGBClassifier", LibraryVersion: "3.4.1", MLflowVersion: "3.17.2",
		RunID: "0123456789abcdef0123456789abcdef", ModelUUID: "c2a866a25629464895f835c3036486f3",
		Inputs: []forest.Input{{Name: "a", Type: "double", Required: true}, {Name: "it's b", Type: "long"}, {Name: "ü", Type: "double", Required: true}},
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("%+v, want %+v", d, want)
	}
	if !mlmodel.Sniff([]byte(current)) || mlmodel.Sniff([]byte("tree\nversion=v4\n")) {
		t.Error("Sniff")
	}
}

// TestOlder: MLflow 2.9 writes columns without required, which then are, and no signature where none was given.
func TestOlder(t *testing.T) {
	text := "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n    predict_fn: predict\n" +
		"  sklearn:\n    code: null\n    pickled_model: model.pkl\n    serialization_format: cloudpickle\n    sklearn_version: 1.2.2\n" +
		"mlflow_version: 2.9.2\nmodel_size_bytes: 1\nmodel_uuid: x\n"
	d, err := mlmodel.Parse([]byte(text), limit.Limits{})
	if err != nil || d.Flavor != "sklearn" || d.Data != "model.pkl" || d.Serialization != "cloudpickle" || d.LibraryVersion != "1.2.2" || d.Inputs != nil {
		t.Errorf("%+v, %v", d, err)
	}
	text += "signature:\n  inputs: '[{\"type\": \"double\", \"name\": \"a\"}]'\n  outputs: null\n"
	if d, err = mlmodel.Parse([]byte(text), limit.Limits{}); err != nil || len(d.Inputs) != 1 || !d.Inputs[0].Required {
		t.Errorf("%+v, %v", d, err)
	}
	text = strings.Replace(text, `[{"type": "double", "name": "a"}]`, `[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]`, 1)
	if d, err = mlmodel.Parse([]byte(text), limit.Limits{}); err != nil || d.Inputs != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestHostile(t *testing.T) {
	data := func(path string) string { return strings.ReplaceAll(current, "data: model.ubj", "data: "+path) }
	signature := func(s string) string {
		return "flavors:\n  lightgbm:\n    data: m\nsignature:\n  inputs: '" + s + "'\n"
	}
	for _, c := range []struct {
		name, text string
		kind       error
		want       string
	}{
		{"nothing", "", fault.ErrMalformed, "YAML documents, one is wanted"},
		{"no flavours", "a: b\n", fault.ErrUnknown, "no flavors"},
		{"flavours of nothing", "flavors: {}\n", fault.ErrUnknown, "no flavors"},
		{"flavours that are a list", "flavors:\n- lightgbm\n", fault.ErrUnknown, "no flavors"},
		{"a list", "- flavors:\n", fault.ErrMalformed, "where a mapping is wanted"},
		{"another flavour", "flavors:\n  onnx:\n    data: model.onnx\n  python_function:\n    data: model.onnx\n", fault.ErrNotSupported, "the flavour onnx"},
		{"pyfunc", "flavors:\n  python_function:\n    python_model: python_model.pkl\n", fault.ErrNotSupported, "python_function alone"},
		{"no data", "flavors:\n  lightgbm:\n    model_class: x\n", fault.ErrMalformed, `data is ""`},
		{"parent", data("../model.ubj"), fault.ErrMalformed, "no file in the directory"},
		{"parent inside", data("a/../../model.ubj"), fault.ErrMalformed, "no file in the directory"},
		{"absolute", data("/etc/passwd"), fault.ErrMalformed, "no file in the directory"},
		{"backslash", data(`a\..\..\m`), fault.ErrMalformed, "no file in the directory"},
		{"itself", data("./MLmodel"), fault.ErrMalformed, "no file in the directory"},
		{"anchor", "flavors: &a\n  lightgbm: *a\n", fault.ErrMalformed, "no anchors, aliases"},
		{"billion laughs", "a: &a [x, x]\nb: &b [*a, *a]\nflavors: [*b, *b]\n", fault.ErrMalformed, "no anchors, aliases"},
		{"merge", "flavors:\n  <<: {a: b}\n", fault.ErrMalformed, "no anchors, aliases"},
		{"tag", "flavors: !!python/object/apply:os.system [id]\n", fault.ErrMalformed, "no anchors, aliases, tags"},
		{"deep flow", "flavors: " + strings.Repeat("[", 1<<15), fault.ErrMalformed, "nested too deep"},
		{"deep mappings", "flavors: " + strings.Repeat("{a: ", 1<<15), fault.ErrMalformed, "nested too deep"},
		{"deep lists", "flavors:\n" + strings.Repeat("- ", 1<<15) + "a\n", fault.ErrMalformed, "nested too deep"},
		{"deep block", deep(64), fault.ErrMalformed, "nested too deep"},
		{"deeper block", deep(1000), fault.ErrMalformed, "indented too far"},
		{"large", "flavors: '" + strings.Repeat("x", 5<<20) + "'\n", fault.ErrLimit, "Limits.Bytes"},
		{"many tokens", "flavors:\n" + strings.Repeat("- a\n", 1<<17), fault.ErrMalformed, "YAML tokens"},
		{"no UTF-8", "flavors: \xff\n", fault.ErrMalformed, "UTF-8"},
		{"twice", "flavors:\n  lightgbm:\n    data: a\n    data: b\n", fault.ErrMalformed, "the YAML"},
		{"signature", signature("{"), fault.ErrMalformed, "a list of columns"},
		{"signature of text", signature(`"a"`), fault.ErrMalformed, "a list of columns"},
		{"same column", signature(`[{"name": "a", "type": "double"}, {"name": "a", "type": "double"}]`), fault.ErrMalformed, `two columns are named "a"`},
		{"deep signature", signature(strings.Repeat("[", 1<<20)), fault.ErrMalformed, "a list of columns"},
	} {
		begun := time.Now()
		d, err := mlmodel.Parse([]byte(c.text), limit.Limits{})
		if err == nil || !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v; want %q", c.name, d, err, c.want)
		}
		if placed, ok := errors.AsType[*fault.Error](err); (!ok || placed.Hint == "") && !errors.Is(err, fault.ErrUnknown) {
			t.Errorf("%s: %#v has no hint", c.name, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s took %v", c.name, took)
		}
	}
}

func deep(n int) string {
	var b strings.Builder
	b.WriteString("flavors:\n")
	for i := range n {
		b.WriteString(strings.Repeat(" ", i+1) + "a:\n")
	}
	return b.String()
}

// TestOpen: links inside the directory are followed, out of it they are not.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	for path, text := range map[string]string{"secret": "x", "model/there": "y", "model/sub/m": "z"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": "../secret", "far": filepath.Join(dir, "secret"), "up": "..", "in": "there"} {
		if err := os.Symlink(to, filepath.Join(model, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(model)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, ok := range map[string]bool{
		"there": true, "in": true, "sub/m": true, "out": false, "far": false, "up/secret": false, "sub": false, "none": false,
	} {
		f, size, err := (&mlmodel.Description{Data: name}).Open(root)
		if (err == nil) != ok || ok && size != 1 {
			t.Errorf("%s: %d bytes, %v", name, size, err)
		}
		if f != nil {
			f.Close()
		}
		if placed, is := errors.AsType[*fault.Error](err); err != nil && (!is || placed.Where != name || placed.Hint == "") {
			t.Errorf("%s: %#v", name, err)
		}
	}
}

// TestNames: the signature names the columns of a model that was trained without names, and gives spaces back.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		library       string
		model, inputs string
		want          string
	}{
		{"lightgbm", "Column_0 Column_1", "a|b c", "a|b c"},
		{"lightgbm", "a b_c", "a|b c", "a|b c"},
		{"lightgbm", "a b_c", "x|b c", "a|b c"},
		{"lightgbm", "Column_0 b", "x|y", "Column_0|b"},
		{"xgboost", "f0 f1", "a|b", "a|b"},
		{"xgboost", "f1 f0", "a|b", "f1|f0"},
		{"scikit-learn", "x0 x1", "a|b", "a|b"},
		{"scikit-learn", "x0 x1", "a|b|c", "x0|x1"},
		{"scikit-learn", "x0 x1", "", "x0|x1"},
	} {
		m := &forest.Model{Provenance: forest.Provenance{Library: c.library}}
		for name := range strings.FieldsSeq(c.model) {
			m.Features = append(m.Features, forest.Feature{Name: name})
		}
		d := &mlmodel.Description{Flavor: c.library}
		if c.library == "scikit-learn" {
			d.Flavor = "sklearn"
		}
		for name := range strings.SplitSeq(c.inputs, "|") {
			if c.inputs != "" {
				d.Inputs = append(d.Inputs, forest.Input{Name: name})
			}
		}
		if err := d.Apply(m); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range m.Features {
			got = append(got, f.Name)
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s %s with %s: %q", c.library, c.model, c.inputs, got)
		}
	}
	err := (&mlmodel.Description{Flavor: "xgboost", Data: "m"}).Apply(&forest.Model{Provenance: forest.Provenance{Library: "lightgbm"}})
	if !errors.Is(err, fault.ErrMalformed) {
		t.Errorf("a LightGBM model of the flavour xgboost: %v", err)
	}
}

// FuzzParse: any text ends in a description whose file lies in the directory, or in a placed error.
func FuzzParse(f *testing.F) {
	f.Add(current)
	f.Add("flavors:\n  sklearn:\n    pickled_model: model.skops\n    sklearn_version: 1.9.1\nsignature:\n  inputs: '[{\"type\": \"double\", \"name\": \"a\"}]'\n")
	f.Add("flavors: {lightgbm: {data: model.lgb, model_class: lightgbm.basic.Booster}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := mlmodel.Parse([]byte(text), limit.Limits{Features: 100})
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); !ok {
				t.Errorf("%v is no *loader.Error", err)
			}
			return
		}
		if !filepath.IsLocal(d.Data) || d.Data == "MLmodel" || len(d.Inputs) > 100 {
			t.Errorf("%+v", d)
		}
	})
}
