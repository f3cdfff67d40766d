package mlflow

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/registry"
)

// Flavours lists the formats of model files for which Publish writes an MLmodel, and the flavour that MLflow loads them
// with. Other files are published without one: they are kept and found, but mlflow.pyfunc does not load them.
func Flavours() map[string]string {
	return map[string]string{"lightgbm-text": "lightgbm", "xgboost-json": "xgboost", "xgboost-ubjson": "xgboost"}
}

// describe writes the MLmodel for a native model file.
func describe(p registry.Publication, r Run) ([]byte, bool) {
	flavour, ok := Flavours()[p.Format]
	if !ok {
		return nil, false
	}
	data := path.Base(p.ModelFile)
	var b strings.Builder
	line := func(indent int, key, value string) {
		fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", indent), key, value)
	}
	line(0, "artifact_path", "model")
	b.WriteString("flavors:\n")
	fmt.Fprintf(&b, "  %s:\n", flavour)
	line(2, "code", "null")
	line(2, "data", yamlString(data))
	if flavour == "xgboost" {
		line(2, "model_class", "xgboost.core.Booster")
		format := "json"
		if p.Format == "xgboost-ubjson" {
			format = "ubj"
		}
		line(2, "model_format", format)
		line(2, "xgb_version", yamlString(p.LibraryVersion))
	} else {
		line(2, "lgb_version", yamlString(p.LibraryVersion))
		line(2, "model_class", "lightgbm.basic.Booster")
	}
	b.WriteString("  python_function:\n")
	line(2, "data", yamlString(data))
	line(2, "loader_module", "mlflow."+flavour)
	line(0, "run_id", yamlString(r.ID))
	line(0, "utc_time_created", yamlString(r.Start.UTC().Format(time.DateTime)))
	return []byte(b.String()), true
}

// yamlString quotes a text: every JSON string is a YAML string.
func yamlString(s string) string {
	q, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(q)
}
