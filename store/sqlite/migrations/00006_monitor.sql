-- +goose Up
CREATE TABLE profile (
    model   TEXT NOT NULL CHECK (model <> ''),
    kind    TEXT NOT NULL CHECK (kind IN ('batch', 'training')),
    subject TEXT NOT NULL CHECK (subject <> ''),
    version INTEGER NOT NULL,
    rows    INTEGER NOT NULL CHECK (rows >= 0),
    at      TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (model, kind, subject)
) STRICT;

CREATE TABLE drift (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    model     TEXT NOT NULL CHECK (model <> ''),
    version   INTEGER NOT NULL,
    batch_id  TEXT NOT NULL,
    reference TEXT NOT NULL,
    mode      TEXT NOT NULL,
    verdict   TEXT NOT NULL CHECK (verdict <> ''),
    share     REAL, -- NULL is NaN
    at        TEXT NOT NULL,
    body      BLOB NOT NULL
) STRICT;

CREATE INDEX drift_model ON drift (model, id);
CREATE INDEX drift_batch ON drift (batch_id, id);

-- +goose StatementBegin
CREATE TRIGGER drift_no_update BEFORE UPDATE ON drift
BEGIN
    SELECT RAISE(ABORT, 'drift: reports are append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER drift_no_delete BEFORE DELETE ON drift
BEGIN
    SELECT RAISE(ABORT, 'drift: reports are append-only');
END;
-- +goose StatementEnd
