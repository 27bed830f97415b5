CREATE TABLE IF NOT EXISTS stopover_saved.copying (
    id text PRIMARY KEY,
    -- The table in this schema that the values are copied into.
    holder text NOT NULL,
    relation oid NOT NULL,
    -- A table that was written anew since is copied anew.
    file oid NOT NULL,
    what text NOT NULL,
    columns jsonb NOT NULL,
    key jsonb NOT NULL,
    -- The oldest transaction that ran when the copying began.
    since bigint NOT NULL,
    through bigint NOT NULL DEFAULT 0,
    blocks bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE stopover_saved.copying IS
    'What is copied ahead of a drop that has not come yet. A copy that no drop makes its own goes with the next one.';
