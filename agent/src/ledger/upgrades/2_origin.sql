CREATE TABLE stopover.version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL
);
COMMENT ON TABLE stopover.version IS 'Which agents know these tables. Before it was written down it was 1.';

ALTER TABLE stopover.migration ADD COLUMN origin text;
COMMENT ON COLUMN stopover.migration.origin IS
    'Why it counts as applied where no deployment ran it: "adopted from public.flyway_schema_history by anna".';
ALTER TABLE stopover.history ADD COLUMN origin text;
