package sqlite

import (
	"errors"
	"fmt"

	"github.com/treeline-ml/treeline/store"
)

const selectTraining = `
SELECT id, model, version, state, attempt, idempotency_key, trigger_kind, reason, actor, compute_date, git_sha,
       trainer_class, config_digest, input_version, input_rows, handle, run_id, run_name, registry_version, metrics, step,
       created_at, started_at, finished_at, heartbeat_at, exit_code, user_cpu, system_cpu, max_rss, error, hint
FROM training`

func scanTraining(t *store.Training) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&t.ID, &t.Model, &t.Version, &t.State, &t.Attempt, &t.IdempotencyKey, &t.Trigger, &t.Reason,
			&t.Actor, &t.ComputeDate, &t.GitSHA, &t.TrainerClass, &t.ConfigDigest, &t.InputVersion, &t.InputRows, &t.Handle,
			&t.RunID, &t.RunName, &t.RegistryVersion, figures{&t.Metrics}, &t.Step, stamp{&t.CreatedAt}, stamp{&t.StartedAt},
			stamp{&t.FinishedAt}, stamp{&t.HeartbeatAt}, &t.ExitCode, &t.UserCPU, &t.SystemCPU, &t.MaxRSS, &t.Error, &t.Hint)
	}
}

func (r *reader) training(missing, where string, args ...any) (store.Training, error) {
	var t store.Training
	err := r.one(fmt.Errorf("%s: %w", missing, store.ErrTrainingNotFound), scanTraining(&t), selectTraining+where, args...)
	return t, err
}

// Training returns a training by id.
func (r *reader) Training(id string) (store.Training, error) {
	return r.training(id, ` WHERE id = ?`, id)
}

// ActiveTraining returns the training of a model that has not ended.
func (r *reader) ActiveTraining(model string) (store.Training, error) {
	return r.training("active training of "+model,
		` WHERE model = ? AND state IN ('queued', 'preparing', 'running', 'registering')`, model)
}

// TrainingByKey returns a training by its idempotency key.
func (r *reader) TrainingByKey(key string) (store.Training, error) {
	return r.training(fmt.Sprintf("key %.80q", key), ` WHERE idempotency_key = ? AND idempotency_key <> ''`, key)
}

// Trainings lists trainings, newest first.
func (r *reader) Trainings(q store.TrainingQuery) ([]store.Training, string, error) {
	l := listing[store.Training, [2]string]{
		from: selectTraining, order: `created_at, id`, scan: scanTraining, scope: "training",
		key: func(t *store.Training) [2]string { return [2]string{t.CreatedAt.Format(timeLayout), t.ID} },
	}
	l.equal(`model`, q.Model)
	l.equal(`state`, q.State)
	return l.page(r, q.PageSize, q.PageToken)
}

// InsertTraining adds a training.
func (t *tx) InsertTraining(v store.Training) error {
	if store.TrainingActive(v.State) {
		active, err := t.ActiveTraining(v.Model)
		if err == nil {
			return fmt.Errorf("%s is being trained by %s: %w", v.Model, active.ID, store.ErrConflict)
		}
		if !errors.Is(err, store.ErrTrainingNotFound) {
			return err
		}
	}
	_, err := t.exec(`
INSERT INTO training (id, model, version, state, attempt, idempotency_key, trigger_kind, reason, actor, compute_date,
       git_sha, trainer_class, config_digest, input_version, input_rows, handle, run_id, run_name, registry_version, metrics,
       step, created_at, started_at, finished_at, heartbeat_at, exit_code, user_cpu, system_cpu, max_rss, error, hint)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.ID, v.Model, v.Version, v.State, v.Attempt, v.IdempotencyKey, v.Trigger, v.Reason, v.Actor, v.ComputeDate,
		v.GitSHA, v.TrainerClass, v.ConfigDigest, v.InputVersion, v.InputRows, v.Handle, v.RunID, v.RunName,
		v.RegistryVersion, figures{&v.Metrics}, v.Step, at(v.CreatedAt), at(v.StartedAt), at(v.FinishedAt),
		at(v.HeartbeatAt), v.ExitCode, v.UserCPU, v.SystemCPU, v.MaxRSS, v.Error, v.Hint)
	return err
}

// UpdateTraining stores what may change of a training.
func (t *tx) UpdateTraining(v store.Training) error {
	return t.exactly(fmt.Errorf("%s: %w", v.ID, store.ErrTrainingNotFound), `
UPDATE training SET state = ?, attempt = ?, git_sha = ?, trainer_class = ?, config_digest = ?, input_version = ?,
       input_rows = ?, handle = ?, run_id = ?, run_name = ?, registry_version = ?, metrics = ?, step = ?, started_at = ?,
       finished_at = ?, heartbeat_at = ?, exit_code = ?, user_cpu = ?, system_cpu = ?, max_rss = ?, error = ?, hint = ?
WHERE id = ?`,
		v.State, v.Attempt, v.GitSHA, v.TrainerClass, v.ConfigDigest, v.InputVersion, v.InputRows, v.Handle, v.RunID,
		v.RunName, v.RegistryVersion, figures{&v.Metrics}, v.Step, at(v.StartedAt), at(v.FinishedAt), at(v.HeartbeatAt),
		v.ExitCode, v.UserCPU, v.SystemCPU, v.MaxRSS, v.Error, v.Hint, v.ID)
}
