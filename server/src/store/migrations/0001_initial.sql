-- One text for SQLite and PostgreSQL. Ids and JSON are TEXT, times are microseconds since the epoch.
-- (SQLite takes BYTEA as a name like any other, and stores bytes as bytes.)

CREATE TABLE environments (
    name TEXT PRIMARY KEY NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE deployments (
    id TEXT PRIMARY KEY NOT NULL,
    request_id TEXT NOT NULL UNIQUE,
    pipeline TEXT NOT NULL,
    migrations TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- NULL while it goes on.
    outcome TEXT,
    -- Where it is, for people.
    place TEXT NOT NULL,
    -- Of its last event: an append moves it, and so tells a second writer that it lost.
    last_seq BIGINT NOT NULL
);
CREATE INDEX deployments_created_at ON deployments (created_at);

-- Append-only.
CREATE TABLE events (
    deployment TEXT NOT NULL REFERENCES deployments (id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (deployment, seq)
);

-- The files of migrations, by the digest over all files of one.
CREATE TABLE bundle_files (
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (digest, name)
);

-- The deployment that is in an environment.
CREATE TABLE holds (
    environment TEXT PRIMARY KEY NOT NULL,
    deployment TEXT NOT NULL REFERENCES deployments (id)
);

CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('epoch', 0);

CREATE TABLE agents (
    name TEXT PRIMARY KEY NOT NULL,
    environment TEXT NOT NULL REFERENCES environments (name),
    joined_at BIGINT NOT NULL,
    -- NULL until its tunnel was open once.
    last_seen BIGINT,
    version TEXT NOT NULL DEFAULT ''
);

CREATE TABLE agent_databases (
    agent TEXT NOT NULL REFERENCES agents (name),
    database_name TEXT NOT NULL,
    announced_at BIGINT NOT NULL,
    PRIMARY KEY (agent, database_name)
);

CREATE TABLE certificates (
    serial TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL REFERENCES agents (name),
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX certificates_agent ON certificates (agent);

CREATE TABLE join_tokens (
    hash TEXT PRIMARY KEY NOT NULL,
    environment TEXT NOT NULL REFERENCES environments (name),
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    used_by TEXT
);

CREATE TABLE operator_tokens (
    hash TEXT PRIMARY KEY NOT NULL,
    operator TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE pipelines (
    name TEXT PRIMARY KEY NOT NULL,
    toml TEXT NOT NULL,
    revision BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
