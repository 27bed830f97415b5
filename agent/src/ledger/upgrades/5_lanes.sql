-- Where the rows of a range are done in lanes, each lane has a row of its own.
ALTER TABLE stopover.backfill
    ADD COLUMN lane smallint NOT NULL DEFAULT 0,
    -- 1: all rows at once.
    ADD COLUMN lanes smallint NOT NULL DEFAULT 1;
