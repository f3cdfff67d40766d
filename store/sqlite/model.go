package sqlite

import (
	"fmt"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/store"
)

const selectModel = `
SELECT m.name, m.generation, m.created_at, count(v.version), m.last_version,
       coalesce(max(CASE WHEN v.stage = 'champion' THEN v.version END), 0)
FROM model m LEFT JOIN version v ON v.model = m.name `

func scanModel(m *store.Model) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&m.Name, &m.Generation, stamp{&m.CreatedAt}, &m.Versions, &m.Latest, &m.Champion)
	}
}

// Models lists all models by name.
func (r *reader) Models() ([]store.Model, error) {
	var out []store.Model
	err := r.each(func(row scanner) error {
		var m store.Model
		err := scanModel(&m)(row)
		out = append(out, m)
		return err
	}, selectModel+`GROUP BY m.name ORDER BY m.name`)
	return out, err
}

// Model returns a model by name.
func (r *reader) Model(name string) (store.Model, error) {
	var m store.Model
	err := r.one(fmt.Errorf("%s: %w", name, store.ErrModelNotFound), scanModel(&m),
		selectModel+`WHERE m.name = ? GROUP BY m.name`, name)
	return m, err
}

const selectVersion = `
SELECT model, version, stage, stage_at, digest, model_file, golden_file, format, library, library_version, objective,
       features, trees, run_id, git_sha, trained_at, registered_at, registered_by, tags, holdout_file, training_id,
       metrics, registry_version
FROM version `

func scanVersion(v *store.Version) func(scanner) error {
	return func(row scanner) error {
		return row.Scan(&v.Model, &v.Version, &v.Stage, stamp{&v.StageAt}, &v.Digest, &v.ModelFile, &v.GoldenFile,
			&v.Format, &v.Library, &v.LibraryVersion, &v.Objective, &v.Features, &v.Trees, &v.RunID, &v.GitSHA,
			stamp{&v.TrainedAt}, stamp{&v.RegisteredAt}, &v.RegisteredBy, document{&v.Tags},
			&v.HoldoutFile, &v.TrainingID, figures{&v.Metrics}, &v.RegistryVersion)
	}
}

// version runs a query for one version; a missing model is told from a missing version.
func (r *reader) version(model string, missing error, where string, args ...any) (store.Version, error) {
	var v store.Version
	none := fmt.Errorf("none: %w", store.ErrVersionNotFound)
	err := r.one(none, scanVersion(&v), selectVersion+where, args...)
	if err == none { //nolint:errorlint // this very value
		if _, err := r.Model(model); err != nil {
			return v, err
		}
		return v, missing
	}
	return v, err
}

// Version returns one version.
func (r *reader) Version(model string, version int64) (store.Version, error) {
	return r.version(model, versionMissing(model, version), `WHERE model = ? AND version = ?`, model, version)
}

// Versions lists the versions of a model, newest first.
func (r *reader) Versions(model string) ([]store.Version, error) {
	if _, err := r.Model(model); err != nil {
		return nil, err
	}
	var out []store.Version
	err := r.each(func(row scanner) error {
		var v store.Version
		err := scanVersion(&v)(row)
		out = append(out, v)
		return err
	}, selectVersion+`WHERE model = ? ORDER BY version DESC`, model)
	return out, err
}

// VersionByDigest returns the newest version with a digest outside the stages except.
func (r *reader) VersionByDigest(model, digest string, except ...string) (store.Version, error) {
	args := []any{model, digest}
	where := `WHERE model = ? AND digest = ?`
	if len(except) > 0 {
		where += ` AND stage NOT IN (?` + strings.Repeat(`, ?`, len(except)-1) + `)`
		for _, s := range except {
			args = append(args, s)
		}
	}
	var v store.Version
	err := r.one(fmt.Errorf("%s with digest %s: %w", model, digest, store.ErrVersionNotFound), scanVersion(&v),
		selectVersion+where+` ORDER BY version DESC LIMIT 1`, args...)
	return v, err
}

// ModelFile names the model file of an artifact.
func (r *reader) ModelFile(digest string) (string, error) {
	var name string
	err := r.one(fmt.Errorf("no version with digest %s: %w", digest, store.ErrVersionNotFound),
		func(row scanner) error { return row.Scan(&name) },
		`SELECT model_file FROM version WHERE digest = ? ORDER BY registered_at, model, version LIMIT 1`, digest)
	return name, err
}

// NewestVersion returns the newest version in a stage.
func (r *reader) NewestVersion(model, stage string) (store.Version, error) {
	return r.version(model, fmt.Errorf("%s has no version in stage %s: %w", model, stage, store.ErrVersionNotFound),
		`WHERE model = ? AND stage = ? ORDER BY version DESC LIMIT 1`, model, stage)
}

// EnsureModel creates a model unless it exists.
func (t *tx) EnsureModel(name string, when time.Time) error {
	_, err := t.exec(`INSERT INTO model (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, at(when))
	return err
}

// NextVersion returns the number of the next version.
func (t *tx) NextVersion(model string) (int64, error) {
	m, err := t.Model(model)
	return m.Latest + 1, err
}

// InsertVersion adds a version.
func (t *tx) InsertVersion(v store.Version) error {
	err := t.exactly(
		fmt.Errorf("%s version %d is not the next one: %w", v.Model, v.Version, store.ErrConflict),
		`UPDATE model SET last_version = last_version + 1 WHERE name = ? AND last_version + 1 = ?`, v.Model, v.Version)
	if err != nil {
		return err
	}
	_, err = t.exec(`
INSERT INTO version (model, version, stage, stage_at, digest, model_file, golden_file, format, library, library_version,
                     objective, features, trees, run_id, git_sha, trained_at, registered_at, registered_by, tags,
                     holdout_file, training_id, metrics, registry_version)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.Model, v.Version, v.Stage, at(v.StageAt), v.Digest, v.ModelFile, v.GoldenFile, v.Format, v.Library,
		v.LibraryVersion, v.Objective, v.Features, v.Trees, v.RunID, v.GitSHA, at(v.TrainedAt), at(v.RegisteredAt),
		v.RegisteredBy, tags(v), v.HoldoutFile, v.TrainingID, figures{&v.Metrics}, v.RegistryVersion)
	return err
}

func tags(v store.Version) document {
	if v.Tags == nil {
		return document{map[string]string{}}
	}
	return document{v.Tags}
}

// UpdateCreated fills in what a Created version got by its training.
func (t *tx) UpdateCreated(v store.Version) error {
	n, err := t.exec(`
UPDATE version SET digest = ?, model_file = ?, golden_file = ?, format = ?, library = ?, library_version = ?,
       objective = ?, features = ?, trees = ?, run_id = ?, git_sha = ?, trained_at = ?, registered_at = ?,
       registered_by = ?, tags = ?, holdout_file = ?, metrics = ?, registry_version = ?
WHERE model = ? AND version = ? AND stage = 'created' AND digest = ''`,
		v.Digest, v.ModelFile, v.GoldenFile, v.Format, v.Library, v.LibraryVersion, v.Objective, v.Features, v.Trees,
		v.RunID, v.GitSHA, at(v.TrainedAt), at(v.RegisteredAt), v.RegisteredBy, tags(v), v.HoldoutFile,
		figures{&v.Metrics}, v.RegistryVersion, v.Model, v.Version)
	if err != nil || n == 1 {
		return err
	}
	have, err := t.Version(v.Model, v.Version)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s version %d is %s with digest %q, not created without one: %w", v.Model, v.Version, have.Stage,
		have.Digest, store.ErrConflict)
}

// SetRegistryVersion notes a version's number in the external registry.
func (t *tx) SetRegistryVersion(model string, version int64, registryVersion string) error {
	n, err := t.exec(`UPDATE version SET registry_version = ? WHERE model = ? AND version = ?`, registryVersion, model, version)
	if err != nil || n == 1 {
		return err
	}
	_, err = t.Version(model, version)
	return err
}

// SetStage moves a version between stages.
func (t *tx) SetStage(model string, version int64, from, to string, when time.Time) error {
	n, err := t.exec(`UPDATE version SET stage = ?, stage_at = ? WHERE model = ? AND version = ? AND stage = ?`,
		to, at(when), model, version, from)
	if err != nil || n == 1 {
		return err
	}
	v, err := t.Version(model, version)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s version %d is %s, not %s: %w", model, version, v.Stage, from, store.ErrConflict)
}

// SetGeneration moves a model's generation.
func (t *tx) SetGeneration(model string, from, to int64) error {
	n, err := t.exec(`UPDATE model SET generation = ? WHERE name = ? AND generation = ?`, to, model, from)
	if err != nil || n == 1 {
		return err
	}
	m, err := t.Model(model)
	if err != nil {
		return err
	}
	return fmt.Errorf("%s is at generation %d, not %d: %w", model, m.Generation, from, store.ErrConflict)
}
