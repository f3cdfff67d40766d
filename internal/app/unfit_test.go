package app_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	lifecyclev1 "github.com/treeline-ml/treeline/gen/treeline/lifecycle/v1"
	scoringv1 "github.com/treeline-ml/treeline/gen/treeline/scoring/v1"
)

// tables runs statements on the feature tables of a daemon that does not run.
func tables(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("duckdb", filepath.Join(dir, "warehouse", "uat.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// A feature table that has every column, but some in types that the model cannot read, keeps a version from passing
// without condemning it: it passes once the table is repaired.
func TestFeatureTableOfWrongTypes(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	tables(t, dir, `CREATE OR REPLACE TABLE features.wrong AS FROM features.small`,
		`ALTER TABLE features.wrong ALTER tenure_months TYPE VARCHAR`,
		`ALTER TABLE features.wrong ALTER usage_gb_30d TYPE TIMESTAMPTZ USING TIMESTAMPTZ '2026-01-01 00:00:00+00'`)
	d := start(t, command(config, dir))
	request := &lifecyclev1.ValidateRequest{ModelName: "wrong", Version: 1, Actor: "test"}
	got, err := d.gates.Validate(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	gates := got.GetReport().GetGates()
	if got.GetReport().GetPassed() || len(gates) < 2 || gates[0].GetOutcome() != lifecyclev1.GateOutcome_GATE_OUTCOME_INCONCLUSIVE ||
		gates[1].GetOutcome() != lifecyclev1.GateOutcome_GATE_OUTCOME_PASS {
		t.Fatalf("report %v", got)
	}
	for _, want := range []string{"uat.features.wrong", `"tenure_months" is utf8, want a number`, `"usage_gb_30d" is timestamp[us, tz=UTC], want a number`} {
		if !strings.Contains(gates[0].GetSummary(), want) {
			t.Errorf("summary %q does not say %q", gates[0].GetSummary(), want)
		}
	}
	// The gate speaks of what a batch would meet.
	_, err = d.runBatch(t.Context(), &scoringv1.RunBatchRequest{Model: &scoringv1.ModelRef{Name: "wrong", Version: 1}})
	refused(t, err, codes.InvalidArgument, "tenure_months", "usage_gb_30d")
	if _, err := d.promotion.Promote(t.Context(), &lifecyclev1.PromoteRequest{ModelName: "wrong", Version: 1, Reason: "test", Actor: "test"}); err == nil {
		t.Error("the version was promoted")
	}
	if err := d.terminate(t); err != nil {
		t.Fatal(err)
	}

	tables(t, dir, `CREATE OR REPLACE TABLE features.wrong AS FROM features.small`)
	d = start(t, command(config, dir))
	d.validate(t, "wrong", 1)
	d.promote(t, "wrong", 1)
	if b := d.succeed(t, &scoringv1.RunBatchRequest{Model: ref("wrong")}); b.GetRows() != 200 {
		t.Errorf("batch %v", b)
	}
}

// The ledger counts what was committed: nothing of a batch that was killed. The log of the next start names it.
func TestInterruptedBatchHasNoRows(t *testing.T) {
	t.Parallel()
	config, dir := newDataDir(t)
	d := start(t, command(config, dir))
	request := &scoringv1.RunBatchRequest{Model: ref("churn")}
	last := d.killDuring(t, request, plan{phase: scoringv1.BatchPhase_BATCH_PHASE_SCORE, rows: 1})
	if last.GetRowsTotal() != bigRows || last.GetScoreBatchId() == "" {
		t.Fatalf("last event %v", last)
	}
	d = start(t, command(config, dir))
	got := d.newest(t)
	if got.GetScoreBatchId() != last.GetScoreBatchId() || got.GetState() != scoringv1.BatchState_BATCH_STATE_INTERRUPTED || got.GetRows() != 0 {
		t.Errorf("ledger row %v", got)
	}
	if log := d.stderr.String(); !strings.Contains(log, last.GetScoreBatchId()) {
		t.Errorf("the log does not name batch %s:\n%s", last.GetScoreBatchId(), log)
	}
	if b := d.succeed(t, request); b.GetRows() != bigRows || b.GetScoreBatchId() != last.GetScoreBatchId() {
		t.Errorf("re-run %v", b)
	}
}
