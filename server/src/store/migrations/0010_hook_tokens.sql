-- With which the receivers of hooks say later how they went: each is for one attempt of one hook.
CREATE TABLE hook_tokens (
    -- SHA-256 of the secret; the secret itself is nowhere.
    hash TEXT PRIMARY KEY NOT NULL,
    deployment TEXT NOT NULL REFERENCES deployments (id),
    stage BIGINT NOT NULL,
    hook TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
