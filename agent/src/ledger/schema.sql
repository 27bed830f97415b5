CREATE SCHEMA stopover;
COMMENT ON SCHEMA stopover IS
    'Stopover''s ledger: what it did to this database, written together with the effect. Not to be edited by hand.';

CREATE TABLE stopover.migration (
    id text PRIMARY KEY,
    digest text NOT NULL,
    -- running: begun statement by statement; reverting: its rollback was begun statement by statement.
    state text NOT NULL CHECK (state IN ('running', 'applied', 'reverting')),
    variant text NOT NULL CHECK (variant IN ('standard', 'batched')),
    deployment text NOT NULL,
    attempt bigint NOT NULL,
    epoch bigint NOT NULL,
    run text NOT NULL,
    agent text NOT NULL,
    statements integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at timestamptz,
    fingerprint_before text,
    fingerprint_after text,
    -- Every object and the hash of its definition before the migration, until the changes are known.
    objects_before jsonb,
    -- The objects that the migration changed: {"index users.i": [before, after]}, null where there is none.
    changes jsonb
);
COMMENT ON TABLE stopover.migration IS 'One row for each migration that is applied, or begun.';

CREATE TABLE stopover.statement (
    migration text NOT NULL REFERENCES stopover.migration ON DELETE CASCADE,
    direction text NOT NULL CHECK (direction IN ('up', 'down')),
    index integer NOT NULL,
    -- intent: begun outside a transaction, and nothing is known of its end.
    state text NOT NULL CHECK (state IN ('intent', 'done')),
    epoch bigint NOT NULL,
    run text NOT NULL,
    pid integer NOT NULL,
    backend_start bigint NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at timestamptz,
    rows bigint NOT NULL DEFAULT 0,
    -- What was there before an intent: the oids of the table's indexes.
    noted text[] NOT NULL DEFAULT '{}',
    -- The SQLSTATE that the statement ended with, where it failed and may have committed something before.
    failed text,
    PRIMARY KEY (migration, direction, index)
);
COMMENT ON TABLE stopover.statement IS 'The statements of the migrations that run statement by statement.';

CREATE TABLE stopover.fence (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL,
    run text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE stopover.fence IS 'The newest writer: every work transaction of an older one finds itself shut out.';

CREATE TABLE stopover.history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL,
    migration text NOT NULL,
    digest text NOT NULL,
    variant text NOT NULL,
    deployment text NOT NULL,
    attempt bigint NOT NULL,
    epoch bigint NOT NULL,
    run text NOT NULL,
    agent text NOT NULL,
    fingerprint_before text,
    changes jsonb
);
COMMENT ON TABLE stopover.history IS 'What happened, in order; rows are only added.';
