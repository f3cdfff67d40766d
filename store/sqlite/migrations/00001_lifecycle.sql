-- +goose Up
-- "TRLN": tells our files from other SQLite databases.
PRAGMA application_id = 1414679630;

CREATE TABLE model (
    name         TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    generation   INTEGER NOT NULL DEFAULT 0 CHECK (generation >= 0),
    last_version INTEGER NOT NULL DEFAULT 0 CHECK (last_version >= 0),
    created_at   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE version (
    model           TEXT NOT NULL REFERENCES model (name),
    version         INTEGER NOT NULL CHECK (version >= 1),
    stage           TEXT NOT NULL CHECK (stage IN ('created', 'trained', 'validated', 'champion', 'archived',
                                                   'rejected', 'failed', 'quarantined', 'retired')),
    stage_at        TEXT NOT NULL,
    digest          TEXT NOT NULL CHECK (digest <> ''),
    model_file      TEXT NOT NULL,
    golden_file     TEXT NOT NULL,
    format          TEXT NOT NULL,
    library         TEXT NOT NULL,
    library_version TEXT NOT NULL,
    objective       TEXT NOT NULL,
    features        INTEGER NOT NULL,
    trees           INTEGER NOT NULL,
    run_id          TEXT NOT NULL,
    git_sha         TEXT NOT NULL,
    trained_at      TEXT NOT NULL,
    registered_at   TEXT NOT NULL,
    registered_by   TEXT NOT NULL,
    tags            TEXT NOT NULL,
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

-- One Champion or none.
CREATE UNIQUE INDEX version_champion ON version (model) WHERE stage = 'champion';
-- The same bytes are one version, unless that version ended without being of use.
CREATE UNIQUE INDEX version_digest ON version (model, digest) WHERE stage NOT IN ('rejected', 'failed', 'retired');

CREATE INDEX version_artifact ON version (digest);

-- +goose StatementBegin
CREATE TRIGGER version_stays BEFORE DELETE ON version
BEGIN
    SELECT RAISE(ABORT, 'version: rows are never deleted');
END;
-- +goose StatementEnd

CREATE TABLE champion_period (
    model      TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation >= 1),
    version    INTEGER NOT NULL,
    below      INTEGER NOT NULL CHECK (below >= 0 AND below < generation),
    since      TEXT NOT NULL,
    until      TEXT NOT NULL, -- '' while open
    action     TEXT NOT NULL CHECK (action IN ('promote', 'rollback')),
    actor      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    audit_seq  INTEGER NOT NULL REFERENCES audit (seq),
    PRIMARY KEY (model, generation),
    FOREIGN KEY (model, version) REFERENCES version (model, version)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX champion_period_open ON champion_period (model) WHERE until = '';

-- +goose StatementBegin
CREATE TRIGGER champion_period_stays BEFORE DELETE ON champion_period
BEGIN
    SELECT RAISE(ABORT, 'champion_period: rows are never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER champion_period_closes_once BEFORE UPDATE ON champion_period
WHEN OLD.until <> '' OR NEW.until = ''
    OR NEW.model IS NOT OLD.model OR NEW.generation IS NOT OLD.generation OR NEW.version IS NOT OLD.version
    OR NEW.below IS NOT OLD.below OR NEW.since IS NOT OLD.since OR NEW.action IS NOT OLD.action
    OR NEW.actor IS NOT OLD.actor OR NEW.reason IS NOT OLD.reason OR NEW.audit_seq IS NOT OLD.audit_seq
BEGIN
    SELECT RAISE(ABORT, 'champion_period: a period only ends, once');
END;
-- +goose StatementEnd

CREATE TABLE audit (
    seq             INTEGER NOT NULL PRIMARY KEY,
    at              TEXT NOT NULL,
    actor           TEXT NOT NULL,
    auth_method     TEXT NOT NULL,
    action          TEXT NOT NULL,
    model           TEXT NOT NULL,
    version         INTEGER NOT NULL,
    from_stage      TEXT NOT NULL,
    to_stage        TEXT NOT NULL,
    generation      INTEGER NOT NULL,
    reason          TEXT NOT NULL,
    evidence_digest TEXT NOT NULL,
    request_id      TEXT NOT NULL,
    prev_hash       TEXT NOT NULL CHECK (length(prev_hash) = 64),
    hash            TEXT NOT NULL CHECK (length(hash) = 64)
) STRICT;

CREATE INDEX audit_model ON audit (model, seq);

-- The end of the chain, so that a cut-off tail shows.
CREATE TABLE audit_head (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

INSERT INTO audit_head (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- +goose StatementBegin
CREATE TRIGGER audit_continues BEFORE INSERT ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit: entry does not continue the chain')
    WHERE NOT EXISTS (SELECT 1 FROM audit_head WHERE NEW.seq = seq + 1 AND NEW.prev_hash = hash);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_moves_head AFTER INSERT ON audit
BEGIN
    UPDATE audit_head SET seq = NEW.seq, hash = NEW.hash;
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit: entries are append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'audit: entries are append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'audit: the head is never deleted');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_head_advances BEFORE UPDATE ON audit_head
WHEN NEW.seq IS NOT OLD.seq + 1
BEGIN
    SELECT RAISE(ABORT, 'audit: the head only advances');
END;
-- +goose StatementEnd

-- The user's audit view: each move into or out of Champion, with the public names of the stages.
CREATE VIEW promotions AS
SELECT model AS model_name,
       version,
       at AS promotion_timestamp,
       actor AS promoted_by,
       upper(substr(from_stage, 1, 1)) || substr(from_stage, 2) AS from_stage,
       upper(substr(to_stage, 1, 1)) || substr(to_stage, 2) AS to_stage
FROM audit
WHERE from_stage = 'champion' OR to_stage = 'champion'
ORDER BY seq;

CREATE TABLE evidence (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    model   TEXT NOT NULL,
    version INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('pass', 'fail', 'inconclusive')),
    digest  TEXT NOT NULL,
    report  BLOB NOT NULL,
    at      TEXT NOT NULL,
    actor   TEXT NOT NULL,
    FOREIGN KEY (model, version) REFERENCES version (model, version)
) STRICT;

CREATE INDEX evidence_version ON evidence (model, version, id);

CREATE TABLE outbox (
    id           INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind         TEXT NOT NULL,
    key          INTEGER NOT NULL,
    payload      BLOB NOT NULL,
    created_at   TEXT NOT NULL,
    delivered_at TEXT NOT NULL DEFAULT '', -- '' while undelivered
    attempts     INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT NOT NULL DEFAULT '',
    UNIQUE (kind, key)
) STRICT;

CREATE INDEX outbox_undelivered ON outbox (id) WHERE delivered_at = '';

CREATE TABLE batch (
    id                  TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    state               TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'cancelled', 'interrupted')),
    phase               TEXT NOT NULL CHECK (phase IN ('resolve', 'snapshot', 'score', 'commit', 'verify', 'done')),
    attempt             INTEGER NOT NULL CHECK (attempt >= 1),
    -- 1 once any attempt came to the commit: from then on the output table may hold rows of this batch.
    may_have_rows       INTEGER NOT NULL DEFAULT 0,
    model               TEXT NOT NULL,
    version             INTEGER NOT NULL,
    run_id              TEXT NOT NULL,
    model_digest        TEXT NOT NULL,
    generation          INTEGER NOT NULL,
    git_sha             TEXT NOT NULL,
    trained_at          TEXT NOT NULL,
    feature_schema_hash TEXT NOT NULL,
    engine_build        TEXT NOT NULL,
    input_source        TEXT NOT NULL,
    input_version       TEXT NOT NULL,
    input_date          TEXT NOT NULL,
    output_table        TEXT NOT NULL,
    config_digest       TEXT NOT NULL,
    rows                INTEGER NOT NULL,
    started_at          TEXT NOT NULL,
    finished_at         TEXT NOT NULL,
    scored_at           TEXT NOT NULL,
    timings             TEXT NOT NULL, -- JSON
    histogram           TEXT NOT NULL, -- JSON
    score_min           REAL,          -- NULL is NaN, here and below
    score_max           REAL,
    score_mean          REAL,
    positive_rate       REAL,
    decision_threshold  REAL,
    output_digest       TEXT NOT NULL,
    replaced            INTEGER NOT NULL,
    error               TEXT NOT NULL
) STRICT;

CREATE INDEX batch_started ON batch (started_at, id);
CREATE INDEX batch_model ON batch (model, started_at, id);
CREATE INDEX batch_running ON batch (id) WHERE state = 'running';
