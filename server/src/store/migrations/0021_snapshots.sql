-- What the server has made of a deployment's log up to a seq. Never the truth: each row can be made anew from the events.
CREATE TABLE snapshots (
    deployment TEXT NOT NULL REFERENCES deployments (id),
    -- 'state', 'glance'
    kind TEXT NOT NULL,
    -- Names the build that has written it, and alone can read it.
    form TEXT NOT NULL,
    seq BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (deployment, kind)
);
