package mlflow_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/registry"
	"github.com/treeline-ml/treeline/registry/mlflow"
)

// FuzzAnswers gives every call the same bytes as an answer: nothing panics or runs for ever, errors are of the kinds that
// are promised, and files stay where they belong.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`{"registered_model":{"name":"m","tags":[{"key":"k","value":"v"}],"aliases":[{"alias":"Champion","version":"1"}]}}`,
		`{"model_versions":[{"name":"m","version":"1","creation_timestamp":"17"}],"next_page_token":"t"}`,
		`{"model_version":{"name":"m","version":2,"aliases":["a"],"source":"models:/m-1","run_id":"r"}}`,
		`{"artifact_uri":"mlflow-artifacts:/0/x","files":[{"path":"a","is_dir":false,"file_size":5},{"path":"d","is_dir":true}]}`,
		`{"run":{"info":{"run_id":"r","artifact_uri":"mlflow-artifacts:/1/r/artifacts"},"data":{"metrics":[{"key":"a","value":"NaN"}]},"outputs":{"model_outputs":[{"model_id":"m-1"}]}}}`,
		`{"model":{"info":{"model_id":"m-1","name":"model","status":"LOGGED_MODEL_READY","artifact_uri":"mlflow-artifacts:/1/m"}}}`,
		`{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"x"}`, "<html>", "", "null", "[]", `{"files":[{"path":"..\/x"}]}`, `"\ud800"`,
	} {
		f.Add(200, "application/json", []byte(s))
		f.Add(404, "text/html", []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		c := client(t, "http://h", func(o *mlflow.Options) {
			o.Attempts, o.Limits = 1, mlflow.Limits{MaxAnswer: 1 << 16, MaxBytes: 1 << 16, MaxFiles: 8, MaxItems: 100}
			o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) { return answers(status, kind, string(body))(r) })
		})
		ctx := t.Context()
		dir := filepath.Join(t.TempDir(), "d")
		for what, err := range map[string]error{
			"model": second(c.Model(ctx, "m")), "models": second(c.Models(ctx)), "version": second(c.Version(ctx, "m", "1")),
			"versions": second(c.Versions(ctx, "m")), "state": second(c.State(ctx, "m")), "alias": second(c.Resolve(ctx, "m", "Champion")),
			"run": second(c.Run(ctx, "r")), "runs": second(c.SearchRuns(ctx, []string{"0"}, "", 10)), "experiment": second(c.Experiment(ctx, "e")),
			"create": second(c.CreateVersion(ctx, mlflow.NewVersion{Name: "m", Source: "s"})), "set": c.SetAlias(ctx, "m", "a", "1"),
			"compare": second(c.Compare(ctx, "m", "1", "2")), "fetch": second(c.Fetch(ctx, mlflow.Version{Name: "m", Version: "1"}, dir)),
			"run files": second(c.FetchURI(ctx, "runs:/r/model", filepath.Join(t.TempDir(), "e"))),
		} {
			if err == nil {
				continue
			}
			known := false
			for _, k := range []error{
				mlflow.ErrNotFound, mlflow.ErrExists, mlflow.ErrInvalid, mlflow.ErrDenied, mlflow.ErrUnavailable, mlflow.ErrSource,
				registry.ErrPath, registry.ErrTooLarge, registry.ErrDigest,
			} {
				known = known || errors.Is(err, k)
			}
			if !known && what != "fetch" && what != "run files" { // those have the file system's too
				t.Errorf("%s: error is %v", what, err)
			}
		}
	})
}
