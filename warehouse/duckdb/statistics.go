package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/warehouse"
)

// monitoringTables are the tables of mlflow.monitoring. They have no keys: a subject is deleted and inserted in one
// transaction, which DuckDB's keys do not allow, and the writes to a catalog take turns.
func monitoringTables() []string {
	return []string{
		`batch (score_batch_id VARCHAR NOT NULL, model_name VARCHAR NOT NULL, model_version BIGINT NOT NULL, run_id VARCHAR, model_digest VARCHAR,
			input_source VARCHAR, input_version VARCHAR, input_date DATE, output_table VARCHAR, output_digest VARCHAR, post_processor VARCHAR,
			"rows" BIGINT NOT NULL, rows_refused BIGINT NOT NULL, started_at TIMESTAMP, finished_at TIMESTAMP, scored_at TIMESTAMP,
			decision_threshold DOUBLE, score_min DOUBLE, score_max DOUBLE, score_mean DOUBLE, positive_rate DOUBLE, attempt BIGINT NOT NULL)`,
		`batch_metric (score_batch_id VARCHAR NOT NULL, model_name VARCHAR NOT NULL, "column" VARCHAR NOT NULL, slice VARCHAR NOT NULL,
			metric VARCHAR NOT NULL, value DOUBLE)`,
		`batch_hist (score_batch_id VARCHAR NOT NULL, model_name VARCHAR NOT NULL, "column" VARCHAR NOT NULL, slice VARCHAR NOT NULL,
			kind VARCHAR NOT NULL, bin BIGINT NOT NULL, lower DOUBLE, upper DOUBLE, category VARCHAR, count BIGINT NOT NULL)`,
		`profile_baseline (model_name VARCHAR NOT NULL, model_version BIGINT NOT NULL, "column" VARCHAR NOT NULL, slice VARCHAR NOT NULL,
			metric VARCHAR NOT NULL, kind VARCHAR, bin BIGINT, lower DOUBLE, upper DOUBLE, category VARCHAR, value DOUBLE)`,
	}
}

// createMonitoring makes the tables, empty at first, so that dashboards run from the start.
func (w *Warehouse) createMonitoring(ctx context.Context) error {
	missing := false
	err := w.read(ctx, promotionsCatalog, func(c *catalog) error {
		for _, t := range monitoringTables() {
			name, _, _ := strings.Cut(t, " ")
			cols, err := tableColumns(ctx, w.db, c, warehouse.TableName{Schema: "monitoring", Table: name})
			if err != nil {
				return err
			}
			missing = missing || len(cols) == 0
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return w.write(ctx, promotionsCatalog, func(_ *catalog, tx *sql.Tx) error {
		queries := []string{"CREATE SCHEMA IF NOT EXISTS mlflow.monitoring"}
		for _, t := range monitoringTables() {
			queries = append(queries, "CREATE TABLE IF NOT EXISTS mlflow.monitoring."+t)
		}
		for _, q := range queries {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return fmt.Errorf("duckdb: making mlflow.monitoring: %w", sqlError(ctx, err))
			}
		}
		return nil
	}, nil)
}

// MirrorStatistics deletes and inserts the subjects in one transaction.
func (w *Warehouse) MirrorStatistics(ctx context.Context, subjects []warehouse.Statistics) error {
	if len(subjects) == 0 {
		return nil
	}
	return w.write(ctx, promotionsCatalog, func(_ *catalog, tx *sql.Tx) error {
		for i := range subjects {
			s := &subjects[i]
			var err error
			if s.Batch == nil {
				err = replaceBaseline(ctx, tx, s)
			} else {
				err = replaceBatch(ctx, tx, s)
			}
			if err != nil {
				return fmt.Errorf("duckdb: mirroring statistics of %s: %w", subject(s), err)
			}
		}
		return nil
	}, nil)
}

func subject(s *warehouse.Statistics) string {
	if s.Batch != nil {
		return "batch " + s.Batch.ID
	}
	return fmt.Sprintf("the training of %s version %d", s.Model, s.Version)
}

func replaceBatch(ctx context.Context, tx *sql.Tx, s *warehouse.Statistics) error {
	b := s.Batch
	for _, table := range []string{"batch", "batch_metric", "batch_hist"} {
		if _, err := execRows(ctx, tx, "DELETE FROM mlflow.monitoring."+table+" WHERE score_batch_id = ?", b.ID); err != nil {
			return err
		}
	}
	row := []any{
		b.ID, s.Model, s.Version, text(b.RunID), text(b.ModelDigest), text(b.InputSource), text(b.InputVersion), text(b.InputDate),
		text(b.OutputTable), text(b.OutputDigest), text(b.PostProcessor), b.Rows, b.RowsRefused, moment(b.StartedAt), moment(b.FinishedAt),
		moment(b.ScoredAt), number(b.Threshold), number(b.ScoreMin), number(b.ScoreMax), number(b.ScoreMean), number(b.PositiveRate), b.Attempt,
	}
	if err := insertRows(ctx, tx, "batch", [][]any{row}, map[int]string{7: "DATE", 13: "TIMESTAMP", 14: "TIMESTAMP", 15: "TIMESTAMP"}); err != nil {
		return err
	}
	metrics := make([][]any, 0, len(s.Metrics))
	for _, m := range s.Metrics {
		metrics = append(metrics, []any{b.ID, s.Model, m.Column, m.Slice, m.Name, number(m.Value)})
	}
	if err := insertRows(ctx, tx, "batch_metric", metrics, nil); err != nil {
		return err
	}
	bins := make([][]any, 0, len(s.Bins))
	for _, x := range s.Bins {
		bins = append(bins, []any{
			b.ID, s.Model, x.Column, x.Slice, x.Kind, x.Index, number(x.Lower), number(x.Upper), category(x), x.Count,
		})
	}
	return insertRows(ctx, tx, "batch_hist", bins, nil)
}

func replaceBaseline(ctx context.Context, tx *sql.Tx, s *warehouse.Statistics) error {
	_, err := execRows(ctx, tx, "DELETE FROM mlflow.monitoring.profile_baseline WHERE model_name = ? AND model_version = ?", s.Model, s.Version)
	if err != nil {
		return err
	}
	rows := make([][]any, 0, len(s.Metrics)+len(s.Bins))
	for _, m := range s.Metrics {
		rows = append(rows, []any{s.Model, s.Version, m.Column, m.Slice, m.Name, nil, nil, nil, nil, nil, number(m.Value)})
	}
	for _, x := range s.Bins {
		rows = append(rows, []any{
			s.Model, s.Version, x.Column, x.Slice, "count", x.Kind, x.Index, number(x.Lower), number(x.Upper), category(x), float64(x.Count),
		})
	}
	return insertRows(ctx, tx, "profile_baseline", rows, nil)
}

// rowsPerInsert bounds one statement: a thousand features with ten bins each take half a second in statements of 200 rows,
// five in statements of one.
const rowsPerInsert = 200

// insertRows inserts rows of one width; casts names the types of columns that are bound as another one.
func insertRows(ctx context.Context, tx *sql.Tx, table string, rows [][]any, casts map[int]string) error {
	if len(rows) == 0 {
		return nil
	}
	marks := make([]string, len(rows[0]))
	for i := range marks {
		marks[i] = "?"
		if t := casts[i]; t != "" {
			marks[i] = "CAST(? AS " + t + ")"
		}
	}
	one := "(" + strings.Join(marks, ", ") + ")"
	for len(rows) > 0 {
		n := min(len(rows), rowsPerInsert)
		var args []any
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		_, err := execRows(ctx, tx, "INSERT INTO mlflow.monitoring."+table+" VALUES "+strings.TrimSuffix(strings.Repeat(one+", ", n), ", "), args...)
		if err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}

func number(v float64) any {
	if math.IsNaN(v) {
		return nil
	}
	return v
}

// category is null but for bins of one, whose category may be the empty text.
func category(b warehouse.Bin) any {
	if b.Kind != warehouse.BinCategory {
		return nil
	}
	return b.Category
}
