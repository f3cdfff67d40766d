package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/treeline-ml/treeline/config"
)

// TestTrainingsNameTheCommit: a training that nobody names a commit for, as schedules and triggers begin them, has the one
// that the model's config.yml lies in.
func TestTrainingsNameTheCommit(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	b, err := os.ReadFile("../../examples/churn/lifecycle.yml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "churn.yml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := config.LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	specs := (&settings{models: map[string]config.Model{"churn": m}}).training(config.Config{})
	if spec, ok := specs("churn"); !ok || spec.GitSHA != "" {
		t.Errorf("without version control: %v, commit %q", ok, spec.GitSHA)
	}
	git("init", "-q")
	git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "first")
	if spec, _ := specs("churn"); spec.GitSHA == "" || spec.GitSHA != git("rev-parse", "HEAD") {
		t.Errorf("commit %q", spec.GitSHA)
	}
}
