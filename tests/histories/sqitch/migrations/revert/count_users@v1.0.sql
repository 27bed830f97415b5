-- Revert shop:count_users from pg

BEGIN;

DROP FUNCTION count_users();

COMMIT;
