package warehousetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/treeline-ml/treeline/warehouse"
)

func isConflict(err error) bool { return errors.Is(err, warehouse.ErrConflict) }

func targetCases() []testCase {
	return []testCase{
		{"takes the user's seven columns", func(t *testing.T, f Fixture) {
			f.schema(t, scores())
			f.exec(t, sevenColumns())
			f.exec(t, "INSERT INTO "+scores().String()+" VALUES (77, 0.5, 1, 1, 'old', TIMESTAMP '2025-01-01 00:00:00', 'before')")
			b := batch{id: "seven", rows: 20, version: 3, at: day(1)}
			b.mustRun(t, f.Warehouse)
			b.mustRun(t, f.Warehouse)
			f.wantCounts(t, "seven", 20, 1)
			f.wantCounts(t, "before", 1, 1)
			got := f.query(t, "SELECT account_id, churn_predicted, score_batch_id FROM "+scores().String()+" WHERE account_id = 3")
			if len(got) != 1 || !slices.Equal(got[0], []any{int64(3), int64(1), "seven"}) {
				t.Errorf("row is %v", got)
			}
			if got := f.query(t, "SELECT count(*) FROM "+scores().String()+"_current"); got[0][0] != int64(21) {
				t.Errorf("current rows: %v, want 21", got)
			}
		}},
		{"lists every difference", func(t *testing.T, f Fixture) {
			f.schema(t, scores())
			f.exec(t, "CREATE TABLE "+scores().String()+` (account_id VARCHAR, churn_probability DOUBLE, model_version BIGINT,
				scored_at TIMESTAMP, score_batch_id VARCHAR, note VARCHAR, model_name VARCHAR)`)
			_, err := f.Warehouse.Begin(t.Context(), "x", target())
			wantError(t, err, warehouse.ErrTargetMismatch, "churn_predicted", "run_id", "note", "account_id")
			for _, fine := range []string{"churn_probability", "git_sha", "model_name"} {
				if err != nil && strings.Contains(err.Error(), fine) {
					t.Errorf("error %q names %s, which fits", err, fine)
				}
			}
			if err := f.StagingEmpty(); err != nil {
				t.Error(err)
			}
		}},
		{"refuses targets that make no sense", func(t *testing.T, f Fixture) {
			for name, change := range map[string]func(*warehouse.Target){
				"no schema":           func(tg *warehouse.Target) { tg.Schema = nil },
				"unknown key":         func(tg *warehouse.Target) { tg.Keys = []string{"nothing"} },
				"no keys":             func(tg *warehouse.Target) { tg.Keys = nil },
				"unknown order":       func(tg *warehouse.Target) { tg.OrderColumn = "nothing" },
				"unknown requirement": func(tg *warehouse.Target) { tg.Required = []string{"nothing"} },
				"numeric batch id":    func(tg *warehouse.Target) { tg.BatchColumn = "account_id" },
				"bad name":            func(tg *warehouse.Target) { tg.Table.Table = `x"; DROP TABLE y; --` },
				"a list": func(tg *warehouse.Target) {
					fields := slices.Concat(tg.Schema.Fields(), []arrow.Field{{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int8)}})
					tg.Schema = arrow.NewSchema(fields, nil)
				},
			} {
				tg := target()
				change(&tg)
				if _, err := f.Warehouse.Begin(t.Context(), "x", tg); err == nil {
					t.Errorf("%s: no error", name)
				}
			}
			for _, id := range []warehouse.BatchID{"", "../up", "a/b", "a'b", warehouse.BatchID(strings.Repeat("x", 1000))} {
				if _, err := f.Warehouse.Begin(t.Context(), id, target()); err == nil {
					t.Errorf("batch id %q: no error", id)
				}
			}
		}},
	}
}
