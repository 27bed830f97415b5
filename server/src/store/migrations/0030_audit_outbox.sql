-- Signed heads of the audit log on their way to the webhook of server.toml; gone from here once they have arrived.
CREATE TABLE audit_outbox (
    seq BIGINT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL,
    signature TEXT NOT NULL,
    signed_at BIGINT NOT NULL
);
