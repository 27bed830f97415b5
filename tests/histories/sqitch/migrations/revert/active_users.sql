-- Revert shop:active_users from pg

BEGIN;

ALTER TABLE users DROP COLUMN active;

COMMIT;
