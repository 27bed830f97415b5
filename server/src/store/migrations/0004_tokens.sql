-- Tokens of people: an id to speak of them, groups, an end. Those from before them are administrators'.
ALTER TABLE operator_tokens ADD COLUMN id TEXT NOT NULL DEFAULT '';
-- The groups, as JSON.
ALTER TABLE operator_tokens ADD COLUMN member_of TEXT NOT NULL DEFAULT '[]';
ALTER TABLE operator_tokens ADD COLUMN admin BIGINT NOT NULL DEFAULT 0;
-- NULL: the server itself, at its first start.
ALTER TABLE operator_tokens ADD COLUMN created_by TEXT;
-- NULL: never.
ALTER TABLE operator_tokens ADD COLUMN expires_at BIGINT;
ALTER TABLE operator_tokens ADD COLUMN revoked_at BIGINT;
ALTER TABLE operator_tokens ADD COLUMN revoked_by TEXT;
UPDATE operator_tokens SET id = substr(hash, 1, 10), admin = 1;
CREATE UNIQUE INDEX operator_tokens_id ON operator_tokens (id);
