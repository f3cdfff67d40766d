package server

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/treeline-ml/treeline/client"
	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
)

// An MLflow directory is registered as a whole: its MLmodel is the version's model file, and the version passes the
// artifact and parity gates with rows that scikit-learn scored.
func TestRegisterMLflowDirectory(t *testing.T) {
	s := newStack(t, Options{})
	found := filepath.Join("..", "internal", "testmodels", "corpus", "scikit-learn-1.9.1", "formats")
	dir := filepath.Join(t.TempDir(), "mlflow")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(found, "mlflow-skops"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "code"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "code", "own.py"), []byte("pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	r, err := s.client.RegisterPath(t.Context(), "churn", filepath.Join(dir, "MLmodel"), filepath.Join(found, "rows.parquet"),
		client.RegisterMeta{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := r.GetVersion()
	if v.GetFormat() != "mlflow-sklearn-skops" || v.GetLibrary() != "scikit-learn" || v.GetTrees() != 3 || v.GetFeatures() != 5 {
		t.Errorf("version %v", v)
	}
	report, err := s.client.Validation.Validate(t.Context(), &lifecyclev1.ValidateRequest{ModelName: "churn", Version: v.GetVersion()})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, g := range report.GetReport().GetGates() {
		switch g.GetGate() {
		case "artifact", "parity":
			checked++
			if g.GetOutcome() != lifecyclev1.GateOutcome_GATE_OUTCOME_PASS {
				t.Errorf("gate %v", g)
			}
			if files := g.GetEvidence()["files"]; g.GetGate() == "artifact" && files != "4" {
				t.Errorf("the artifact has %s files, want MLmodel, the model, the code and the rows", files)
			}
		}
	}
	if checked != 2 {
		t.Errorf("%d of the two gates in %v", checked, report)
	}
}
