-- +goose Up
CREATE TABLE workflow (
    id               TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    kind             TEXT NOT NULL CHECK (kind <> ''),
    key              TEXT NOT NULL, -- '' joins nothing
    state            TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled')),
    input            BLOB NOT NULL,
    output           BLOB NOT NULL,
    error            TEXT NOT NULL,
    cancel_requested TEXT NOT NULL,
    attempt          INTEGER NOT NULL CHECK (attempt >= 0),
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL,
    finished_at      TEXT NOT NULL CHECK ((finished_at = '') = (state = 'running'))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX workflow_key ON workflow (kind, key) WHERE state = 'running' AND key <> '';
CREATE INDEX workflow_running ON workflow (created_at, id) WHERE state = 'running';
CREATE INDEX workflow_created ON workflow (created_at, id);
CREATE INDEX workflow_kind ON workflow (kind, created_at, id);

-- +goose StatementBegin
CREATE TRIGGER workflow_ends_once BEFORE UPDATE ON workflow
WHEN OLD.state <> 'running'
BEGIN
    SELECT RAISE(ABORT, 'workflow: it has ended');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER workflow_stays BEFORE DELETE ON workflow
BEGIN
    SELECT RAISE(ABORT, 'workflow: rows are never deleted');
END;
-- +goose StatementEnd

CREATE TABLE workflow_step (
    workflow_id TEXT NOT NULL REFERENCES workflow (id),
    seq         INTEGER NOT NULL CHECK (seq >= 1),
    name        TEXT NOT NULL CHECK (name <> ''),
    output      BLOB NOT NULL,
    error       TEXT NOT NULL,
    started_at  TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    PRIMARY KEY (workflow_id, seq),
    UNIQUE (workflow_id, name)
) STRICT, WITHOUT ROWID;

-- +goose StatementBegin
CREATE TRIGGER workflow_step_while_running BEFORE INSERT ON workflow_step
WHEN (SELECT state FROM workflow WHERE id = NEW.workflow_id) IS NOT 'running'
BEGIN
    SELECT RAISE(ABORT, 'workflow_step: the workflow does not run');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER workflow_step_no_update BEFORE UPDATE ON workflow_step
BEGIN
    SELECT RAISE(ABORT, 'workflow_step: the journal is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER workflow_step_no_delete BEFORE DELETE ON workflow_step
BEGIN
    SELECT RAISE(ABORT, 'workflow_step: the journal is append-only');
END;
-- +goose StatementEnd

-- A signal goes when it is consumed; the step that consumed it has its payload.
CREATE TABLE workflow_signal (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    workflow_id TEXT NOT NULL REFERENCES workflow (id),
    name        TEXT NOT NULL CHECK (name <> ''),
    payload     BLOB NOT NULL,
    at          TEXT NOT NULL
) STRICT;

CREATE INDEX workflow_signal_workflow ON workflow_signal (workflow_id, id);

-- +goose StatementBegin
CREATE TRIGGER workflow_signal_while_running BEFORE INSERT ON workflow_signal
WHEN (SELECT state FROM workflow WHERE id = NEW.workflow_id) IS NOT 'running'
BEGIN
    SELECT RAISE(ABORT, 'workflow_signal: the workflow does not run');
END;
-- +goose StatementEnd
