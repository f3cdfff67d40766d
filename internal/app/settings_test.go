package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A schedule that no date matches keeps the daemon from starting. One whose last time has passed does not: it did its work,
// and a daemon must be able to start again afterwards.
func TestSettingsRefuseImpossibleSchedules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "churn.yml")
	load := func(expression string) error {
		t.Helper()
		content := `model_key: churn
data: {features_table: a.b.c, key_cols: [id], label_col: y}
output: {catalog: a, schema: b, table: scores}
schedules:
  batch_inference: {quartz_cron_expression: "` + expression + `"}
`
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadSettings([]string{path})
		return err
	}
	err := load("0 0 3 31 FEB ?")
	if err == nil || !strings.Contains(err.Error(), "churn.yml:5:") || !strings.Contains(err.Error(), "never fires") {
		t.Errorf("the 31st of February: %v", err)
	}
	for _, expression := range []string{"0 0 3 29 FEB ?", "0 0 3 1 JAN ? 2020"} {
		if err := load(expression); err != nil {
			t.Errorf("%s: %v", expression, err)
		}
	}
}
