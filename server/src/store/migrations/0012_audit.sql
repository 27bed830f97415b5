-- Who asked what, and what became of it: append-only, each with a hash over itself and the one before.
CREATE TABLE audit (
    seq BIGINT PRIMARY KEY NOT NULL,
    -- JSON, as it was hashed.
    record TEXT NOT NULL,
    hash TEXT NOT NULL
);
-- Its last record, signed: what tells when the end is cut off. One row.
CREATE TABLE audit_head (
    place BIGINT PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    signature TEXT NOT NULL
);
INSERT INTO audit_head (place, seq, hash, signature)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '');
