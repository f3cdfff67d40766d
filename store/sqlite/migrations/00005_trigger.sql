-- +goose Up
CREATE TABLE decision (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    model    TEXT NOT NULL CHECK (model <> ''),
    kind     TEXT NOT NULL CHECK (kind <> ''),
    at       TEXT NOT NULL,
    outcome  TEXT NOT NULL CHECK (outcome <> ''),
    reason   TEXT NOT NULL,
    actor    TEXT NOT NULL,
    run_id   TEXT NOT NULL,
    evidence TEXT NOT NULL -- JSON
) STRICT;

CREATE INDEX decision_model ON decision (model, kind, id);

-- +goose StatementBegin
CREATE TRIGGER decision_no_update BEFORE UPDATE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decision: rows are append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER decision_no_delete BEFORE DELETE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decision: rows are append-only');
END;
-- +goose StatementEnd

CREATE TABLE schedule (
    model        TEXT NOT NULL CHECK (model <> ''),
    job          TEXT NOT NULL CHECK (job <> ''),
    last_at      TEXT NOT NULL,
    last_outcome TEXT NOT NULL,
    paused       INTEGER NOT NULL CHECK (paused IN (0, 1)),
    pause_reason TEXT NOT NULL,
    PRIMARY KEY (model, job)
) STRICT, WITHOUT ROWID;
