CREATE SCHEMA IF NOT EXISTS stopover_saved;
COMMENT ON SCHEMA stopover_saved IS
    'What migrations and rollbacks have dropped, as Stopover kept it: `stopover saved list`. Purged on a person''s word, or by age.';
REVOKE ALL ON SCHEMA stopover_saved FROM PUBLIC;

CREATE TABLE IF NOT EXISTS stopover_saved.manifest (
    id text PRIMARY KEY,
    deployment text NOT NULL,
    migration text NOT NULL,
    digest text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('up', 'down')),
    -- Of the script, from 0.
    statement integer NOT NULL,
    attempt bigint NOT NULL,
    epoch bigint NOT NULL,
    run text NOT NULL,
    agent text NOT NULL,
    what text NOT NULL CHECK (what IN ('columns', 'table', 'emptied')),
    relation oid NOT NULL,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    -- The saved columns: [{"name", "type", "as_text", "not_null", "default", "generated", "identity", "comment"}].
    columns jsonb NOT NULL,
    -- The columns by which a row is found again: [{"name", "type", "as_text"}]. None: whole rows, in their order on disk.
    key jsonb NOT NULL,
    -- The table in this schema with the values. Null where all of them were NULL, or there were none.
    holder text,
    rows bigint NOT NULL,
    bytes bigint NOT NULL,
    -- What brings the object back, in order: [{"part", "sql"}]. Parts up to 2 come before the values; a failure of those
    -- from 5 on loses no value.
    definition jsonb NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    restored_at timestamptz,
    restored_by text,
    restored_rows bigint,
    -- The block of the holder up to which the values are back, while that is under way.
    restored_through bigint,
    -- While a deployment puts them back: the snapshot and the transaction in which the migration had made their columns
    -- anew. What other transactions wrote since is nobody's to replace.
    restoring_since text,
    purged_at timestamptz,
    purged_by text
);
COMMENT ON TABLE stopover_saved.manifest IS 'What is in each of the tables beside it, and what was purged when and by whom.';
