package sqlite

import (
	"fmt"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

const selectBatch = `
SELECT id, state, phase, attempt, model, version, run_id, model_digest, generation, git_sha, trained_at,
       feature_schema_hash, engine_build, input_source, input_version, input_date, output_table, config_digest, rows,
       started_at, finished_at, scored_at, timings, histogram, score_min, score_max, score_mean, positive_rate,
       decision_threshold, output_digest, replaced, error, rows_refused, post_processor, post_processor_digest
FROM batch `

func scanBatch(b *store.BatchRow) func(scanner) error {
	l := &b.Lineage
	return func(row scanner) error {
		return row.Scan(&b.ID, &b.State, &b.Phase, &b.Attempt, &l.ModelName, &l.ModelVersion, &l.RunID, &l.ModelDigest,
			&l.Generation, &l.GitSHA, stamp{&l.TrainedAt}, &l.FeatureSchemaHash, &l.EngineBuild, &b.InputSource,
			&b.InputVersion, &b.InputDate, &b.OutputTable, &b.ConfigDigest, &b.Rows, stamp{&b.StartedAt},
			stamp{&b.FinishedAt}, stamp{&b.ScoredAt}, document{&b.Timings}, document{&b.Histogram}, float{&b.ScoreMin},
			float{&b.ScoreMax}, float{&b.ScoreMean}, float{&b.PositiveRate}, float{&b.DecisionThreshold}, &b.OutputDigest,
			&b.Replaced, &b.Error, &b.RowsRefused, &b.PostProcessor, &b.PostProcessorDigest)
	}
}

func batchMissing(id string) error { return fmt.Errorf("%s: %w", id, store.ErrBatchNotFound) }

// Batch returns a batch.
func (r *reader) Batch(id string) (store.BatchRow, error) {
	var b store.BatchRow
	err := r.one(batchMissing(id), scanBatch(&b), selectBatch+`WHERE id = ?`, id)
	return b, err
}

// Batches lists batches, the latest started first.
func (r *reader) Batches(q store.BatchQuery) ([]store.BatchRow, string, error) {
	where, args := []string{`true`}, []any{}
	if q.Model != "" {
		where, args = append(where, `model = ?`), append(args, q.Model)
	}
	if q.State != "" {
		where, args = append(where, `state = ?`), append(args, q.State)
	}
	scope := fmt.Sprintf("batch/%s/%s", q.Model, q.State)
	if q.PageToken != "" {
		var last [2]string // started_at and id
		if err := openToken(scope, q.PageToken, &last); err != nil {
			return nil, "", err
		}
		where, args = append(where, `(started_at, id) < (?, ?)`), append(args, last[0], last[1])
	}
	size := pageSize(q.PageSize)
	var out []store.BatchRow
	err := r.each(func(row scanner) error {
		var b store.BatchRow
		err := scanBatch(&b)(row)
		out = append(out, b)
		return err
	}, selectBatch+`WHERE `+strings.Join(where, ` AND `)+` ORDER BY started_at DESC, id DESC LIMIT ?`,
		append(args, size+1)...)
	if err != nil || len(out) <= size {
		return out, "", err
	}
	out = out[:size]
	last := out[size-1]
	next, err := sealToken(scope, [2]string{last.StartedAt.Format(timeLayout), last.ID})
	return out, next, err
}

// BatchesOf lists the batches of a version that may have rows, oldest first.
func (r *reader) BatchesOf(model string, version, generation int64, since time.Time) ([]string, error) {
	var out []string
	err := r.each(func(row scanner) error {
		var id string
		err := row.Scan(&id)
		out = append(out, id)
		return err
	}, `
SELECT id FROM batch
WHERE model = ? AND version = ? AND may_have_rows = 1 AND (generation >= ? OR started_at >= ?)
ORDER BY started_at, id`, model, version, generation, at(since))
	return out, err
}

// BeginBatch starts an attempt.
func (t *tx) BeginBatch(b store.BatchRow) (store.BatchRow, error) {
	b.State = store.BatchRunning
	if b.Phase == "" {
		b.Phase = store.PhaseResolve
	}
	_, err := t.exec(`
INSERT INTO batch (id, state, phase, attempt, model, version, run_id, model_digest, generation, git_sha, trained_at,
       feature_schema_hash, engine_build, input_source, input_version, input_date, output_table, config_digest, rows,
       started_at, finished_at, scored_at, timings, histogram, score_min, score_max, score_mean, positive_rate,
       decision_threshold, output_digest, replaced, error, post_processor, post_processor_digest)
VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, 'null', 'null', 0, 0, 0, 0, ?, '', 0, '', ?, ?)
ON CONFLICT (id) DO UPDATE SET
       state = excluded.state, phase = excluded.phase, attempt = attempt + 1, model = excluded.model,
       version = excluded.version, run_id = excluded.run_id, model_digest = excluded.model_digest,
       generation = excluded.generation, git_sha = excluded.git_sha, trained_at = excluded.trained_at,
       feature_schema_hash = excluded.feature_schema_hash, engine_build = excluded.engine_build,
       input_source = excluded.input_source, input_version = excluded.input_version,
       input_date = excluded.input_date, output_table = excluded.output_table,
       config_digest = excluded.config_digest, rows = excluded.rows, started_at = excluded.started_at,
       finished_at = '', scored_at = excluded.scored_at, timings = 'null', histogram = 'null', score_min = 0,
       score_max = 0, score_mean = 0, positive_rate = 0, decision_threshold = excluded.decision_threshold,
       output_digest = '', replaced = 0, error = '', rows_refused = 0, post_processor = excluded.post_processor,
       post_processor_digest = excluded.post_processor_digest`,
		b.ID, b.State, b.Phase, b.Lineage.ModelName, b.Lineage.ModelVersion, b.Lineage.RunID, b.Lineage.ModelDigest,
		b.Lineage.Generation, b.Lineage.GitSHA, at(b.Lineage.TrainedAt), b.Lineage.FeatureSchemaHash,
		b.Lineage.EngineBuild, b.InputSource, b.InputVersion, b.InputDate, b.OutputTable, b.ConfigDigest, b.Rows,
		at(b.StartedAt), at(b.ScoredAt), float{&b.DecisionThreshold}, b.PostProcessor, b.PostProcessorDigest)
	if err != nil {
		return store.BatchRow{}, err
	}
	return t.Batch(b.ID)
}

// mayHaveRows turns the mark on at the first phase after which the output table may hold rows of the batch.
const mayHaveRows = `CASE WHEN ? IN ('commit', 'verify', 'done') THEN 1 ELSE may_have_rows END`

// UpdateBatchPhase moves a running batch to a phase.
func (t *tx) UpdateBatchPhase(id, phase string) error {
	n, err := t.exec(`UPDATE batch SET phase = ?, may_have_rows = `+mayHaveRows+` WHERE id = ? AND state = 'running'`,
		phase, phase, id)
	if err != nil || n == 1 {
		return err
	}
	return t.notRunning(id, 0)
}

func (t *tx) notRunning(id string, attempt int) error {
	b, err := t.Batch(id)
	if err != nil {
		return err
	}
	if b.State == store.BatchRunning {
		return fmt.Errorf("batch %s is in attempt %d, not %d: %w", id, b.Attempt, attempt, store.ErrConflict)
	}
	return fmt.Errorf("batch %s is %s, not running: %w", id, b.State, store.ErrConflict)
}

// FinishBatch stores the results of the current attempt.
func (t *tx) FinishBatch(b store.BatchRow) error {
	if b.State == store.BatchRunning {
		return fmt.Errorf("batch %s cannot finish as running: %w", b.ID, store.ErrConflict)
	}
	n, err := t.exec(`
UPDATE batch SET
       state = ?, phase = ?, may_have_rows = CASE WHEN ? = 'succeeded' THEN 1 ELSE `+mayHaveRows+` END,
       model = ?, version = ?, run_id = ?, model_digest = ?, generation = ?, git_sha = ?, trained_at = ?,
       feature_schema_hash = ?, engine_build = ?, input_source = ?, input_version = ?, input_date = ?,
       output_table = ?, config_digest = ?, rows = ?, started_at = ?, finished_at = ?, scored_at = ?, timings = ?,
       histogram = ?, score_min = ?, score_max = ?, score_mean = ?, positive_rate = ?, decision_threshold = ?,
       output_digest = ?, replaced = ?, error = ?, rows_refused = ?,
       post_processor = ?, post_processor_digest = ?
WHERE id = ? AND state = 'running' AND attempt = ?`,
		b.State, b.Phase, b.State, b.Phase, b.Lineage.ModelName, b.Lineage.ModelVersion, b.Lineage.RunID,
		b.Lineage.ModelDigest, b.Lineage.Generation, b.Lineage.GitSHA, at(b.Lineage.TrainedAt),
		b.Lineage.FeatureSchemaHash, b.Lineage.EngineBuild, b.InputSource, b.InputVersion, b.InputDate, b.OutputTable,
		b.ConfigDigest, b.Rows, at(b.StartedAt), at(b.FinishedAt), at(b.ScoredAt), document{b.Timings},
		document{b.Histogram}, float{&b.ScoreMin}, float{&b.ScoreMax}, float{&b.ScoreMean}, float{&b.PositiveRate},
		float{&b.DecisionThreshold}, b.OutputDigest, b.Replaced, b.Error, b.RowsRefused,
		b.PostProcessor, b.PostProcessorDigest, b.ID, b.Attempt)
	if err != nil || n == 1 {
		return err
	}
	return t.notRunning(b.ID, b.Attempt)
}

// MarkRunningInterrupted ends the batches that a stopped daemon left running.
func (t *tx) MarkRunningInterrupted(when time.Time) ([]string, error) {
	var ids []string
	err := t.each(func(row scanner) error {
		var id string
		err := row.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM batch WHERE state = 'running' ORDER BY started_at, id`)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	_, err = t.exec(`
UPDATE batch SET state = 'interrupted', rows = 0, rows_refused = 0, finished_at = ?,
       error = 'the daemon stopped while the batch ran; run it again'
WHERE state = 'running'`, at(when))
	return ids, err
}
