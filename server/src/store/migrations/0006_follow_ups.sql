-- What is looked at after a deployment has ended, with its history.
CREATE TABLE follow_ups (
    deployment TEXT NOT NULL REFERENCES deployments (id),
    environment TEXT NOT NULL,
    database_name TEXT NOT NULL,
    migration TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Of the migration.
    digest TEXT NOT NULL,
    -- Of the next run; where there is none, the end of time.
    due BIGINT NOT NULL,
    -- 1: the last run failed, and nobody has acknowledged it.
    failed BIGINT NOT NULL,
    -- Schedule and runs, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (deployment, environment, database_name, migration, name)
);
CREATE INDEX follow_ups_due ON follow_ups (due);
CREATE INDEX follow_ups_failed ON follow_ups (failed);
