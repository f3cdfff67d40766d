-- +goose Up
ALTER TABLE outbox ADD COLUMN next_attempt_at TEXT NOT NULL DEFAULT ''; -- '': at once
ALTER TABLE outbox ADD COLUMN dead_at TEXT NOT NULL DEFAULT ''; -- '' unless given up

DROP INDEX outbox_undelivered;
CREATE INDEX outbox_undelivered ON outbox (kind, id) WHERE delivered_at = '';

-- +goose StatementBegin
CREATE TRIGGER outbox_stays BEFORE DELETE ON outbox
BEGIN
    SELECT RAISE(ABORT, 'outbox: rows are never deleted');
END;
-- +goose StatementEnd

CREATE TABLE alert (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL CHECK (key <> ''),
    severity    TEXT NOT NULL CHECK (severity IN ('page', 'ticket', 'log')),
    model       TEXT NOT NULL,
    version     INTEGER NOT NULL,
    title       TEXT NOT NULL,
    opened_at   TEXT NOT NULL,
    last_at     TEXT NOT NULL,
    count       INTEGER NOT NULL CHECK (count >= 1),
    resolved_at TEXT NOT NULL -- '' while unresolved
) STRICT;

CREATE UNIQUE INDEX alert_unresolved ON alert (key) WHERE resolved_at = '';
