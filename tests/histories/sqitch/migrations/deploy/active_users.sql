-- Deploy shop:active_users to pg

BEGIN;

ALTER TABLE users ADD COLUMN active boolean NOT NULL DEFAULT true;

COMMIT;
