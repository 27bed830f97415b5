CREATE TABLE stopover.backfill (
    migration text NOT NULL REFERENCES stopover.migration ON DELETE CASCADE,
    direction text NOT NULL CHECK (direction IN ('up', 'down')),
    index integer NOT NULL,
    range integer NOT NULL,
    -- The columns that the batches walk along; what follows are values of them.
    key text[] NOT NULL,
    -- The range begins behind this; null: with the first row.
    after text[],
    -- Its last row, fixed at the start.
    through text[] NOT NULL,
    -- Where the next batch begins; null: at the range's beginning.
    at text[],
    pass integer NOT NULL DEFAULT 1,
    done boolean NOT NULL DEFAULT false,
    rows bigint NOT NULL DEFAULT 0,
    walked bigint NOT NULL DEFAULT 0,
    batches bigint NOT NULL DEFAULT 0,
    batch_rows integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (migration, direction, index, range)
);
COMMENT ON TABLE stopover.backfill IS 'How far the backfills of a migration have got, changed in the transaction of each batch.';
