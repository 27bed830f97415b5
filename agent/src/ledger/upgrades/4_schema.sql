CREATE TABLE stopover.schema (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Of the whole, where stopover.object is what a look at it gave; null where some of it was strange already.
    digest text,
    -- Of the server: another one may write the same definitions in other words.
    major integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deployment text NOT NULL,
    migration text,
    -- Why it counts as known where no migration left it so: "accepted by anna".
    origin text,
    -- The migration that has changed the schema, or is about to, and was not looked at since.
    under_way text,
    -- What was not as remembered before that one began: {"index users.i": hash}, null where it was not there.
    strange jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE stopover.schema IS 'Since when, and through whom, the schema is as stopover.object has it.';

CREATE TABLE stopover.object (
    object text COLLATE "C" PRIMARY KEY,
    hash text NOT NULL,
    -- The row of its parts, as PostgreSQL writes it; null where that is too long.
    definition text
);
COMMENT ON TABLE stopover.object IS
    'Every object of the schema as Stopover left it: what differs from it is drift.';

-- That a person accepted a schema is in the history as well, and is about no migration.
ALTER TABLE stopover.history ALTER COLUMN migration DROP NOT NULL, ALTER COLUMN digest DROP NOT NULL,
    ALTER COLUMN variant DROP NOT NULL;
