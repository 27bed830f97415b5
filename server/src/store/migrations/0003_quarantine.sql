-- Migrations' contents that were rolled back, until they are applied there again on a person's word.
CREATE TABLE quarantine (
    environment TEXT NOT NULL,
    -- Of the migration.
    digest TEXT NOT NULL,
    migration TEXT NOT NULL,
    deployment TEXT NOT NULL REFERENCES deployments (id),
    at BIGINT NOT NULL,
    -- Who rolled it back, as JSON.
    rolled_back_by TEXT NOT NULL,
    cause TEXT NOT NULL,
    PRIMARY KEY (environment, digest)
);
