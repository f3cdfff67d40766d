-- +goose Up
-- A version is there from the moment that its training is accepted, before it has an artifact. SQLite cannot change a
-- CHECK in place: the rows are set aside, the table is made anew under its own name and the rows are put back. Foreign
-- keys to the table are checked at the commit, when they hold again.
PRAGMA defer_foreign_keys = ON;

CREATE TABLE version_aside AS SELECT * FROM version;
DROP TABLE version;

CREATE TABLE version (
    model            TEXT NOT NULL REFERENCES model (name),
    version          INTEGER NOT NULL CHECK (version >= 1),
    stage            TEXT NOT NULL CHECK (stage IN ('created', 'trained', 'validated', 'champion', 'archived',
                                                    'rejected', 'failed', 'quarantined', 'retired')),
    stage_at         TEXT NOT NULL,
    digest           TEXT NOT NULL CHECK (digest <> '' OR stage IN ('created', 'failed')),
    model_file       TEXT NOT NULL,
    golden_file      TEXT NOT NULL,
    holdout_file     TEXT NOT NULL DEFAULT '',
    format           TEXT NOT NULL,
    library          TEXT NOT NULL,
    library_version  TEXT NOT NULL,
    objective        TEXT NOT NULL,
    features         INTEGER NOT NULL,
    trees            INTEGER NOT NULL,
    run_id           TEXT NOT NULL,
    git_sha          TEXT NOT NULL,
    trained_at       TEXT NOT NULL,
    registered_at    TEXT NOT NULL,
    registered_by    TEXT NOT NULL,
    tags             TEXT NOT NULL, -- JSON
    training_id      TEXT NOT NULL DEFAULT '',
    metrics          TEXT NOT NULL DEFAULT '{}', -- JSON
    registry_version TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

INSERT INTO version (model, version, stage, stage_at, digest, model_file, golden_file, format, library, library_version,
                     objective, features, trees, run_id, git_sha, trained_at, registered_at, registered_by, tags)
SELECT model, version, stage, stage_at, digest, model_file, golden_file, format, library, library_version, objective,
       features, trees, run_id, git_sha, trained_at, registered_at, registered_by, tags
FROM version_aside;
DROP TABLE version_aside;

-- One Champion or none.
CREATE UNIQUE INDEX version_champion ON version (model) WHERE stage = 'champion';
-- The same bytes are one version, unless that version ended without being of use.
CREATE UNIQUE INDEX version_digest ON version (model, digest)
    WHERE digest <> '' AND stage NOT IN ('rejected', 'failed', 'retired');

CREATE INDEX version_artifact ON version (digest);

-- +goose StatementBegin
CREATE TRIGGER version_stays BEFORE DELETE ON version
BEGIN
    SELECT RAISE(ABORT, 'version: rows are never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER version_artifact_stays BEFORE UPDATE ON version
WHEN OLD.digest <> '' AND NEW.digest IS NOT OLD.digest
BEGIN
    SELECT RAISE(ABORT, 'version: an artifact never changes');
END;
-- +goose StatementEnd

CREATE TABLE training (
    id               TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    model            TEXT NOT NULL,
    version          INTEGER NOT NULL,
    state            TEXT NOT NULL CHECK (state IN ('queued', 'preparing', 'running', 'registering', 'succeeded',
                                                    'failed', 'cancelled')),
    attempt          INTEGER NOT NULL CHECK (attempt >= 0),
    idempotency_key  TEXT NOT NULL,
    trigger_kind     TEXT NOT NULL,
    reason           TEXT NOT NULL,
    actor            TEXT NOT NULL,
    compute_date     TEXT NOT NULL,
    git_sha          TEXT NOT NULL,
    trainer_class    TEXT NOT NULL,
    config_digest    TEXT NOT NULL,
    input_version    TEXT NOT NULL,
    input_rows       INTEGER NOT NULL,
    handle           TEXT NOT NULL,
    run_id           TEXT NOT NULL,
    run_name         TEXT NOT NULL,
    registry_version TEXT NOT NULL,
    metrics          TEXT NOT NULL, -- JSON
    step             TEXT NOT NULL,
    created_at       TEXT NOT NULL,
    started_at       TEXT NOT NULL,
    finished_at      TEXT NOT NULL,
    heartbeat_at     TEXT NOT NULL,
    exit_code        INTEGER NOT NULL,
    user_cpu         INTEGER NOT NULL, -- nanoseconds
    system_cpu       INTEGER NOT NULL,
    max_rss          INTEGER NOT NULL,
    error            TEXT NOT NULL,
    hint             TEXT NOT NULL,
    FOREIGN KEY (model, version) REFERENCES version (model, version)
) STRICT, WITHOUT ROWID;

-- One active training a model.
CREATE UNIQUE INDEX training_active ON training (model)
    WHERE state IN ('queued', 'preparing', 'running', 'registering');
CREATE UNIQUE INDEX training_key ON training (idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX training_created ON training (created_at, id);
CREATE INDEX training_model ON training (model, created_at, id);

-- +goose StatementBegin
CREATE TRIGGER training_stays BEFORE DELETE ON training
BEGIN
    SELECT RAISE(ABORT, 'training: rows are never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER training_ends_once BEFORE UPDATE ON training
WHEN OLD.state IN ('succeeded', 'failed', 'cancelled') AND NEW.state IS NOT OLD.state
BEGIN
    SELECT RAISE(ABORT, 'training: it has ended');
END;
-- +goose StatementEnd
