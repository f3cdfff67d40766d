-- +goose Up
-- Nobody counted them in batches that ended before this column was there: those say 0.
ALTER TABLE batch ADD COLUMN rows_refused INTEGER NOT NULL DEFAULT 0 CHECK (rows_refused >= 0);
