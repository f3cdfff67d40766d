-- +goose Up
-- '' in batches whose scores are the engine's own.
ALTER TABLE batch ADD COLUMN post_processor TEXT NOT NULL DEFAULT '';
ALTER TABLE batch ADD COLUMN post_processor_digest TEXT NOT NULL DEFAULT '';
