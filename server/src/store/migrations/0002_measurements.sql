-- What statements took: the newest of each kind of work in each database, for the estimates of later plans.
CREATE TABLE measurements (
    deployment TEXT NOT NULL REFERENCES deployments (id),
    environment TEXT NOT NULL,
    database_name TEXT NOT NULL,
    -- Of the migration.
    digest TEXT NOT NULL,
    variant TEXT NOT NULL,
    statement BIGINT NOT NULL,
    kind TEXT NOT NULL,
    -- That it was to go through, as far as was known before it began.
    work_rows BIGINT NOT NULL,
    work_bytes BIGINT NOT NULL,
    -- Rows that it said it touched.
    touched BIGINT NOT NULL,
    took_micros BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (deployment, environment, database_name, digest, statement, at)
);
CREATE INDEX measurements_kind ON measurements (environment, database_name, kind, at);
CREATE INDEX measurements_digest ON measurements (digest);
